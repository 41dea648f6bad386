"""The layers of a training step: each gives what the layer that it replaces gives, in less time.

They read the weights of Keras's layers, so a step changes those.
Shapes: B sentences, T positions, N = B × T, D model size, A attention heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from s2s_cli.model.embeddings import TiedOutput, read_output
from s2s_cli.model.normalization import layer_norm
from s2s_cli.model.quantization import with_positions
from s2s_cli.model.transformer.layers import Projections, join_heads, replaced, softmax

if TYPE_CHECKING:
    from s2s_cli.model.dropout import DropoutDraws
    from s2s_cli.model.transformer.model import TransformerLayers

Tensor = Any
Function = Callable[..., Any]


def training_layers(layers: TransformerLayers) -> TransformerLayers:
    """Returns the layers of a training step: several projections are one product, a dense layer is
    a product of two matrices, and layer normalisation is one operation with its own gradient."""

    def replace_one(part: Any) -> Function | None:
        if isinstance(part, Projections):
            return joined_projections(part)
        if part is softmax:
            return tf.nn.softmax  # type: ignore[no-any-return]
        if part is join_heads:
            return _join_heads
        if isinstance(part, keras.layers.LayerNormalization):
            return layer_norm(part)
        if isinstance(part, keras.layers.Dense):
            return dense(part)
        if isinstance(part, TiedOutput):
            return read_output(part)
        return None

    return replaced(layers, replace_one)


def with_layer_drop(layers: TransformerLayers, draws: DropoutDraws) -> TransformerLayers:
    """The same layers, but each of encoder and decoder is skipped in some steps: LayerDrop
    (https://arxiv.org/abs/1909.11556).

    A layer that is skipped, for all rows alike, takes no time and has no gradient.
    """
    rate = layers.settings.layer_drop

    def is_skipped(name: str) -> Tensor:
        return draws.uniform_scalar(f"{name}_layer_drop") < rate

    encoder = (
        _skipped_encoder_layer(layer, is_skipped(f"encoder_{index}"))
        for index, layer in enumerate(layers.encoder)
    )
    decoder = (
        _skipped_decoder_layer(layer, is_skipped(f"decoder_{index}"))
        for index, layer in enumerate(layers.decoder)
    )
    return replace(layers, encoder=tuple(encoder), decoder=tuple(decoder))


def _skipped_encoder_layer(layer: Function, is_skipped: Tensor) -> Function:
    def run(inputs: Tensor, mask: Tensor) -> Tensor:
        # Layers may return bfloat16, but what is skipped is a sum in float32.
        return tf.cond(
            is_skipped, lambda: inputs, lambda: tf.cast(layer(inputs, mask), inputs.dtype)
        )

    return run


def _skipped_decoder_layer(layer: Function, is_skipped: Tensor) -> Function:
    def run(
        inputs: Tensor, cache: Any, mask: Tensor, memory: Any, memory_mask: Tensor, beam_size: int
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        def skip() -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
            rows, heads, sources = tf.unstack(tf.shape(memory[0])[:3])
            no_attention = tf.zeros([rows, heads, tf.shape(inputs)[1], sources])
            return inputs, tuple(cache), no_attention

        def take() -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
            outputs, after, weights = layer(inputs, cache, mask, memory, memory_mask, beam_size)
            return tf.cast(outputs, inputs.dtype), after, weights

        return tf.cond(is_skipped, skip, take)  # type: ignore[no-any-return]

    return run


def split_projected(projected: Tensor, count: int, heads: int) -> list[Tensor]:
    """(B,T,count × D) → as many of (B,A,T,D/A)."""
    size = projected.shape[-1] // count // heads
    if projected.shape[1] == 1:
        split = tf.reshape(projected, [-1, count, heads, 1, size])
        return list(tf.unstack(split, axis=1)) if count > 1 else [split[:, 0]]
    rows, positions = tf.unstack(tf.shape(projected)[:2])
    split = tf.reshape(projected, [rows, positions, count, heads, size])
    return list(tf.unstack(tf.transpose(split, (2, 0, 3, 1, 4))))


def _join_heads(vectors: Tensor) -> Tensor:
    """(B,A,T,D/A) → (B,T,D)."""
    _, heads, positions, size = vectors.shape
    if positions == 1:
        return tf.reshape(vectors, [-1, 1, heads * size])
    vectors = tf.transpose(vectors, (0, 2, 1, 3))
    return tf.reshape(vectors, [tf.shape(vectors)[0], tf.shape(vectors)[1], heads * size])


def joined_projections(projections: Projections) -> Function:
    """The dense layers as one product, whose output is split."""
    layers, scales = projections.layers, projections.scales
    kernels = [scaled(layer.kernel, scale) for layer, scale in zip(layers, scales, strict=True)]
    biases = [
        tf.zeros([layer.units]) if layer.bias is None else scaled(layer.bias, scale)
        for layer, scale in zip(layers, scales, strict=True)
    ]
    dtype = layers[0].compute_dtype
    kernel = tf.concat([tf.cast(one, dtype) for one in kernels], axis=1)
    bias = tf.concat([tf.cast(one, dtype) for one in biases], axis=0)

    def project(inputs: Tensor) -> list[Tensor]:
        projected = rows_product(inputs, kernel, bias)
        return split_projected(projected, len(layers), projections.heads)

    return project


def scaled(weight: keras.Variable, scale: float) -> Tensor:
    """The weight times the scale."""
    return weight if scale == 1 else tf.convert_to_tensor(weight) * scale


def dense(layer: keras.layers.Dense) -> Function:
    """Returns a function that does what the layer does, in one product of two matrices."""
    kernel = tf.cast(layer.kernel, layer.compute_dtype)
    bias = None if layer.bias is None else tf.cast(layer.bias, layer.compute_dtype)
    return lambda inputs: rows_product(inputs, kernel, bias, layer.activation)


def rows_product(
    inputs: Tensor, kernel: Tensor, bias: Tensor | None, activation: Function | None = None
) -> Tensor:
    """inputs (…,D), kernel (D,C), bias (C,) → activation(inputs × kernel + bias), (…,C)."""
    size = kernel.shape[0]
    rows = tf.matmul(tf.reshape(tf.cast(inputs, kernel.dtype), [-1, size]), kernel)
    rows = rows if bias is None else tf.nn.bias_add(rows, bias)
    rows = rows if activation is None else activation(rows)
    return rows if inputs.shape.rank == 2 else with_positions(rows, inputs)
