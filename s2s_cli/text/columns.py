"""Judges the columns of a table by what is in them: numbers, or sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

# What columns and fields are called whose names are not in the config.
USUAL_NAMES = ("source", "target")
# Share of the rows that decides what a column holds.
MOST = 0.9


class Misplaced(NamedTuple):
    """Columns, counted from 1: one of the first two that holds numbers, and those with sentences."""

    numbers: int
    source: int
    target: int


def misplaced_sentences(rows: Sequence[Sequence[str]]) -> Misplaced | None:
    """Where the sentences are, if numbers are in the first or second column and text further right."""
    width = min(map(len, rows), default=0)
    if width < 3:
        return None

    def mostly(is_kind: Callable[[str], bool], column: int) -> bool:
        return sum(is_kind(row[column]) for row in rows) >= MOST * len(rows)

    numbers = [column for column in (0, 1) if mostly(is_number, column)]
    texts = [column for column in range(width) if mostly(_has_letters, column)]
    if len(texts) < 2 or not numbers or texts[1] < 2:
        return None
    return Misplaced(numbers[0] + 1, texts[0] + 1, texts[1] + 1)


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row holds a word, where all rows below it hold a number."""
    first, below = rows[:1], [row for row in rows[1:] if any(row)]
    if not first or not below:
        return False
    width = min(map(len, [*first, *below]))
    return any(
        _has_letters(first[0][column]) and all(is_number(row[column]) for row in below)
        for column in range(width)
    )


def is_number(text: str | bytes) -> bool:
    """Whether Python reads the text as a number; `nan` and `inf` are some."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _has_letters(text: str) -> bool:
    return not is_number(text) and any(character.isalpha() for character in text)
