"""A YAML file becomes a frozen `Config`, or a list of everything that is wrong with it."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from s2s_cli.errors import ConfigError
from s2s_cli.schema import Config, Decoding
from s2s_cli.yaml_values import KeyPath, parse_yaml, read_yaml

PATH_KEYS = ("source", "target", "tsv", "vectors")


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Reads `path`, applies overrides `key=value` (values are YAML), validates.

    Paths in the file are taken relative to it, paths in overrides relative to
    the working directory; the result holds absolute ones. Raises ConfigError
    with every mistake, each with its line.
    """
    values, lines = read_yaml(path)
    origins: dict[KeyPath, str] = {key: f"{path}:{line}" for key, line in lines.items()}
    _absolute_paths(values, path.parent)
    for override in overrides:
        _override(values, origins, override)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        mistakes = _explain_all(error, values, origins, str(path))
    raise ConfigError(
        "\n".join(mistakes), "`s2s schema` prints every setting with its meaning and default."
    )


def override_decoding(config: Config, **given: object) -> Decoding:
    """The decoding section with what was given in place of what it holds; None is not given.

    Raises ConfigError that names the options, which are called as the settings are.
    """
    given = {name: value for name, value in given.items() if value is not None}
    values = config.model_dump(exclude_unset=True)
    values["decoding"] = {**config.decoding.model_dump(), **given}
    origins: dict[KeyPath, str] = {
        ("decoding", name): "--" + name.replace("_", "-") for name in given
    }
    try:
        return Config.model_validate(values).decoding
    except ValidationError as error:
        mistakes = _explain_all(error, values, origins, "the run's config.yaml")
    raise ConfigError("\n".join(mistakes), "`s2s schema` prints every setting with its meaning.")


def dump_config(config: Config) -> str:
    """The whole configuration as YAML, every default written out."""
    return yaml.safe_dump(
        config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100
    )


def _override(values: dict[str, Any], origins: dict[KeyPath, str], override: str) -> None:
    """Sets one `section.key=value`, where value is YAML."""
    key, equals, text = override.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise ConfigError(
            f"--set {override}: this is not of the form key=value.",
            "Write, for example, --set training.optimizer.learning_rate=1e-3",
        )
    value, _ = parse_yaml(text, f"--set {key}")
    holder = {path[-1]: value}
    _absolute_paths(holder, Path.cwd())
    section: Any = values
    for name in path[:-1]:
        if isinstance(section, list) and name.isdigit() and int(name) < len(section):
            section = section[int(name)]
            continue
        if not isinstance(section, dict):
            raise ConfigError(
                f"--set {override}: `{name}` lies in something that is not a section."
            )
        if not isinstance(section.get(name), dict | list):
            section[name] = {}
        section = section[name]
    if not isinstance(section, dict):
        raise ConfigError(
            f"--set {override}: `{path[-1]}` lies in something that is not a section."
        )
    section[path[-1]] = holder[path[-1]]
    origins[tuple(int(name) if name.isdigit() else name for name in path)] = f"--set {key}"


def _absolute_paths(values: Any, base: Path) -> None:
    """Makes every file name below `values` absolute, in place."""
    if isinstance(values, list):
        for item in values:
            _absolute_paths(item, base)
    if not isinstance(values, dict):
        return
    for key, value in values.items():
        if key in PATH_KEYS and isinstance(value, str) and value:
            values[key] = os.path.abspath(base / os.path.expanduser(value))
        else:
            _absolute_paths(value, base)


def _explain_all(
    error: ValidationError, values: Any, origins: dict[KeyPath, str], file: str
) -> list[str]:
    """A sentence for each setting that is wrong, in the order of the file."""
    sentences: dict[KeyPath, str] = {}
    for mistake in error.errors():
        path: KeyPath = tuple(mistake["loc"])
        if mistake["type"] == "value_error":
            path += getattr(mistake["ctx"]["error"], "path", ())
        path = _as_written(path, values)
        sentences.setdefault(path, _explain(mistake, path, origins, file))
    known = list(origins)
    order = sorted(sentences, key=lambda path: known.index(path) if path in known else len(known))
    return [sentences[path] for path in order]


def _explain(mistake: Any, path: KeyPath, origins: dict[KeyPath, str], file: str) -> str:
    """One mistake that pydantic found as one sentence with its place."""
    kind, context = mistake["type"], mistake.get("ctx", {})
    key = ".".join(map(str, path)) or "the config"
    place = _place(path, origins, file)
    if kind == "extra_forbidden":
        names = _names_at(path[:-1])
        near = difflib.get_close_matches(str(path[-1]), names, n=1)
        advice = f"did you mean `{near[0]}`?" if near else f"allowed here: {', '.join(names)}."
        where = f" in `{'.'.join(map(str, path[:-1]))}`" if path[:-1] else ""
        return f"{place}: unknown key `{path[-1]}`{where}; {advice}"
    if kind == "missing":
        return f"{place}: {key} is missing; it has no default."
    if kind == "value_error":
        return f"{place}: {key} {context['error']}."
    return f"{place}: {key} is {_shown(mistake['input'])}; {_allowed(kind, context, mistake)}"


def _shown(value: Any) -> str:
    """A value as it is written, cut short."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of thousands of digits
        text = "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:200]}…"


def _allowed(kind: str, context: dict[str, Any], mistake: Any) -> str:
    """What a value must be, in words."""
    bounds = {
        "greater_than_equal": ("at least", "ge"),
        "greater_than": ("greater than", "gt"),
        "less_than_equal": ("at most", "le"),
        "less_than": ("less than", "lt"),
    }
    types = {
        "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
        "float_type": "a number", "float_parsing": "a number", "finite_number": "a finite number",
        "bool_type": "true or false", "bool_parsing": "true or false",
        "string_type": "text", "list_type": "a list", "dict_type": "a section",
        "model_type": "a section with keys of its own",
        "model_attributes_type": "a section with keys of its own",
    }  # fmt: skip
    if kind in bounds:
        words, name = bounds[kind]
        return f"it must be {words} {context[name]}."
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", context["expected"])
        near = difflib.get_close_matches(str(mistake["input"]), options, n=1)
        return f"choose from {', '.join(options)}" + (
            f"; did you mean `{near[0]}`?" if near else "."
        )
    if kind in types:
        return f"it must be {types[kind]}."
    return f"{mistake['msg'][:1].lower()}{mistake['msg'][1:]}."


def _as_written(path: KeyPath, values: Any) -> KeyPath:
    """Drops what validation put into a path: the index of a lone corpus, branches of a union."""
    written: list[str | int] = []
    sections: list[type[BaseModel]] = [Config]
    for name in path:
        fields = [s.model_fields[name] for s in sections if name in s.model_fields]
        is_index = isinstance(name, int) and isinstance(values, list) and name < len(values)
        if not (fields or is_index or (isinstance(values, dict) and name in values)):
            continue
        if fields:
            sections = _sections_in(fields[0].annotation)
        values = (
            values.get(name) if isinstance(values, dict) else values[name] if is_index else None
        )
        written.append(name)
    return tuple(written)


def _place(path: KeyPath, origins: dict[KeyPath, str], file: str) -> str:
    """Where the longest known part of a path stands."""
    for length in range(len(path), -1, -1):
        if path[:length] in origins:
            return origins[path[:length]]
    return file


def _names_at(path: KeyPath) -> list[str]:
    """The settings of the section at `path`."""
    sections: list[type[BaseModel]] = [Config]
    for name in path:
        fields = [s.model_fields[name] for s in sections if name in s.model_fields]
        if fields:
            sections = _sections_in(fields[0].annotation)
    return [name for section in sections for name in section.model_fields]


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections that an annotation such as `list[Corpus] | None` names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inner = getattr(annotation, "__args__", ())
    return [section for argument in inner for section in _sections_in(argument)]
