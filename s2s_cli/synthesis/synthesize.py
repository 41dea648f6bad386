"""Makes a corpus of given sentences and their translations, and a record of what made it.

Back-translation (https://arxiv.org/abs/1511.06709) puts the translation on the source side, and
sequence-level distillation (https://arxiv.org/abs/1606.07947) on the target side. The corpus is JSON
Lines with the fields source, target and score, which `data.train: {path: FILE}` reads.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from s2s_cli import __version__
from s2s_cli.config.schema import Decoding, FileFingerprint
from s2s_cli.decoding.translation import Translation
from s2s_cli.errors import DataError, S2SError
from s2s_cli.files import output, sha256, write_text
from s2s_cli.runs.checkpoint import checksums
from s2s_cli.runs.run import Run, step_of
from s2s_cli.synthesis.parts import Parts
from s2s_cli.text.chunks import chunks
from s2s_cli.text.lines import one_line

# Sentences of a part: some seconds to some minutes of work, which an interruption loses at most.
PART = 2_048
# Raised when the same number would mean something else.
SYNTHESIS_FORMAT = 1

Kind = Literal["backtranslation", "distillation"]


class Translates(Protocol):
    """What translates: a `Translator`, or several as one."""

    decoding: Decoding

    def translate(
        self, sentences: Sequence[str], on_batch: Callable[[int], None]
    ) -> list[Translation]:
        """The best translation of each sentence, in order."""


class Translated(NamedTuple):
    """A given sentence and its translation. `is_finished`: the search reached `</s>`."""

    given: str
    translation: str
    score: float
    is_finished: bool


@dataclass(frozen=True)
class Selection:
    """Which translations become part of the corpus, by their score a token.

    `keep` is the share of them that is used, those with the highest scores.
    """

    min_score: float | None = None
    keep: float | None = None


@dataclass
class SynthesisCounts:
    """What became of the sentences: read = written + all others."""

    read: int = 0
    written: int = 0
    empty: int = 0
    """Sentences without text."""
    untranslated: int = 0
    """Translations without text."""
    unfinished: int = 0
    """Translations that did not end within decoding.max_length."""
    below_score: int = 0
    """Those with a lower score than the selection takes."""


@dataclass(frozen=True)
class Synthesis:
    """A corpus that was made, its record, and whether it was there already."""

    corpus: Path
    record: Path
    counts: SynthesisCounts
    was_there: bool = False


@dataclass(frozen=True)
class Task:
    """What is translated, by which checkpoints of which runs together, to where."""

    kind: Kind
    runs: Sequence[Run]
    checkpoint: str
    """The name of the checkpoint of each run: best, latest or a step."""
    inputs: Sequence[FileFingerprint]
    output: Path
    selection: Selection = field(default_factory=Selection)

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoint of each run."""
        return [run.find_checkpoint(self.checkpoint) for run in self.runs]

    def require_writable(self, *, force: bool) -> None:
        """Raises DataError for a name that would not be read as what it is, a folder that is missing,
        and, without `force`, a file that exists and was not made by this very task."""
        path = self.output
        if path.suffix != ".jsonl":
            raise DataError(
                f"{path}: the corpus is written as JSON Lines, so its name must end in .jsonl.",
                f"Name it {path.with_suffix('.jsonl')}; data.train reads it with"
                f" {{path: {path.with_suffix('.jsonl').name}}}.",
            )
        if not path.parent.is_dir():
            raise DataError(f"{path.parent}: there is no such folder.", "Make it first.")
        if path.exists() and not force:
            raise DataError(
                f"{path}: this file exists, and was made otherwise or changed since.",
                "Name another file with --output, or give --force to replace it.",
            )


def synthesize(
    task: Task,
    translator: Translates,
    sentences: Iterable[str],
    *,
    force: bool = False,
    on_done: Callable[[int], None] = lambda count: None,
) -> Synthesis:
    """Translates sentences part by part, selects, and writes the corpus and its record.

    After an interruption, the same task goes on with the first part that is missing, and gives the
    same file. `on_done` is called with numbers of sentences that are finished. Raises S2SError.
    """
    job = _job(task, translator)
    parts = Parts(task.output)
    if (made := _already_made(task, job)) is not None and not force:
        if parts.are_of(job):  # it was interrupted while they were removed
            parts.remove()
        return made
    task.require_writable(force=force or parts.are_of(job))
    parts.begin(job, force=force)
    numbers = range(_translate(parts, translator, sentences, on_done))
    lowest = _lowest_score(_all(parts, numbers), task.selection)
    counts = SynthesisCounts()
    with output(str(task.output)) as file:
        for line in _corpus_lines(task.kind, _all(parts, numbers), lowest, counts):
            file.write(line)
    if counts.written == 0:
        task.output.unlink()
        raise DataError(
            f"{task.output}: no pair is left to write: {describe_left_out(counts)}.",
            "Lower --min-score, or raise --keep or --max-length.",
        )
    _write_record(task, job, counts, lowest)
    parts.remove()
    return Synthesis(task.output, _record(task.output), counts)


def _job(task: Task, translator: Translates) -> dict[str, Any]:
    """What the translations follow from."""
    return {
        "format": SYNTHESIS_FORMAT,
        "version": __version__,
        "kind": task.kind,
        "checkpoints": [
            {"step": step_of(checkpoint), "files": _translating_files(checkpoint)}
            for checkpoint in task.checkpoints
        ],
        "decoding": translator.decoding.model_dump(mode="json"),
        "inputs": [file.sha256 for file in task.inputs],
    }


def _translating_files(checkpoint: Path) -> dict[str, str]:
    """SHA-256 of each file of a checkpoint that its translations follow from, by name."""
    return {
        name: value
        for name, value in checksums(checkpoint).items()
        if name.endswith((".safetensors", ".model")) and not name.startswith("optimizer")
    }


def _translate(
    parts: Parts,
    translator: Translates,
    sentences: Iterable[str],
    on_done: Callable[[int], None],
) -> int:
    """Makes every part that is missing; returns how many there are."""
    number = 0
    for number, chunk in enumerate(chunks(sentences, PART), start=1):
        if parts.read(number - 1) is not None:
            on_done(len(chunk))
            continue
        try:
            found = translator.translate(chunk, on_done)
        except MemoryError:
            raise S2SError(
                f"memory is too short to translate {translator.decoding.batch_size} sentences at"
                " once.",
                "Lower --batch-size or --beam-size.",
            ) from None
        parts.write(number - 1, map(_translated, chunk, found))
    return number


def _translated(given: str, translation: Translation) -> Translated:
    is_finished = translation.is_long or len(translation.token_scores) > len(translation.tokens)
    return Translated(
        one_line(given.strip()), one_line(translation.text).strip(), translation.score, is_finished
    )


def _all(parts: Parts, numbers: Iterable[int]) -> Iterator[Translated]:
    for number in numbers:
        for values in parts.read(number) or ():
            yield Translated(*values)


def _lowest_score(translated: Iterable[Translated], selection: Selection) -> float | None:
    """The lowest score that is selected; None where scores do not matter."""
    found = [] if selection.min_score is None else [selection.min_score]
    if selection.keep is not None:
        scores = sorted((t.score for t in translated if _problem(t) is None), reverse=True)
        if scores:
            found.append(scores[math.ceil(selection.keep * len(scores)) - 1])
    return max(found, default=None)


def _problem(translated: Translated) -> str | None:
    """The count that a sentence belongs to which cannot be part of a corpus."""
    if not translated.given:
        return "empty"
    if not translated.is_finished:
        return "unfinished"
    return None if translated.translation else "untranslated"


def _corpus_lines(
    kind: Kind, translated: Iterable[Translated], lowest: float | None, counts: SynthesisCounts
) -> Iterator[str]:
    """A line for each pair that is selected; the others are counted."""
    for one in translated:
        problem = _problem(one)
        if problem is None and lowest is not None and one.score < lowest:
            problem = "below_score"
        counts.read += 1
        name = problem or "written"
        setattr(counts, name, getattr(counts, name) + 1)
        if problem is None:
            sides = (one.translation, one.given)
            source, target = sides if kind == "backtranslation" else sides[::-1]
            pair = {"source": source, "target": target, "score": round(one.score, 6)}
            yield json.dumps(pair, ensure_ascii=False) + "\n"


# The record.


def _record(corpus: Path) -> Path:
    return corpus.with_suffix(".record.json")


def _write_record(
    task: Task, job: dict[str, Any], counts: SynthesisCounts, lowest: float | None
) -> None:
    record = {
        **job,
        "runs": [str(run.root.resolve()) for run in task.runs],
        "inputs": [{"path": file.path, "sha256": file.sha256} for file in task.inputs],
        "selection": {**asdict(task.selection), "lowest_score": lowest},
        "counts": asdict(counts),
        "corpus": {"name": task.output.name, "sha256": sha256(task.output)},
    }
    write_text(_record(task.output), json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _already_made(task: Task, job: dict[str, Any]) -> Synthesis | None:
    """The corpus of this very task, if it is there as it was written."""
    path = _record(task.output)
    try:
        record = json.loads(path.read_bytes())
        inputs = [file["sha256"] for file in record["inputs"]]
        selection = {name: record["selection"][name] for name in asdict(task.selection)}
        is_same = {**{key: record[key] for key in job}, "inputs": inputs} == job
        if not is_same or selection != asdict(task.selection):
            return None
        if record["corpus"]["sha256"] != sha256(task.output):
            return None
        return Synthesis(task.output, path, SynthesisCounts(**record["counts"]), was_there=True)
    except (OSError, ValueError, LookupError, TypeError):
        return None


def describe_left_out(counts: SynthesisCounts) -> str:
    """The counts of what was left out, a clause each."""
    phrases = {
        "empty": "without text",
        "untranslated": "with an empty translation",
        "unfinished": "with a translation that did not end",
        "below_score": "with a lower score",
    }
    found = ((getattr(counts, name), phrase) for name, phrase in phrases.items())
    return ", ".join(f"{number:,} {phrase}" for number, phrase in found if number)
