"""The files that cleaning writes: for each corpus a TSV of kept pairs and one of rejected lines."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import regex

from s2s_cli.cleaning.reasons import Reason
from s2s_cli.config.schema import Config, Files
from s2s_cli.errors import DataError
from s2s_cli.text.lines import bare_line
from s2s_cli.text.rows import Pair, Row

# Endings of file names that say how the content is written, not what it is.
_FORMATS = {
    ".gz", ".xz", ".bz2", ".zst", ".tsv", ".txt", ".csv", ".tmx", ".jsonl", ".ndjson", ".json",
    ".parquet",
}  # fmt: skip
# What cannot be seen, ends a line, or begins an escape.
_TO_ESCAPE = regex.compile(r"[\\\p{C}\p{Zl}\p{Zp}--[\u200c\u200d]]", regex.V1)
_BYTE_ORDER_MARK = "\ufeff"


class OutputPaths(NamedTuple):
    """Where the kept pairs and the rejected lines of a corpus are written."""

    kept: Path
    rejected: Path


def output_paths(corpora: Iterable[Files], folder: Path) -> list[OutputPaths]:
    """Two files in `folder` for each corpus, named after its files; no two names are the same."""
    found: list[OutputPaths] = []
    taken: set[str] = set()
    for files in corpora:
        name, number = _name(files), 1
        paths = _paths(folder, name)
        while taken.intersection(_folded(paths)):
            number += 1
            paths = _paths(folder, f"{name}-{number}")
        taken.update(_folded(paths))
        found.append(paths)
    return found


def _paths(folder: Path, name: str) -> OutputPaths:
    return OutputPaths(folder / f"{name}.tsv", folder / f"{name}.rejected.tsv")


def _folded(paths: OutputPaths) -> set[str]:
    """File names without case, which some file systems do not see."""
    return {path.name.casefold() for path in paths}


def _name(files: Files) -> str:
    """What the names of a corpus's files have in common: `train` of train.en.gz and train.de.gz."""
    names = [_without_formats(path).split(".") for path in files.paths]
    columns = zip(*names, strict=False)
    same = [parts[0] for parts in itertools.takewhile(lambda parts: len({*parts}) == 1, columns)]
    return ".".join(same or names[0]) or "corpus"


def _without_formats(path: str) -> str:
    name = Path(path).name
    while os.path.splitext(f"_{name}")[1].lower() in _FORMATS:
        name = name.rpartition(".")[0]
    return name


def require_writable(
    config: Config, outputs: Sequence[OutputPaths], folder: Path, *, force: bool
) -> None:
    """Raises DataError where a file of the config, or without `force` any file, would be replaced."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: this is not a folder.", "Name another folder with --output.")
    validation = config.data.validation
    read = [files.paths for files in (*config.data.train, *([validation] if validation else []))]
    inputs = {os.path.realpath(path) for paths in read for path in paths}
    written = [path for paths in outputs for path in paths]
    for path in written:
        if os.path.realpath(path) in inputs:
            raise DataError(
                f"{path}: this file is read by the config; cleaning would replace it.",
                "Name another folder with --output.",
            )
    existing = [path for path in written if path.exists()]
    if existing and not force:
        more = f", and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise DataError(
            f"{existing[0]}: this file exists{more}.",
            "Name another folder with --output, or give --force to replace the files.",
        )


class KeptWriter:
    """Writes pairs as lines `source<TAB>target`, so that reading them gives the same pairs.

    `is_weighted` says that all lines get their weight as third column. Without it, only those
    get one whose weight is not 1, as a line without one has the weight 1.
    """

    def __init__(self, file: TextIO, *, is_weighted: bool):
        self._file, self._is_weighted = file, is_weighted
        self._is_first = True

    def write(self, pair: Pair) -> None:
        """Appends a pair, whose sides hold no tab."""
        line = f"{pair.source}\t{pair.target}"
        if self._is_weighted or pair.weight != 1.0:
            line += f"\t{pair.weight!r}"
        # Readers remove the first byte order mark of a file.
        if self._is_first and line.startswith(_BYTE_ORDER_MARK):
            line = _BYTE_ORDER_MARK + line
        self._is_first = False
        self._file.write(line + "\n")


def rejected_line(row: Row, reason: Reason) -> str:
    r"""`line<TAB>reason<TAB>source<TAB>target`, and a third column of the corpus that has a meaning.

    What cannot be seen is written as \t, \u200b and so on, a byte that is not UTF-8 as \xff, and
    a backslash as \\, so that the text can be restored.
    """
    columns = [str(row.number), reason.name, *map(escaped, rejected_columns(row))]
    return "\t".join(columns) + "\n"


def rejected_columns(row: Row) -> list[str]:
    """Source and target of a row, and its weight where that is not 1.

    Of a row that is no pair: the columns of its line as they are, bytes that are not UTF-8 as
    surrogates.
    """
    if row.pair is not None:
        weight = [] if row.pair.weight == 1.0 else [repr(row.pair.weight)]
        return [row.pair.source, row.pair.target, *weight]
    lines = [bare_line(raw, row.number).decode("utf-8", "surrogateescape") for raw in row.raw]
    if not lines:
        return [row.problems[0].text or "", ""]
    columns = lines[0].split("\t") if len(lines) == 1 else lines
    return columns if len(columns) > 1 else [*columns, ""]


def escaped(text: str) -> str:
    """The text with what cannot be seen written as a backslash and a code."""
    return text if text.isascii() and text.isprintable() and "\\" not in text else _escape(text)


def _escape(text: str) -> str:
    return str(_TO_ESCAPE.sub(lambda found: _code(found[0]), text))


def _code(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, see surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    short = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}.get(character)
    return short or (f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}")
