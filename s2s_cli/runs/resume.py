"""Which changes of a config a run can resume with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2s_cli.config.annotations import is_file_setting, on_resume
from s2s_cli.config.resolved import requested_settings
from s2s_cli.config.schema import Config, FileFingerprint, OnResume, ResolvedConfig
from s2s_cli.errors import RunError

# Optimizer arguments that add variables, which the saved state of the optimizer lacks.
ADDS_VARIABLES = tuple(
    f"training.optimizer.arguments.{name}" for name in ("amsgrad", "centered", "momentum")
)


@dataclass(frozen=True)
class Change:
    """What differs between the config of a run and the one that it is to resume with."""

    key: str
    text: str
    needs: OnResume


def find_changes(
    old: ResolvedConfig, new: Config, files: Sequence[FileFingerprint]
) -> list[Change]:
    """The settings and the contents of files that differ; a file that moved is no change."""
    return [*_changed_settings(old, new), *_changed_files(old, files)]


def require_resumable(run: Path, changes: Sequence[Change], *, force: bool) -> None:
    """Raises RunError where a change makes a new run, or needs `force` and has it not."""
    needs = {change.needs for change in changes}
    if OnResume.NEW_RUN not in needs and (force or OnResume.FORCE not in needs):
        return
    lines = "".join(f"\n  {change.text}  ({change.needs.value})" for change in changes)
    hint = "Train in another directory with --run, or undo these changes to resume this run."
    if OnResume.NEW_RUN not in needs:
        hint = f"Give --force to resume with them. {hint}"
    raise RunError(f"{run}: this run was made with another config:{lines}", hint)


def _changed_settings(old: ResolvedConfig, new: Config) -> list[Change]:
    before, after = requested_settings(old), requested_settings(new)
    return [
        Change(
            key,
            f"{key}: {_shown(before.get(key))} → {_shown(after.get(key))}",
            OnResume.NEW_RUN if key in ADDS_VARIABLES else on_resume(type(new), key),
        )
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
        and not (before.get(key) and after.get(key) and is_file_setting(type(new), key))
    ]


def _changed_files(old: ResolvedConfig, files: Sequence[FileFingerprint]) -> list[Change]:
    """The files whose content changed, wherever they are now."""
    contents = {file.key: file.sha256 for file in old.resolved.files}
    return [
        Change(
            file.key,
            f"{file.key}: the content of {file.path} has changed since the run began",
            OnResume.FORCE,
        )
        for file in files
        if contents.get(file.key) not in (None, file.sha256)
    ]


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
