"""Runs the program of an artefact in a fresh process that cannot import this package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2s_cli.errors import ExportError

# An artefact that needs s2s_cli fails here, and not at its user's. Sentences are ASCII in JSON, as not
# every one of them is text.
PROGRAM = """
import json, pathlib, runpy, sys, time
folder, answer = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
given = json.loads(sys.stdin.read())
sys.modules.update(dict.fromkeys(given["absent"]))
translator = runpy.run_path(str(folder / "translate.py"))["Translator"](folder)
sentences, timed = given["sentences"], given["timed"]
translator.translate(sentences[:1])
began = time.perf_counter()
found = translator.search(sentences)
texts = [translator.text(parts) for parts in found]
middle = time.perf_counter()
for sentence in sentences[:timed]:
    translator.translate([sentence])
seconds = [time.perf_counter() - middle, middle - began]
parts = [[[part.source_ids, part.ids] for part in parts] for parts in found]
stepped = [one for of_sentence in parts for one in of_sentence if one[1]]
logits = getattr(translator.runner, "logits", None)
stepped = stepped[:given["stepped"] if logits else 0]
values = [[*part, logits(*part).tolist()] for part in stepped]
from_text = getattr(translator.runner, "from_text", lambda sentences: [])(sentences)
found = {
    "texts": texts, "parts": parts, "seconds": seconds, "logits": values, "from_text": from_text,
}
answer.write_text(json.dumps(found))
"""


@dataclass(frozen=True)
class Answer:
    """What an artefact makes of N sentences.

    texts (N,); parts: for each sentence [source ids, target ids] of each of its parts; `speeds`:
    sentences a second, one by one and in batches; `logits`: of some parts, [source ids, target ids,
    logits after each of these (L+1,V)], where the runner has a step; `from_text`: for each sentence
    [translation, target ids, whether it was cut], where a graph takes text.
    """

    texts: list[str]
    parts: list[Any]
    speeds: tuple[float, float]
    logits: list[Any] = field(default_factory=list)
    from_text: list[Any] = field(default_factory=list)


def translate_in_fresh_process(
    folder: Path,
    export_format: str,
    sentences: Sequence[str],
    *,
    packages: Sequence[str] = (),
    timed: int = 0,
    stepped: int = 0,
) -> Answer:
    """The translations of an artefact, in batches; the first `timed` are translated again one by one.

    `packages`: what its runner needs; without TensorFlow among them, the process cannot import that.
    `stepped`: of how many parts the logits are wanted. Nothing is written to the artefact. Raises
    ExportError where it fails.
    """
    absent = ["s2s_cli", *{"tensorflow"}.difference(packages)]
    given = {"sentences": list(sentences), "timed": timed, "stepped": stepped, "absent": absent}
    with tempfile.TemporaryDirectory(prefix="s2s-proof-") as scratch:
        answer = Path(scratch) / "answer.json"
        # Bytecode beside the program is not what the checksums are of.
        options = ["-IB", "-X", f"pycache_prefix={scratch}"]
        process = subprocess.run(
            [sys.executable, *options, "-c", PROGRAM, str(folder.resolve()), str(answer)],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
        )
        if process.returncode != 0:
            errors = re.findall(r"^[\w.]*(?:Error|Exception)\b.*", process.stderr, re.MULTILINE)
            lines = [line for line in process.stderr.splitlines() if line.strip()]
            reason = (errors or lines or [f"exit code {process.returncode}"])[-1]
            raise ExportError(f"The {export_format} export fails in a fresh process: {reason}")
        found = json.loads(answer.read_bytes())
    counts = (min(timed, len(sentences)), len(sentences))
    speeds = [n / max(s, 1e-9) for n, s in zip(counts, found["seconds"], strict=True)]
    return Answer(
        found["texts"], found["parts"], (speeds[0], speeds[1]), found["logits"], found["from_text"]
    )
