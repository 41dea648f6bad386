"""Loads an artefact in a fresh process and compares what it says with what the run says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2s_cli.decoding.translator import Translator, pad_sources
from s2s_cli.errors import ExportError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.tokenizer import BOS, PAD

# Two outputs may part where the run's two best logits lie as close as this:
# float32 sums in another order may then prefer the other one.
TIE = 1e-3

# What runs in the fresh process. s2s_cli is made impossible to import, so an
# artefact that needs it fails here and not at its user's.
_PROGRAMS = {
    "keras": """
namespace = runpy.run_path(str(folder / "translate.py"))
found = [namespace["search"](ids) for ids in sources]
""",
    "saved_model": """
import tensorflow as tf
model = tf.saved_model.load(str(folder / "saved_model"))
found = []
for ids in sources:
    row = model.serve(tf.constant([[*ids, 3]], tf.int32))["ids"][0].numpy().tolist()
    found.append([i for i in row if i != 0])
""",
}
_BEGINNING = """
import json, pathlib, runpy, sys
sys.modules["s2s_cli"] = None
folder, answer = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sources = json.loads(sys.stdin.read())
"""
_END = """
answer.write_text(json.dumps(found))
"""


@dataclass(frozen=True)
class Proof:
    """How many sentences were compared, and how many parted at a tie."""

    sentences: int
    ties: int


def prove(
    folder: Path,
    export_format: str,
    seq2seq: Seq2Seq,
    translator: Translator,
    sources: Sequence[list[int]],
) -> Proof:
    """Compares ids sentence by sentence; ExportError where they part at no tie."""
    expected, _ = translator.search(sources)
    found = _in_fresh_process(folder, export_format, sources)
    ties = 0
    for source, ours, theirs in zip(sources, expected, found, strict=True):
        if ours == theirs:
            continue
        position = next(
            (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
            min(len(ours), len(theirs)),
        )
        if margin(seq2seq, source, ours[:position]) > TIE:
            raise ExportError(
                f"The {export_format} export does not translate as the run does:"
                f" for source ids {source} it gives {theirs}, the run {ours}.",
                "Nothing was written. This is a defect; please report it with the run's config.yaml.",
            )
        ties += 1
    return Proof(len(sources), ties)


def margin(seq2seq: Seq2Seq, source: list[int], prefix: list[int]) -> float:
    """Distance between the two best logits of the run behind a prefix of target ids."""
    inputs = {
        "source_ids": pad_sources([source]),
        "target_in_ids": np.array([[BOS, *prefix]], np.int32),
    }
    logits = np.array(seq2seq.training_model(inputs, training=False))[0, -1, PAD + 1 :]
    second, best = np.partition(logits, -2)[-2:]
    return float(best - second)


def _in_fresh_process(
    folder: Path, export_format: str, sources: Sequence[list[int]]
) -> list[list[int]]:
    """The ids that the artefact gives, from a Python that never saw this program."""
    answer = folder / ".proof.json"
    program = _BEGINNING + _PROGRAMS[export_format] + _END
    process = subprocess.run(
        [sys.executable, "-I", "-c", program, str(folder), str(answer)],
        input=json.dumps(list(sources)),
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode != 0:
        errors = re.findall(r"^[\w.]*(?:Error|Exception)\b.*", process.stderr, re.MULTILINE)
        raise ExportError(
            f"The {export_format} export does not load in a fresh process:"
            f" {errors[-1] if errors else f'exit code {process.returncode}'}",
            "Nothing was written. This is a defect; please report it with the run's config.yaml.",
        )
    found: list[list[int]] = json.loads(answer.read_text(encoding="utf-8"))
    answer.unlink()
    return found
