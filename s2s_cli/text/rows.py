"""The rows of corpora: a sentence pair, or the problems with it."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from s2s_cli.errors import DataError

# Kinds of problems with which a corpus cannot be trained on.
UNREADABLE = "unreadable"
UNEQUAL_LENGTHS = "unequal_lengths"
NO_PAIRS = "no_pairs"
INVALID_UTF8 = "invalid_utf8"
MISSING_COLUMN = "missing_column"
BAD_RECORD = "bad_record"
BAD_WEIGHT = "bad_weight"
OTHER_COLUMNS = "other_columns"

_LINE_END = re.compile("\r\n|\n|\r")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Pair(NamedTuple):
    """A source sentence, its translation, its weight in the loss, and the number of its corpus."""

    source: str
    target: str
    weight: float = 1.0
    corpus: int = 0


class Problem(NamedTuple):
    """Something with which a corpus cannot be trained on.

    `place` is a file, or file:line. `text` is the text of the line in question, with bytes
    that are not UTF-8 as surrogates; None for a problem of the whole file.
    """

    kind: str
    place: str
    message: str
    hint: str = ""
    text: str | None = None

    def error(self) -> CorpusError:
        """The error that ends a training."""
        return CorpusError(self)


class CorpusError(DataError):
    """A corpus that cannot be read; `problem` says why in values."""

    def __init__(self, problem: Problem):
        super().__init__(f"{problem.place}: {problem.message}", problem.hint)
        self.problem = problem


class Row(NamedTuple):
    """One row of a corpus: a pair, or the problems with it.

    `number` counts from 1 what `unit` names: lines of a file for "". `raw` holds the line of a
    TSV, or those of both parallel files, as they are; it is empty in other formats and where the
    problem is one of the whole corpus. Both sides of the pair are without outer white space, and
    may be empty. `line_ends` in the texts were replaced by spaces.
    """

    number: int
    raw: tuple[bytes, ...]
    pair: Pair | None
    problems: tuple[Problem, ...] = ()
    unit: str = ""
    line_ends: int = 0

    def place(self, path: str) -> str:
        """file:line, or file:unit for formats without lines."""
        return place_of(path, self.number, self.unit)


def place_of(path: str, number: int, unit: str = "") -> str:
    """Where a row is: `pairs.tsv:7`, or `memory.tmx:unit 7` for formats without lines."""
    return f"{path}:{unit} {number}" if unit else f"{path}:{number}"


def file_row(problem: Problem, number: int = 0) -> Row:
    """A row for a problem of the whole file, found at row `number`."""
    return Row(number, (), None, (problem,))


class Record(NamedTuple):
    """What a format holds of one pair. Texts and weight are None where they are missing."""

    number: int
    source: object
    target: object
    weight: object = None


def row_of(record: Record, path: str, index: int, unit: str = "") -> Row:
    """The row of a record; in its texts, line ends become spaces, so that each stays on one line."""
    place = place_of(path, record.number, unit)
    problems: list[Problem] = []
    source, source_ends = _one_line(record.source, place, problems)
    target, target_ends = _one_line(record.target, place, problems)
    weight = 1.0
    if record.weight is not None:
        parsed = parse_weight(record.weight)
        if parsed is None:
            problems.append(bad_weight(place, str(record.weight), "the weight"))
        else:
            weight = parsed
    pair = None if problems else Pair(source, target, weight, index)
    return Row(record.number, (), pair, tuple(problems), unit, source_ends + target_ends)


def _one_line(value: object, place: str, problems: list[Problem]) -> tuple[str, int]:
    """The text, without outer white space, and the number of line ends in it."""
    if value is None:
        return "", 0
    if not isinstance(value, str):
        message = f"{str(value)[:40]!r} stands where a sentence must be."
        problems.append(Problem(BAD_RECORD, place, message, "", str(value)))
        return "", 0
    if not value.isascii() and _SURROGATE.search(value):
        problems.append(not_utf8(place, "this text is not UTF-8.", value))
        return "", 0
    text = value.strip()
    if "\n" in text or "\r" in text:
        return _LINE_END.subn(" ", text)
    return text, 0


def not_utf8(place: str, message: str, text: str) -> Problem:
    """The problem of a text whose bytes are not UTF-8."""
    hint = "Convert the file, for example with `iconv -f latin1 -t utf-8`."
    return Problem(INVALID_UTF8, place, message, hint, text)


def parse_weight(value: object) -> float | None:
    """The weight of a pair, 0 or more; None if the value is something else."""
    if isinstance(value, bool):
        return None
    try:
        weight = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return weight if math.isfinite(weight) and weight >= 0.0 else None


def bad_weight(place: str, text: str, what: str, hint: str = "") -> Problem:
    """The problem of a weight that is not a number of 0 or more."""
    message = f"{what} is {text[:40]!r}; it must be a weight of 0 or more."
    return Problem(BAD_WEIGHT, place, message, hint, text)
