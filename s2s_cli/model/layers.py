"""Layers that hold what Keras's hold and give what they give, in less time on a processor.

Masks must have their padding on the right. On a GPU, Keras takes cuDNN. Shapes:
B sentences, T positions, E features, U units, G gates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from s2s_cli.model.quantized import values
from s2s_cli.model.recurrence import GRU_CELL, LSTM_CELL, Tensor, Tensors, recurrence, scan, times


class _Hoisted:
    """Takes the loop of a Keras layer over; its weights and its call stay Keras's."""

    # inputs (T,B,E), states, mask (T,B,1) or None → hidden (T,B,U), the last states
    _loop: Callable[[Tensor, Tensors, Tensor | None], tuple[Tensor, Tensors]]
    # Made once for all positions: inputs (B,E), hidden (B,U) → what `_advanced` takes
    _gates: Callable[[], Callable[[Tensor, Tensor], Any]]
    # gates, states → the new states
    _advanced: Callable[[Any, Tensors], Tensors]

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Makes the weights. Of Keras's options, those of the cell must be its defaults."""
        super().build(sequences_shape, initial_state_shape)  # type: ignore[misc]
        cell = self.cell  # type: ignore[attr-defined]
        assert cell.use_bias and not cell.dropout and not cell.recurrent_dropout
        functions = (cell.activation, cell.recurrent_activation)
        assert functions == (keras.activations.tanh, keras.activations.sigmoid)

    def inner_loop(
        self, sequences: Tensor, initial_state: Tensors, mask: Tensor, training: bool = False
    ) -> tuple[Tensor, Tensor, Tensors]:
        """sequences (B,T,E) → the last hidden state, all of them (B,T,U), the last states."""
        if isinstance(sequences, keras.KerasTensor) or tf.config.list_physical_devices("GPU"):
            return super().inner_loop(sequences, initial_state, mask, training)  # type: ignore[misc]
        inputs = tf.transpose(sequences, (1, 0, 2))
        masks = None if mask is None else tf.transpose(mask)[:, :, None]
        if self.go_backwards:  # type: ignore[attr-defined]
            inputs = tf.reverse(inputs, [0])
            masks = None if masks is None else tf.reverse(masks, [0])
        hidden, last = self._loop(inputs, list(initial_state), masks)
        # Going backwards, padding comes first, and Keras gives nothing before a state.
        if masks is not None and (self.zero_output_for_mask or self.go_backwards):  # type: ignore[attr-defined]
            hidden = tf.where(masks, hidden, tf.zeros([], hidden.dtype))
        return last[0], tf.transpose(hidden, (1, 0, 2)), last

    def stepper(
        self, gates: Callable[[Tensor, Tensor], Any] | None = None
    ) -> Callable[[Tensor, Tensors], Tensors]:
        """What stands in for the layer in a search: (sequences (B,1,E), states) → as the layer,
        but with states in float32.

        What all positions have in common is computed once, where this is called. `gates`
        takes another product than that of the weights.
        """
        gates = gates or self._gates()

        def step(sequences: Tensor, initial_state: Tensors) -> Tensors:
            states = [tf.cast(state, tf.float32) for state in initial_state]
            new = self._advanced(gates(sequences[:, 0], states[0]), states)
            return [tf.cast(new[0], self.compute_dtype)[:, None], *new]  # type: ignore[attr-defined]

        return step

    def walker(
        self, gates: Callable[[Tensor, Tensor], Any]
    ) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensors]]:
        """What stands in for the layer in an encoder that is asked only: (sequences (B,T,E), mask
        (B,T)) → hidden (B,T,U) in that order, the last states, with the product `gates`."""

        def advance(inputs: Tensor, states: Tensors) -> tuple[Tensors, Tensors]:
            return self._advanced(gates(inputs, states[0]), states), []

        def walk(sequences: Tensor, mask: Tensor) -> tuple[Tensor, Tensors]:
            rows = tf.shape(sequences)[0]
            last, after, _ = scan(
                advance,
                tf.transpose(sequences, (1, 0, 2)),
                [tf.zeros([rows, size]) for size in tf.nest.flatten(self.state_size)],  # type: ignore[attr-defined]
                tf.transpose(mask)[:, :, None],
                backwards=self.go_backwards,  # type: ignore[attr-defined]
            )
            return tf.transpose(after[0], (1, 0, 2)), last

        return walk

    def _weights(self, dtype: Any) -> Tensors:
        """Kernel, recurrent kernel, and bias or biases, in the precision of the products."""
        cell = self.cell  # type: ignore[attr-defined]
        variables = (cell.kernel, cell.recurrent_kernel, cell.bias)
        return [tf.cast(variable.value, dtype) for variable in variables]


@keras.saving.register_keras_serializable("s2s")
class LSTM(_Hoisted, keras.layers.LSTM):
    """`keras.layers.LSTM` with its defaults, faster on a processor."""

    def _loop(self, inputs: Tensor, states: Tensors, mask: Tensor | None) -> tuple[Tensor, Tensors]:
        # With the candidate doubled, tanh(x) = 2 sigmoid(2 x) - 1 makes one function of all gates.
        scale = tf.repeat(tf.constant([1.0, 1.0, 2.0, 1.0], inputs.dtype), self.units)
        kernel, recurrent, bias = (weight * scale for weight in self._weights(inputs.dtype))
        return recurrence(LSTM_CELL, tf.tensordot(inputs, kernel, 1), states, recurrent, bias, mask)

    def _gates(self) -> Callable[[Tensor, Tensor], Tensor]:
        kernel, recurrent, bias = self._weights(self.compute_dtype)
        times_both = times(tf.concat([kernel, recurrent], axis=0))

        def gates(inputs: Tensor, hidden: Tensor) -> Tensor:
            both = tf.concat([inputs, tf.cast(hidden, inputs.dtype)], axis=1)
            return tf.nn.bias_add(times_both(both), bias)

        return gates

    def split_bias(self) -> tuple[Any, Any]:
        """The bias of the product with the inputs and of that with the states, or None."""
        return values(self.cell.bias), None

    def joined_gates(self, projected: Tensor, inner: Tensor) -> Tensor:
        """What `_advanced` takes, of both products (B,G×U)."""
        return projected + inner

    def _advanced(self, gates: Tensor, states: Tensors) -> Tensors:
        i, f, g, o = tf.split(tf.cast(gates, tf.float32), 4, axis=1)
        cell = tf.sigmoid(f) * states[1] + tf.sigmoid(i) * tf.tanh(g)
        return [tf.sigmoid(o) * tf.tanh(cell), cell]


@keras.saving.register_keras_serializable("s2s")
class GRU(_Hoisted, keras.layers.GRU):
    """`keras.layers.GRU` with its defaults, faster on a processor."""

    def _loop(self, inputs: Tensor, states: Tensors, mask: Tensor | None) -> tuple[Tensor, Tensors]:
        kernel, recurrent, biases = self._weights(inputs.dtype)
        bias, recurrent_bias = tf.unstack(biases)
        projected = tf.tensordot(inputs, kernel, 1) + bias
        return recurrence(GRU_CELL, projected, states, recurrent, recurrent_bias, mask)

    def _gates(self) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        kernel, recurrent, biases = self._weights(self.compute_dtype)
        bias, recurrent_bias = tf.unstack(biases)
        times_kernel, times_recurrent = times(kernel), times(recurrent)

        def gates(inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
            inner = times_recurrent(tf.cast(hidden, inputs.dtype))
            return (
                tf.nn.bias_add(times_kernel(inputs), bias),
                tf.nn.bias_add(inner, recurrent_bias),
            )

        return gates

    def split_bias(self) -> tuple[Any, Any]:
        """The bias of the product with the inputs, and of that with the states."""
        bias, recurrent_bias = values(self.cell.bias)
        return bias, recurrent_bias

    def joined_gates(self, projected: Tensor, inner: Tensor) -> tuple[Tensor, Tensor]:
        """What `_advanced` takes, of both products (B,G×U)."""
        return projected, inner

    def _advanced(self, gates: tuple[Tensor, Tensor], states: Tensors) -> Tensors:
        return GRU_CELL.forward(*gates, states)[0]


@keras.saving.register_keras_serializable("s2s")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` that draws alike in every precision.

    Keras draws in the precision of the inputs: from one seed, bfloat16 drops other values than
    float32, and 0.305 of them instead of 0.3.
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """inputs of any shape → the same with a share of zeros, the rest scaled up."""
        if not training or self.rate == 0:
            return inputs
        count = tf.size(inputs)
        # Two draws of 16 bits each in a number.
        seed = tf.cast(self.seed_generator.next(), tf.int64)
        drawn = tf.random.stateless_uniform(
            [(count + 1) // 2], seed, minval=None, maxval=None, dtype=tf.uint32
        )
        bits = tf.reshape(tf.bitcast(drawn, tf.uint16), [-1])[:count]
        is_kept = tf.reshape(bits, tf.shape(inputs)) >= round(self.rate * (1 << 16))
        return tf.where(is_kept, inputs / (1 - self.rate), tf.zeros([], inputs.dtype))
