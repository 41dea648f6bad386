"""Functions that do what a Keras recurrent layer does, with its weights, in less time.

Each is called as the layer is called, and takes its place in the family's layers. They rely on
the layer's defaults (tanh and sigmoid, bias, no dropout inside), which the family always uses,
and on masks whose padding stands on the right.
Shapes: B sentences, T positions, E features, U units, G gates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from s2s_cli.model.dropout import DropoutDraws
from s2s_cli.model.quantization import numpy_values
from s2s_cli.model.recurrent.recurrence import (
    GRU_CELL,
    LSTM_CELL,
    Tensor,
    TensorList,
    recurrence,
    row_product,
    scan,
)

# inputs (B,E), hidden (B,U) → what the cell's `advance` takes.
Gates = Callable[[Tensor, Tensor], Any]
# A recurrent layer of Keras in one direction → the dropout of its hidden states (B,U).
RecurrentDropout = Callable[[Any], Callable[[Tensor], Tensor]]


class LSTMMath:
    """The arithmetic of an LSTM layer."""

    @staticmethod
    def train(
        layer: Any,
        inputs: Tensor,
        states: TensorList,
        mask: Tensor | None,
        keep: Tensor | None,
    ) -> tuple[Tensor, TensorList]:
        """inputs (T,B,E) → hidden (T,B,U), the last states; with a gradient. For `keep` see
        `recurrence`."""
        scale = tf.repeat(tf.constant([1.0, 1.0, 2.0, 1.0], inputs.dtype), layer.units)
        kernel, recurrent, bias = (weight * scale for weight in _weights(layer, inputs.dtype))
        projected = tf.tensordot(inputs, kernel, 1)
        return recurrence(LSTM_CELL, projected, states, recurrent, bias, mask, keep)

    @staticmethod
    def step_gates(layer: Any) -> Gates:
        """The gates of one position, with weights that are read here, once."""
        kernel, recurrent, bias = _weights(layer, layer.compute_dtype)
        product = row_product(tf.concat([kernel, recurrent], axis=0))

        def gates(inputs: Tensor, hidden: Tensor) -> Tensor:
            both = tf.concat([inputs, tf.cast(hidden, inputs.dtype)], axis=1)
            return tf.nn.bias_add(product(both), bias)

        return gates

    @staticmethod
    def biases(layer: Any) -> tuple[Any, Any]:
        """The bias of the product with the inputs and of that with the hidden state, or None."""
        return numpy_values(layer.cell.bias), None

    @staticmethod
    def combine(projected: Tensor, recurrent: Tensor) -> Tensor:
        """What `advance` takes, from both products (B,G×U)."""
        return projected + recurrent

    @staticmethod
    def advance(gates: Tensor, states: TensorList) -> TensorList:
        """The states after a position, float32."""
        i, f, g, o = tf.split(tf.cast(gates, tf.float32), 4, axis=1)
        cell = tf.sigmoid(f) * states[1] + tf.sigmoid(i) * tf.tanh(g)
        return [tf.sigmoid(o) * tf.tanh(cell), cell]


class GRUMath:
    """The arithmetic of a GRU layer."""

    @staticmethod
    def train(
        layer: Any,
        inputs: Tensor,
        states: TensorList,
        mask: Tensor | None,
        keep: Tensor | None,
    ) -> tuple[Tensor, TensorList]:
        """inputs (T,B,E) → hidden (T,B,U), the last states; with a gradient. For `keep` see
        `recurrence`."""
        kernel, recurrent, biases = _weights(layer, inputs.dtype)
        bias, recurrent_bias = tf.unstack(biases)
        projected = tf.tensordot(inputs, kernel, 1) + bias
        return recurrence(GRU_CELL, projected, states, recurrent, recurrent_bias, mask, keep)

    @staticmethod
    def step_gates(layer: Any) -> Gates:
        """The gates of one position, with weights that are read here, once."""
        kernel, recurrent, biases = _weights(layer, layer.compute_dtype)
        bias, recurrent_bias = tf.unstack(biases)
        product, recurrent_product = row_product(kernel), row_product(recurrent)

        def gates(inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
            hidden = tf.cast(hidden, inputs.dtype)
            return (
                tf.nn.bias_add(product(inputs), bias),
                tf.nn.bias_add(recurrent_product(hidden), recurrent_bias),
            )

        return gates

    @staticmethod
    def biases(layer: Any) -> tuple[Any, Any]:
        """The bias of the product with the inputs and of that with the hidden state."""
        bias, recurrent_bias = numpy_values(layer.cell.bias)
        return bias, recurrent_bias

    @staticmethod
    def combine(projected: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor]:
        """What `advance` takes, from both products (B,G×U)."""
        return projected, recurrent

    @staticmethod
    def advance(gates: tuple[Tensor, Tensor], states: TensorList) -> TensorList:
        """The states after a position, float32."""
        return GRU_CELL.forward(*gates, states)[0]


def math_of(layer: Any) -> type[LSTMMath] | type[GRUMath]:
    """The arithmetic of a recurrent layer."""
    return LSTMMath if isinstance(layer, keras.layers.LSTM) else GRUMath


def directions(layer: Any) -> list[Any]:
    """The one or two recurrent layers that an encoder layer consists of."""
    is_both = isinstance(layer, keras.layers.Bidirectional)
    return [layer.forward_layer, layer.backward_layer] if is_both else [layer]


def training_layer(
    layer: Any, recurrent_dropout: RecurrentDropout | None = None
) -> Callable[..., TensorList]:
    """The layer, in one direction or in both, over all positions at once; with a gradient.

    (inputs (B,T,E), mask (B,T) or None, initial states) → hidden (B,T,·), the last states. On
    a GPU it is Keras's layer itself, which uses cuDNN, but for recurrent dropout.
    """
    if recurrent_dropout is None and tf.config.list_physical_devices("GPU"):
        return layer  # type: ignore[no-any-return]

    def run(
        inputs: Tensor, mask: Tensor | None = None, initial_state: TensorList | None = None
    ) -> TensorList:
        inputs = tf.transpose(tf.cast(inputs, layer.compute_dtype), (1, 0, 2))
        mask = None if mask is None else tf.transpose(mask)[:, :, None]
        found = [
            _train(one, inputs, mask, initial_state, recurrent_dropout) for one in directions(layer)
        ]
        hidden = tf.concat([hidden for hidden, _ in found], axis=2)
        states = [state for _, states in found for state in states]
        return [tf.transpose(hidden, (1, 0, 2)), *states]

    return run


def _train(
    layer: Any,
    inputs: Tensor,
    mask: Tensor | None,
    states: TensorList | None,
    recurrent_dropout: RecurrentDropout | None,
) -> tuple[Tensor, TensorList]:
    """One direction: inputs (T,B,E) → hidden (T,B,U) in the order of the inputs, the last states."""
    if states is None:
        states = zero_states(layer, tf.shape(inputs)[1])
    keep = None if recurrent_dropout is None else recurrent_dropout(layer)(tf.ones_like(states[0]))
    if not layer.go_backwards:
        return math_of(layer).train(layer, inputs, states, mask, keep)
    # Reversed, the padding comes first, and the states stay zero there.
    inputs, mask = tf.reverse(inputs, [0]), None if mask is None else tf.reverse(mask, [0])
    hidden, last = math_of(layer).train(layer, inputs, states, mask, keep)
    return tf.reverse(hidden, [0]), last


def inference_layer(layer: Any, gates: Gates) -> Callable[..., Any]:
    """One direction of an encoder layer with other products, for inference.

    (inputs (B,T,E), mask (B,T)) → hidden (B,T,U) in that order, the last states. `gates`
    replaces the products with the weights.
    """
    math = math_of(layer)

    def advance(inputs: Tensor, states: TensorList) -> tuple[TensorList, TensorList]:
        return math.advance(gates(inputs, states[0]), states), []

    def run(inputs: Tensor, mask: Tensor) -> tuple[Tensor, TensorList]:
        inputs = tf.transpose(inputs, (1, 0, 2))
        last, after, _ = scan(
            advance,
            inputs,
            zero_states(layer, tf.shape(inputs)[1]),
            tf.transpose(mask)[:, :, None],
            backwards=layer.go_backwards,
        )
        return tf.transpose(after[0], (1, 0, 2)), last

    return run


def step_layer(layer: Any, gates: Gates | None = None) -> Callable[..., TensorList]:
    """A decoder layer for one position of a search, with weights that are read here, once.

    (inputs (B,1,E), initial states) → as the layer, but with float32 states. `gates` replaces
    the product with the weights.
    """
    math = math_of(layer)
    gates = gates or math.step_gates(layer)

    def step(inputs: Tensor, initial_state: TensorList) -> TensorList:
        states = [tf.cast(state, tf.float32) for state in initial_state]
        new = math.advance(gates(inputs[:, 0], states[0]), states)
        return [tf.cast(new[0], layer.compute_dtype)[:, None], *new]

    return step


def fed_layer(layer: Any, recurrent_dropout: RecurrentDropout | None) -> Callable[..., TensorList]:
    """A decoder layer for one position of a training with input feeding; see `step_layer`."""
    gates = math_of(layer).step_gates(layer)
    if recurrent_dropout is None:
        return step_layer(layer, gates)
    drop = recurrent_dropout(layer)
    return step_layer(layer, lambda inputs, hidden: gates(inputs, drop(hidden)))


def recurrent_dropout(draws: DropoutDraws, rate: float, layer: Any) -> Callable[[Tensor], Tensor]:
    """The dropout of the hidden states of a recurrent layer, the same at all positions."""
    return draws.dropout(f"{layer.name}_recurrent", rate)


def zero_states(layer: Any, rows: Tensor) -> TensorList:
    """The states before the first position, (rows,U) float32."""
    return [tf.zeros([rows, size]) for size in tf.nest.flatten(layer.state_size)]


def _weights(layer: Any, dtype: Any) -> TensorList:
    """Kernel, recurrent kernel, and bias or biases, in the precision of the products."""
    cell = layer.cell
    variables = (cell.kernel, cell.recurrent_kernel, cell.bias)
    return [tf.cast(variable.value, dtype) for variable in variables]
