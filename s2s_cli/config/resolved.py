"""A config whose `auto` and null values are replaced by what was chosen, and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from s2s_cli.config.schema import (
    FAMILIES,
    RUN_FORMAT,
    Config,
    ModelSettings,
    Resolved,
    ResolvedConfig,
    resolved_config_type,
)

# The settings for which the program chooses a value.
CHOSEN = (
    "training.precision",
    "training.batch_tokens",
    "training.bleu_tokenizer",
    "training.schedule.name",
    "training.schedule.warmup_steps",
    "training.schedule.decay_steps",
    "decoding.precision",
    "decoding.max_source_length",
)


def resolve_config(
    config: Config,
    chosen: Mapping[str, Any],
    resolved: Resolved,
    families: tuple[type[ModelSettings], ...] = FAMILIES,
) -> ResolvedConfig:
    """`config` with the `chosen` values, by dotted key, in place of what it holds there.

    What it held is recorded in `resolved.requested`.
    """
    values = config.model_dump(mode="json", exclude={"format", "resolved"})
    requested = {}
    for key, value in chosen.items():
        *sections, name = key.split(".")
        section = values
        for part in sections:
            section = section[part]
        if section[name] != value:
            requested[key], section[name] = section[name], value
    values["format"] = RUN_FORMAT
    values["resolved"] = resolved.model_copy(update={"requested": requested}).model_dump()
    return resolved_config_type(families).model_validate(values)


def requested_settings(config: Config) -> dict[str, Any]:
    """Every setting by dotted key, as the user had configured it, `auto` and null included."""
    settings = flatten(config.model_dump(mode="json", exclude={"format", "resolved"}))
    if isinstance(config, ResolvedConfig):
        settings.update(config.resolved.requested)
    return settings


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested sections and lists as dotted keys, such as `data.train.0.source`."""
    items: Iterable[tuple[str, Any]]
    if isinstance(values, dict) and values:
        items = values.items()
    elif isinstance(values, list) and values:
        items = ((str(index), value) for index, value in enumerate(values))
    else:
        return {prefix: values}
    return {
        key: leaf
        for name, value in items
        for key, leaf in flatten(value, f"{prefix}.{name}" if prefix else name).items()
    }
