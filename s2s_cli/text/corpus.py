"""Files become cleaned sentence pairs: TSV, parallel files, and .gz of both."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import heapq
import math
import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from s2s_cli.errors import DataError
from s2s_cli.schema import Data, Files


class Pair(NamedTuple):
    """A source sentence, its translation, its weight in the loss, and its corpus."""

    source: str
    target: str
    weight: float = 1.0
    corpus: int = 0


def training_pairs(data: Data, seed: int) -> Iterator[Pair]:
    """Every pair to train on, in the order of the files."""
    fraction = data.validation.fraction if data.validation else None
    for index, corpus in enumerate(data.train):
        for pair in read_pairs(corpus, index):
            if fraction is None or not is_held_out(pair.source, seed, fraction):
                yield pair


def sentences(pairs: Iterable[Pair], side: str) -> Iterator[str]:
    """The sentences of a side, or of both where `side` is shared, to learn a vocabulary from."""
    for pair in pairs:
        if side != "target" and pair.source:
            yield pair.source
        if side != "source" and pair.target:
            yield pair.target


def validation_pairs(data: Data, seed: int) -> Iterator[Pair]:
    """The pairs that are never trained on, data.validation.max_pairs at most."""
    if data.validation is None:
        return
    if data.validation.fraction is None:
        held_out: Iterable[Pair] = read_pairs(data.validation)
    else:
        held_out = (
            pair
            for corpus in data.train
            for pair in read_pairs(corpus)
            if is_held_out(pair.source, seed, data.validation.fraction)
        )
    yield from _sample(held_out, data.validation.max_pairs, seed)


def _sample(pairs: Iterable[Pair], size: int, seed: int) -> list[Pair]:
    """The `size` pairs with the smallest hashes: files sorted by length stay represented."""
    ranked = ((_hash(seed, f"sample\t{p.source}\t{p.target}"), i, p) for i, p in enumerate(pairs))
    smallest = heapq.nsmallest(size, ranked, key=lambda entry: entry[:2])
    return [pair for _, _, pair in sorted(smallest, key=lambda entry: entry[1])]


def is_held_out(source: str, seed: int, fraction: float) -> bool:
    """Whether the pairs of a source sentence are for validation; depends on nothing else."""
    return _hash(seed, source) < fraction * 2**64


def _hash(seed: int, text: str) -> int:
    digest = hashlib.blake2b(f"{seed}\t{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def read_pairs(files: Files, index: int = 0) -> Iterator[Pair]:
    """The pairs of one corpus, stripped of outer white space.

    Pairs of two empty sides are passed over. Raises DataError, with file and
    line, for what cannot be read.
    """
    rows = _read_tsv(files.tsv, files.third_column) if files.tsv else _read_parallel(files)
    empty = True
    for source, target, weight in rows:
        source, target = source.strip(), target.strip()
        if source or target:
            empty = False
            yield Pair(source, target, weight, index)
    if empty:
        raise DataError(
            f"{files.tsv or files.source}: there is not one sentence pair in it.",
            "Check that the file is the one you mean.",
        )


def read_lines(path: str) -> Iterator[str]:
    """The lines of a UTF-8 file, decompressed where it ends in .gz, without line ends; `-` is stdin.

    Raises DataError, with file and line, for what cannot be read.
    """
    for number, line in enumerate(bare_lines(path), start=1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}:{number}: this line is not UTF-8 (byte {error.start + 1}: {error.reason}).",
                "Convert the file, for example with `iconv -f latin1 -t utf-8`.",
            ) from None


def bare_lines(path: str) -> Iterator[bytes]:
    """The bytes of each line of a file, without its end and without a byte order mark.

    Only a line feed ends a line, so that parallel files stay parallel. Raises DataError.
    """
    for number, line in enumerate(raw_lines(path), start=1):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def raw_lines(path: str) -> Iterator[bytes]:
    """The lines of a file as they are, with line ends, decompressed where it ends in .gz.

    `-` is stdin. Raises DataError for what cannot be read.
    """
    number = 0
    try:
        with _opened(path) as file:
            for line in file:
                number += 1
                yield line
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read after line {number}: {error}.") from None


def _missing(path: str) -> DataError:
    return DataError(
        f"{path}: there is no such file.",
        "Check the path; one in a config is relative to the config.",
    )


def _opened(path: str) -> BinaryIO:
    if path == "-":
        return sys.stdin.buffer
    return gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")  # type: ignore[return-value]


def _read_parallel(files: Files) -> Iterator[tuple[str, str, float]]:
    assert files.source is not None and files.target is not None
    sources, targets = read_lines(files.source), read_lines(files.target)
    number = 0
    for number, source in enumerate(sources, start=1):
        target = next(targets, None)
        if target is None:
            lines = number + sum(1 for _ in sources)
            raise unequal_lengths(files.source, lines, files.target, number - 1)
        yield source, target, 1.0
    more = sum(1 for _ in targets)
    if more:
        raise unequal_lengths(files.source, number, files.target, number + more)


def unequal_lengths(source: str, source_lines: int, target: str, target_lines: int) -> DataError:
    """The error for two files that are not parallel."""
    return DataError(
        f"{source} has {source_lines} lines and {target} has {target_lines};"
        " line i of one must be the translation of line i of the other.",
        "Find the line that is missing, and do not only cut the longer file.",
    )


def _read_tsv(path: str, third_column: str) -> Iterator[tuple[str, str, float]]:
    for number, line in enumerate(read_lines(path), start=1):
        columns = line.split("\t")
        if not line.strip():
            continue
        if len(columns) < 2:
            raise DataError(
                f"{path}:{number}: this line has no tab; it must be `source<TAB>target`.",
                "Two files with a sentence a line go under `source:` and `target:`.",
            )
        weight = 1.0
        if len(columns) > 2 and third_column == "weight":
            weight = parse_weight(columns[2], f"{path}:{number}")
        yield columns[0], columns[1], weight


def parse_weight(text: str, place: str) -> float:
    """The weight that a third column holds; DataError where it holds something else."""
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0.0):
        raise DataError(
            f"{place}: the third column is {text[:40]!r}; it must be a weight of 0 or more.",
            "Where the third column is something else, set `third_column: ignore` beside `tsv:`.",
        )
    return weight


def fingerprint(path: str) -> str:
    """SHA-256 of a file's content; DataError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, ValueError) as error:  # the latter for a name that no file can have
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}.") from None
