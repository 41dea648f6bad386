"""What stands in for layers in a search: functions that give the same in less time.

A search calls the decoder for one position after the other, and changes no weights. So what
all positions have in common is computed once; and on processors with instructions for it,
products may be taken in whole numbers of 8 bits (`s2s_cli.model.quantized`), with a table of
what the first layers make of each type instead of a product with its embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from s2s_cli.model.quantized import QuantizedProduct, quantized_dense, values
from s2s_cli.model.recurrent import RecurrentLayers, StandIns, Tensor


def floating(layers: RecurrentLayers) -> Callable[[Tensor | None], StandIns]:
    """A function that is called in the graph of a search, with the types (C,) that it scores or
    None, and gives what stands in there."""

    def stand_ins(candidates: Tensor | None) -> StandIns:
        found: dict[str, Callable[..., Any]] = {}
        if not layers.is_plain:
            found |= {layer.name: layer.stepper() for layer in layers.decoder_layers}
        if candidates is not None:
            found["output"] = _columns(layers, candidates)
        return found

    return stand_ins


def _columns(layers: RecurrentLayers, candidates: Tensor) -> Callable[[Tensor], Tensor]:
    """The output layer, for candidates (C,) alone."""
    if layers.output is None:
        table = tf.gather(layers.target_embedding.embeddings, candidates)
        return lambda hidden: tf.matmul(hidden, tf.cast(table, hidden.dtype), transpose_b=True)
    kernel = tf.gather(layers.output.kernel, candidates, axis=1)
    bias = tf.cast(tf.gather(layers.output.bias, candidates), tf.float32)
    return lambda hidden: (
        tf.cast(tf.matmul(hidden, tf.cast(kernel, hidden.dtype)), tf.float32) + bias
    )


def quantized(layers: RecurrentLayers) -> Callable[[Tensor | None], StandIns]:
    """As `floating`, in whole numbers of 8 bits of the weights as they are now."""
    encoders, decoders = layers.encoder_layers, layers.decoder_layers
    cells = [_directions(layer) for layer in encoders]
    found = {
        "source_embedding": _looked_up(layers.source_embedding, cells[0]),
        "target_embedding": _looked_up(layers.target_embedding, decoders[:1]),
    }
    # States and outputs of a recurrent layer lie within ±1, and each layer above the first
    # adds them to what is below.
    for index, layer in enumerate(encoders):
        found[layer.name] = _encoder(cells[index], None if index == 0 else index)
    for index, layer in enumerate(decoders):
        found[layer.name] = layer.stepper(_gates(layer, None if index == 0 else index))
    heights = {
        "attention_keys": (layers.keys, len(encoders)),
        "attention_query": (layers.query, len(decoders)),
        "readout": (layers.readout, max(len(encoders), len(decoders))),
    }
    for name, (dense, height) in heights.items():
        if dense is not None:
            found[name] = quantized_dense(dense, bound=height)
    output = _output(layers, 1 if layers.readout is not None else len(decoders))

    def stand_ins(candidates: Tensor | None) -> StandIns:
        return found | {"output": output if candidates is None else output.columns(candidates)}

    return stand_ins


def _output(layers: RecurrentLayers, bound: float) -> QuantizedProduct:
    if layers.output is None:
        return QuantizedProduct(values(layers.target_embedding.embeddings).T, bound=bound)
    return QuantizedProduct(values(layers.output.kernel), values(layers.output.bias), bound=bound)


def _directions(layer: keras.Layer) -> list[Any]:
    """The recurrent layers that an encoder layer is made of."""
    is_both = isinstance(layer, keras.layers.Bidirectional)
    return [layer.forward_layer, layer.backward_layer] if is_both else [layer]


def _looked_up(embedding: keras.Layer, above: list[Any]) -> Callable[[Tensor], Tensor]:
    """ids → what the layers above make of their embeddings, side by side."""
    table = values(embedding.embeddings)
    made = [table @ values(layer.cell.kernel) + layer.split_bias()[0] for layer in above]
    # In 16 bits, of which 11 are digits: half of the memory, and finer than the products.
    rows = tf.constant(np.concatenate(made, axis=1).astype(np.float16))
    return lambda ids: tf.gather(rows, ids)


def _gates(layer: Any, bound: float | None) -> Callable[[Tensor, Tensor], Any]:
    """The gates of a recurrent layer; without a bound on its inputs, these are looked up."""
    bias, recurrent_bias = layer.split_bias()
    inner = QuantizedProduct(values(layer.cell.recurrent_kernel), recurrent_bias)
    if bound is None:
        return lambda inputs, hidden: layer.joined_gates(tf.cast(inputs, tf.float32), inner(hidden))
    outer = QuantizedProduct(values(layer.cell.kernel), bias, bound=bound)
    return lambda inputs, hidden: layer.joined_gates(outer(inputs), inner(hidden))


def _encoder(directions: list[Any], bound: float | None) -> Callable[..., Any]:
    """A layer of the encoder, in one direction or in both."""
    walks = [layer.walker(_gates(layer, bound)) for layer in directions]

    def walk(below: Tensor, mask: Tensor) -> list[Tensor]:
        # What was looked up stands side by side for the directions; all else is for both.
        parts = tf.split(below, len(walks), axis=2) if bound is None else [below] * len(walks)
        found = [walk(part, mask) for walk, part in zip(walks, parts, strict=True)]
        hidden = tf.concat([hidden for hidden, _ in found], axis=2)
        return [hidden, *(state for _, states in found for state in states)]

    return walk
