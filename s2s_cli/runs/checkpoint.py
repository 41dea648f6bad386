"""The whole state of a training in a folder, written beside and renamed, and checked when read.

A checkpoint holds copies of what its run could not make again (the config, the vocabularies,
the metrics so far), from which a run whose own files are damaged is restored.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from s2s_cli.errors import RunError
from s2s_cli.files import flush_folder, replace_folder, sha256, write_bytes, write_text

WEIGHTS, AVERAGED, OPTIMIZER, STATE, CHECKSUMS = (
    "model.safetensors",
    "averaged.safetensors",
    "optimizer.safetensors",
    "state.json",
    "checksums.json",
)

Arrays = dict[str, np.ndarray[Any, Any]]
Shapes = Mapping[str, Sequence[int]]


def save_checkpoint(
    folder: Path,
    *,
    weights: Mapping[str, Any],
    averaged: Mapping[str, Any] | None = None,
    optimizer: Mapping[str, Any],
    state: Mapping[str, Any],
    copied: Iterable[Path] = (),
) -> None:
    """Writes a checkpoint that is there whole or not at all, with copies of files of the run.

    `weights` and `optimizer` are arrays by name, `state` a JSON object; `averaged` are the weights
    for inference where they are others. Raises RunError.
    """
    beside = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        write_arrays(beside / WEIGHTS, weights)
        if averaged is not None:
            write_arrays(beside / AVERAGED, averaged)
        write_arrays(beside / OPTIMIZER, optimizer)
        write_text(beside / STATE, json.dumps(state, indent=1) + "\n")
        for path in copied:
            shutil.copyfile(path, beside / path.name)
        sums = {path.name: sha256(path) for path in sorted(beside.iterdir())}
        write_text(beside / CHECKSUMS, json.dumps(sums, indent=1) + "\n")
        flush_folder(beside)
        replace_folder(beside, folder)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise RunError(
            f"{folder}: the checkpoint cannot be written: {error.strerror or error}.",
            "Earlier checkpoints are untouched; make room and run the same command again.",
        ) from None


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes arrays by name as safetensors. Raises OSError."""
    write_bytes(path, save({name: np.asarray(a, order="C") for name, a in arrays.items()}))


def read_weights(folder: Path, shapes: Shapes) -> Arrays:
    """The weights of a checkpoint by path, as training goes on from them; RunError where they are
    damaged or do not fit."""
    return _read_arrays(folder, WEIGHTS, shapes)


def read_inference_weights(folder: Path, shapes: Shapes) -> Arrays:
    """The weights of a checkpoint that are translated with and exported: averaged ones, where the
    training averages them. Raises RunError as `read_weights`."""
    return _read_arrays(folder, inference_weights_file(folder).name, shapes)


def read_all_inference_weights(folder: Path) -> Arrays:
    """The same weights, of any shapes; RunError where they are damaged."""
    shapes = _stored_shapes(folder, inference_weights_file(folder).name)
    return read_inference_weights(folder, shapes)


def has_average(folder: Path) -> bool:
    """Whether a checkpoint has averaged weights. Raises RunError."""
    return AVERAGED in checksums(folder)


def inference_weights_file(folder: Path) -> Path:
    """The file of a checkpoint with the weights for inference. Raises RunError."""
    return folder / (AVERAGED if has_average(folder) else WEIGHTS)


def read_optimizer(folder: Path, shapes: Shapes) -> Arrays:
    """The optimizer's variables by name; RunError where they are damaged or do not fit."""
    return _read_arrays(folder, OPTIMIZER, shapes)


def read_state(folder: Path) -> dict[str, Any]:
    """The state as it was saved, a JSON object; RunError where it is damaged."""
    _check(folder, checksums(folder), STATE)
    try:
        state = json.loads((folder / STATE).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(folder, STATE, str(error)) from None
    if not isinstance(state, dict):
        raise unreadable(folder, STATE, "it is no JSON object")
    return state


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
        raise unreadable(folder, CHECKSUMS, str(error)) from None
    if not isinstance(sums, dict) or any(Path(name).name != name for name in sums):
        raise unreadable(folder, CHECKSUMS, "it is no list of files")
    return sums


def require_size(folder: Path, parameters: int) -> None:
    """Refuses a config that describes more float32 weights than the checkpoint has bytes for.

    Called before the model is made: a run may come from anywhere, and a config that asks for
    terabytes must not get them.
    """
    try:
        size = (folder / WEIGHTS).stat().st_size
    except OSError as error:
        raise unreadable(folder, WEIGHTS, error.strerror or str(error)) from None
    if size < 4 * parameters:
        raise unreadable(
            folder,
            WEIGHTS,
            f"it has {size:,} bytes, and the config describes {parameters:,} weights of 4 bytes",
        )


def _read_arrays(folder: Path, name: str, shapes: Shapes) -> Arrays:
    """The arrays of a safetensors file, which must have these names and shapes."""
    _check(folder, checksums(folder), name)
    try:
        with safe_open(folder / name, framework="numpy") as file:
            found = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
            differences = _differences(found, shapes)
            if differences:
                raise unreadable(
                    folder, name, f"it does not fit the model: {'; '.join(differences)}"
                )
            return {key: file.get_tensor(key) for key in shapes}
    except (OSError, SafetensorError, ValueError) as error:
        raise unreadable(folder, name, str(error)) from None


def _stored_shapes(folder: Path, name: str) -> Shapes:
    try:
        with safe_open(folder / name, framework="numpy") as file:
            return {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise unreadable(folder, name, str(error)) from None


def _differences(found: Shapes, expected: Shapes) -> list[str]:
    """What is missing, left over, or of another shape, as clauses."""
    missing = [key for key in expected if key not in found]
    left_over = [key for key in found if key not in expected]
    reshaped = [
        f"{key} has shape {_shape(found[key])}, not {_shape(expected[key])}"
        for key in expected
        if key in found and list(found[key]) != list(expected[key])
    ]
    return [
        *([f"missing: {', '.join(missing)}"] if missing else []),
        *([f"left over: {', '.join(left_over)}"] if left_over else []),
        *reshaped,
    ]


def _shape(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"


def _check(folder: Path, sums: dict[str, str], name: str) -> None:
    """Compares a file with its checksum."""
    try:
        if not (folder / name).is_file():
            raise unreadable(folder, name, "there is no such file")
        found = sha256(folder / name)
    except OSError as error:
        raise unreadable(folder, name, error.strerror or str(error)) from None
    if sums.get(name) != found:
        raise unreadable(folder, name, "its checksum is not the one it was written with")


def unreadable(folder: Path, name: str, reason: str) -> RunError:
    """The error for a file of a checkpoint that cannot be used."""
    step = _step_of(folder)
    others = sorted(s for s in map(_step_of, folder.parent.glob("step-*")) if s and s != step)
    steps = ", ".join(map(str, others))
    return RunError(
        f"{folder / name}: the checkpoint cannot be read: {reason}.",
        f"The run also has checkpoints of steps {steps}: translate and export take --checkpoint N."
        if others
        else "It is the only checkpoint of this run; train again in another directory.",
    )


def _step_of(folder: Path) -> int | None:
    digits = folder.name.removeprefix("step-")
    return int(digits) if digits.isascii() and digits.isdecimal() else None
