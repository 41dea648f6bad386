"""Reads the schema's type annotations: sections, choices and file names at a path of settings."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from s2s_cli.config.schema.section import FileMark, OnResume, Section


def fields_named(sections: Sequence[type[Section]], name: str | int) -> list[FieldInfo]:
    """The field `name` of every one of `sections` that has it."""
    return [
        section.model_fields[name]
        for section in sections
        if isinstance(name, str) and name in section.model_fields
    ]


def sections_in(annotation: Any) -> list[type[Section]]:
    """The sections in an annotation, such as Corpus in `list[Corpus] | None`."""
    return [part for part in _parts(annotation) if _is_section(part)]


def choices_in(annotation: Any) -> list[str]:
    """The values of the literals in an annotation, such as "auto" in `int | Literal["auto"]`."""
    literals = (part for part in _parts(annotation) if get_origin(part) is Literal)
    return [str(value) for literal in literals for value in get_args(literal)]


def value_type(field: FieldInfo) -> str:
    """The values that a setting accepts, such as `int`, `float|bool`, `split|truncate`, `list`."""
    members = (field.annotation, *get_args(field.annotation))
    if any(get_origin(member) is list and not sections_in(member) for member in members):
        return "list"
    names = {int: "int", float: "float", bool: "true|false", str: "text"}
    parts = list(_parts(field.annotation))
    types = [names[part] for part in parts if isinstance(part, type) and part in names]
    return "|".join(dict.fromkeys([*types, *choices_in(field.annotation)]))


def is_nullable(field: FieldInfo) -> bool:
    """Whether a setting may be null."""
    return type(None) in _parts(field.annotation)


def bounds(field: FieldInfo) -> list[str]:
    """The bounds of a number, such as [">=0", "<1"]."""
    signs = {Ge: ">=", Gt: ">", Le: "<=", Lt: "<"}
    found = [*field.metadata, *_parts(field.annotation)]
    found += [mark for part in found if isinstance(part, FieldInfo) for mark in part.metadata]
    return [
        signs[type(mark)] + _number(getattr(mark, type(mark).__name__.lower()))
        for mark in found
        if type(mark) in signs
    ]


def default_text(field: FieldInfo) -> str:
    """The default of a setting as YAML writes it."""
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Section):
        value = value.model_dump(exclude_unset=True)
        return "{" + ", ".join(f"{key}: {item}" for key, item in value.items()) + "}"
    return _number(value)


def _number(value: object) -> str:
    """A number without needless decimals; what is not a number as it is."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def names_a_file(field: FieldInfo) -> bool:
    """Whether a setting may hold the name of a file."""
    marks = [*field.metadata, *_parts(field.annotation)]
    return any(isinstance(mark, FileMark) for mark in marks)


def fields_at(config: type[Section], path: Sequence[str | int]) -> list[FieldInfo]:
    """The fields at a path of settings: several where families of models share a name.

    Indices of lists in the path are skipped. Empty where there is no such setting.
    """
    sections: list[type[Section]] = [config]
    fields: list[FieldInfo] = []
    for name in path:
        if isinstance(name, int) or name.isdecimal():
            continue
        fields = fields_named(sections, name)
        sections = [section for field in fields for section in sections_in(field.annotation)]
    return fields


def on_resume(config: type[Section], key: str) -> OnResume:
    """What it takes to resume a run after the setting with a dotted key has changed."""
    path = [name for name in key.split(".") if not name.isdecimal()]
    found = OnResume.FORCE
    for length in range(1, len(path) + 1):
        for field in fields_at(config, path[:length]):
            marks = (mark for mark in field.metadata if isinstance(mark, OnResume))
            found = next(marks, found)
    return found


def is_file_setting(config: type[Section], key: str) -> bool:
    """Whether the setting with a dotted key, such as "data.train.0.tsv", may name a file."""
    return any(map(names_a_file, fields_at(config, key.split("."))))


def _parts(annotation: Any) -> Iterator[Any]:
    """The types and marks in an annotation: members of unions and lists, values of dictionaries."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _parts(annotation.__origin__)
        yield from annotation.__metadata__
    elif origin in (Union, types.UnionType, list, dict):
        arguments = get_args(annotation)
        for argument in arguments[1:] if origin is dict else arguments:
            yield from _parts(argument)
    else:
        yield annotation


def _is_section(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, Section)
