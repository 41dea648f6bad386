"""Reads a YAML file into an immutable `Config`, or reports everything that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from s2s_cli.config.annotations import (
    fields_at,
    fields_named,
    is_file_setting,
    names_a_file,
    sections_in,
)
from s2s_cli.config.explain import explain
from s2s_cli.config.schema import (
    FAMILIES,
    RUN_FORMAT,
    Config,
    Decoding,
    Files,
    ModelSettings,
    ResolvedConfig,
    Section,
    config_type,
    resolved_config_type,
)
from s2s_cli.config.yaml_values import KeyPath, parse_yaml, read_yaml
from s2s_cli.errors import ConfigError, RunError

_HINT = "`s2s schema` prints every setting with its meaning and default."


def load_config(
    path: Path,
    overrides: tuple[str, ...] = (),
    families: tuple[type[ModelSettings], ...] = FAMILIES,
) -> Config:
    """Reads `path`, applies overrides of the form `key=value` (values are YAML) and validates.

    Paths in the file are relative to the file, paths in overrides to the working directory; the
    config holds absolute ones. Raises ConfigError with every mistake, each with its line.
    """
    config = config_type(families)
    values, lines = read_yaml(path)
    origins: dict[KeyPath, str] = {key: f"{path}:{line}" for key, line in lines.items()}
    _make_paths_absolute(values, [config], path.parent)
    for override in overrides:
        _apply_override(values, origins, override, config)
    try:
        return config.model_validate(values)
    except ValidationError as error:
        mistakes = explain(error, config, values, origins, str(path))
    raise ConfigError("\n".join(mistakes), _HINT)


def load_resolved(
    path: Path, families: tuple[type[ModelSettings], ...] = FAMILIES
) -> ResolvedConfig:
    """Reads the config of a run.

    Raises RunError where the run has another format than RUN_FORMAT, and ConfigError where the
    config is damaged.
    """
    config = resolved_config_type(families)
    values, lines = read_yaml(path)
    found = values.get("format", 1)
    if found != RUN_FORMAT:
        is_later = isinstance(found, int) and found > RUN_FORMAT
        raise RunError(
            f"{path}: this run has format {found} of {'a later' if is_later else 'an earlier'}"
            f" version of s2s; this version reads format {RUN_FORMAT}.",
            "Train it again in another directory with --run, or use the version that made it.",
        )
    try:
        return config.model_validate(values)
    except ValidationError as error:
        origins: dict[KeyPath, str] = {key: f"{path}:{line}" for key, line in lines.items()}
        mistakes = explain(error, config, values, origins, str(path))
    raise ConfigError("\n".join(mistakes))


def override_decoding(config: Config, **given: object) -> Decoding:
    """The decoding section of `config` with the settings that are given; None is not given.

    Raises ConfigError that names the command-line options, which are called as the settings are.
    """
    given = {name: value for name, value in given.items() if value is not None}
    values = {"decoding": {**config.decoding.model_dump(), **given}}
    try:
        decoding = Decoding.model_validate(values["decoding"])
        too_long = config.model.beyond_positions(decoding.max_source_length)
        if too_long is not None:
            option = "--max-source-length: decoding.max_source_length"
            raise ConfigError(f"{option} {too_long}.", _HINT)
        return decoding
    except ValidationError as error:
        origins = _options_of(given, ("decoding",))
        place = "the run's config.yaml"
        mistakes = explain(error, type(config), values, origins, place, within=("decoding",))
    raise ConfigError("\n".join(mistakes), _HINT)


def files_from_options(given: dict[str, Any]) -> Files:
    """The files of a corpus, and how they are read, from arguments and options of a command.

    Raises ConfigError that names the options, which are called as the settings are.
    """
    try:
        return Files.model_validate(given)
    except ValidationError as error:
        within: KeyPath = ("data", "train", 0)
        origins = _options_of(given, within)
        values = {"data": {"train": [given]}}
        mistakes = explain(error, config_type(), values, origins, "the options", within=within)
    raise ConfigError("\n".join(mistakes), _HINT)


def _options_of(given: Iterable[str], section: KeyPath) -> dict[KeyPath, str]:
    """The option for each setting that was given, by its path."""
    return {(*section, name): "--" + name.replace("_", "-") for name in given}


def dump_config(config: Config) -> str:
    """The whole config as YAML, with every default written out."""
    values = config.model_dump(mode="json")
    if "format" in values:
        values = {"format": values.pop("format"), **values}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def _apply_override(
    values: dict[str, Any], origins: dict[KeyPath, str], override: str, config: type[Config]
) -> None:
    """Sets one `section.key=value` in `values`, where value is YAML."""
    key, equals, text = override.partition("=")
    key = key.strip()
    path = tuple(key.split("."))
    if not equals or not all(path):
        raise ConfigError(
            f"--set {override}: this is not of the form key=value.",
            "Write, for example, --set training.optimizer.learning_rate=1e-3",
        )
    value, _ = parse_yaml(text, f"--set {key}")
    section: Any = values
    for name in path[:-1]:
        if isinstance(section, list) and name.isdecimal() and int(name) < len(section):
            section = section[int(name)]
        elif isinstance(section, dict):
            if not isinstance(section.get(name), dict | list):
                section[name] = {}
            section = section[name]
        else:
            raise _not_in_a_section(override, name)
    if isinstance(value, str) and is_file_setting(config, key):
        value = _absolute(value, Path.cwd())
    elif isinstance(value, dict | list):
        fields = fields_at(config, path)
        inner = [section for field in fields for section in sections_in(field.annotation)]
        _make_paths_absolute(value, inner, Path.cwd())
    name = path[-1]
    if isinstance(section, list) and name.isdecimal() and int(name) < len(section):
        section[int(name)] = value
    elif isinstance(section, dict):
        section[name] = value
    else:
        raise _not_in_a_section(override, name)
    origins[tuple(int(name) if name.isdecimal() else name for name in path)] = f"--set {key}"


def _not_in_a_section(override: str, name: str) -> ConfigError:
    return ConfigError(f"--set {override}: `{name}` is inside something that is not a section.")


def _make_paths_absolute(values: Any, sections: list[type[Section]], base: Path) -> None:
    """Makes every file name in `values`, of one of `sections` or a list of them, absolute."""
    if isinstance(values, list):
        for item in values:
            _make_paths_absolute(item, sections, base)
    if not isinstance(values, dict):
        return
    for key, value in values.items():
        fields = fields_named(sections, key)
        if isinstance(value, str) and any(map(names_a_file, fields)):
            values[key] = _absolute(value, base)
        else:
            inner = [section for field in fields for section in sections_in(field.annotation)]
            _make_paths_absolute(value, inner, base)


def _absolute(path: str, base: Path) -> str:
    return os.path.abspath(base / os.path.expanduser(path)) if path else path
