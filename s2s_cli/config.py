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

KeyPath = tuple[str | int, ...]

PATH_KEYS = ("source", "target", "tsv", "vectors")
# No config that is written by people comes near; one that is not shall not fill the memory.
MOST_BYTES = 1 << 20
MOST_VALUES = 10_000
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Reads `path`, applies overrides `key=value` (values are YAML), validates.

    Paths in the file are taken relative to it, paths in overrides relative to
    the working directory; the result holds absolute ones. Raises ConfigError
    with every mistake, each with its line.
    """
    values, lines = _read(path)
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


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-3 as a string; people mean a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$"),
    list("-+.0123456789"),
)


def _read(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """The values of a YAML file, and the line on which each of them stands."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path}: a config has {MOST_BYTES:,} bytes at most.")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file.",
            "`s2s init` writes a starter config for a pair of files.",
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}.") from None
    values, lines = _parse(text, str(path))
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{path}:1: the file must hold sections such as `data:` and `model:`.")
    return values, lines


def _parse(text: str, place: str) -> tuple[Any, dict[KeyPath, int]]:
    """What YAML text holds, and the line on which each value stands; for errors, `place` names it."""
    lines: dict[KeyPath, int] = {}
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            return _construct(loader, node, (), lines, place) if node else None, lines
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{place}:{line}: this is not valid YAML: {error.problem}.") from None
    except RecursionError:
        raise ConfigError(f"{place}: it is nested too deeply.") from None
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{place}: this is not valid YAML: {reason}.") from None


def _construct(
    loader: _Loader, node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], file: str
) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if len(lines) > MOST_VALUES:  # aliases of aliases make billions out of a few lines
        raise ConfigError(f"{file}: a config has {MOST_VALUES:,} values at most.")
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{file}:{line}: the name of a setting must be a word.")
            key = key_node.value
            if key in mapping:
                raise ConfigError(
                    f"{file}:{line}: `{key}` stands here a second time;"
                    f" the first is in line {lines[(*path, key)]}.",
                    "Keep one of them.",
                )
            lines[(*path, key)] = line
            mapping[key] = _construct(loader, value_node, (*path, key), lines, file)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [
            _construct(loader, item, (*path, index), lines, file)
            for index, item in enumerate(node.value)
        ]
    value = loader.construct_object(node, deep=True)
    if isinstance(value, str) and _NO_TEXT.search(value):
        line = node.start_mark.line + 1
        raise ConfigError(f"{file}:{line}: {value!a} holds something that is no text.")
    return value


def _override(values: dict[str, Any], origins: dict[KeyPath, str], override: str) -> None:
    """Sets one `section.key=value`, where value is YAML."""
    key, equals, text = override.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise ConfigError(
            f"--set {override}: this is not of the form key=value.",
            "Write, for example, --set training.optimizer.learning_rate=1e-3",
        )
    value, _ = _parse(text, f"--set {key}")
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
