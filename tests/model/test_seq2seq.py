"""The models of one set of layers: which weights they have, by what names, and their first values."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from model_cases import (
    CASES,
    SOURCE,
    TARGET_IN,
    TRANSFORMERS,
    VARIANTS,
    make_model,
    model_settings,
    name_of,
)

from s2s_cli.model.family import VocabSizes
from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.seq2seq import Seq2Seq


def values(seq2seq: Seq2Seq) -> dict[str, np.ndarray]:
    return {path: keras.ops.convert_to_numpy(w) for path, w in seq2seq.weights.items()}


def checksums(seq2seq: Seq2Seq) -> dict[str, str]:
    found = values(seq2seq).items()
    return {path: hashlib.sha256(value.tobytes()).hexdigest() for path, value in found}


def is_drawn(path: str, value: np.ndarray) -> bool:
    """Whether the initial values are random; those of a bias are not."""
    return not path.endswith("bias")


# One model.


def test_the_three_models_consist_of_the_same_layer_objects():
    seq2seq = make_model()
    trained = {id(layer) for layer in seq2seq.training_model.layers if layer.weights}
    used = set()
    for model in (seq2seq.encoder, seq2seq.decoder):
        with_weights = {id(layer) for layer in model.layers if layer.weights}
        assert with_weights and with_weights <= trained
        used |= {id(weight) for weight in model.weights}
    assert used == {id(weight) for weight in seq2seq.weights.values()}


@pytest.mark.parametrize("tied", [True, False])
def test_a_shared_embedding_is_one_weight_whether_tied_or_not(tied):
    settings = model_settings(embedding__shared=True, embedding__tied=tied)
    seq2seq = make_model(settings, VocabSizes(13, 13))
    tables = [path for path, weight in seq2seq.weights.items() if tuple(weight.shape) == (13, 6)]
    assert tables == ["embedding/embeddings"]
    assert seq2seq.layers.source_embedding is seq2seq.layers.target_embedding
    assert ("output/kernel" in seq2seq.weights) != tied


def test_a_frozen_embedding_is_not_trained():
    seq2seq = make_model(model_settings(embedding__trainable=False))
    trained = {weight.path for weight in seq2seq.training_model.trainable_weights}
    frozen = {"source_embedding/embeddings", "target_embedding/embeddings"}
    assert seq2seq.weights.keys() - trained == frozen


# Paths.


def test_the_paths_of_weights_are_those_that_checkpoints_have():
    """A changed path makes every checkpoint unreadable: that takes another RUN_FORMAT."""
    settings = model_settings(decoder__attention="additive", decoder__layers=2)
    assert sorted(make_model(settings).weights) == [
        "attention/scale",
        "attention_keys/kernel",
        "attention_query/bias",
        "attention_query/kernel",
        "decoder_0/lstm_cell/bias",
        "decoder_0/lstm_cell/kernel",
        "decoder_0/lstm_cell/recurrent_kernel",
        "decoder_1/lstm_cell/bias",
        "decoder_1/lstm_cell/kernel",
        "decoder_1/lstm_cell/recurrent_kernel",
        "encoder_0/backward_encoder_0/lstm_cell/bias",
        "encoder_0/backward_encoder_0/lstm_cell/kernel",
        "encoder_0/backward_encoder_0/lstm_cell/recurrent_kernel",
        "encoder_0/forward_encoder_0/lstm_cell/bias",
        "encoder_0/forward_encoder_0/lstm_cell/kernel",
        "encoder_0/forward_encoder_0/lstm_cell/recurrent_kernel",
        "output/bias",
        "output/kernel",
        "readout/bias",
        "readout/kernel",
        "source_embedding/embeddings",
        "target_embedding/embeddings",
    ]
    bridged = make_model(model_settings(encoder__bidirectional=False, architecture="gru"))
    assert {"encoder_0/gru_cell/kernel", "bridge_decoder_0_hidden/kernel"} < bridged.weights.keys()


@pytest.mark.parametrize(
    "changes", [CASES[0], *CASES[15:23], VARIANTS[-1], *TRANSFORMERS[:2]], ids=name_of
)
def test_two_models_in_one_process_have_the_same_paths_and_initial_values(changes):
    settings = model_settings(**changes)
    first, second = make_model(settings), make_model(settings)
    assert checksums(first) == checksums(second)
    assert not {id(w) for w in first.weights.values()} & {id(w) for w in second.weights.values()}


# Initial values.


@pytest.mark.slow
def test_another_process_draws_the_same_initial_values():
    program = (
        "import json, sys; sys.path.insert(0, sys.argv[1])\n"
        "from s2s_cli import runtime; runtime.start(1)\n"
        "import keras; keras.layers.Dense(3); keras.utils.set_random_seed(99)\n"
        "import test_seq2seq as t\n"
        "print(json.dumps(t.checksums(t.make_model(t.model_settings(encoder__layers=2)))))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = checksums(make_model(model_settings(encoder__layers=2)))
    assert json.loads(process.stdout) == expected


def test_another_seed_draws_other_values_for_every_weight_that_is_drawn():
    settings = model_settings(decoder__attention="additive", decoder__initial_state="mean")
    first, second = values(make_model(settings, seed=1)), values(make_model(settings, seed=2))
    for path, value in first.items():
        assert np.array_equal(value, second[path]) == (not is_drawn(path, value)), path


def test_no_two_weights_have_the_same_draws():
    """Layers of the same shape, such as both directions, draw values of their own."""
    settings = model_settings(encoder__layers=3, decoder__layers=3, decoder__attention="additive")
    drawn = [value for path, value in values(make_model(settings)).items() if is_drawn(path, value)]
    firsts = [tuple(np.sort(np.abs(value / np.abs(value).max()), axis=None)) for value in drawn]
    assert len(set(firsts)) == len(drawn)


def test_another_layer_changes_the_initial_values_of_no_other():
    base = values(make_model())
    for changes in (
        {"encoder__layers": 2},
        {"decoder__layers": 2},
        {"decoder__attention": "additive"},
        {"decoder__initial_state": "mean"},
    ):
        larger = values(make_model(model_settings(**changes)))
        assert base.keys() <= larger.keys()
        for path, value in base.items():
            np.testing.assert_array_equal(larger[path], value, err_msg=path)


def test_each_gate_begins_at_the_scale_of_a_matrix_of_its_own():
    seq2seq = make_model(model_settings(decoder__units=48, encoder__units=24, embedding__size=300))
    cell = seq2seq.layers.decoder[0].cell
    kernel, recurrent = map(keras.ops.convert_to_numpy, (cell.kernel, cell.recurrent_kernel))
    # Uniform with a variance of 1 / 300.
    assert np.abs(kernel).max() == pytest.approx((3 / 300) ** 0.5, rel=0.01)
    # Orthonormal rows, and four gates to share the length of each.
    np.testing.assert_allclose(recurrent @ recurrent.T, 4 * np.eye(48), atol=1e-4)
    biases = keras.ops.convert_to_numpy(cell.bias).reshape(4, -1)
    assert biases.mean(axis=1).tolist() == [0, 1, 0, 0]


def test_without_a_seed_weights_are_zeros_until_they_are_loaded():
    settings = model_settings(decoder__attention="additive")
    trained = make_model(settings)
    seq2seq = Seq2Seq(settings, VocabSizes(11, 13), LayerFactory.for_inference("float32"))
    assert not any(np.any(v) for p, v in values(seq2seq).items() if is_drawn(p, v))
    seq2seq.load(values(trained))
    assert checksums(seq2seq) == checksums(trained)
    inputs = {"source_ids": SOURCE, "target_in_ids": TARGET_IN}
    np.testing.assert_array_equal(seq2seq.training_model(inputs), trained.training_model(inputs))
