"""Corpora of a config become rows, and rows become the sentence pairs of each split.

`read_rows` is the only reader of corpora. Training takes its pairs and stops at the first
problem (`read_pairs`); `s2s check` goes on and counts every problem.
"""

from __future__ import annotations

import hashlib
import heapq
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import BinaryIO

from s2s_cli.config.schema import Data, Files, FormatName
from s2s_cli.text.formats.json_lines import json_rows
from s2s_cli.text.formats.parallel import parallel_rows
from s2s_cli.text.formats.parquet import parquet_rows
from s2s_cli.text.formats.recognition import recognise
from s2s_cli.text.formats.tables import table_rows, tsv_rows
from s2s_cli.text.formats.tmx import tmx_rows
from s2s_cli.text.lines import Reading, opened, reading_errors, require_regular
from s2s_cli.text.packed import peek, require_text, unpack
from s2s_cli.text.rows import NO_PAIRS, UNREADABLE, CorpusError, Pair, Problem, Row, file_row

# The formats that each setting of `path` is for.
_SETTINGS: dict[str, tuple[FormatName, ...]] = {
    "columns": ("tsv", "csv", "parquet"),
    "fields": ("jsonl",),
    "languages": ("tmx",),
    "weight": ("tsv", "csv", "jsonl", "parquet"),
    "header": ("tsv", "csv"),
    "delimiter": ("tsv", "csv"),
    "quotes": ("tsv", "csv"),
    "inline_tags": ("tmx",),
}


def total_bytes(files: Iterable[Files]) -> int | None:
    """Size on disk of all files of some corpora, or None if it cannot be told."""
    with suppress(OSError, ValueError):
        return sum(os.path.getsize(path) for corpus in files for path in corpus.paths)
    return None


# Splits.


def training_pairs(
    data: Data,
    is_held_out: Callable[[str], bool] | None,
    reading: Reading | None = None,
    *,
    skip_problems: bool = False,
) -> Iterator[Pair]:
    """Every pair to train on, in the order of the files; see `s2s_cli.text.holdout`.

    Raises CorpusError for the first problem, or skips what has problems.
    """
    for index, corpus in enumerate(data.train):
        for pair in read_pairs(corpus, index, reading, skip_problems=skip_problems):
            if is_held_out is None or not is_held_out(pair.source):
                yield pair


def both_directions(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Every pair, and after it the same pair with its sides swapped."""
    for pair in pairs:
        yield pair
        yield pair._replace(source=pair.target, target=pair.source)


def sentences(pairs: Iterable[Pair], side: str | None = None) -> Iterator[tuple[str, str]]:
    """The sentences of the side `source` or `target`, or of both, as (side, sentence)."""
    for pair in pairs:
        if side != "target" and pair.source:
            yield "source", pair.source
        if side != "source" and pair.target:
            yield "target", pair.target


def validation_pairs(
    data: Data,
    is_held_out: Callable[[str], bool] | None,
    seed: int,
    reading: Reading | None = None,
) -> Iterator[Pair]:
    """The pairs that are never trained on, data.validation.max_pairs at most."""
    if data.validation is None:
        return
    if is_held_out is None:
        held_out: Iterable[Pair] = read_pairs(data.validation, 0, reading)
    else:
        held_out = (
            pair
            for corpus in data.train
            for pair in read_pairs(corpus, 0, reading)
            if is_held_out(pair.source)
        )
    yield from _sample(held_out, data.validation.max_pairs, seed)


def _sample(pairs: Iterable[Pair], size: int, seed: int) -> list[Pair]:
    """The `size` pairs with the smallest hashes, in order: a sample of the whole file."""
    ranked = (
        (hash_text(seed, f"sample\t{p.source}\t{p.target}"), i, p) for i, p in enumerate(pairs)
    )
    smallest = heapq.nsmallest(size, ranked, key=lambda entry: entry[:2])
    return [pair for _, _, pair in sorted(smallest, key=lambda entry: entry[1])]


def hash_text(seed: int, text: str) -> int:
    """A number below 2**64 that follows from the seed and a text."""
    digest = hashlib.blake2b(f"{seed}\t{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


# Rows and pairs.


def read_pairs(
    files: Files,
    index: int = 0,
    reading: Reading | None = None,
    *,
    skip_problems: bool = False,
) -> Iterator[Pair]:
    """The pairs of one corpus with text on at least one side.

    Raises CorpusError for the first problem, or skips what has problems.
    """
    for row in read_rows(files, index, reading):
        if row.problems and not skip_problems:
            raise row.problems[0].error()
        if row.pair is not None and (row.pair.source or row.pair.target):
            yield row.pair


def read_rows(files: Files, index: int = 0, reading: Reading | None = None) -> Iterator[Row]:
    """Every row of a corpus, with its problems; `index` is the number of the corpus."""
    number, is_empty = 0, True
    try:
        for path in files.paths:
            require_regular(path)
        for row in _rows(files, index, reading):
            number = row.number
            if row.problems or (row.pair is not None and (row.pair.source or row.pair.target)):
                is_empty = False
            yield row
    except CorpusError as error:
        yield file_row(error.problem, number)
        return
    if is_empty:
        message = "there is not one sentence pair in it."
        hint = "Check that the file is the one you mean."
        yield file_row(Problem(NO_PAIRS, files.paths[0], message, hint), number)


def _rows(files: Files, index: int, reading: Reading | None) -> Iterator[Row]:
    if files.path:
        return _path_rows(files.path, files, index, reading or Reading())
    if files.tsv:
        return tsv_rows(files.tsv, files, index, reading)
    return parallel_rows(files, index, reading)


def _path_rows(path: str, files: Files, index: int, reading: Reading) -> Iterator[Row]:
    """The rows of a file whose format the config names, or its content shows."""
    number = 0
    with reading_errors(path, lambda: f"row {number}"), opened(path) as file:
        unpacked = unpack(file)
        start = peek(unpacked)
        format_name = files.format or recognise(path, start)
        _require_settings_of(format_name, path, files)
        rows = _rows_of(
            format_name, unpacked, files, index, reading, is_packed=unpacked is not file
        )
        for row in reading.follow(rows, file):
            number = row.number
            reading.line_ends += row.line_ends
            yield row


def _rows_of(
    format_name: FormatName,
    file: BinaryIO,
    files: Files,
    index: int,
    reading: Reading,
    *,
    is_packed: bool,
) -> Iterator[Row]:
    if format_name == "tmx":
        return tmx_rows(file, files, index, reading)
    if format_name == "parquet":
        return parquet_rows(file, files, index, reading, is_packed=is_packed)
    require_text(peek(file), str(files.path))
    if format_name == "jsonl":
        return json_rows(file, files, index, reading)
    return table_rows(file, files, index, reading, is_csv=format_name == "csv")


def _require_settings_of(format_name: FormatName, path: str, files: Files) -> None:
    """Raises CorpusError for a setting that the format does not have."""
    for name, formats in _SETTINGS.items():
        is_set = getattr(files, name) != Files.model_fields[name].default
        if is_set and format_name not in formats:
            own = ", ".join(
                f"`{one}`" for one, owners in _SETTINGS.items() if format_name in owners
            )
            raise Problem(
                UNREADABLE,
                path,
                f"it is read as {format_name}, which has no setting `{name}`.",
                f"Its settings are {own}.",
            ).error()
