"""The functions that replace Keras's recurrent layers, against Keras's own layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from s2s_cli.model.recurrent import layers
from s2s_cli.model.recurrent.recurrence import GRU_CELL, LSTM_CELL, recurrence

INPUTS = np.random.default_rng(1).normal(size=(3, 6, 5)).astype(np.float32)
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]], bool)


def keras_layer(kind: str, *, bidirectional: bool = False, **arguments) -> keras.Layer:
    """A layer none of whose weights is zero."""
    layer = getattr(keras.layers, kind)(4, return_sequences=True, return_state=True, **arguments)
    if bidirectional:
        layer = keras.layers.Bidirectional(layer)
    layer.build(INPUTS.shape)
    random = np.random.default_rng(2)
    layer.set_weights([random.normal(size=w.shape) * 0.5 for w in layer.weights])
    return layer


def zero_states(kind: str) -> list[tf.Tensor]:
    return [tf.zeros([3, 4])] * (2 if kind == "LSTM" else 1)


def random_states(kind: str) -> list[tf.Tensor]:
    random = np.random.default_rng(7)
    return [tf.constant(random.normal(size=(3, 4)), tf.float32) for _ in zero_states(kind)]


def outcome(call, layer: keras.Layer, states, mask, *, reverse: bool = False) -> list[tf.Tensor]:
    """What `call` returns, and the gradients of a function in which all of it takes part.

    Hidden states of padding are left out: Keras repeats the last one, or returns zeros in a
    Bidirectional layer. With `reverse`, `call` returns the positions in reversed order.
    """

    def run(inputs, states):
        variables = [weight.value for weight in layer.trainable_weights]
        arguments = {"initial_state": states} if states else {}
        with tf.GradientTape() as tape:
            tape.watch([inputs, states])
            hidden, *last = call(inputs, mask=mask, **arguments)
            hidden = tf.reverse(hidden, [1]) if reverse else hidden
            if mask is not None:
                hidden = tf.where(mask[:, :, None], hidden, tf.zeros_like(hidden))
            loss = sum(
                tf.reduce_sum(tf.sin(3 * tf.cast(output, tf.float32))) for output in [hidden, *last]
            )
        return [hidden, *last, *tape.gradient(loss, [inputs, *states, *variables])]

    # A graph as in training, but for Keras's layers, which take ten times as long to trace.
    run = run if call is layer else tf.function(run, autograph=False)
    return run(tf.constant(INPUTS), states)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["unmasked", "masked"])
@pytest.mark.parametrize("go_backwards", [False, True])
def test_values_and_gradients_of_the_training_layer_are_those_of_keras(kind, mask, go_backwards):
    layer = keras_layer(kind, go_backwards=go_backwards)
    states = random_states(kind)
    # Keras returns the positions in the order in which it reads them.
    expected = outcome(layer, layer, states, mask, reverse=go_backwards)
    found = outcome(layers.training_layer(layer), layer, states, mask)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5, rtol=0)


def position_by_position(layer: keras.Layer, keep: tf.Tensor):
    """The layer with the hidden state multiplied with keep (B,U) before its product, as a function
    of Keras's cell: the rest of the cell gets the hidden state as it is."""
    cell = layer.cell

    def step(inputs, states):
        if isinstance(cell, keras.layers.LSTMCell):  # only its product reads the hidden state
            return cell(inputs, [states[0] * keep, states[1]])[1]
        z, r, g = tf.split(inputs @ cell.kernel + cell.bias[0], 3, axis=1)
        recurrent = (states[0] * keep) @ cell.recurrent_kernel + cell.bias[1]
        hidden_z, hidden_r, hidden_g = tf.split(recurrent, 3, axis=1)
        z, r = tf.sigmoid(z + hidden_z), tf.sigmoid(r + hidden_r)
        return [z * states[0] + (1 - z) * tf.tanh(g + r * hidden_g)]

    def run(inputs, *, mask, initial_state):
        states, outputs = initial_state, []
        for position in range(inputs.shape[1]):
            new = step(inputs[:, position], states)
            present = True if mask is None else mask[:, position, None]
            states = [tf.where(present, a, b) for a, b in zip(new, states, strict=True)]
            outputs.append(states[0])
        return [tf.stack(outputs, axis=1), *states]

    return run


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["unmasked", "masked"])
def test_recurrent_dropout_has_the_values_and_gradients_of_a_loop_over_positions(kind, mask):
    layer, states = keras_layer(kind), random_states(kind)
    keep = tf.constant(np.random.default_rng(4).integers(0, 2, (3, 4)) * 2, tf.float32)
    expected = outcome(position_by_position(layer, keep), layer, states, mask)
    found = outcome(layers.training_layer(layer, lambda one: keep.__mul__), layer, states, mask)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["unmasked", "masked"])
def test_both_directions_of_the_training_layer_give_what_keras_gives(kind, mask):
    layer = keras_layer(kind, bidirectional=True)
    expected = outcome(layer, layer, [], mask)
    found = outcome(layers.training_layer(layer), layer, [], mask)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("go_backwards", [False, True])
def test_the_inference_layer_gives_what_the_training_layer_gives(kind, go_backwards):
    layer = keras_layer(kind, go_backwards=go_backwards)
    mask = tf.constant(MASK)
    expected = layers.training_layer(layer)(tf.constant(INPUTS), mask=mask)
    gates = layers.math_of(layer).step_gates(layer)
    hidden, states = layers.inference_layer(layer, gates)(tf.constant(INPUTS), mask)
    for a, b in zip(expected, [hidden, *states], strict=True):
        present = MASK[:, :, None] if len(a.shape) == 3 else True
        np.testing.assert_allclose(np.where(present, b, 0), np.where(present, a, 0), atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_the_step_layer_gives_position_by_position_what_the_layer_gives_at_once(kind):
    layer = keras_layer(kind)
    outputs, *last = layer(INPUTS)
    step, states = layers.step_layer(layer), zero_states(kind)
    for position in range(INPUTS.shape[1]):
        inputs = tf.constant(INPUTS[:, position : position + 1])
        output, *states = step(inputs, initial_state=states)
        np.testing.assert_allclose(output[:, 0], outputs[:, position], atol=1e-6)
    for a, b in zip(last, states, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_training_in_bfloat16_stays_close_to_float32(kind):
    exact, rounded = keras_layer(kind), keras_layer(kind, dtype="mixed_bfloat16")
    results = []
    for layer in (exact, rounded):
        found = outcome(layers.training_layer(layer), layer, random_states(kind), MASK)
        results.append([tf.cast(tensor, tf.float32) for tensor in found])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b, a, atol=0.5, rtol=0.1)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_training_computes_the_recurrence_and_not_the_loop_of_keras(monkeypatch, bidirectional):
    """Keras's loop gives the same values in more time: nothing else would show that it runs."""

    def fail(*arguments):
        raise AssertionError("Keras's layer was called")

    layer = keras_layer("LSTM", bidirectional=bidirectional)
    monkeypatch.setattr(keras.layers.LSTM, "call", fail)
    layers.training_layer(layer)(tf.constant(INPUTS))
    monkeypatch.setattr(layers, "recurrence", fail)
    with pytest.raises(AssertionError):
        layers.training_layer(layer)(tf.constant(INPUTS))


@pytest.mark.parametrize(("cell", "gates", "states"), [(LSTM_CELL, 4, 2), (GRU_CELL, 3, 1)])
def test_a_graph_for_one_sentence_of_one_length_computes_the_same(cell, gates, states):
    random, units = np.random.default_rng(0), 3

    def drawn(*shape: int) -> tf.Tensor:
        return tf.constant(random.normal(size=shape).astype(np.float32))

    projected, kernel, bias = (
        drawn(5, 1, gates * units),
        drawn(units, gates * units),
        drawn(gates * units),
    )
    first = [drawn(1, units) for _ in range(states)]
    mask = tf.constant([True, True, True, False, False])[:, None, None]

    def run(projected, kernel, bias) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([projected, kernel, bias])
            hidden, last = recurrence(cell, projected, first, kernel, bias, mask)
            loss = tf.reduce_sum(hidden * hidden) + tf.reduce_sum(last[0])
        return [hidden, *last, *tape.gradient(loss, [projected, kernel, bias])]

    def in_a_graph(positions: int | None) -> list[tf.Tensor]:
        signature = [tf.TensorSpec((positions, *projected.shape[1:]))]
        signature += [tf.TensorSpec(one.shape) for one in (kernel, bias)]
        return tf.function(run, input_signature=signature)(projected, kernel, bias)

    for known, unknown in zip(in_a_graph(5), in_a_graph(None), strict=True):
        np.testing.assert_allclose(known, unknown, atol=1e-6)
