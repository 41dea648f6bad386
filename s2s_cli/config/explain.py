"""Turns what pydantic finds wrong with a config into sentences, each with its place."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from s2s_cli.config.annotations import choices_in, fields_at, fields_named, sections_in
from s2s_cli.config.schema import Config, MisfitError, ModelSettings, Section
from s2s_cli.config.schema.section import shown
from s2s_cli.config.yaml_values import KeyPath

_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("greater than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}
_TYPES = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "string_too_short": "one character",
    "string_too_long": "one character",
    "list_type": "a list",
    "dict_type": "a section",
    "model_type": "a section with keys of its own",
    "model_attributes_type": "a section with keys of its own",
}


@dataclass(frozen=True)
class _Mistake:
    """One mistake at one setting.

    `kind` is pydantic's type of error, or `misfit`, whose `clause` follows the setting's name.
    """

    path: KeyPath
    kind: str
    context: Mapping[str, Any]
    value: Any
    clause: str = ""
    message: str = ""


def explain(
    error: ValidationError,
    config: type[Config],
    values: Any,
    origins: Mapping[KeyPath, str],
    file: str,
    within: KeyPath = (),
) -> list[str]:
    """A sentence for each setting that is wrong, in the order of the file.

    `values` are those of a whole config of type `config`; what was validated is the section
    `within`. `origins` says where each setting was written.
    """
    found: dict[KeyPath, list[_Mistake]] = {}
    for mistake in _mistakes(error, config, values, within):
        found.setdefault(mistake.path, []).append(mistake)
    # A branch of a union that was entered says more than the branches that were not.
    inner = {path[:length] for path in found for length in range(len(path))}
    written = {path: place for place, path in enumerate(origins)}
    paths = [
        path
        for path in found
        if path not in inner or any(mistake.kind == "misfit" for mistake in found[path])
    ]
    paths.sort(key=lambda path: written.get(path, len(written)))
    return [
        f"{_place(path, origins, file)}: {_sentence(path, found[path], config, values)}"
        for path in paths
    ]


def _mistakes(
    error: ValidationError, config: type[Config], values: Any, within: KeyPath
) -> list[_Mistake]:
    mistakes = []
    for detail in error.errors():
        path = _as_written((*within, *detail["loc"]), config, values)
        context: Mapping[str, Any] = detail.get("ctx", {})
        cause = context.get("error")
        if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
            value = detail["input"].get("architecture")
            mistakes.append(_Mistake((*path, "architecture"), "literal_error", context, value))
        elif isinstance(cause, MisfitError):
            mistakes += [
                _Mistake((*path, *inner), "misfit", context, None, clause=clause)
                for inner, clause in cause.misfits
            ]
        else:
            mistakes.append(
                _Mistake(path, detail["type"], context, detail["input"], message=detail["msg"])
            )
    return mistakes


def _sentence(path: KeyPath, mistakes: list[_Mistake], config: type[Config], values: Any) -> str:
    """All mistakes at one setting as one sentence."""
    key = ".".join(map(str, path)) or "the config"
    kinds = {mistake.kind for mistake in mistakes}
    if "misfit" in kinds:
        return "; ".join(f"{key} {m.clause}" for m in mistakes if m.kind == "misfit") + "."
    if "extra_forbidden" in kinds:
        return _unknown(path, config, values)
    if "missing" in kinds:
        return f"{key} is missing; it has no default."
    return f"{key} is {shown(mistakes[0].value)}; {_allowed(path, mistakes, config)}"


def _allowed(path: KeyPath, mistakes: list[_Mistake], config: type[Config]) -> str:
    """What a value must be instead, over all types that the setting accepts."""
    choices: list[str] = []
    needs: list[str] = []
    for mistake in mistakes:
        if mistake.kind == "literal_error":
            choices += [
                c for field in fields_at(config, path) for c in choices_in(field.annotation)
            ]
        elif mistake.kind in _BOUNDS:
            words, name = _BOUNDS[mistake.kind]
            needs.append(f"{words} {mistake.context[name]}")
        elif mistake.kind in ("too_short", "too_long"):
            limits = [mistake.context.get(name) for name in ("min_length", "max_length")]
            needs.append(f"a list of {next(limit for limit in limits if limit is not None)}")
        elif mistake.kind in _TYPES:
            needs.append(_TYPES[mistake.kind])
        else:
            return f"{mistake.message[:1].lower()}{mistake.message[1:]}."
    needs, choices = list(dict.fromkeys(needs)), list(dict.fromkeys(choices))
    if not choices:
        return f"it must be {' or '.join(needs)}."
    near = difflib.get_close_matches(str(mistakes[0].value), choices, n=1)
    question = f"; did you mean `{near[0]}`?" if near else "."
    if needs:
        return f"it must be {' or '.join(needs)}, or one of {', '.join(choices)}{question}"
    return f"choose from {', '.join(choices)}{question}"


def _unknown(path: KeyPath, config: type[Config], values: Any) -> str:
    """A sentence about a key that the schema, or the architecture that was chosen, does not have."""
    families = _families(config)
    owners = [family for family in families if path[0] == "model" and fields_at(family, path[1:])]
    key = ".".join(map(str, path))
    if owners:
        architectures = " or ".join(name for family in owners for name in family.architectures())
        chosen = _family_of(values["model"], families)
        architecture = values["model"].get("architecture", chosen.architectures()[0])
        return f"{key} belongs to architecture {architectures}; architecture is {architecture}."
    names = _names_beside(path, config, values)
    near = difflib.get_close_matches(str(path[-1]), names, n=1)
    advice = f"did you mean `{near[0]}`?" if near else f"allowed here: {', '.join(names)}."
    section = f" in `{'.'.join(map(str, path[:-1]))}`" if path[:-1] else ""
    return f"unknown key `{path[-1]}`{section}; {advice}"


def _names_beside(path: KeyPath, config: type[Config], values: Any) -> list[str]:
    """The settings of the section that a path lies in."""
    sections: list[type[Section]] = [config]
    if path[:1] == ("model",):
        sections, path = [_family_of(values["model"], _families(config))], path[1:]
    if path[:-1]:
        fields = [field for section in sections for field in fields_at(section, path[:-1])]
        sections = [section for field in fields for section in sections_in(field.annotation)]
    return list(dict.fromkeys(name for section in sections for name in section.model_fields))


def _families(config: type[Config]) -> list[type[ModelSettings]]:
    """The settings classes of the families of models that a config type knows."""
    found = sections_in(config.model_fields["model"].annotation)
    return [section for section in found if issubclass(section, ModelSettings)]


def _family_of(model: Any, families: list[type[ModelSettings]]) -> type[ModelSettings]:
    """The family that the section `model` selects."""
    architecture = model.get("architecture") if isinstance(model, dict) else None
    owners = [family for family in families if architecture in family.architectures()]
    return (owners or families)[0]


def _as_written(location: KeyPath, config: type[Config], values: Any) -> KeyPath:
    """Pydantic's location of a mistake as the path that was written.

    Without the index of a corpus that stands alone instead of in a list, and without the names
    of the branches of unions.
    """
    written: list[str | int] = []
    sections: list[type[Section]] = [config]
    for name in location:
        fields = fields_named(sections, name)
        is_index = isinstance(name, int) and isinstance(values, list) and name < len(values)
        if not (fields or is_index or (isinstance(values, dict) and name in values)):
            continue
        if fields:
            sections = [section for field in fields for section in sections_in(field.annotation)]
        values = (
            values.get(name) if isinstance(values, dict) else values[name] if is_index else None
        )
        written.append(name)
    return tuple(written)


def _place(path: KeyPath, origins: Mapping[KeyPath, str], file: str) -> str:
    """Where a setting was written, or else the innermost section around it that was."""
    for length in range(len(path), -1, -1):
        if path[:length] in origins:
            return origins[path[:length]]
    return file
