"""The layers of a search: each gives what the layer that it replaces gives, in less time.

A search calls the decoder for one position after the other and changes no weights. So what all
positions have in common is computed once; and on processors with instructions for it, products
are 8-bit (`s2s_cli.model.quantization`), with a table of what the first recurrent layers compute
from each token instead of a product with its embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from s2s_cli.model.embeddings import output_columns, quantized_output
from s2s_cli.model.family import InferenceLayers, Tensor
from s2s_cli.model.normalization import layer_norm_without_gradient
from s2s_cli.model.quantization import QuantizedProduct, numpy_values, quantized_dense
from s2s_cli.model.recurrent.layers import (
    Gates,
    directions,
    inference_layer,
    math_of,
    step_layer,
    training_layer,
)

if TYPE_CHECKING:
    from s2s_cli.model.recurrent.model import RecurrentLayers


def float_layers(layers: RecurrentLayers) -> InferenceLayers:
    """Returns a function that replaces the recurrent layers and, for candidates, the output."""

    def replaced(candidates: Tensor | None) -> RecurrentLayers:
        output = layers.output
        if candidates is not None:
            output = output_columns(output, candidates)
        return replace(
            layers.with_dropout(None),
            encoder=tuple(training_layer(layer) for layer in layers.encoder),
            encoder_norms=tuple(map(layer_norm_without_gradient, layers.encoder_norms)),
            decoder=tuple(step_layer(layer) for layer in layers.decoder),
            decoder_norms=tuple(map(layer_norm_without_gradient, layers.decoder_norms)),
            output=output,
        )

    return replaced


def int8_layers(layers: RecurrentLayers) -> InferenceLayers:
    """The same with 8-bit products of the weights as they are now."""
    encoder, decoder, settings = layers.encoder, layers.decoder, layers.settings
    query_layer = settings.decoder.query_layer

    def bound(*heights: int) -> int | None:
        """The bound of the outputs of layers at these heights; None: there is none."""
        # States and outputs of a recurrent layer lie within ±1, and each layer above the first adds
        # them to its inputs; so the bound grows by 1 with each layer. Normalised ones have none.
        return None if settings.layer_norm else max(heights)

    def dense(layer: Any, bound: int | None) -> Callable[[Tensor], Tensor] | None:
        return None if layer is None else quantized_dense(layer, bound=bound)

    def decoder_gates(index: int) -> Gates:
        if index == 0:
            fed = settings.hidden_size if settings.decoder.input_feeding else 0
            return _looked_up_gates(decoder[0], fed)
        is_above = query_layer is not None and index > query_layer
        below = bound(index, len(encoder)) if is_above else bound(index)
        return _quantized_gates(decoder[index], below)

    output = quantized_output(
        layers.output, bound=1 if layers.readout is not None else bound(len(decoder))
    )
    quantized = replace(
        layers.with_dropout(None),
        source_embedding=_first_products(layers.source_embedding, directions(encoder[0])),
        target_embedding=_first_products(layers.target_embedding, [decoder[0]]),
        encoder=tuple(
            _quantized_encoder_layer(layer, bound(index), is_first=index == 0)
            for index, layer in enumerate(encoder)
        ),
        encoder_norms=tuple(map(layer_norm_without_gradient, layers.encoder_norms)),
        decoder=tuple(
            step_layer(layer, decoder_gates(index)) for index, layer in enumerate(decoder)
        ),
        decoder_norms=tuple(map(layer_norm_without_gradient, layers.decoder_norms)),
        attention_keys=dense(layers.attention_keys, bound(len(encoder))),
        attention_query=dense(layers.attention_query, bound((query_layer or 0) + 1)),
        readout=dense(layers.readout, bound(len(encoder), len(decoder))),
        output=output,
    )

    def replaced(candidates: Tensor | None) -> RecurrentLayers:
        return (
            quantized
            if candidates is None
            else replace(quantized, output=output.columns(candidates))
        )

    return replaced


def _quantized_encoder_layer(
    layer: Any, bound: int | None, *, is_first: bool
) -> Callable[..., list[Tensor]]:
    """The same with 8-bit products; the inputs of the first one are looked-up products."""
    runs = []
    for one in directions(layer):
        gates = _looked_up_gates(one) if is_first else _quantized_gates(one, bound)
        runs.append(inference_layer(one, gates))
    return _side_by_side(runs, splits_inputs=is_first)


def _side_by_side(
    runs: list[Callable[..., Any]], *, splits_inputs: bool = False
) -> Callable[..., list[Tensor]]:
    """One or two directions as one layer; each takes all of the inputs, or its own share of them."""

    def run(inputs: Tensor, mask: Tensor) -> list[Tensor]:
        shares = tf.split(inputs, len(runs), axis=2) if splits_inputs else [inputs] * len(runs)
        found = [run(share, mask) for run, share in zip(runs, shares, strict=True)]
        hidden = tf.concat([hidden for hidden, _ in found], axis=2)
        return [hidden, *(state for _, states in found for state in states)]

    return run


def _first_products(embedding: Any, above: list[Any]) -> Callable[[Tensor], Tensor]:
    """ids → the products of their embeddings with the kernels of the layers above, concatenated."""
    table = numpy_values(embedding.embeddings)
    size = table.shape[1]
    products = [
        table @ numpy_values(layer.cell.kernel)[:size] + math_of(layer).biases(layer)[0]
        for layer in above
    ]
    # In float16, whose 11 significant bits are finer than the products: half of the memory.
    rows = tf.constant(np.concatenate(products, axis=1).astype(np.float16))
    return lambda ids: tf.gather(rows, ids)


def _looked_up_gates(layer: Any, fed: int = 0) -> Gates:
    """The gates of a recurrent layer whose inputs are looked-up products, and `fed` values within ±1
    after these."""
    math, recurrent = math_of(layer), _quantized_recurrent(layer)
    if not fed:
        return lambda inputs, hidden: math.combine(tf.cast(inputs, tf.float32), recurrent(hidden))
    product = QuantizedProduct(numpy_values(layer.cell.kernel)[-fed:])

    def gates(inputs: Tensor, hidden: Tensor) -> Any:
        inputs = tf.cast(inputs, tf.float32)
        return math.combine(inputs[:, :-fed] + product(inputs[:, -fed:]), recurrent(hidden))

    return gates


def _quantized_gates(layer: Any, bound: float | None) -> Gates:
    """The gates of a recurrent layer whose inputs lie within ±bound, or anywhere for None."""
    math, recurrent = math_of(layer), _quantized_recurrent(layer)
    kernel, bias = numpy_values(layer.cell.kernel), math.biases(layer)[0]
    projected = QuantizedProduct(kernel, bias, bound=bound)
    return lambda inputs, hidden: math.combine(projected(inputs), recurrent(hidden))


def _quantized_recurrent(layer: Any) -> QuantizedProduct:
    """The product with the hidden state."""
    bias = math_of(layer).biases(layer)[1]
    return QuantizedProduct(numpy_values(layer.cell.recurrent_kernel), bias)
