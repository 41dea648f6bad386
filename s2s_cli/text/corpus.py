"""Corpus files become rows, and rows become sentence pairs: TSV and parallel files, packed or not.

`read_rows` is the only reader of corpora. Training takes its pairs and stops at the first
problem (`read_pairs`); `s2s check` goes on and counts every problem.
"""

from __future__ import annotations

import codecs
import hashlib
import heapq
import itertools
import math
import os
import shlex
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import BinaryIO, NamedTuple

from s2s_cli.config.schema import Data, Files
from s2s_cli.errors import DataError
from s2s_cli.text.columns import misplaced_sentences
from s2s_cli.text.packed import DAMAGES, NotTextError, lines_of

# Lines between two updates of a BytesRead.
_LINES_PER_UPDATE = 1 << 10


class Pair(NamedTuple):
    """A source sentence, its translation, its weight in the loss, and the number of its corpus."""

    source: str
    target: str
    weight: float = 1.0
    corpus: int = 0


# Kinds of problems with which a corpus cannot be trained on.
UNREADABLE = "unreadable"
UNEQUAL_LENGTHS = "unequal_lengths"
NO_PAIRS = "no_pairs"
INVALID_UTF8 = "invalid_utf8"
MISSING_COLUMN = "missing_column"
BAD_WEIGHT = "bad_weight"
OTHER_COLUMNS = "other_columns"

# Lines of a TSV by which its columns are judged.
_COLUMN_SAMPLE = 200


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

    `number` counts lines from 1. `raw` holds the line of a TSV, or those of both parallel
    files, as they are; it is empty where the problem is one of the whole corpus. Both sides of
    the pair are without outer white space, and may be empty.
    """

    number: int
    raw: tuple[bytes, ...]
    pair: Pair | None
    problems: tuple[Problem, ...] = ()


class BytesRead:
    """Counts the bytes that were read of files, for progress; of .gz files the compressed ones."""

    def __init__(self) -> None:
        self.done = 0

    def follow(self, lines: Iterable[bytes], file: BinaryIO) -> Iterator[bytes]:
        """The lines; `done` follows the position in `file`. Parallel files add to the same sum."""
        before = 0
        for number, line in enumerate(lines):
            if number % _LINES_PER_UPDATE == 0:
                position = file.tell()
                self.done += position - before
                before = position
            yield line
        self.done += file.tell() - before


def total_bytes(files: Iterable[Files]) -> int | None:
    """Size on disk of all files of some corpora, or None if it cannot be told."""
    with suppress(OSError, ValueError):
        return sum(os.path.getsize(path) for corpus in files for path in corpus.paths)
    return None


# Splits.


def training_pairs(
    data: Data,
    is_held_out: Callable[[str], bool] | None,
    progress: BytesRead | None = None,
    *,
    skip_problems: bool = False,
) -> Iterator[Pair]:
    """Every pair to train on, in the order of the files; see `s2s_cli.text.holdout`.

    Raises CorpusError for the first problem, or skips what has problems.
    """
    for index, corpus in enumerate(data.train):
        for pair in read_pairs(corpus, index, progress, skip_problems=skip_problems):
            if is_held_out is None or not is_held_out(pair.source):
                yield pair


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
    progress: BytesRead | None = None,
) -> Iterator[Pair]:
    """The pairs that are never trained on, data.validation.max_pairs at most."""
    if data.validation is None:
        return
    if is_held_out is None:
        held_out: Iterable[Pair] = read_pairs(data.validation, 0, progress)
    else:
        held_out = (
            pair
            for corpus in data.train
            for pair in read_pairs(corpus, 0, progress)
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
    progress: BytesRead | None = None,
    *,
    skip_problems: bool = False,
) -> Iterator[Pair]:
    """The pairs of one corpus with text on at least one side.

    Raises CorpusError for the first problem, or skips what has problems.
    """
    for row in read_rows(files, index, progress):
        if row.problems and not skip_problems:
            raise row.problems[0].error()
        if row.pair is not None and (row.pair.source or row.pair.target):
            yield row.pair


def read_rows(files: Files, index: int = 0, progress: BytesRead | None = None) -> Iterator[Row]:
    """Every row of a corpus, with its problems; `index` is the number of the corpus."""
    rows = (
        _tsv_rows(files, index, progress) if files.tsv else _parallel_rows(files, index, progress)
    )
    number, is_empty = 0, True
    try:
        for path in files.paths:
            require_regular(path)
        for row in rows:
            number = row.number
            if row.problems or (row.pair is not None and (row.pair.source or row.pair.target)):
                is_empty = False
            yield row
    except CorpusError as error:
        yield Row(number, (), None, (error.problem,))
        return
    if is_empty:
        message = "there is not one sentence pair in it."
        hint = "Check that the file is the one you mean."
        problem = Problem(NO_PAIRS, str(files.tsv or files.source), message, hint)
        yield Row(number, (), None, (problem,))


def _parallel_rows(files: Files, index: int, progress: BytesRead | None) -> Iterator[Row]:
    assert files.source is not None and files.target is not None
    sources, targets = raw_lines(files.source, progress), raw_lines(files.target, progress)
    number = 0
    for number, source in enumerate(sources, start=1):
        target = next(targets, None)
        if target is None:
            source_lines = number + sum(1 for _ in sources)
            yield _unequal(files.source, source_lines, files.target, number - 1)
            return
        problems: list[Problem] = []
        pair = Pair(
            _decode(source, files.source, number, problems).strip(),
            _decode(target, files.target, number, problems).strip(),
            1.0,
            index,
        )
        yield Row(number, (source, target), None if problems else pair, tuple(problems))
    more = sum(1 for _ in targets)
    if more:
        yield _unequal(files.source, number, files.target, number + more)


def _unequal(source: str, source_lines: int, target: str, target_lines: int) -> Row:
    problem = unequal_lengths(source, source_lines, target, target_lines).problem
    return Row(min(source_lines, target_lines), (), None, (problem,))


def unequal_lengths(source: str, source_lines: int, target: str, target_lines: int) -> CorpusError:
    """The error for two files that are not parallel; its place is the first line too many."""
    longer = source if source_lines > target_lines else target
    return CorpusError(
        Problem(
            UNEQUAL_LENGTHS,
            f"{longer}:{min(source_lines, target_lines) + 1}",
            f"{source} has {source_lines} lines and {target} has {target_lines};"
            " line i of one must be the translation of line i of the other.",
            "Find the line that is missing; cutting the longer file would leave wrong pairs.",
        )
    )


def _tsv_rows(files: Files, index: int, progress: BytesRead | None) -> Iterator[Row]:
    assert files.tsv is not None
    lines = raw_lines(files.tsv, progress)
    first = list(itertools.islice(lines, _COLUMN_SAMPLE))
    problem = _other_columns(files.tsv, first)
    if problem is not None:
        yield Row(1, (), None, (problem,))
        return
    for number, raw in enumerate(itertools.chain(first, lines), start=1):
        problems: list[Problem] = []
        line = _decode(raw, files.tsv, number, problems)
        columns = line.split("\t")
        weight = 1.0
        if not line.strip():
            columns = ["", ""]
        elif len(columns) < 2:
            problems.append(_missing_column(f"{files.tsv}:{number}", line))
        elif len(columns) > 2 and files.third_column == "weight":
            parsed = parse_weight(columns[2])
            if parsed is None:
                problems.append(_bad_weight(f"{files.tsv}:{number}", columns[2]))
            else:
                weight = parsed
        if problems:
            yield Row(number, (raw,), None, tuple(problems))
        else:
            pair = Pair(columns[0].strip(), columns[1].strip(), weight, index)
            yield Row(number, (raw,), pair)


def _other_columns(path: str, lines: Sequence[bytes]) -> Problem | None:
    """The problem of a TSV whose sentences are not in its first two columns."""
    found = misplaced_sentences(lines)
    if found is None:
        return None
    return Problem(
        OTHER_COLUMNS,
        path,
        f"column {found.numbers} holds numbers; the sentences seem to be in columns"
        f" {found.source} and {found.target}.",
        "Write these to a file of their own:"
        f" `cut -f{found.source},{found.target} {shlex.quote(path)} > NEW`.",
    )


def parse_weight(text: str) -> float | None:
    """The weight of a pair, 0 or more; None if the text is something else."""
    try:
        weight = float(text)
    except ValueError:
        return None
    return weight if math.isfinite(weight) and weight >= 0.0 else None


def _missing_column(place: str, line: str) -> Problem:
    return Problem(
        MISSING_COLUMN,
        place,
        "this line has no tab; it must be `source<TAB>target`.",
        "Two files with a sentence a line go under `source:` and `target:`.",
        line,
    )


def _bad_weight(place: str, column: str) -> Problem:
    return Problem(
        BAD_WEIGHT,
        place,
        f"the third column is {column[:40]!r}; it must be a weight of 0 or more.",
        "Where the third column is something else, set `third_column: ignore` beside `tsv:`.",
        column,
    )


# Lines.


def read_lines(path: str) -> Iterator[str]:
    """The lines of a UTF-8 file without line ends, unpacked; `-` is stdin.

    Raises CorpusError, with file and line, for what cannot be read.
    """
    problems: list[Problem] = []
    for number, raw in enumerate(raw_lines(path), start=1):
        text = _decode(raw, path, number, problems)
        if problems:
            raise problems[0].error()
        yield text


def bare_lines(path: str) -> Iterator[bytes]:
    """The bytes of each line of a file, without its end and without a byte order mark.

    Only a line feed ends a line, so that parallel files stay parallel. Raises CorpusError.
    """
    for number, raw in enumerate(raw_lines(path), start=1):
        yield bare_line(raw, number)


def bare_line(raw: bytes, number: int) -> bytes:
    """Line `number` of a file without its end, and the first without a byte order mark."""
    if number == 1:
        raw = raw.removeprefix(codecs.BOM_UTF8)
    return raw.removesuffix(b"\n").removesuffix(b"\r")


def _decode(raw: bytes, path: str, number: int, problems: list[Problem]) -> str:
    """The text of a line; appends a problem if it is not UTF-8."""
    line = bare_line(raw, number)
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        text = line.decode("utf-8", "surrogateescape")
        problems.append(
            Problem(
                INVALID_UTF8,
                f"{path}:{number}",
                f"this line is not UTF-8 (byte {error.start + 1}: {error.reason}).",
                "Convert the file, for example with `iconv -f latin1 -t utf-8`.",
                text,
            )
        )
        return text


def raw_lines(path: str, progress: BytesRead | None = None) -> Iterator[bytes]:
    """The lines of a file with their ends, unpacked; `-` is stdin.

    Raises CorpusError for what cannot be read.
    """
    number = 0
    try:
        with _opened(path) as file:
            lines = lines_of(file, path)
            for line in progress.follow(lines, file) if progress else lines:
                number += 1
                yield line
    except FileNotFoundError:
        raise _missing(path) from None
    except NotTextError as error:
        raise Problem(UNREADABLE, path, error.message, error.hint).error() from None
    except DAMAGES as error:
        message = f"cannot be read after line {number}: {error}."
        raise Problem(UNREADABLE, path, message).error() from None


def require_regular(path: str) -> None:
    """Raises CorpusError for a pipe, a device or a folder: a corpus is read several times.

    A file that is missing is no matter here; reading it reports that.
    """
    with suppress(OSError, ValueError):
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Problem(
                UNREADABLE,
                path,
                "this must be a regular file: it is read several times.",
                "Write what it gives to a file first, for example with `COMMAND > FILE`.",
            ).error()


def _missing(path: str) -> CorpusError:
    hint = "Check the path; one in a config is relative to the config."
    return Problem(UNREADABLE, path, "there is no such file.", hint).error()


def _opened(path: str) -> BinaryIO:
    return sys.stdin.buffer if path == "-" else open(path, "rb")


def fingerprint(path: str) -> str:
    """SHA-256 of a file's content; DataError if it cannot be read."""
    require_regular(path)
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, ValueError) as error:  # the latter for a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise Problem(UNREADABLE, path, f"cannot be read: {reason}.").error() from None
