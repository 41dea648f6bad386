"""Checkpoints: what is written is read back, and what does not fit is refused as a whole."""

import json

import numpy as np
import pytest

from s2s_cli.errors import RunError
from s2s_cli.files import sha256
from s2s_cli.runs import checkpoint
from s2s_cli.runs.checkpoint import (
    is_whole,
    read_optimizer,
    read_state,
    read_weights,
    require_size,
    save_checkpoint,
    write_arrays,
)

WEIGHTS = {
    "encoder/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "encoder/bias": np.array([1, -0.0, np.nan], np.float32),
    "output/bias": np.ones(4, np.float32),
}
SLOTS = {"iteration": np.array(7, np.int64), "encoder/bias/velocity": np.ones(3, np.float32)}
SHAPES = {name: value.shape for name, value in WEIGHTS.items()}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "checkpoints" / "step-00000007"
    save_checkpoint(path, weights=WEIGHTS, optimizer=SLOTS, state={"step": 7, "best": [1.0, 2.0]})
    return path


def rewrite(folder, name: str, content: bytes) -> None:
    """Changes a file and its checksum."""
    (folder / name).write_bytes(content)
    sums = json.loads((folder / "checksums.json").read_text())
    sums[name] = sha256(folder / name)
    (folder / "checksums.json").write_text(json.dumps(sums))


def test_what_was_saved_is_read_back_with_the_same_bits(folder):
    weights = read_weights(folder, SHAPES)
    assert list(weights) == list(WEIGHTS)
    assert all(weights[name].tobytes() == WEIGHTS[name].tobytes() for name in WEIGHTS)
    slots = read_optimizer(folder, {name: value.shape for name, value in SLOTS.items()})
    assert slots["iteration"] == 7 and slots["iteration"].dtype == np.int64
    assert read_state(folder) == {"step": 7, "best": [1.0, 2.0]}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_copies_of_files_are_part_of_a_checkpoint(tmp_path):
    (tmp_path / "config.yaml").write_text("format: 2\n")
    folder = tmp_path / "step-00000001"
    save_checkpoint(folder, weights={}, optimizer={}, state={}, copied=[tmp_path / "config.yaml"])
    assert (folder / "config.yaml").read_text() == "format: 2\n" and is_whole(folder)
    (folder / "config.yaml").write_text("format: 3\n")
    assert not is_whole(folder)


def test_all_weights_that_do_not_fit_the_model_are_listed_together(folder):
    shapes = {
        "encoder/kernel": (3, 2),
        "encoder/bias": (),
        "decoder/kernel": (5,),
        "decoder/bias": (5,),
    }
    with pytest.raises(RunError) as caught:
        read_weights(folder, shapes)
    assert caught.value.message == (
        f"{folder / 'model.safetensors'}: the checkpoint cannot be read: it does not fit the"
        " model: missing: decoder/kernel, decoder/bias; left over: output/bias;"
        " encoder/kernel has shape (2, 3), not (3, 2); encoder/bias has shape (3), not ()."
    )


def test_all_slots_that_do_not_fit_the_optimizer_are_listed_together(folder):
    with pytest.raises(RunError) as caught:
        read_optimizer(folder, {"iteration": (), "encoder/bias/momentum": (3,)})
    assert caught.value.message.endswith(
        "optimizer.safetensors: the checkpoint cannot be read: it does not fit the model: missing:"
        " encoder/bias/momentum; left over: encoder/bias/velocity."
    )


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("how", ["changed", "missing", "listed nowhere"])
def test_a_file_that_is_not_as_it_was_written_is_refused(folder, name, how):
    reason = "its checksum is not the one it was written with"
    if how == "changed":
        content = bytearray((folder / name).read_bytes())
        content[-1] ^= 1
        (folder / name).write_bytes(content)
    elif how == "missing":
        (folder / name).unlink()
        reason = "there is no such file"
    else:
        sums = json.loads((folder / "checksums.json").read_text())
        del sums[name]
        (folder / "checksums.json").write_text(json.dumps(sums))
    read = {
        "model.safetensors": lambda: read_weights(folder, SHAPES),
        "optimizer.safetensors": lambda: read_optimizer(folder, {}),
        "state.json": lambda: read_state(folder),
    }[name]
    with pytest.raises(RunError) as caught:
        read()
    assert caught.value.message == f"{folder / name}: the checkpoint cannot be read: {reason}."
    assert not is_whole(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"../x": "0"}', b"\xff", b"{" * 100_000])
def test_damaged_checksums_are_refused(folder, content):
    (folder / "checksums.json").write_bytes(content)
    with pytest.raises(RunError, match=r"checksums\.json: the checkpoint cannot be read"):
        read_weights(folder, SHAPES)
    assert not is_whole(folder)


@pytest.mark.parametrize("content", [b"", b"safetensors", b"\xff" * 100])
def test_a_file_that_is_no_safetensors_is_refused(folder, content):
    rewrite(folder, "model.safetensors", content)
    with pytest.raises(RunError, match=r"model\.safetensors: the checkpoint cannot be read"):
        read_weights(folder, SHAPES)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000])
def test_a_state_that_is_no_json_object_is_refused(folder, content):
    rewrite(folder, "state.json", content)
    with pytest.raises(RunError, match=r"state\.json: the checkpoint cannot be read"):
        read_state(folder)


def test_the_error_names_the_other_checkpoints_of_the_run(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(RunError) as caught:
        read_weights(folder, SHAPES)
    assert caught.value.hint.startswith("It is the only checkpoint of this run")
    for step in (3, 12):
        (folder.parent / f"step-{step:08d}").mkdir()
    with pytest.raises(RunError) as caught:
        read_weights(folder, SHAPES)
    assert caught.value.hint.startswith("The run also has checkpoints of steps 3, 12:")


def test_a_config_that_describes_more_weights_than_a_file_can_hold_is_refused(folder):
    require_size(folder, 13)
    with pytest.raises(RunError, match=r"the config describes 1,000,000,000,000 weights of 4"):
        require_size(folder, 10**12)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError("no")])
def test_a_checkpoint_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(checkpoint, "replace_folder", fail)
    with pytest.raises(RunError, match=r"the checkpoint cannot be written: [Nn]o"):
        save_checkpoint(tmp_path / "step-00000001", weights=WEIGHTS, optimizer={}, state={})
    assert not list(tmp_path.iterdir())


def test_arrays_are_written_in_the_order_of_their_axes(tmp_path):
    from safetensors.numpy import load_file

    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    write_arrays(tmp_path / "arrays", {"a": transposed})
    np.testing.assert_array_equal(load_file(tmp_path / "arrays")["a"], transposed)
