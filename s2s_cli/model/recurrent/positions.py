"""A decoder step on one position after the other, where a position depends on the one before it.

Shapes: B sentences, T positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

Tensor = Any
Tensors = dict[str, Tensor]
# inputs (B,1,…), states (B,…) by name, constants → outputs (B,1,…), the next states.
Step = Callable[[list[Tensor], Tensors, Tensors], tuple[list[Tensor], Tensors]]


def over_positions(
    step: Step,
    inputs: list[Tensor],
    states: Tensors,
    constants: Tensors,
    parts: Sequence[keras.Layer] = (),
) -> tuple[list[Tensor], Tensors]:
    """inputs (B,T,…) → the outputs of the step at each position, (B,T,…), and the last states.

    `parts` are the layers that the step calls; a Keras model is made of them.
    """
    if keras.utils.is_keras_tensor(inputs[0]):
        # Called once on its own, each layer gets the path for its weights that it has elsewhere.
        step([keras.ops.expand_dims(one[:, 0], 1) for one in inputs], states, constants)
        return PositionLoop(step, parts)(inputs, states, constants)  # type: ignore[no-any-return]
    return _loop(step, inputs, states, constants)


class PositionLoop(keras.layers.Layer):  # type: ignore[misc]
    """The loop in a Keras model. Keras has no such layer, so it cannot be loaded elsewhere."""

    def __init__(self, step: Step, parts: Sequence[keras.Layer]):
        policy = parts[0].dtype_policy
        super().__init__(name="position_loop", dtype=policy, autocast=False)
        self._step, self.parts = step, list(parts)
        self.built = True

    def call(
        self, inputs: list[Tensor], states: Tensors, constants: Tensors
    ) -> tuple[list[Tensor], Tensors]:
        """See `over_positions`."""
        return _loop(self._step, inputs, states, constants)


def _loop(
    step: Step, inputs: list[Tensor], states: Tensors, constants: Tensors
) -> tuple[list[Tensor], Tensors]:
    length = tf.shape(inputs[0])[1]
    given = [
        tf.TensorArray(one.dtype, length).unstack(tf.transpose(one, (1, 0, 2))) for one in inputs
    ]

    def at(position: Tensor, states: Tensors) -> tuple[list[Tensor], Tensors]:
        outputs, states = step([one.read(position)[:, None] for one in given], states, constants)
        return [output[:, 0] for output in outputs], states

    def advance(position: Tensor, states: Tensors, found: list[Any]) -> Any:
        outputs, states = at(position, states)
        found = [one.write(position, output) for one, output in zip(found, outputs, strict=True)]
        return position + 1, states, found

    # The first position shows the dtypes of the outputs.
    outputs, states = at(tf.constant(0), states)
    found = [tf.TensorArray(one.dtype, length).write(0, one) for one in outputs]
    _, states, found = tf.while_loop(
        lambda position, *_: position < length,
        advance,
        (tf.constant(1), states, found),
        parallel_iterations=1,
    )
    return [tf.transpose(one.stack(), (1, 0, 2)) for one in found], states
