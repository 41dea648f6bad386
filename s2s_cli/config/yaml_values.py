"""Reads YAML into plain values and the line on which each of them stands, within bounds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from s2s_cli.errors import ConfigError

KeyPath = tuple[str | int, ...]

# Far above any config that a person writes; a file made to fill the memory is refused.
MAX_BYTES = 1 << 20
MAX_VALUES = 10_000
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


class _Loader(yaml.SafeLoader):
    """A YAML loader that reads 1e-3 as a number; by YAML 1.1 it is a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$"),
    list("-+.0123456789"),
)


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """The values of a YAML file, and the line on which each of them stands.

    Raises ConfigError where the file is missing, or is not YAML with sections.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: a config has {MAX_BYTES:,} bytes at most.")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file.",
            "`s2s init` writes a starter config for a pair of files.",
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}.") from None
    values, lines = parse_yaml(text, str(path))
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{path}:1: the file must hold sections such as `data:` and `model:`.")
    return values, lines


def parse_yaml(text: str, place: str) -> tuple[Any, dict[KeyPath, int]]:
    """The values in YAML text, and the line on which each stands; `place` names it in errors."""
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
    if len(lines) > MAX_VALUES:  # aliases of aliases make billions of values out of a few lines
        raise ConfigError(f"{file}: a config has {MAX_VALUES:,} values at most.")
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
                    "Remove one of them.",
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
        raise ConfigError(f"{file}:{line}: {value!a} holds a character that is not text.")
    return value
