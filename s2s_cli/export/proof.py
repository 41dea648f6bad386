"""Compares what an artefact says in a fresh process with what the run says, from text to text."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from s2s_cli.config.schema import Decoding
from s2s_cli.decoding.translation import Translation
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import ExportError
from s2s_cli.export.artefact import PROOF, SENTENCES
from s2s_cli.export.format import Format
from s2s_cli.export.fresh_process import Answer, translate_in_fresh_process
from s2s_cli.files import write_text
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.padding import source_ids
from s2s_cli.text.tokenizer import BOS

# Two outputs may differ where the run scores them as close as this: float32 sums in another order
# may then prefer the other one.
TIE = 1e-3
# Sentences that no held-out sample need be: nothing, white space, what SentencePiece refuses or takes
# for something else, characters that no vocabulary has, one that is short. Long ones are made of samples.
ODD = (
    "",
    "   ",
    "\0",
    "a\0b",
    "\ud800",
    "\u2581",
    "\ufffd \U0001f600 \u2040",
    "\u200f\u202e",
    ".",
    "a",
)
DEFECT = "Nothing was written. This is a defect; please report it with the run's config.yaml."
# Seconds are measured on as many sentences, one by one.
TIMED = 10
# Logits are compared of as many translations, position by position.
STEPPED = 5


@dataclass(frozen=True)
class Quality:
    """BLEU of held-out sentences, of the run and of its artefact."""

    sentences: int
    run: float
    artefact: float
    signature: str


@dataclass(frozen=True)
class Subject:
    """An artefact, and the run that it should translate like."""

    folder: Path
    export_format: Format
    seq2seq: Seq2Seq
    translator: Translator
    source_tokens: Sequence[str]
    """All tokens of the source vocabulary, by id."""

    def answer(self, sentences: Sequence[str]) -> Answer:
        """What the artefact makes of sentences, in a fresh process."""
        name, packages = self.export_format.name, self.export_format.packages
        return translate_in_fresh_process(
            self.folder, name, sentences, packages=packages, timed=TIMED, stepped=STEPPED
        )


@dataclass(frozen=True)
class Proof:
    """What was compared.

    `sentences` were translated by both; `ties` of them differ, at a tie of two scores of the run, and
    `different` otherwise: none, but for weights that are not the run's own. `logit_difference` is the
    largest one of the same target ids, None for a format without a decoder step. Speeds are sentences a
    second, of the artefact in its own process and of the run in this one.
    """

    sentences: int
    ties: int
    different: int = 0
    precision: str = "float32"
    quality: Quality | None = None
    logit_difference: float | None = None
    bytes: int = 0
    speed_one_by_one: float = 0.0
    speed_in_batches: float = 0.0
    run_speed_one_by_one: float = 0.0
    run_speed_in_batches: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def identical(self) -> int:
        """How many sentences have the same text."""
        return self.sentences - self.ties - self.different

    def write(self, folder: Path) -> None:
        """Writes proof.json."""
        content = {"identical": self.identical, **asdict(self)}
        write_text(folder / PROOF, json.dumps(content, indent=1) + "\n")


@dataclass(frozen=True)
class Comparison:
    """Each sentence, what the run and the artefact made of it, and how many of them differ; see Proof."""

    sentences: Sequence[str]
    run: Sequence[str]
    artefact: Answer
    ties: int = 0
    different: int = 0
    quality: Quality | None = None
    notes: tuple[str, ...] = ()

    def write_sentences(self, folder: Path) -> None:
        """Writes what `s2s verify` translates again, a JSON object a line."""
        rows = zip(self.sentences, self.run, self.artefact.texts, strict=True)
        lines = (
            json.dumps({"source": source, "run": ours, "artefact": theirs})
            for source, ours, theirs in rows
        )
        write_text(folder / SENTENCES, "".join(f"{line}\n" for line in lines))


def proof_sentences(samples: Sequence[str], tokens: Sequence[int], longest: int) -> list[str]:
    """Held-out sentences, odd ones, and one that is too long for the model at once.

    `tokens` has the number of tokens of each sample; `longest` is the most that are translated at once.
    """
    per_sample = max(1.0, float(np.mean(tokens)) if tokens else 1.0)
    count = int(2.5 * longest / per_sample) + 1
    repeated = [samples[i % len(samples)] for i in range(count)] if samples else ["a"] * count
    return [*samples, *ODD, " ".join(repeated)]


def compare(subject: Subject, sentences: Sequence[str]) -> Comparison:
    """Translates sentences in a fresh process; ExportError where they differ and it is no tie."""
    expected = subject.translator.translate(sentences)
    found = subject.answer(sentences)
    require_same_tokens(subject, sentences, expected, found)
    ties = 0
    for sentence, ours, theirs, parts in zip(
        sentences, expected, found.texts, found.parts, strict=True
    ):
        if ours.text == theirs:
            continue
        if not _is_tie(subject, sentence, theirs, parts):
            raise _differs(subject, sentence, theirs, ours.text)
        ties += 1
    notes = _compare_from_text(subject, sentences, expected, found)
    return Comparison(sentences, [one.text for one in expected], found, ties, notes=notes)


def require_same_tokens(
    subject: Subject, sentences: Sequence[str], expected: Sequence[Translation], found: Answer
) -> None:
    """ExportError where an artefact cuts a sentence into other tokens than the run."""
    for sentence, ours, theirs, parts in zip(
        sentences, expected, found.texts, found.parts, strict=True
    ):
        tokens = tuple(subject.source_tokens[i] for source, _ in parts for i in source)
        if tokens != ours.source_tokens:
            raise _differs(subject, sentence, theirs, ours.text)


def _compare_from_text(
    subject: Subject, sentences: Sequence[str], expected: Sequence[Translation], found: Answer
) -> tuple[str, ...]:
    """ExportError where a graph that takes text makes something else of a sentence that it has not
    cut, and it is no tie; a sentence that says how many ties there are."""
    if not found.from_text:
        return ()
    ties = 0
    for sentence, ours, (theirs, ids, was_cut), parts in zip(
        sentences, expected, found.from_text, found.parts, strict=True
    ):
        if was_cut == ours.is_long and (was_cut or theirs == ours.text):
            continue
        sources = [[source, ids] for source, _ in parts]
        if was_cut != ours.is_long or not _is_tie(subject, sentence, theirs, sources):
            raise _differs(subject, sentence, theirs, ours.text)
        ties += 1
    return (f"text/ differs for {ties} sentences, after a tie of two scores.",) if ties else ()


def _differs(subject: Subject, sentence: str, theirs: str, ours: str) -> ExportError:
    return ExportError(
        f"The {subject.export_format.name} export does not translate as the run does:"
        f" {sentence!r} becomes {theirs!r}; in the run, {ours!r}.",
        DEFECT,
    )


def logit_difference(subject: Subject, answer: Answer, precision: str) -> float | None:
    """The largest difference between logits of an artefact and those of the run for the same ids.

    None where the format has no step. Raises ExportError where float32 differs by more than TIE.
    """
    if not answer.logits:
        return None
    differences = [
        np.abs(np.array(theirs) - _logits(subject.seq2seq, source, ids)).max()
        for source, ids, theirs in answer.logits
    ]
    largest = float(np.max(differences))  # NaN if one of them is
    if not np.isfinite(largest) or (precision == "float32" and largest > TIE):
        raise ExportError(
            f"The decoder step of the {subject.export_format.name} export does not compute as the run"
            f" does: logits differ by {largest:.1e}.",
            DEFECT,
        )
    return largest


def measured_speeds(translator: Translator, sentences: Sequence[str]) -> tuple[float, float]:
    """Sentences a second of the run, one by one and in batches, as `translate_in_fresh_process`
    measures them."""
    some = sentences[:TIMED]
    translator.translate(some[:1])
    began = time.perf_counter()
    for sentence in some:
        translator.translate([sentence])
    ended = time.perf_counter()
    translator.translate(sentences)
    return len(some) / (ended - began), len(sentences) / (time.perf_counter() - ended)


def _is_tie(subject: Subject, sentence: str, text: str, parts: Sequence[Any]) -> bool:
    """Whether the run itself scores what an artefact made of a sentence as high as its own output.

    Alone, it may even give the artefact's: sums in float32 depend on what a sentence is batched with.
    """
    seq2seq, translator = subject.seq2seq, subject.translator
    (alone,) = translator.translate([sentence])
    if alone.text == text:
        return True
    distances = []
    for source, theirs in parts:
        ((best, *_),) = translator.search([source])
        if best.ids == theirs:
            continue
        if not theirs:
            return False
        distances.append(distance(seq2seq, source, best.ids, theirs, translator.decoding))
    return bool(distances) and max(distances) <= TIE


def distance(
    seq2seq: Seq2Seq,
    source: Sequence[int],
    ours: Sequence[int],
    theirs: Sequence[int],
    decoding: Decoding,
) -> float:
    """The distance between the run's scores of two outputs that differ.

    For greedy search, between the logits of both at the first id that differs; for a beam, between
    the scores of both outputs, without a coverage penalty.
    """
    if decoding.beam_size > 1:
        scores = [
            log_probability(seq2seq, source, ids) / len(ids) ** decoding.length_penalty
            for ids in (ours, theirs)
        ]
        return float(abs(scores[0] - scores[1]))
    pairs = zip(ours, theirs, strict=False)
    position = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
    if position is None:  # one has ended by its length alone
        return float("inf")
    logits = _logits(seq2seq, source, ours[:position])[-1]
    return float(abs(logits[ours[position]] - logits[theirs[position]]))


def log_probability(seq2seq: Seq2Seq, source: Sequence[int], ids: Sequence[int]) -> float:
    """The log probability that the run gives to target ids."""
    logits = _logits(seq2seq, source, ids[:-1]).astype(np.float64)
    logs = logits - np.log(np.exp(logits - logits.max()).sum(axis=-1, keepdims=True)) - logits.max()
    return float(logs[np.arange(len(ids)), ids].sum())


def _logits(seq2seq: Seq2Seq, source: Sequence[int], prefix: Sequence[int]) -> np.ndarray[Any, Any]:
    """The logits (len(prefix) + 1, V) that teacher forcing gives after each id of a prefix."""
    inputs = {
        "source_ids": source_ids([source]),
        "target_in_ids": np.array([[BOS, *prefix]], np.int32),
    }
    logits: np.ndarray[Any, Any] = np.array(seq2seq.training_model(inputs, training=False))[0]
    return logits
