"""Attention whose scores depend on the attention that each source position had before: coverage
(https://arxiv.org/abs/1601.04811).

The vector of a source position that is compared with the query, its key, is the sum of the key
without coverage and of w × c: w is a trained vector, and c the sum of the attention that the
position had. At first, w is zero.
Shapes: B sentences, T target positions or the K rows of a sentence in beam search, S source
positions, U decoder units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import layers, ops

from s2s_cli.config.schema import RecurrentModel
from s2s_cli.model.family import Tensor
from s2s_cli.model.layer_factory import LayerFactory

Function = Callable[..., Any]
# The score of a position that may not be attended to.
MASKED = -1e9


@dataclass(frozen=True)
class ProductCoverage:
    """Scores that are products of query and key."""

    weight: Function
    """query (B,T,U) → its product with w, (B,T,1)."""

    @property
    def parts(self) -> list[Any]:
        """The layers."""
        return [self.weight]

    def prepare(self, query: Tensor, keys: Tensor) -> list[Tensor]:
        """What the scores depend on besides coverage and keys, each (B,T,…)."""
        products = ops.matmul(query, ops.transpose(keys, (0, 2, 1)))  # (B,T,S)
        return [ops.cast(products, "float32"), ops.cast(self.weight(query), "float32")]

    def scores(self, prepared: list[Tensor], keys: Tensor, coverage: Tensor) -> Tensor:
        """coverage (B,T,S) float32 → scores (B,T,S) float32."""
        products, weight = prepared
        return products + weight * coverage


@dataclass(frozen=True)
class AdditiveCoverage:
    """Additive scores: v · tanh(query + key)."""

    vectors: Function
    """coverage (B,T,S,1) → its products with w, (B,T,S,U)."""
    scale: Function
    """(B,T,S,U) → the products with v, (B,T,S,1)."""

    @property
    def parts(self) -> list[Any]:
        """The layers."""
        return [self.vectors, self.scale]

    def prepare(self, query: Tensor, keys: Tensor) -> list[Tensor]:
        """What the scores depend on besides coverage and keys, each (B,T,…)."""
        return [query]

    def scores(self, prepared: list[Tensor], keys: Tensor, coverage: Tensor) -> Tensor:
        """coverage (B,T,S) float32 → scores (B,T,S) float32."""
        (query,) = prepared
        covered = self.vectors(ops.expand_dims(coverage, -1))
        vectors = ops.expand_dims(query, 2) + ops.expand_dims(keys, 1) + covered
        return ops.cast(self.scale(ops.tanh(vectors))[..., 0], "float32")


Coverage = ProductCoverage | AdditiveCoverage


def attend(
    attention: Coverage,
    prepared: list[Tensor],
    keys: Tensor,
    mask: Tensor,
    coverage: Tensor,
) -> Tensor:
    """keys (B,S,U), mask (B,S), coverage (B,T,S) float32 → attention (B,T,S) float32."""
    scores = attention.scores(prepared, keys, coverage)
    scores = ops.where(ops.expand_dims(mask, 1), scores, MASKED)
    exponentials = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
    return exponentials / ops.sum(exponentials, axis=-1, keepdims=True)


def make_coverage(settings: RecurrentModel, factory: LayerFactory) -> Coverage:
    """Makes the layers."""
    units = settings.decoder.units

    def weight(size: int) -> layers.Dense:
        return factory.dense("attention_coverage", size, use_bias=False, initializer="zeros")

    if settings.decoder.attention == "additive":
        return AdditiveCoverage(weight(units), factory.dense("attention_scale", 1, use_bias=False))
    return ProductCoverage(weight(1))
