"""LSTM and GRU that hold what Keras's hold and give what they give, in less time on a processor.

Masks must have their padding on the right. On a GPU, Keras takes cuDNN. Shapes:
B sentences, T positions, E features, U units, G gates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from s2s_cli.model.recurrence import GRU_CELL, LSTM_CELL, Tensor, Tensors, recurrence, times


class _Hoisted:
    """Takes the loop of a Keras layer over; its weights and its call stay Keras's."""

    # inputs (T,B,E), states, mask (T,B,1) or None → hidden (T,B,U), the last states
    _loop: Callable[[Tensor, Tensors, Tensor | None], tuple[Tensor, Tensors]]
    # inputs (B,E), states → the new states
    _advancer: Callable[[], Callable[[Tensor, Tensors], Tensors]]

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

    def stepper(self) -> Callable[[Tensor, Tensors], Tensors]:
        """What stands in for the layer in a search: (sequences (B,1,E), states) → as the layer,
        but with states in float32.

        What all positions have in common is computed once, where this is called.
        """
        advance = self._advancer()

        def step(sequences: Tensor, initial_state: Tensors) -> Tensors:
            states = advance(sequences[:, 0], [tf.cast(s, tf.float32) for s in initial_state])
            return [tf.cast(states[0], sequences.dtype)[:, None], *states]

        return step

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

    def _advancer(self) -> Callable[[Tensor, Tensors], Tensors]:
        kernel, recurrent, bias = self._weights(self.compute_dtype)
        times_both = times(tf.concat([kernel, recurrent], axis=0))

        def advance(inputs: Tensor, states: Tensors) -> Tensors:
            hidden = tf.cast(states[0], inputs.dtype)
            gates = tf.nn.bias_add(times_both(tf.concat([inputs, hidden], axis=1)), bias)
            i, f, g, o = tf.split(tf.cast(gates, tf.float32), 4, axis=1)
            cell = tf.sigmoid(f) * states[1] + tf.sigmoid(i) * tf.tanh(g)
            return [tf.sigmoid(o) * tf.tanh(cell), cell]

        return advance


@keras.saving.register_keras_serializable("s2s")
class GRU(_Hoisted, keras.layers.GRU):
    """`keras.layers.GRU` with its defaults, faster on a processor."""

    def _loop(self, inputs: Tensor, states: Tensors, mask: Tensor | None) -> tuple[Tensor, Tensors]:
        kernel, recurrent, biases = self._weights(inputs.dtype)
        bias, recurrent_bias = tf.unstack(biases)
        projected = tf.tensordot(inputs, kernel, 1) + bias
        return recurrence(GRU_CELL, projected, states, recurrent, recurrent_bias, mask)

    def _advancer(self) -> Callable[[Tensor, Tensors], Tensors]:
        kernel, recurrent, biases = self._weights(self.compute_dtype)
        bias, recurrent_bias = tf.unstack(biases)
        times_kernel, times_recurrent = times(kernel), times(recurrent)

        def advance(inputs: Tensor, states: Tensors) -> Tensors:
            projected = tf.nn.bias_add(times_kernel(inputs), bias)
            inner = tf.nn.bias_add(
                times_recurrent(tf.cast(states[0], inputs.dtype)), recurrent_bias
            )
            return GRU_CELL.forward(projected, inner, states)[0]

        return advance
