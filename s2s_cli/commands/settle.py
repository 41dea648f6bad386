"""Which config a training goes by, and whether a run may go on with it."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2s_cli import runtime
from s2s_cli.config import PATH_KEYS
from s2s_cli.errors import RunError
from s2s_cli.run import Run
from s2s_cli.schema import Config, FileFingerprint, Resolved
from s2s_cli.text.corpus import fingerprint
from s2s_cli.training.memory import fitting_batch_tokens

# Settings that may differ when a run goes on: none of them touches a weight, though
# those of decoding may move which checkpoint is the best.
SAFE = (
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
# Settings that the saved weights and vocabularies, or the optimizer's state, do not fit. Of
# the model, dropout alone has no weights.
NEW_RUN = ("tokenizer.", "model.", "training.optimizer.name")
WITHOUT_WEIGHTS = "model.dropout"


@dataclass(frozen=True)
class Change:
    """What differs between a run's config and the one it is to go on with."""

    key: str
    text: str

    @property
    def needs(self) -> str:
        """What it takes to go on with it."""
        if self.key.startswith(SAFE):
            return "safe"
        if self.key.startswith(NEW_RUN) and self.key != WITHOUT_WEIGHTS:
            return "makes a new run"
        return "needs --force"


def fingerprints(config: Config) -> list[FileFingerprint]:
    """Every file that the training reads, with the SHA-256 of its content."""
    settings = flat(config.model_dump(mode="json", include={"data", "model"}))
    files = {key: value for key, value in settings.items() if is_path(key) and value}
    return [
        FileFingerprint(key=key, path=path, sha256=fingerprint(path)) for key, path in files.items()
    ]


def settle(
    run: Run, config: Config, files: list[FileFingerprint], latest: Path | None, *, force: bool
) -> tuple[Config, tuple[str, ...]]:
    """The config to train with: a new run gets its own, an old one keeps what it resolved.

    `latest` is the checkpoint to go on from. Raises RunError where the run was made from
    another config or other data, except for what `force` allows.
    """
    if latest is None:
        config = config.model_copy(update={"resolved": _resolved(config, files)})
        run.create(config)
        return config, ()
    old = run.config()
    assert old.resolved is not None
    changes = [*_changed_settings(old, config), *_changed_files(old.resolved, files)]
    forced = [change for change in changes if change.needs == "needs --force"]
    if any(change.needs == "makes a new run" for change in changes) or (forced and not force):
        raise _refusal(run, changes)
    resolved = old.resolved
    if forced:
        step = int(latest.name.removeprefix("step-"))
        history = [*resolved.forced, *(f"step {step}: {change.text}" for change in forced)]
        resolved = _resolved(config, files).model_copy(
            update={"versions": resolved.versions, "forced": history}
        )
    config = config.model_copy(update={"resolved": resolved})
    if changes:
        run.write_config(config)
    return config, tuple(change.text for change in changes)


def _resolved(config: Config, files: list[FileFingerprint]) -> Resolved:
    """What a config comes to here and now."""
    packages = ("tensorflow", "keras", "sentencepiece")
    return Resolved(
        precision=runtime.choose_precision(config.training.precision),
        batch_tokens=(
            fitting_batch_tokens(config, runtime.available_memory())
            if config.training.batch_tokens == "auto"
            else None
        ),
        decay_steps=config.training.schedule.decay_steps or config.training.max_steps,
        files=files,
        versions={name: importlib.metadata.version(name) for name in packages},
    )


def _refusal(run: Run, changes: list[Change]) -> RunError:
    lines = "".join(f"\n  {change.text}  ({change.needs})" for change in changes)
    hint = "Train in another directory with --run, or undo these changes to go on with this run."
    if all(change.needs != "makes a new run" for change in changes):
        hint = f"Give --force to go on with them. {hint}"
    return RunError(f"{run.root}: this run was made from another config:{lines}", hint)


def _changed_settings(old: Config, new: Config) -> list[Change]:
    """The settings that differ, paths aside."""
    before = flat(old.model_dump(mode="json", exclude={"resolved"}))
    after = flat(new.model_dump(mode="json", exclude={"resolved"}))
    return [
        Change(key, f"{key}: {json.dumps(before.get(key))} → {json.dumps(after.get(key))}")
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
        and not (is_path(key) and before.get(key) and after.get(key))
    ]


def _changed_files(old: Resolved, files: list[FileFingerprint]) -> list[Change]:
    """The files that hold something else than they did, wherever they lie now."""
    contents = {file.key: file.sha256 for file in old.files}
    return [
        Change(file.key, f"{file.key}: {file.path} holds something else than when the run began")
        for file in files
        if contents.get(file.key) not in (None, file.sha256)
    ]


def settings_without_paths(config: Config) -> dict[str, Any]:
    """The section `data` by dotted keys, without file names."""
    settings = flat(config.model_dump(mode="json", include={"data"}))
    return {key: value for key, value in settings.items() if not is_path(key)}


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
