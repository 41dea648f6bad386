"""Dropout whose draws follow from (seed, step, layer, row of the global batch).

So sub-batches and replicas, which take some rows of a batch each, draw what one device would
draw for the whole batch, in every precision, and a resumed training draws what it would have
drawn. Keras's layer draws from a generator, in the precision of its inputs: from one seed,
bfloat16 drops other values than float32, and 0.305 of them instead of 0.3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

Tensor = Any
# The counter-based generator of https://doi.org/10.1145/2063384.2063405, as TensorFlow numbers it.
PHILOX = 1
# What one count of the generator gives: four numbers of 32 bits, a 16-bit draw in each half.
DRAWS_PER_COUNT = 8
# The number of a forward pass stands above the bits of the step.
FORWARD_PASS = 1 << 40


@dataclass(frozen=True)
class DropoutDraws:
    """The random draws of one step, for the rows of a batch from `first_row` on.

    `step` and `first_row` are scalar tensors, int64. All parts of a batch must be padded to
    the same width.
    """

    seed: int
    step: Tensor
    first_row: Tensor
    forward_pass: Tensor | int = 0
    """Which of the forward passes of a step draws."""

    def dropout(
        self, name: str, rate: float, *, same_at_all_positions: bool = False
    ) -> Callable[[Tensor], Tensor]:
        """The dropout layer `name`: a function of inputs (B,…) of any float dtype, or (B,T,D) with
        the same draws at all positions (https://arxiv.org/abs/1512.05287)."""
        if rate == 0:
            return _unchanged

        def drop(inputs: Tensor) -> Tensor:
            shape = tf.shape(inputs)
            if same_at_all_positions:
                shape = shape * [1, 0, 1] + [0, 1, 0]
            drawn = tf.reshape(self._draw(name, shape), shape)
            keep = drawn >= round(rate * (1 << 16))
            return tf.where(keep, inputs / (1 - rate), tf.zeros([], inputs.dtype))

        return drop

    def chosen(self, name: str, rate: Tensor | float, shape: Tensor) -> Tensor:
        """Which positions of a tensor (B,…) of this shape are chosen, each with probability `rate`
        (in steps of 2**-16), bool; `name` says what they are chosen for."""
        drawn = tf.reshape(self._draw(name, shape), shape)
        # A rate of 1 is no number of 16 bits.
        return tf.cast(drawn, tf.float32) < tf.round(rate * (1 << 16))

    def uniform(self, name: str, shape: Tensor) -> Tensor:
        """Numbers from 0 to 1 at the positions of a tensor (B,T) of this shape, float32; `name` says
        what they are drawn for."""
        halves = self._draw(name, tf.concat([shape, [2]], axis=0))
        halves = tf.cast(tf.reshape(halves, tf.concat([shape, [2]], axis=0)), tf.float32)
        return (halves[..., 0] + halves[..., 1] / (1 << 16)) / (1 << 16)

    def of_next_pass(self) -> DropoutDraws:
        """Other draws for the same rows, for the next forward pass of the step."""
        return replace(self, forward_pass=self.forward_pass + 1)

    def uniform_scalar(self, name: str) -> Tensor:
        """A number for the whole step, () float32 in [0, 1): the same for all rows of the batch."""
        drawn = self._generate(name, tf.zeros([], tf.int64), [1])[0]
        # 24 bits, which float32 holds exactly.
        return tf.cast(tf.bitwise.right_shift(drawn, tf.constant(8, tf.uint32)), tf.float32) / 2**24

    def _draw(self, name: str, shape: Tensor) -> Tensor:
        """A draw of 16 bits for each value of a tensor of this shape, (B, values of a row) uint16."""
        rows, values = shape[0], tf.reduce_prod(shape[1:])
        counts = -(-values // DRAWS_PER_COUNT)
        first = self.first_row * tf.cast(counts, tf.int64)
        drawn = self._generate(name, first, tf.stack([rows, counts * DRAWS_PER_COUNT // 2]))
        bits = tf.reshape(tf.bitcast(drawn, tf.uint16), [rows, counts * DRAWS_PER_COUNT])
        return bits[:, :values]

    def _generate(self, name: str, first: Tensor, shape: Tensor) -> Tensor:
        """Random bits, uint32, from the count `first` of the generator of (seed, name, step and
        forward pass) on."""
        step = self.step + self.forward_pass * FORWARD_PASS
        digest = hashlib.blake2b(f"{self.seed}\t{name}".encode(), digest_size=8).digest()
        return tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=shape,
            key=tf.constant([int.from_bytes(digest, "big")], tf.uint64),
            counter=tf.cast(tf.stack([first, step]), tf.uint64),
            alg=PHILOX,
            dtype=tf.uint32,
        )


def dropout_function(layer: Any, draws: DropoutDraws | None) -> Callable[[Tensor], Tensor]:
    """What replaces a dropout layer of Keras: dropout as drawn, or no dropout for None."""
    if draws is None:
        return _unchanged
    is_same = layer.noise_shape is not None
    return draws.dropout(layer.name, layer.rate, same_at_all_positions=is_same)


def _unchanged(inputs: Tensor) -> Tensor:
    return inputs
