"""The whole state of a training, written beside and renamed, and checked when read.

A checkpoint holds copies of what its run could not make again (the config, the
vocabularies, the metrics so far), so that a run whose own are damaged is mended from it.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from pydantic import TypeAdapter

from s2s_cli.arrays import load_arrays
from s2s_cli.errors import RunError
from s2s_cli.files import flush_folder, replace_folder, sha256, write_text
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.training.state import TrainingState

WEIGHTS, OPTIMIZER, STATE, CHECKSUMS = (
    "model.weights.h5",
    "optimizer.npz",
    "state.json",
    "checksums.json",
)


def save_checkpoint(
    folder: Path,
    seq2seq: Seq2Seq,
    optimizer: keras.optimizers.Optimizer,
    state: TrainingState,
    copied: Iterable[Path] = (),
) -> None:
    """Writes a checkpoint that is there whole or not at all, with copies of files of the run.

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
        for path in copied:
            shutil.copyfile(path, beside / path.name)
        sums = {path.name: sha256(path) for path in sorted(beside.iterdir())}
        write_text(beside / CHECKSUMS, json.dumps(sums, indent=1) + "\n")
        flush_folder(beside)
        replace_folder(beside, folder)
    except (OSError, RuntimeError) as error:  # HDF5 raises the latter where a disk is full
        shutil.rmtree(beside, ignore_errors=True)
        raise RunError(
            f"{folder}: the checkpoint cannot be written: {_reason(error)}.",
            "Earlier checkpoints are untouched; make room and run the same command again.",
        ) from None


def load_weights(folder: Path, seq2seq: Seq2Seq) -> None:
    """Reads the weights of a checkpoint into the layers; RunError where they are damaged."""
    _check(folder, checksums(folder), WEIGHTS)
    try:
        weights = seq2seq.training_model.weights
        _require_plain(folder / WEIGHTS, max(w.value.shape.num_elements() for w in weights))
        seq2seq.training_model.load_weights(folder / WEIGHTS)
    except Exception as error:  # Keras and HDF5 raise many kinds of them
        raise _unreadable(folder, WEIGHTS, f"it does not fit the model: {error}") from None


def read_weights(
    folder: Path, names: Sequence[str], shapes: Sequence[Sequence[int]]
) -> list[np.ndarray]:
    """The weights of a checkpoint by their names in its file; RunError where they are damaged."""
    _check(folder, checksums(folder), WEIGHTS)
    try:
        _require_plain(folder / WEIGHTS, max(map(math.prod, shapes)))
        with h5py.File(folder / WEIGHTS, "r") as file:
            found = [np.asarray(file[name]) for name in names]
    except Exception as error:  # HDF5 raises many kinds of them
        raise _unreadable(folder, WEIGHTS, f"it does not fit the model: {error}") from None
    for name, values, shape in zip(names, found, shapes, strict=True):
        if values.shape != tuple(shape):
            raise _unreadable(folder, WEIGHTS, f"{name} is of shape {values.shape}, not {shape}")
    return found


def named_weights(seq2seq: Seq2Seq) -> dict[str, keras.Variable]:
    """The weights by the names that Keras gives them in its file. All of them are overwritten.

    Keras does not tell its names, so each weight is given its number, and the file says where
    it stands.
    """
    weights = seq2seq.training_model.weights
    assert len(weights) <= 256  # which bfloat16 can tell apart
    for number, weight in enumerate(weights):
        weight.assign(np.full(weight.shape, number))
    found, dtype = {}, np.dtype(weights[0].dtype)

    def note(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and node.size:
            first = np.asarray(node[(0,) * node.ndim]).tobytes()  # HDF5 knows no bfloat16
            found[name] = weights[int(np.frombuffer(first, dtype)[0])]

    with tempfile.TemporaryDirectory() as place:
        seq2seq.training_model.save_weights(Path(place) / WEIGHTS)
        with h5py.File(Path(place) / WEIGHTS, "r") as file:
            file.visititems(note)
    assert {id(weight) for weight in found.values()} == {id(weight) for weight in weights}
    return found


def load_checkpoint(
    folder: Path, seq2seq: Seq2Seq, optimizer: keras.optimizers.Optimizer
) -> TrainingState:
    """Reads weights and optimizer, and returns the state; RunError where it is damaged."""
    load_weights(folder, seq2seq)
    _check(folder, checksums(folder), OPTIMIZER)
    size = sum(variable.value.dtype.size * variable.value.shape.num_elements() + 1_000
               for variable in optimizer.variables)  # fmt: skip
    try:
        values = load_arrays(folder / OPTIMIZER, size)
        for index, variable in enumerate(optimizer.variables):
            variable.assign(values[f"{index:04d}"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder, OPTIMIZER, str(error)) from None
    return load_state(folder)


def load_state(folder: Path) -> TrainingState:
    """The state of a checkpoint; RunError where it is damaged."""
    _check(folder, checksums(folder), STATE)
    try:
        return TypeAdapter(TrainingState).validate_json((folder / STATE).read_bytes())
    except (OSError, ValueError) as error:
        raise _unreadable(folder, STATE, str(error)) from None


def is_whole(folder: Path) -> bool:
    """Whether every file of a checkpoint is what was written."""
    try:
        require_whole(folder)
    except RunError:
        return False
    return True


def require_whole(folder: Path) -> None:
    """Raises RunError where a file of a checkpoint is not what was written."""
    sums = checksums(folder)
    for name in {*sums, WEIGHTS, OPTIMIZER, STATE}:
        _check(folder, sums, name)


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a checkpoint, by name; RunError where they cannot be read."""
    try:
        sums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(folder, CHECKSUMS, str(error)) from None
    if not isinstance(sums, dict) or any(Path(name).name != name for name in sums):
        raise _unreadable(folder, CHECKSUMS, "it is no list of files")
    return sums


def require_known_size(folder: Path, model: Any, source_types: int, target_types: int) -> None:
    """Refuses a config that asks for far more memory than the weights of the checkpoint fill.

    Called before the model is made, as a run may come from anywhere. The bound is rough:
    every table is taken to be as wide as the widest layer.
    """
    width = max(model.embedding.size, model.encoder.units, model.decoder.units, 64)
    layers = model.encoder.layers + model.decoder.layers
    values = width * (source_types + 2 * target_types) + 32 * layers * width**2
    try:
        size = (folder / WEIGHTS).stat().st_size
    except OSError as error:
        raise _unreadable(folder, WEIGHTS, _reason(error)) from None
    if 4 * values > max(64 * size, 1 << 30):
        raise _unreadable(
            folder, WEIGHTS, f"it has {size} bytes, and the config describes some {values} values"
        )


def _require_plain(path: Path, largest: int) -> None:
    """Raises ValueError for an HDF5 file that points out of itself or claims more than it holds,
    `largest` values a weight."""

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            if node.external or node.is_virtual or (node.size or 0) > largest:
                raise ValueError(f"{name} is no weight of it")
        elif any(not isinstance(node.get(key, getlink=True), h5py.HardLink) for key in node):
            raise ValueError(f"{name} points elsewhere")

    with h5py.File(path, "r") as file:
        visit("/", file)
        file.visititems(visit)


def _check(folder: Path, sums: dict[str, str], name: str) -> None:
    """Compares a file with its checksum."""
    try:
        if not (folder / name).is_file():
            raise _unreadable(folder, name, "there is no such file")
        found = sha256(folder / name)
    except OSError as error:
        raise _unreadable(folder, name, _reason(error)) from None
    if sums.get(name) != found:
        raise _unreadable(folder, name, "its checksum is not the one it was written with")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


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
