"""Products in whole numbers of 8 bits, for processors that have instructions for them.

A matrix is held as whole numbers and one unit for each column; rows, which must lie within a
known bound, are rounded to whole numbers where they come in. The sums are exact, in 32 bits,
so all that is lost is that rounding: a 127th of the greatest value of a column, and of the
bound. Shapes: N rows, M values in a row, C columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Tensor = Any

# What a value and a weight of the greatest size become.
GREATEST = 127
# oneDNN takes rows without a sign: they are moved up by this, and the sums down again.
OFFSET = 128


class QuantizedProduct:
    """rows (N,M) or (B,T,M) float32, within ±bound → rows × matrix + bias, float32."""

    def __init__(self, matrix: np.ndarray, bias: np.ndarray | None = None, *, bound: float = 1.0):
        """matrix (M,C) and bias (C,) float32."""
        greatest = np.abs(matrix).max(axis=0)
        if bias is not None:  # which is added to sums of 32 bits
            greatest = np.maximum(greatest, np.abs(bias) / (1000 * bound))
        greatest = np.where(greatest == 0, 1, greatest)
        self._rate = np.float32(GREATEST / bound)
        self._unit = np.float32(greatest / GREATEST / self._rate)
        self._whole = np.rint(matrix * (GREATEST / greatest)).astype(np.int8)
        offset = -OFFSET * self._whole.sum(axis=0, dtype=np.int64)
        self._bias = np.float32(offset if bias is None else offset + bias / self._unit)

    def __call__(self, rows: Tensor) -> Tensor:
        """The product."""
        # Made here, in the graph that takes the product: of constants there, oneDNN keeps
        # its own layout.
        return self._product(rows, tf.constant(self._whole), self._bias, self._unit)

    def columns(self, chosen: Tensor) -> Callable[[Tensor], Tensor]:
        """The product with the columns chosen (C',) alone, which are gathered once, here."""
        # Whole rows are gathered in a tenth of the time of single values.
        whole = tf.transpose(tf.gather(tf.constant(self._whole.T), chosen))
        bias, unit = (tf.gather(tf.constant(v), chosen) for v in (self._bias, self._unit))
        return lambda rows: self._product(rows, whole, bias, unit)

    def _product(self, rows: Tensor, whole: Tensor, bias: Tensor, unit: Tensor) -> Tensor:
        flat = tf.reshape(rows, [-1, rows.shape[-1]])
        moved = tf.cast(tf.round(flat * self._rate) + OFFSET, tf.uint8)
        # Limits of 8 bits on both sides say that a unit of the sums is 1.
        sums = tf.raw_ops.QuantizedMatMulWithBiasAndDequantize(
            a=tf.bitcast(moved, tf.quint8),
            b=tf.bitcast(whole, tf.qint8),
            bias=bias,
            min_a=0.0,
            max_a=255.0,
            min_b=-float(GREATEST),
            max_b=float(GREATEST),
            min_freezed_output=-1.0,  # of another kind of output
            max_freezed_output=1.0,
            input_quant_mode="SCALED",
            Toutput=tf.float32,
        )
        shape = tf.concat([tf.shape(rows)[:-1], [tf.shape(sums)[1]]], axis=0)
        return tf.ensure_shape(tf.reshape(sums * unit, shape), [*rows.shape[:-1], sums.shape[1]])


def quantized_dense(layer: keras.layers.Dense, *, bound: float) -> Callable[[Tensor], Tensor]:
    """What a dense layer does, with its product in whole numbers."""
    bias = None if layer.bias is None else values(layer.bias)
    product = QuantizedProduct(values(layer.kernel), bias, bound=bound)
    return lambda rows: layer.activation(product(rows))


def values(variable: keras.Variable) -> np.ndarray:
    """What a variable holds, also while a graph is traced."""
    with tf.init_scope():
        return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)
