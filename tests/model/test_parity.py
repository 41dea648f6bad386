"""All ways through a model, at once or position by position, give the same logits."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_cases import (
    CASES,
    SIZES,
    SOURCE,
    TARGET_IN,
    TRANSFORMERS,
    VARIANTS,
    WAYS,
    by_inference_layers,
    by_training_layers,
    by_training_model,
    make_model,
    model_settings,
    name_of,
    randomised,
)

from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.checkpoint import save_checkpoint

TOLERANCE = {"atol": 1e-5, "rtol": 0}


def some_slow(cases: list[dict], every: int) -> list:
    """The cases as parameters of a test, of which the fast tests try one of `every`."""
    return [
        pytest.param(
            changes, id=name_of(changes), marks=[pytest.mark.slow] if number % every else []
        )
        for number, changes in enumerate(cases)
    ]


@pytest.mark.parametrize("changes", some_slow(CASES, every=7))
def test_every_way_gives_the_logits_of_the_training_model_whatever_the_padding(changes):
    seq2seq = randomised(make_model(model_settings(**changes)))
    expected = by_training_model(seq2seq)
    wider, longer = np.pad(SOURCE, ((0, 0), (0, 1))), np.pad(TARGET_IN, ((0, 0), (0, 1)))
    for way in (by_training_model, *WAYS.values()):
        found = way(seq2seq, wider, longer)[:, : TARGET_IN.shape[1]]
        np.testing.assert_allclose(found, expected, **TOLERANCE)


@pytest.mark.parametrize("changes", some_slow(VARIANTS[:10:3] + VARIANTS[11:12], every=9))
def test_the_gradients_of_the_training_layers_are_those_of_the_training_model(changes):
    seq2seq = randomised(make_model(model_settings(**changes)))

    def gradients(way):
        variables = [weight.value for _, weight in sorted(seq2seq.weights.items())]
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(way(tf.constant(SOURCE), tf.constant(TARGET_IN))))
        return [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]

    def by_model(source_ids, target_in_ids):
        inputs = {"source_ids": source_ids, "target_in_ids": target_in_ids}
        return seq2seq.training_model(inputs, training=False)

    def by_layers(source_ids, target_in_ids):
        layers = seq2seq.layers.for_training(None)
        encoded = layers.encode(source_ids)
        cache = layers.initial_cache(encoded)
        return layers.project(layers.decode(target_in_ids, cache, encoded.constants).hidden)

    in_graph = tf.function(lambda: gradients(by_layers), autograph=False)
    for expected, found in zip(gradients(by_model), in_graph(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "architecture", ["lstm", pytest.param("transformer", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("way", [by_training_model, *WAYS.values()])
def test_a_sentence_gets_in_a_batch_what_it_gets_alone(way, architecture):
    seq2seq = randomised(make_model(model_settings(architecture=architecture)))
    together = way(seq2seq)
    short = way(seq2seq, SOURCE[:1, :2], TARGET_IN[:1])
    np.testing.assert_allclose(together[:1], short, **TOLERANCE)
    np.testing.assert_allclose(together[1:], way(seq2seq, SOURCE[1:], TARGET_IN[1:]), **TOLERANCE)


@pytest.mark.parametrize("changes", some_slow(CASES[5:16:5] + CASES[16::3], every=3))
def test_the_rows_of_a_beam_get_what_one_row_gets(changes):
    seq2seq = randomised(make_model(model_settings(**changes)))
    expected = np.repeat(by_inference_layers(seq2seq), 3, axis=0)
    np.testing.assert_allclose(by_inference_layers(seq2seq, beam_size=3), expected, **TOLERANCE)


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
@pytest.mark.parametrize("tied", [True, False])
def test_candidates_get_the_logits_that_they_have_in_the_whole_vocabulary(tied, architecture):
    seq2seq = randomised(
        make_model(model_settings(architecture=architecture, embedding__tied=tied))
    )
    candidates = [3, 12, 5, 5]
    found = by_inference_layers(seq2seq, candidates=candidates)
    expected = by_inference_layers(seq2seq)[:, :, candidates]
    np.testing.assert_allclose(found, expected, **TOLERANCE)


NEW_PROCESS = """
import json, pathlib, sys
sys.path.insert(0, sys.argv[1])
from s2s_cli import runtime; runtime.start(1)
import numpy as np
import model_cases as cases
from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.checkpoint import read_weights
for folder in map(pathlib.Path, sys.argv[2:]):
    state = json.loads((folder / "state.json").read_text())
    settings = cases.model_settings(**state["changes"])
    seq2seq = Seq2Seq(settings, cases.SIZES, LayerFactory.for_inference("float32"))
    assert not np.any(cases.by_training_model(seq2seq))
    seq2seq.load(read_weights(folder, {p: w.shape for p, w in seq2seq.weights.items()}))
    for way in (cases.by_training_model, *cases.WAYS.values()):
        np.testing.assert_allclose(way(seq2seq), state["expected"], atol=1e-5, rtol=0)
    print("same", state["changes"])
"""


@pytest.mark.slow
def test_every_way_gives_the_same_logits_in_a_new_process_that_loads_the_checkpoint(tmp_path):
    cases = [CASES[5], CASES[14], CASES[19], CASES[21], VARIANTS[-1]]
    folders = []
    for index, changes in enumerate(cases):
        seq2seq = randomised(make_model(model_settings(**changes)))
        weights = {
            path: keras.ops.convert_to_numpy(weight) for path, weight in seq2seq.weights.items()
        }
        state = {"changes": changes, "expected": by_training_model(seq2seq).tolist()}
        folders.append(tmp_path / f"step-{index:08d}")
        save_checkpoint(folders[-1], weights=weights, optimizer={}, state=state)
    process = subprocess.run(
        [sys.executable, "-c", NEW_PROCESS, str(Path(__file__).parent), *map(str, folders)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout.count("same") == len(cases), process.stderr[-2000:]


IN_BFLOAT16 = [{"embedding__tied": True}, {}, *VARIANTS[-6::5], *TRANSFORMERS[:2], TRANSFORMERS[3]]


@pytest.mark.parametrize("changes", some_slow(IN_BFLOAT16, every=5))
def test_training_in_bfloat16_multiplies_in_it_with_weights_and_logits_in_float32(changes):
    settings = model_settings(**changes)
    seq2seq = randomised(make_model(settings, precision="bfloat16"))
    with_weights = [layer for layer in seq2seq.training_model.layers if layer.weights]
    assert {layer.compute_dtype for layer in with_weights} == {"bfloat16"}
    assert {weight.dtype for weight in seq2seq.weights.values()} == {"float32"}
    expected = by_training_model(randomised(make_model(settings)))
    for way in (by_training_model, by_training_layers):
        found = way(seq2seq)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=0.1, rtol=0)


@pytest.mark.parametrize("changes", some_slow(IN_BFLOAT16[1:], every=4))
def test_inference_in_bfloat16_rounds_the_weights_and_little_else(changes):
    settings = model_settings(**changes)
    whole = randomised(make_model(settings))
    seq2seq = Seq2Seq(settings, SIZES, LayerFactory.for_inference("bfloat16"))
    seq2seq.load({path: weight.value for path, weight in whole.weights.items()})
    assert {weight.dtype for weight in seq2seq.weights.values()} == {"bfloat16"}
    for path, weight in seq2seq.weights.items():
        rounded = keras.ops.cast(keras.ops.cast(whole.weights[path], "bfloat16"), "float32")
        np.testing.assert_array_equal(keras.ops.cast(weight, "float32"), rounded)
    found, expected = by_inference_layers(seq2seq), by_training_model(whole)
    np.testing.assert_allclose(found, expected, atol=0.1, rtol=0)


def test_a_model_does_not_depend_on_the_global_dtype_policy():
    expected = by_training_model(randomised(make_model()))
    before = keras.config.dtype_policy()
    try:
        for policy in ("mixed_bfloat16", "float64"):
            keras.config.set_dtype_policy(policy)
            seq2seq = randomised(make_model())
            for way in (by_training_model, *WAYS.values()):
                np.testing.assert_allclose(way(seq2seq), expected, **TOLERANCE)
            assert keras.config.dtype_policy().name == policy
    finally:
        keras.config.set_dtype_policy(before)
