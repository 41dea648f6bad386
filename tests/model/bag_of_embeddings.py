"""A made-up second family: the source is the mean of its embeddings, whatever their order.

hidden = tanh(embedding of the last target token + mean of the source embeddings).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from keras import ops

from s2s_cli.config.schema import ModelSettings
from s2s_cli.model.dropout import DropoutDraws, dropout_function
from s2s_cli.model.embeddings import (
    make_embeddings,
    make_output,
    output_columns,
    quantized_output,
)
from s2s_cli.model.family import Decoded, Encoded, InferenceLayers, Tensor, Tensors, VocabSizes
from s2s_cli.model.layer_factory import LayerFactory


class BagModel(ModelSettings):
    """A bag of embeddings."""

    family: ClassVar[str] = "bag_of_embeddings"

    architecture: Literal["bag"] = "bag"
    """A bag of embeddings."""


@dataclass(frozen=True)
class BagLayers:
    """Every layer, and the functions that call them."""

    source_embedding: Any
    target_embedding: Any
    dropout: Callable[[Tensor], Tensor]
    output: Any

    def encode(self, source_ids: Tensor) -> Encoded:
        """source_ids (B,S) → the mean embedding (B,E)."""
        vectors = self.source_embedding(source_ids)  # (B,S,E)
        present = ops.cast(ops.expand_dims(ops.not_equal(source_ids, 0), -1), vectors.dtype)
        mean = ops.sum(vectors * present, axis=1) / ops.sum(present, axis=1)
        return Encoded({"mean": mean}, {})

    def initial_cache(self, encoded: Encoded) -> Tensors:
        """Nothing: the decoder looks at the last token only."""
        return {}

    def decode(
        self, target_in_ids: Tensor, cache: Tensors, constants: Tensors, *, beam_size: int = 1
    ) -> Decoded:
        """target_in_ids (B,T) → hidden (B,T,E); no attention."""
        mean = ops.repeat(constants["mean"], beam_size, axis=0) if beam_size > 1 else None
        mean = constants["mean"] if mean is None else mean
        hidden = ops.tanh(self.target_embedding(target_in_ids) + ops.expand_dims(mean, 1))
        return Decoded(self.dropout(hidden), {}, None)

    def project(self, hidden: Tensor) -> Tensor:
        """hidden (…,E) → logits (…,V) float32."""
        return ops.cast(self.output(hidden), "float32")

    def for_training(self, draws: DropoutDraws | None) -> BagLayers:
        """The layers with dropout as drawn, or without dropout."""
        return replace(self, dropout=dropout_function(self.dropout, draws))

    def for_inference(self) -> InferenceLayers:
        """The layers without dropout, and with the output of candidates."""

        def replaced(candidates: Tensor | None) -> BagLayers:
            output = self.output
            if candidates is not None:
                output = output_columns(output, candidates)
            return replace(self.for_training(None), output=output)

        return replaced

    def for_int8_inference(self) -> InferenceLayers:
        """The same with an 8-bit output layer."""
        product = quantized_output(self.output, bound=1)

        def replaced(candidates: Tensor | None) -> BagLayers:
            output = product if candidates is None else product.columns(candidates)
            return replace(self.for_training(None), output=output)

        return replaced


# The functions of the family.


def make_layers(settings: BagModel, sizes: VocabSizes, factory: LayerFactory) -> BagLayers:
    """Makes every layer once."""
    source, target = make_embeddings(settings.embedding, sizes, factory)
    return BagLayers(
        source_embedding=source,
        target_embedding=target,
        dropout=factory.dropout("dropout", settings.dropout),
        output=make_output(target, settings.embedding, sizes, factory),
    )


def has_attention(settings: BagModel) -> bool:
    """There is none."""
    return False


def parameter_count(settings: BagModel, sizes: VocabSizes) -> int:
    """How many weights the layers have."""
    size = settings.embedding.size
    tables = sizes.target * size + (0 if settings.embedding.shared else sizes.source * size)
    return tables + (0 if settings.embedding.tied else (size + 1) * sizes.target)


def training_bytes_per_token(settings: BagModel, vocab_size: int, max_length: int) -> int:
    """About how much memory a training step takes for a position of a batch, in bytes."""
    return 4 * (4 * vocab_size + 8 * settings.embedding.size)


def products_per_token(settings: BagModel, sizes: VocabSizes) -> tuple[int, int]:
    """Multiplications of matrix products, for a source and a target token."""
    return 0, settings.embedding.size * sizes.target
