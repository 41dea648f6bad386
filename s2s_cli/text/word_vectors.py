"""Reads word vectors: text files with lines `word v1 … vn`, whose first line may be a header, or an
array of NumPy with a row for each token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2s_cli.errors import DataError
from s2s_cli.text.columns import is_number
from s2s_cli.text.lines import bare_lines
from s2s_cli.text.marks import JOINER, WORD_START
from s2s_cli.text.tokenizer import SPECIAL_TOKENS

# Reasons to skip a line, as they continue "3 lines".
NOT_UTF8 = "whose word is not UTF-8"
OTHER_LENGTH = "of another length"
REPEATED = "that repeat a word"


@dataclass(frozen=True)
class WordVectors:
    """The vectors (size,) float32 of some tokens, by id, and how many lines were skipped, by reason."""

    rows: Mapping[int, NDArray[np.float32]]
    skipped: Mapping[str, int]


def describe_skipped(skipped: Mapping[str, int]) -> str:
    """`2 lines of another length, 1 line that repeat a word`, or an empty text."""
    return ", ".join(
        f"{count:,} line{'' if count == 1 else 's'} {reason}" for reason, count in skipped.items()
    )


def read_word_vectors(path: str, tokens: Sequence[str], size: int) -> WordVectors:
    """The vectors of `tokens`, a vocabulary by id, in a file of vectors with `size` values.

    A word matches the token of the same text, or the one that it begins. Values are separated by
    spaces or tabs, and a word may hold spaces. Of repeated words, the first counts. Raises DataError
    for vectors of another size, and for a vector that does not consist of finite numbers.

    A file that ends in .npy holds an array (vocab_size, size), whose rows are those of the tokens.
    """
    if path.endswith(".npy"):
        return WordVectors(dict(enumerate(_read_array(path, (len(tokens), size)))), {})
    ids: dict[str, list[int]] = {}
    for token_id in range(SPECIAL_TOKENS, len(tokens)):
        for name in _names(tokens[token_id]):
            ids.setdefault(name, []).append(token_id)
    rows: dict[int, NDArray[np.float32]] = {}
    skipped: dict[str, int] = {}
    seen: set[str] = set()
    for number, fields in _vector_lines(path, size):
        name, reason = _name(fields, size)
        if not reason and name in seen:
            reason = REPEATED
        if reason:
            skipped[reason] = skipped.get(reason, 0) + 1
            continue
        if name not in ids:
            continue
        seen.add(name)
        vector = _vector(fields[-size:], f"{path}:{number}", name)
        for token_id in ids[name]:
            # A vector for the token itself fits better than one for the word in it.
            if token_id not in rows or name == tokens[token_id]:
                rows[token_id] = vector
    return WordVectors(rows, skipped)


def _names(token: str) -> set[str]:
    """The names of a token in a file of vectors: itself, or the word that it begins."""
    return {token, token.removeprefix(WORD_START).removeprefix(JOINER)} - {""}


def _vector_lines(path: str, size: int) -> Iterator[tuple[int, list[bytes]]]:
    """The number and the fields of each line but the header. Raises DataError for another size."""
    for number, line in enumerate(bare_lines(path), start=1):
        fields = line.split()
        if number == 1:
            # A header has two numbers: how many vectors there are, and their size.
            is_header = len(fields) == 2 and all(field.isdigit() for field in fields)
            found = int(fields[1]) if is_header else _values_at_end(fields)
            if found < size or (is_header and found != size) or found == len(fields) - 1 > size:
                raise DataError(
                    f"{path}:1: the vectors have {found} values; model.embedding.size is {size}.",
                    f"Set model.embedding.size to {found}."
                    if found
                    else "A line is a word and its values, with spaces or tabs between them.",
                )
            if is_header:
                continue
        if fields:
            yield number, fields


def _values_at_end(fields: Sequence[bytes]) -> int:
    """How many of the fields behind the first are numbers, counted from the end."""
    count = 0
    while count < len(fields) - 1 and is_number(fields[-1 - count]):
        count += 1
    return count


def _name(fields: Sequence[bytes], size: int) -> tuple[str, str | None]:
    """The word of a line, and the reason to skip the line, if there is one."""
    words = fields[:-size]
    if not words or (len(words) > 1 and all(map(is_number, words[1:]))):
        return "", OTHER_LENGTH
    try:
        return b" ".join(words).decode("utf-8"), None
    except UnicodeDecodeError:
        return "", NOT_UTF8


def _vector(values: Sequence[bytes], place: str, name: str) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # which gives an infinity
            vector = np.array([float(value) for value in values]).astype(np.float32)
    except ValueError:
        raise DataError(f"{place}: the vector of {name!r} does not consist of numbers.") from None
    if not np.isfinite(vector).all():
        raise DataError(
            f"{place}: the vector of {name!r} holds a value that is not finite in float32.",
            "Remove the line; a token without a vector keeps its initial values.",
        )
    return vector


def _read_array(path: str, shape: tuple[int, int]) -> NDArray[np.float32]:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as an .npy array: {error}.") from None
    if array.shape != shape:
        raise DataError(
            f"{path}: the array has shape {array.shape}, the table {shape}.",
            "Rows are tokens in the order of the run's tokenizer/*.vocab; columns are"
            " model.embedding.size.",
        )
    if array.dtype.kind not in "fiu":
        raise DataError(f"{path}: the array holds {array.dtype}, not numbers.")
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise DataError(f"{path}: row {row} of the array holds a value that is not finite.")
    found: NDArray[np.float32] = array.astype(np.float32)
    return found
