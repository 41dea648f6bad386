"""Which config a training goes by, and whether a run may go on with it."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable
from typing import Any

from s2s_cli import runtime
from s2s_cli.config import PATH_KEYS
from s2s_cli.errors import RunError
from s2s_cli.run import Run
from s2s_cli.schema import Config, FileFingerprint, Resolved
from s2s_cli.text.corpus import fingerprint

# Settings that may differ when a run goes on: none of them touches a weight, though
# those of decoding may move which checkpoint is the best.
FREE_SETTINGS = (
    "training.epochs",
    "training.max_steps",
    "training.max_minutes",
    "training.checkpoint_steps",
    "training.keep_checkpoints",
    "training.log_steps",
    "training.sample_translations",
    "training.tensorboard",
    "training.early_stopping.patience",
    "decoding.",
)


def fingerprints(config: Config) -> list[FileFingerprint]:
    """Every file that the training reads, with the SHA-256 of its content."""
    settings = flat(config.model_dump(mode="json", include={"data", "model"}))
    files = {key: value for key, value in settings.items() if is_path(key) and value}
    return [
        FileFingerprint(key=key, path=path, sha256=fingerprint(path)) for key, path in files.items()
    ]


def settle(
    run: Run, config: Config, files: list[FileFingerprint]
) -> tuple[Config, tuple[str, ...]]:
    """The config to train with: a new run gets its own, an old one keeps what it resolved.

    Raises RunError where the run was made from another config or other data.
    """
    if not run.has_begun:
        versions = {name: importlib.metadata.version(name) for name in ("tensorflow", "keras")}
        resolved = Resolved(
            precision=runtime.choose_precision(config.training.precision),
            decay_steps=config.training.schedule.decay_steps or config.training.max_steps,
            files=files,
            versions={**versions, "sentencepiece": importlib.metadata.version("sentencepiece")},
        )
        config = config.model_copy(update={"resolved": resolved})
        run.create(config)
        return config, ()
    old = run.config()
    assert old.resolved is not None
    changes = _changes(old, config)
    contents = {file.key: file.sha256 for file in old.resolved.files}
    refused = [change for key, change in changes.items() if not key.startswith(FREE_SETTINGS)]
    refused += [
        f"{file.key}: {file.path} holds something else than when the run began"
        for file in files
        if contents.get(file.key) not in (None, file.sha256)
    ]
    if refused:
        raise RunError(
            f"{run.root}: this run was made from another config:\n  " + "\n  ".join(refused),
            "Train in another directory with --run, or undo these changes to go on with this run.",
        )
    config = config.model_copy(update={"resolved": old.resolved})
    if changes:
        run.write_config(config)
    return config, tuple(changes.values())


def _changes(old: Config, new: Config) -> dict[str, str]:
    """What differs between two configs, as `key: old → new`; paths aside."""
    before = flat(old.model_dump(mode="json", exclude={"resolved"}))
    after = flat(new.model_dump(mode="json", exclude={"resolved"}))
    keys = dict.fromkeys([*before, *after])
    return {
        key: f"{key}: {json.dumps(before.get(key))} → {json.dumps(after.get(key))}"
        for key in keys
        if before.get(key) != after.get(key)
        and not (is_path(key) and before.get(key) and after.get(key))
    }


def is_path(key: str) -> bool:
    """Whether the setting at a dotted key names a file."""
    in_reach = key.startswith(("data.", "model.embedding.vectors"))
    return in_reach and key.rpartition(".")[2] in PATH_KEYS


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted keys."""
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
        for key, leaf in flat(value, f"{prefix}.{name}" if prefix else name).items()
    }
