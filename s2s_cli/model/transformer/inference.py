"""The layers of a search: each gives what the layer that it replaces gives, in less time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from s2s_cli.model.embeddings import output_columns, quantized_output
from s2s_cli.model.family import InferenceLayers, Tensor
from s2s_cli.model.normalization import layer_norm_without_gradient
from s2s_cli.model.quantization import QuantizedProduct, numpy_values, quantized_dense
from s2s_cli.model.transformer.layers import Projections, replaced
from s2s_cli.model.transformer.training import split_projected, training_layers

if TYPE_CHECKING:
    from s2s_cli.model.transformer.model import TransformerLayers


def float_layers(layers: TransformerLayers) -> InferenceLayers:
    """Returns a function that gives the layers of a search."""

    def for_candidates(candidates: Tensor | None) -> TransformerLayers:
        fast = _without_gradients(layers)
        if candidates is None:
            return fast
        return replace(fast, output=output_columns(layers.output, candidates))

    return for_candidates


def _without_gradients(layers: TransformerLayers) -> TransformerLayers:
    """The layers of a training step without dropout, and without what only gradients need."""

    def replace_one(part: Any) -> Callable[..., Any] | None:
        is_norm = isinstance(part, keras.layers.LayerNormalization)
        return layer_norm_without_gradient(part) if is_norm else None

    return training_layers(replaced(layers.with_dropout(None), replace_one))


def int8_layers(layers: TransformerLayers) -> InferenceLayers:
    """Returns a function that gives the layers of a search with 8-bit products of the weights as
    they are now.

    What the residual connections sum up has no bound, so each row has a scale of its own.
    """

    def product(part: Any) -> Callable[..., Any] | None:
        if isinstance(part, Projections):
            return _quantized_projections(part)
        if isinstance(part, keras.layers.Dense):
            return quantized_dense(part, bound=None)
        return None

    output = quantized_output(layers.output, bound=None)
    quantized = replaced(replace(layers, output=output), product)

    def for_candidates(candidates: Tensor | None) -> TransformerLayers:
        fast = _without_gradients(quantized)
        return fast if candidates is None else replace(fast, output=output.columns(candidates))

    return for_candidates


def _quantized_projections(projections: Projections) -> Callable[[Tensor], list[Tensor]]:
    """The dense layers as one 8-bit product, whose output is split."""
    layers, scales = projections.layers, projections.scales
    kernels = [
        numpy_values(layer.kernel) * scale for layer, scale in zip(layers, scales, strict=True)
    ]
    biases = [
        np.zeros(layer.units) if layer.bias is None else numpy_values(layer.bias) * scale
        for layer, scale in zip(layers, scales, strict=True)
    ]
    product = QuantizedProduct(np.concatenate(kernels, axis=1), np.concatenate(biases), bound=None)
    return lambda inputs: split_projected(product(inputs), len(layers), projections.heads)
