"""Loads an artefact in a fresh process and compares its translations with those of the run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2s_cli.config.schema import Decoding
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import ExportError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.padding import source_ids
from s2s_cli.text.tokenizer import BOS, PAD

# Two outputs may differ where the run scores them as close as this: float32 sums in another order
# may then prefer the other one.
TIE = 1e-3

# The fresh process cannot import s2s_cli: an artefact that needs it fails here, and not at its
# user's.
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
    """How many sentences were compared, how many differ at a tie, and what was left out."""

    sentences: int
    ties: int
    left_out: str = ""


def prove(
    folder: Path,
    export_format: str,
    runner: str,
    seq2seq: Seq2Seq,
    translator: Translator,
    sources: Sequence[list[int]],
) -> Proof:
    """Compares ids sentence by sentence; ExportError where they differ and it is no tie.

    `runner` is the Python code that translates with the artefact.
    """
    expected = translator.search(sources)
    found = _run_in_fresh_process(folder, export_format, runner, sources)
    ties = 0
    for source, (best, *_), theirs in zip(sources, expected, found, strict=True):
        ours = best.ids
        if ours == theirs:
            continue
        if not theirs or _distance(seq2seq, source, ours, theirs, translator.decoding) > TIE:
            raise ExportError(
                f"The {export_format} export does not translate as the run does:"
                f" for source ids {source} it gives {theirs}, the run {ours}.",
                "Nothing was written. This is a defect; please report it with the run's config.yaml.",
            )
        ties += 1
    return Proof(len(sources), ties)


def _distance(
    seq2seq: Seq2Seq,
    source: list[int],
    ours: list[int],
    theirs: list[int],
    decoding: Decoding,
) -> float:
    """The distance between the run's scores of two outputs that differ.

    For greedy search, between the two best logits at the first id that differs; for a beam,
    between the scores of both outputs.
    """
    if decoding.beam_size > 1:
        scores = [
            log_probability(seq2seq, source, ids) / len(ids) ** decoding.length_penalty
            for ids in (ours, theirs)
        ]
        return float(abs(scores[0] - scores[1]))
    position = next(
        (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
        min(len(ours), len(theirs)),
    )
    return margin(seq2seq, source, ours[:position])


def margin(seq2seq: Seq2Seq, source: list[int], prefix: list[int]) -> float:
    """Distance between the two best logits of the run after a prefix of target ids."""
    logits = _logits(seq2seq, source, prefix)[-1, PAD + 1 :]
    second, best = np.partition(logits, -2)[-2:]
    return float(best - second)


def log_probability(seq2seq: Seq2Seq, source: list[int], ids: list[int]) -> float:
    """The log probability that the run gives to target ids."""
    logits = _logits(seq2seq, source, ids[:-1]).astype(np.float64)
    logs = logits - np.log(np.exp(logits - logits.max()).sum(axis=-1, keepdims=True)) - logits.max()
    return float(logs[np.arange(len(ids)), ids].sum())


def _logits(seq2seq: Seq2Seq, source: list[int], prefix: list[int]) -> np.ndarray[Any, Any]:
    """The logits (len(prefix) + 1, V) that teacher forcing gives after each id of a prefix."""
    inputs = {
        "source_ids": source_ids([source]),
        "target_in_ids": np.array([[BOS, *prefix]], np.int32),
    }
    logits: np.ndarray[Any, Any] = np.array(seq2seq.training_model(inputs, training=False))[0]
    return logits


def _run_in_fresh_process(
    folder: Path, export_format: str, runner: str, sources: Sequence[list[int]]
) -> list[list[int]]:
    """The ids that the artefact gives, from a Python process that cannot import this package."""
    answer = folder / ".proof.json"
    program = _BEGINNING + runner + _END
    process = subprocess.run(
        [sys.executable, "-IB", "-c", program, str(folder), str(answer)],
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
