"""The whole state of a training, written beside and renamed, and checked when read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from s2s_cli.errors import RunError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.run import replace_folder, write_text
from s2s_cli.training.loop import TrainingState, Window

WEIGHTS, OPTIMIZER, STATE, CHECKSUMS = (
    "model.weights.h5",
    "optimizer.npz",
    "state.json",
    "checksums.json",
)


def save_checkpoint(
    folder: Path, seq2seq: Seq2Seq, optimizer: keras.optimizers.Optimizer, state: TrainingState
) -> None:
    """Writes a checkpoint that is there whole or not at all.

    Random draws need no place in it: their seeds follow from the step.
    """
    beside = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        seq2seq.training_model.save_weights(beside / WEIGHTS)
        values: dict[str, Any] = {
            f"{i:04d}": keras.ops.convert_to_numpy(v) for i, v in enumerate(optimizer.variables)
        }
        np.savez(beside / OPTIMIZER, **values)
        write_text(beside / STATE, json.dumps(asdict(state), indent=1) + "\n")
        sums = {name: _sha256(beside / name) for name in (WEIGHTS, OPTIMIZER, STATE)}
        write_text(beside / CHECKSUMS, json.dumps(sums, indent=1) + "\n")
        for path in [*beside.iterdir(), beside]:
            _flush(path)
        replace_folder(beside, folder)
        _flush(folder.parent)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise RunError(
            f"{folder}: the checkpoint cannot be written: {error.strerror or error}.",
            "Earlier checkpoints are untouched; make room and run the same command again.",
        ) from None


def load_weights(folder: Path, seq2seq: Seq2Seq) -> None:
    """Reads the weights of a checkpoint into the layers."""
    _check(folder, WEIGHTS)
    try:
        seq2seq.training_model.load_weights(folder / WEIGHTS)
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(folder, WEIGHTS, f"it does not fit the model: {error}") from None


def load_checkpoint(
    folder: Path, seq2seq: Seq2Seq, optimizer: keras.optimizers.Optimizer
) -> TrainingState:
    """Reads weights and optimizer, and returns the state; RunError where it is damaged."""
    load_weights(folder, seq2seq)
    _check(folder, OPTIMIZER)
    _check(folder, STATE)
    try:
        with np.load(folder / OPTIMIZER, allow_pickle=False) as values:
            for index, variable in enumerate(optimizer.variables):
                variable.assign(values[f"{index:04d}"])
        fields: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
        return TrainingState(**{**fields, "window": Window(**fields["window"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder, OPTIMIZER, str(error)) from None


def _check(folder: Path, name: str) -> None:
    """Compares a file with its checksum."""
    try:
        sums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        found = _sha256(folder / name)
    except (OSError, ValueError) as error:
        raise _unreadable(folder, name, str(error)) from None
    if not isinstance(sums, dict) or sums.get(name) != found:
        raise _unreadable(folder, name, "its checksum is not the one it was written with")


def _unreadable(folder: Path, name: str, reason: str) -> RunError:
    others = sorted(p.name.removeprefix("step-").lstrip("0") for p in folder.parent.glob("step-*"))
    others = [step for step in others if step != folder.name.removeprefix("step-").lstrip("0")]
    hint = (
        f"It also has those of steps {', '.join(others)}: translate and export take --checkpoint N."
    )
    return RunError(
        f"{folder / name}: the checkpoint cannot be read: {reason}.",
        hint
        if others
        else "It is the only checkpoint of this run; train again in another directory.",
    )


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Asks the system to put a file or directory on disk; Windows cannot for directories."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
