import keras
import numpy as np
import pytest
import tensorflow as tf

from s2s_cli.model import layers

INPUTS = np.random.default_rng(1).normal(size=(3, 6, 5)).astype(np.float32)
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]], bool)


def both(kind, **arguments):
    """Keras's layer and ours, with the same weights, none of which is zero."""
    pair = []
    for module in (keras.layers, layers):
        layer = getattr(module, kind)(4, return_sequences=True, return_state=True, **arguments)
        layer.build(INPUTS.shape)
        random = np.random.default_rng(2)
        layer.set_weights([random.normal(size=w.shape) * 0.5 for w in layer.weights])
        pair.append(layer)
    return pair


def outcome(layer, kind, mask, length=6):
    """What a layer gives, and the gradients of a function that all of it takes part in."""
    states = [
        tf.constant(np.random.default_rng(seed).normal(size=(3, 4)), tf.float32)
        for seed in range(2 if kind == "LSTM" else 1)
    ]
    inputs = tf.constant(INPUTS[:, :length])

    @tf.function
    def run(inputs, states):
        variables = [weight.value for weight in layer.trainable_weights]
        with tf.GradientTape() as tape:
            tape.watch([inputs, states])
            outputs = layer(inputs, initial_state=states, mask=mask)
            loss = sum(tf.reduce_sum(tf.sin(3 * output)) for output in outputs)
        return outputs, tape.gradient(loss, [inputs, *states, *variables])

    return run(inputs, states)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["unmasked", "masked"])
@pytest.mark.parametrize("go_backwards", [False, True])
def test_values_and_gradients_are_those_of_keras(kind, mask, go_backwards):
    keras_layer, ours = both(kind, go_backwards=go_backwards)
    expected, found = (outcome(layer, kind, mask) for layer in (keras_layer, ours))
    for a, b in zip(tf.nest.flatten(expected), tf.nest.flatten(found), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_both_directions_give_what_keras_gives(kind):
    outputs = []
    for module in (keras.layers, layers):
        one = getattr(module, kind)(4, return_sequences=True, return_state=True)
        layer = keras.layers.Bidirectional(one)
        layer(INPUTS)
        random = np.random.default_rng(3)
        layer.set_weights([random.normal(size=w.shape) * 0.5 for w in layer.weights])
        variables = [weight.value for weight in layer.trainable_weights]
        with tf.GradientTape() as tape:
            found = layer(INPUTS, mask=tf.constant(MASK))
            loss = sum(tf.reduce_sum(tf.sin(3 * output)) for output in found)
        outputs.append([*found, *tape.gradient(loss, variables)])
    for a, b in zip(*outputs, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5)


def test_the_loop_is_ours(monkeypatch):
    """Keras may rename what is overridden here; then its slow loop would run unnoticed."""
    monkeypatch.setattr(layers, "recurrence", lambda *_: 1 / 0)
    for kind in ("LSTM", "GRU"):
        with pytest.raises(ZeroDivisionError):
            both(kind)[1](INPUTS)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_stepper_goes_position_by_position_where_the_layer_goes_at_once(kind):
    _, ours = both(kind)
    outputs, *last = ours(INPUTS)
    step, states = ours.stepper(), [tf.zeros([3, 4])] * len(last)
    for position in range(INPUTS.shape[1]):
        output, *states = step(INPUTS[:, position : position + 1], initial_state=states)
        np.testing.assert_allclose(output[:, 0], outputs[:, position], atol=1e-6)
    for a, b in zip(last, states, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_bfloat16_stays_close_to_float32(kind):
    exact = both(kind)[1]
    rough = getattr(layers, kind)(
        4, return_sequences=True, return_state=True, dtype="mixed_bfloat16"
    )
    rough.build(INPUTS.shape)
    rough.set_weights(exact.get_weights())
    expected, found = (outcome(layer, kind, MASK) for layer in (exact, rough))
    for a, b in zip(tf.nest.flatten(expected), tf.nest.flatten(found), strict=True):
        np.testing.assert_allclose(tf.cast(b, tf.float32), a, atol=0.5, rtol=0.1)


@pytest.mark.parametrize("shape", [(64, 50), (3, 5, 7)])
def test_dropout_drops_the_same_values_in_every_precision(shape):
    drops = []
    for dtype in ("float32", "mixed_bfloat16"):
        layer = layers.Dropout(0.3, seed=5, dtype=dtype)
        drops.append((layer(tf.ones(shape), training=True) == 0).numpy())
    np.testing.assert_array_equal(*drops)


def test_dropout_drops_the_share_that_it_is_told_and_keeps_the_mean():
    layer = layers.Dropout(0.3, seed=5, dtype="mixed_bfloat16")
    found = tf.cast(layer(tf.ones((1000, 1000)), training=True), tf.float32)
    assert float(tf.reduce_mean(tf.cast(found == 0, tf.float32))) == pytest.approx(0.3, abs=2e-3)
    assert float(tf.reduce_mean(found)) == pytest.approx(1, abs=4e-3)
    np.testing.assert_array_equal(layer(tf.ones(9)), tf.ones(9))
