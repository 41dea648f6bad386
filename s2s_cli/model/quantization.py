"""Matrix products in 8-bit integers, for processors that have instructions for them.

A weight matrix is stored as integers with one scale for each column; input rows are rounded to
integers, with a scale that follows from a known bound, or from the largest absolute value of each
row, so that what a row gives never depends on the others. The sums are exact, in 32 bits, so all
that is lost is the rounding: 1/127 of the largest absolute value of a column, and of the bound or
the row.
Shapes: N rows, M values in a row, C columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Tensor = Any
Array = np.ndarray[Any, Any]

# The integer that the largest absolute value becomes.
MAX_INT8 = 127
# oneDNN takes unsigned rows: this is added to them, and its effect subtracted from the sums.
OFFSET = 128


class QuantizedProduct:
    """rows (N,M) or (B,T,M) float32 → rows × matrix + bias, float32."""

    def __init__(self, matrix: Array, bias: Array | None = None, *, bound: float | None = 1.0):
        """matrix (M,C) and bias (C,) float32; rows within ±bound, or None: rows of any size."""
        self._bound = bound
        largest: Array = np.abs(matrix).max(axis=0)
        if bias is not None and bound is not None:
            # The bias is added to the sums, in 32 bits, where it must not overflow.
            largest = np.maximum(largest, np.abs(bias) / (1000 * bound))
        largest = np.where(largest == 0, 1, largest)
        self._scale = (largest / MAX_INT8 * (bound or 1) / MAX_INT8).astype(np.float32)
        self._integers = np.rint(matrix * (MAX_INT8 / largest)).astype(np.int8)
        self._bias = np.zeros_like(self._scale) if bias is None else np.float32(bias)
        offset = -OFFSET * self._integers.sum(axis=0, dtype=np.int64)
        if bound is not None:
            offset = offset + self._bias / self._scale
        self._offset = np.float32(offset)

    def __call__(self, rows: Tensor) -> Tensor:
        """The product."""
        # The constant is made in the graph that uses it: for constants of its own graph,
        # oneDNN caches the matrix in the layout that it prefers.
        columns = (self._offset, self._scale, self._bias)
        return self._product(rows, tf.constant(self._integers), *columns)

    def columns(self, chosen: Tensor) -> Callable[[Tensor], Tensor]:
        """The product with the columns chosen (C',) only, which are gathered once, here."""
        # Gathering whole rows takes a tenth of the time of gathering single values.
        integers = tf.transpose(tf.gather(tf.constant(self._integers.T), chosen))
        columns = [
            tf.gather(tf.constant(values), chosen)
            for values in (self._offset, self._scale, self._bias)
        ]
        return lambda rows: self._product(rows, integers, *columns)

    def _product(
        self, rows: Tensor, integers: Tensor, offset: Tensor, scale: Tensor, bias: Tensor
    ) -> Tensor:
        is_matrix = rows.shape.rank == 2
        flat = rows if is_matrix else tf.reshape(rows, [-1, rows.shape[-1]])
        largest = self._bound
        if largest is None:
            largest = tf.reduce_max(tf.abs(flat), axis=1, keepdims=True)
            largest = tf.maximum(largest, 1e-30)  # a row of zeros
        # The cast truncates, so half of a step more rounds.
        unsigned = tf.cast(flat * (MAX_INT8 / largest) + (OFFSET + 0.5), tf.uint8)
        sums = integer_product(unsigned, integers, offset)
        found = sums * scale
        if self._bound is None:
            found = found * largest + bias
        return found if is_matrix else with_positions(found, rows)


def with_positions(found: Tensor, inputs: Tensor) -> Tensor:
    """The rows found (B×T,C) for inputs (…,T,D), as (…,T,C)."""
    if inputs.shape.rank == 3 and inputs.shape[1] == 1:
        return tf.reshape(found, [-1, 1, found.shape[1] or tf.shape(found)[1]])
    shape = tf.concat([tf.shape(inputs)[:-1], [tf.shape(found)[1]]], axis=0)
    return tf.ensure_shape(tf.reshape(found, shape), [*inputs.shape[:-1], found.shape[1]])


def integer_product(rows: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """rows (N,M) uint8 × matrix (M,C) int8 + offset (C,) float32 → (N,C) float32, exact."""
    # The ranges 0..255 and ±127 say that both sides are scaled by 1.
    return tf.raw_ops.QuantizedMatMulWithBiasAndDequantize(
        a=tf.bitcast(rows, tf.quint8),
        b=tf.bitcast(matrix, tf.qint8),
        bias=offset,
        min_a=0.0,
        max_a=255.0,
        min_b=-float(MAX_INT8),
        max_b=float(MAX_INT8),
        min_freezed_output=-1.0,  # not used for float32 outputs
        max_freezed_output=1.0,
        input_quant_mode="SCALED",
        Toutput=tf.float32,
    )


def quantized_dense(
    layer: keras.layers.Dense, *, bound: float | None
) -> Callable[[Tensor], Tensor]:
    """A function that does what a dense layer does, with an 8-bit product."""
    bias = None if layer.bias is None else numpy_values(layer.bias)
    product = QuantizedProduct(numpy_values(layer.kernel), bias, bound=bound)
    return lambda rows: layer.activation(product(rows))


def numpy_values(variable: keras.Variable) -> Array:
    """The current values of a variable as float32, also while a graph is traced."""
    with tf.init_scope():
        return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)
