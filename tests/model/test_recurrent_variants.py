"""Input feeding, coverage and layer normalisation: what they add to the model without them."""

import numpy as np
import pytest
import tensorflow as tf
from model_cases import (
    SOURCE,
    TARGET_IN,
    by_inference_layers,
    by_training_layers,
    make_model,
    model_settings,
    randomised,
)

RANDOM = np.random.default_rng(4)


def without(option: str, **changes):
    """A model, and one that has its weights and an option besides, whose further weights are 0."""
    plain = randomised(make_model(model_settings(**changes)))
    larger = make_model(model_settings(**changes, **{option: True}))
    for path, weight in larger.weights.items():
        values = np.zeros(weight.shape, np.float32)
        if path in plain.weights:
            known = plain.weights[path].numpy()
            values[: len(known)] = known
        weight.assign(values)
    return plain, larger


@pytest.mark.parametrize(
    ("option", "further"),
    [("decoder__input_feeding", "decoder_0/lstm_cell/kernel"),
     ("decoder__coverage", "attention_coverage/kernel")],
)  # fmt: skip
def test_an_option_whose_weights_are_zero_changes_nothing_and_others_do(option, further):
    plain, larger = without(option)
    expected = by_training_layers(plain)
    for way in (by_training_layers, by_inference_layers):
        np.testing.assert_allclose(way(larger), expected, atol=1e-5)
    weight = larger.weights[further]
    added = np.zeros(weight.shape, np.float32)
    added[plain.weights[further].shape[0] if further in plain.weights else 0 :] = 0.5
    weight.assign(weight.numpy() + added)
    differences = np.abs(by_training_layers(larger) - expected).max(axis=-1)
    # The first position has nothing before it.
    assert differences[:, 0].max() < 1e-5 and differences[:, 1:].min() > 1e-4


def test_what_is_fed_to_a_position_is_the_readout_vector_of_the_one_before():
    seq2seq = randomised(make_model(model_settings(decoder__input_feeding=True)))
    layers = seq2seq.layers.for_training(None)
    encoded = layers.encode(tf.constant(SOURCE))
    cache = layers.initial_cache(encoded)
    assert not np.any(cache["decoder_readout"])
    decoded = layers.decode(tf.constant(TARGET_IN), cache, encoded.constants)
    np.testing.assert_allclose(decoded.cache["decoder_readout"], decoded.hidden[:, -1], atol=1e-6)
    # A readout vector of its own at position 1, from the search's step.
    step = seq2seq.layers.for_inference()(None)
    first = step.decode(tf.constant(TARGET_IN[:, :1]), cache, encoded.constants)
    np.testing.assert_allclose(first.cache["decoder_readout"], decoded.hidden[:, 0], atol=1e-6)


@pytest.mark.parametrize("kind", ["general", "additive"])
def test_the_attention_with_coverage_is_that_of_numpy(kind):
    changes = {"decoder__coverage": True, "decoder__attention": kind}
    layers = randomised(make_model(model_settings(**changes))).layers
    coverage = layers.coverage
    query, keys = RANDOM.normal(size=(2, 4, 8)), RANDOM.normal(size=(2, 3, 8))
    mask = np.array([[1, 1, 0], [1, 1, 1]], bool)
    constants = {"memory": keys, "keys": keys, "memory_mask": mask}
    tensors = {name: tf.constant(value) for name, value in constants.items()}
    tensors |= {name: tf.cast(tensors[name], tf.float32) for name in ("memory", "keys")}
    cache = {"decoder_coverage": tf.zeros((2, 3))}
    found, after = layers._cover(coverage, tf.constant(query, tf.float32), cache, tensors, 1)

    (weight, *scale) = [part.kernel.numpy() for part in coverage.parts]
    covered = np.zeros((2, 3))
    for position in range(4):
        asked = query[:, position, None]  # (B,1,U)
        if kind == "general":
            # The weight belongs to the query, so that w × c need not be added to each key.
            scores = (asked * keys).sum(-1) + (asked @ weight)[..., 0] * covered
        else:
            scores = (np.tanh(asked + keys + covered[..., None] @ weight) @ scale[0])[..., 0]
        exponentials = np.exp(scores) * mask
        attention = exponentials / exponentials.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found[:, position], attention, atol=1e-5)
        covered = covered + attention
    np.testing.assert_allclose(after["decoder_coverage"], covered, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2])
def test_layer_normalisation_gives_memory_of_mean_0_and_variance_1_at_first(layers):
    settings = model_settings(layer_norm=True, encoder__layers=layers)
    encoded = make_model(settings).layers.encode(tf.constant(SOURCE))
    memory = encoded.constants["memory"].numpy()[SOURCE > 0]
    np.testing.assert_allclose(memory.mean(axis=-1), 0, atol=1e-5)
    np.testing.assert_allclose(memory.var(axis=-1), 1, atol=0.02)
