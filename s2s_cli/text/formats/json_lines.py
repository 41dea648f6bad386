"""JSON Lines: an object a line, https://jsonlines.org."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from s2s_cli.config.schema import Files
from s2s_cli.text.columns import USUAL_NAMES
from s2s_cli.text.lines import Reading, decode
from s2s_cli.text.rows import BAD_RECORD, Pair, Problem, Record, Row, place_of, row_of

# Characters of a name or a record that a message shows.
SHOWN = 300


class MissingFieldError(LookupError):
    """A field that an object does not have."""


def json_rows(lines: Iterator[bytes], files: Files, index: int, reading: Reading) -> Iterator[Row]:
    """The rows of a JSON Lines `path`."""
    path = files.path
    assert path is not None
    names = files.fields or USUAL_NAMES
    reading.read_as[path] = f"JSON Lines: fields {names[0]} and {names[1]}"
    for number, raw in enumerate(lines, start=1):
        problems: list[Problem] = []
        line = decode(raw, path, number, problems)
        if problems:
            yield Row(number, (), None, tuple(problems))
        elif not line.strip():
            yield Row(number, (), Pair("", "", 1.0, index))
        else:
            yield _row(line, path, files, names, number, index)


def _row(line: str, path: str, files: Files, names: Sequence[str], number: int, index: int) -> Row:
    place = place_of(path, number)

    def bad(message: str, hint: str) -> Row:
        return Row(number, (), None, (Problem(BAD_RECORD, place, message, hint, line),))

    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        hint = "Each line holds one object; `jq -c '.[]' FILE` makes such lines of a JSON array."
        return bad(f"this line is not JSON: {error}.", hint)
    if not isinstance(record, dict):
        return bad("this line holds no JSON object.", 'Write {"source": …, "target": …}.')
    try:
        source, target = (field_of(record, name) for name in names)
        weight = None if files.weight is None else field_of(record, str(files.weight))
    except MissingFieldError as error:
        found = ", ".join(map(str, record))[:SHOWN]
        hint = "Name two of them with `fields: [SOURCE, TARGET]`; `a.b` is a field in a field."
        return bad(f"there is no field {error.args[0]!r}; the fields are {found}.", hint)
    return row_of(Record(number, source, target, weight), path, index)


def field_of(record: Any, name: str) -> Any:
    """The field of an object, or with a name such as `a.b` of an object in it.

    Raises MissingFieldError.
    """
    if isinstance(record, dict) and name in record:
        return record[name]
    for part in name.split("."):
        if not isinstance(record, dict) or part not in record:
            raise MissingFieldError(name)
        record = record[part]
    return record
