"""Parquet, https://parquet.apache.org, which needs the package pyarrow."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from s2s_cli.config.schema import Files
from s2s_cli.errors import pip_install_hint
from s2s_cli.text.columns import USUAL_NAMES
from s2s_cli.text.formats.json_lines import MissingFieldError, field_of
from s2s_cli.text.formats.tables import no_such_column
from s2s_cli.text.lines import Reading
from s2s_cli.text.packed import NotTextError
from s2s_cli.text.rows import Record, Row, file_row, row_of

UNIT = "row"
# Rows that are made Python objects together.
BATCH = 4096


def parquet_rows(
    file: BinaryIO, files: Files, index: int, reading: Reading, *, is_packed: bool
) -> Iterator[Row]:
    """The rows of a Parquet `path`, numbered from 1. A packed one is unpacked to a temporary file,
    as its last bytes are read first."""
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise NotTextError(
            "it is a Parquet file, and the package pyarrow is not installed.",
            pip_install_hint("parquet"),
        ) from None
    path = files.path
    assert path is not None
    with tempfile.TemporaryFile() as unpacked:
        if is_packed:
            shutil.copyfileobj(file, unpacked)
        table = ParquetFile(unpacked if is_packed else file)
        columns = _columns(files, table.schema_arrow.names)
        known = [name for name in columns if _is_there(table.schema_arrow, name)]
        if len(known) < len(columns):
            missing = next(name for name in columns if name not in known)
            yield file_row(no_such_column(path, missing, table.schema_arrow.names))
            return
        reading.read_as[path] = f"Parquet: columns {columns[0]} and {columns[1]}"
        whole = list(dict.fromkeys(_whole(table.schema_arrow, name) for name in columns))
        number = 0
        for batch in table.iter_batches(BATCH, columns=whole):
            for values in batch.to_pylist():
                number += 1
                yield row_of(
                    Record(number, *(_value(values, name) for name in columns)), path, index, UNIT
                )


def _columns(files: Files, names: Sequence[str]) -> list[str]:
    """The names of the columns of source, target and weight."""
    wanted: Sequence[int | str] = files.columns or (1, 2)
    if files.columns is None and set(USUAL_NAMES) <= set(names):
        wanted = USUAL_NAMES
    asked = [*wanted, *([] if files.weight is None else [files.weight])]
    return [
        names[name - 1] if isinstance(name, int) and name <= len(names) else str(name)
        for name in asked
    ]


def _whole(schema: Any, name: str) -> str:
    """The column that a column, or a field in it, belongs to."""
    return name if name in schema.names else name.partition(".")[0]


def _is_there(schema: Any, name: str) -> bool:
    if name in schema.names:
        return True
    first, *inner = name.split(".")
    if first not in schema.names:
        return False
    kind = schema.field(first).type
    for part in inner:
        fields = [kind.field(i) for i in range(getattr(kind, "num_fields", 0))]
        kind = next((one.type for one in fields if one.name == part), None)
        if kind is None:
            return False
    return True


def _value(values: dict[str, Any], name: str) -> Any:
    """A value of a row; None where it, or what it lies in, is null."""
    try:
        return field_of(values, name)
    except MissingFieldError:
        return None
