"""Tables: TSV and CSV, with or without a header and cells in quotes."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from s2s_cli.config.schema import Files
from s2s_cli.text.columns import USUAL_NAMES, has_header, misplaced_sentences
from s2s_cli.text.lines import Reading, bare_line, decode, raw_lines
from s2s_cli.text.rows import (
    BAD_RECORD,
    MISSING_COLUMN,
    OTHER_COLUMNS,
    Pair,
    Problem,
    Record,
    Row,
    bad_weight,
    file_row,
    parse_weight,
    place_of,
    row_of,
)

# Rows by which a table is judged: its columns, its delimiter, its quotes.
SAMPLE = 10_000
# The first of those that fit equally well is taken: a comma stands in texts more often.
DELIMITERS = "\t;,"


def tsv_rows(path: str, files: Files, index: int, reading: Reading | None) -> Iterator[Row]:
    """The rows of `tsv`: lines `source<TAB>target`, or with a third column, without quotes."""
    lines = raw_lines(path, reading)
    first = list(itertools.islice(lines, SAMPLE))
    problem = _other_columns(path, _cells(first, "\t"))
    if problem is not None:
        yield file_row(problem, 1)
        return
    for number, raw in enumerate(itertools.chain(first, lines), start=1):
        problems: list[Problem] = []
        line = decode(raw, path, number, problems)
        columns = line.split("\t")
        weight = 1.0
        if not line.strip():
            columns = ["", ""]
        elif len(columns) < 2:
            problems.append(_missing_column(place_of(path, number), line))
        elif len(columns) > 2 and files.third_column == "weight":
            parsed = parse_weight(columns[2])
            if parsed is None:
                hint = "Where it is something else, set `third_column: ignore` beside `tsv:`."
                place = place_of(path, number)
                problems.append(bad_weight(place, columns[2], "the third column", hint))
            else:
                weight = parsed
        if problems:
            yield Row(number, (raw,), None, tuple(problems))
        else:
            pair = Pair(columns[0].strip(), columns[1].strip(), weight, index)
            yield Row(number, (raw,), pair)


def _missing_column(place: str, line: str) -> Problem:
    return Problem(
        MISSING_COLUMN,
        place,
        "this line has no tab; it must be `source<TAB>target`.",
        "Two files with a sentence a line go under `source:` and `target:`.",
        line,
    )


def _cells(lines: Sequence[bytes], delimiter: str) -> list[list[str]]:
    """The cells of lines without quotes; lines without text are left out."""
    bare = (bare_line(line, number) for number, line in enumerate(lines, start=1))
    texts = (line.decode("utf-8", "replace") for line in bare)
    return [text.split(delimiter) for text in texts if text.strip()]


def _other_columns(path: str, rows: Sequence[Sequence[str]]) -> Problem | None:
    """The problem of a table whose sentences are not in its first two columns."""
    is_named = has_header(rows)
    found = misplaced_sentences(rows[1:] if is_named else rows)
    if found is None:
        return None
    columns: list[object] = [found.source, found.target]
    if is_named:
        columns = [rows[0][column - 1].strip() for column in (found.source, found.target)]
    return Problem(
        OTHER_COLUMNS,
        path,
        f"column {found.numbers} holds numbers; the sentences seem to be in columns"
        f" {found.source} and {found.target}.",
        f"Name them: `path: {path}` and `columns: [{columns[0]}, {columns[1]}]`.",
    )


# Tables that are read by their content.


class _Layout(NamedTuple):
    """Which columns hold what, counted from 0, and how many rows stand above the pairs."""

    source: int
    target: int
    weight: int | None
    header_rows: int


@dataclass(frozen=True)
class _Dialect:
    """How lines become cells."""

    delimiter: str
    has_quotes: bool

    def rows(self, lines: Iterator[str]) -> Iterator[tuple[int, list[str] | str]]:
        """The number of the line where a row begins, and its cells, or what is wrong with it."""
        if not self.has_quotes:
            for number, line in enumerate(lines, start=1):
                yield number, line.rstrip("\r\n").split(self.delimiter)
            return
        # Strict, so that text after a closing quote, and a quote that is never closed, are errors.
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        while True:
            number = reader.line_num + 1
            try:
                yield number, next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield number, str(error)

    def describe(self) -> str:
        """The delimiter and the quotes in words."""
        name = {"\t": "tab", ",": "comma", ";": "semicolon"}.get(
            self.delimiter, repr(self.delimiter)
        )
        return f"{name} between columns, quotes {'around cells' if self.has_quotes else 'as text'}"


def table_rows(
    lines: Iterator[bytes], files: Files, index: int, reading: Reading, *, is_csv: bool
) -> Iterator[Row]:
    """The rows of a TSV or CSV `path`, whose columns are named in the config or usual."""
    path = files.path
    assert path is not None
    texts = _decoded(lines)
    first = list(itertools.islice(texts, SAMPLE))
    dialect = _dialect(files, first, is_csv=is_csv)
    sample = [cells for _, cells in dialect.rows(iter(first)) if isinstance(cells, list)]
    layout = _layout(path, files, sample)
    if isinstance(layout, Problem):
        yield file_row(layout, 1)
        return
    reading.read_as[path] = f"{'CSV' if is_csv else 'TSV'}: {_describe(dialect, layout)}"
    rows = dialect.rows(itertools.chain(first, texts))
    for number, cells in itertools.islice(rows, layout.header_rows, None):
        yield _row(path, index, number, cells, layout)


def _decoded(lines: Iterator[bytes]) -> Iterator[str]:
    """The lines with their ends; bytes that are not UTF-8 become surrogates."""
    for number, line in enumerate(lines, start=1):
        end = line[len(line.rstrip(b"\r\n")) :]
        yield bare_line(line, number).rstrip(b"\r").decode("utf-8", "surrogateescape") + (
            end.decode("ascii")
        )


def _row(path: str, index: int, number: int, cells: list[str] | str, layout: _Layout) -> Row:
    if isinstance(cells, str):
        hint = "A quote inside quotes is doubled; `quotes: false` reads quotes as text."
        message = f"this row cannot be read: {cells}."
        problem = Problem(BAD_RECORD, place_of(path, number), message, hint, "")
        return Row(number, (), None, (problem,))
    if not any(cell.strip() for cell in cells):
        return Row(number, (), Pair("", "", 1.0, index))
    needed = max(layout.source, layout.target, layout.weight or 0) + 1
    if len(cells) < needed:
        message = f"this row has {len(cells)} of {needed} columns."
        text = " | ".join(cells)
        problem = Problem(MISSING_COLUMN, place_of(path, number), message, "", text)
        return Row(number, (), None, (problem,))
    weight = None if layout.weight is None else cells[layout.weight]
    record = Record(number, cells[layout.source], cells[layout.target], weight)
    return row_of(record, path, index)


# How a table is to be read.


def _dialect(files: Files, lines: Sequence[str], *, is_csv: bool) -> _Dialect:
    """How the cells are told apart, by the config or else by the first lines."""
    delimiter = files.delimiter or (_delimiter(lines) if is_csv else "\t")
    has_quotes = files.quotes
    if has_quotes is None:
        has_quotes = is_csv or _shows_quotes(lines, delimiter)
    return _Dialect(delimiter, has_quotes)


def _delimiter(lines: Sequence[str]) -> str:
    """The delimiter that splits most rows into one and the same number of columns, at least two."""

    def agreeing(delimiter: str) -> int:
        rows = list(_Dialect(delimiter, has_quotes=True).rows(iter(lines)))
        widths = [len(cells) for _, cells in rows if isinstance(cells, list)]
        usual = max(set(widths), key=widths.count, default=0)
        return widths.count(usual) if usual > 1 else 0

    return max(DELIMITERS, key=agreeing)


def _shows_quotes(lines: Sequence[str], delimiter: str) -> bool:
    """Whether quotes around cells are those of a spreadsheet, and no part of the text.

    That is so where each cell that begins with a quote ends with one, with those inside doubled,
    and where that is no chance: quotes or line ends are inside, or all cells have quotes.
    """
    text = "".join(lines)
    edge = rf"(?:(?<=^)|(?<=\n)|(?<={re.escape(delimiter)}))"
    beginnings = len(re.findall(edge + '"', text))
    end = rf"(?=\Z|\r?\n|{re.escape(delimiter)})"
    whole = re.findall(edge + '"((?:[^"]|"")*)"' + end, text)
    cut_off = len(lines) == SAMPLE  # perhaps inside a cell
    if not whole or len(whole) < beginnings - cut_off:
        return False
    cells = sum(line.count(delimiter) + 1 for line in lines if line.strip())
    return any('""' in cell or "\n" in cell for cell in whole) or len(whole) == cells


def _layout(path: str, files: Files, rows: Sequence[list[str]]) -> _Layout | Problem:
    """The columns by number or by the names in the first row."""
    names = [name.strip() for name in rows[0]] if rows else []
    wanted: Sequence[int | str] = files.columns or (1, 2)
    header = files.header
    if files.columns is None and set(USUAL_NAMES) <= {name.casefold() for name in names}:
        wanted, names = USUAL_NAMES, [name.casefold() for name in names]
    asked = [*wanted, *([] if files.weight is None else [files.weight])]
    if header is None:
        header = any(isinstance(name, str) for name in asked) or has_header(rows)
    if files.columns is None and wanted != USUAL_NAMES:
        problem = _other_columns(path, rows)
        if problem is not None:
            return problem
    places = []
    for name in asked:
        if isinstance(name, int):
            places.append(name - 1)
        elif name in names:
            places.append(names.index(name))
        else:
            return no_such_column(path, name, names)
    weight = None if files.weight is None else places[2]
    return _Layout(places[0], places[1], weight, int(header))


def no_such_column(path: str, name: object, names: Sequence[str]) -> Problem:
    """The problem of a column that the config names and the file does not have."""
    shown = ", ".join(names[:20]) or "none"
    return Problem(
        OTHER_COLUMNS,
        path,
        f"there is no column {name!r}; its columns are {shown[:300]}.",
        "Name two of them with `columns: [SOURCE, TARGET]`, or by number from 1.",
    )


def _describe(dialect: _Dialect, layout: _Layout) -> str:
    header = "a header" if layout.header_rows else "no header"
    weight = "" if layout.weight is None else f", weights in {layout.weight + 1}"
    return (
        f"columns {layout.source + 1} and {layout.target + 1}{weight}, {header},"
        f" {dialect.describe()}"
    )
