"""The Transformer encoder-decoder: its layers, `encode`, `decode` and `project`.

Shapes: B sentences, S source and T target positions, P target positions before them, D model
size, A attention heads, V target vocabulary size, C candidate tokens, K beam size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

from s2s_cli.config.schema import TransformerModel
from s2s_cli.model.dropout import DropoutDraws, dropout_function
from s2s_cli.model.embeddings import make_embeddings, make_output
from s2s_cli.model.family import (
    Decoded,
    Encoded,
    InferenceLayers,
    Tensor,
    Tensors,
    VocabSizes,
)
from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.transformer import inference, training
from s2s_cli.model.transformer.layers import (
    Sinusoids,
    make_decoder_layer,
    make_encoder_layer,
    make_memory_projections,
    make_normalization,
    replaced,
    score_mask,
)

Function = Callable[..., Any]


@dataclass(frozen=True)
class TransformerLayers:
    """Every layer of the model; each is a Keras layer, or a function called in the same way."""

    settings: TransformerModel
    source_embedding: Function
    target_embedding: Function
    source_positions: Function
    target_positions: Function
    source_dropout: Function
    target_dropout: Function
    encoder: tuple[Function, ...]
    encoder_norm: Function | None
    memory_projections: Function
    """memory (B,S,D) → keys and values of each decoder layer, in turn, (B,A,S,D/A)."""
    decoder: tuple[Function, ...]
    decoder_norm: Function | None
    output: Function

    # The functions of every family.

    def encode(self, source_ids: Tensor) -> Encoded:
        """source_ids (B,S) int32, 0 on the right → Encoded."""
        mask = ops.not_equal(source_ids, 0)
        positions = self.source_positions(_count(source_ids))
        memory = self.source_dropout(self._embedded(self.source_embedding, source_ids) + positions)
        mask_of_scores = _for_scores(mask)
        for layer in self.encoder:
            memory = layer(memory, mask_of_scores)  # (B,S,D)
        if self.encoder_norm is not None:
            memory = self.encoder_norm(memory)
        names = [f"memory_{name}" for name in self._cache_names()]
        projected = zip(names, self.memory_projections(memory), strict=True)  # (B,A,S,D/A)
        return Encoded({"memory_mask": mask, **dict(projected)}, {})

    def initial_cache(self, encoded: Encoded) -> Tensors:
        """No keys and values, (B,A,0,D/A), and the number of the first position, (B,) int32."""
        position = ops.zeros_like(encoded.constants["memory_mask"][:, 0], dtype="int32")
        empty = {
            name: encoded.constants[f"memory_{name}"][:, :, :0] for name in self._cache_names()
        }
        return {"position": position, **empty}

    def decode(
        self, target_in_ids: Tensor, cache: Tensors, constants: Tensors, *, beam_size: int = 1
    ) -> Decoded:
        """target_in_ids (B,T) int32, and keys and values of the positions before → Decoded.

        In beam search, ids (B×K,1) and the cache hold the K rows of a sentence next to each
        other, and the constants (B,…) stand once for all of them.
        """
        # All rows are at the same position; the sum is 0 for a sub-batch without rows.
        positions = ops.sum(cache["position"][:1,]) + _count(target_in_ids)
        hidden = self._embedded(self.target_embedding, target_in_ids)
        hidden = self.target_dropout(hidden + self.target_positions(positions))
        mask = self._causal_mask(target_in_ids, positions, cache)
        memory_mask = _for_scores(constants["memory_mask"])
        new_cache: Tensors = {"position": cache["position"] + ops.sum(_one_row(target_in_ids))}
        attention = 0.0
        for index, layer in enumerate(self.decoder):
            names = self._cache_names()[2 * index : 2 * index + 2]
            before = tuple(cache[name] for name in names)
            memory = tuple(constants[f"memory_{name}"] for name in names)
            hidden, after, weights = layer(hidden, before, mask, memory, memory_mask, beam_size)
            new_cache.update(zip(names, after, strict=True))
            attention = attention + weights  # (B,A,T,S)
        if self.decoder_norm is not None:
            hidden = self.decoder_norm(hidden)
        return Decoded(hidden, new_cache, ops.mean(attention, axis=1) / len(self.decoder))

    def project(self, hidden: Tensor) -> Tensor:
        """hidden (…,D) → logits (…,V) float32, or (…,C) over candidates."""
        return ops.cast(self.output(hidden), "float32")

    # Variants.

    def for_training(self, draws: DropoutDraws | None) -> TransformerLayers:
        """The layers of a training step; see `s2s_cli.model.transformer.training`."""
        layers = training.training_layers(self.with_dropout(draws))
        if draws is None or self.settings.layer_drop == 0:
            return layers
        return training.with_layer_drop(layers, draws)

    def with_dropout(self, draws: DropoutDraws | None) -> TransformerLayers:
        """These layers with dropout as drawn, or without dropout for None."""

        def dropout(layer: Any) -> Function | None:
            return dropout_function(layer, draws) if isinstance(layer, layers.Dropout) else None

        return replaced(self, dropout)

    def for_inference(self) -> InferenceLayers:
        """The layers of a search; see `s2s_cli.model.transformer.inference`."""
        return inference.float_layers(self)

    def for_int8_inference(self) -> InferenceLayers:
        """The layers of a search with 8-bit products."""
        return inference.int8_layers(self)

    # Parts of the functions.

    def _embedded(self, embedding: Function, ids: Tensor) -> Tensor:
        """ids (B,T) → vectors (B,T,D) float32."""
        vectors = ops.cast(embedding(ids), "float32")
        settings = self.settings.embedding
        return vectors * math.sqrt(settings.size) if settings.scale else vectors

    def _cache_names(self) -> list[str]:
        """The names of keys and values of each decoder layer, in turn."""
        numbers = range(self.settings.decoder.layers)
        return [f"decoder_{index}_{kind}" for index in numbers for kind in ("keys", "values")]

    def _causal_mask(self, ids: Tensor, positions: Tensor, cache: Tensors) -> Tensor | None:
        """The mask of the scores of positions (1,T) for all positions up to now, (1,1,T,P+T)."""
        if ids.shape[1] == 1:  # all of them
            return None
        before = cache[self._cache_names()[0]][:, 0, :, 0]  # (B,P)
        up_to_now = ops.concatenate([_one_row(before), _one_row(ids)], axis=1)
        keys = ops.cumsum(up_to_now, axis=1) - 1  # (1,P+T)
        return score_mask(ops.reshape(positions, (1, 1, -1, 1)) >= ops.reshape(keys, (1, 1, 1, -1)))


def _one_row(tensor: Tensor) -> Tensor:
    """(B,T) → ones (1,T) int32, also where B is 0."""
    return ops.ones_like(ops.sum(tensor, axis=0, keepdims=True), dtype="int32")


def _count(ids: Tensor) -> Tensor:
    """ids (B,T) → 0, 1, 2 …, (1,T) int32."""
    return ops.cumsum(_one_row(ids), axis=1) - 1


def _for_scores(mask: Tensor) -> Tensor:
    """(B,S) bool → the mask of scores, (B,1,1,S)."""
    return score_mask(ops.expand_dims(ops.expand_dims(mask, 1), 1))


def make_layers(
    settings: TransformerModel, sizes: VocabSizes, factory: LayerFactory
) -> TransformerLayers:
    """Makes every layer once."""
    source_embedding, target_embedding = make_embeddings(settings.embedding, sizes, factory)
    is_pre = settings.normalization == "pre"
    return TransformerLayers(
        settings=settings,
        source_embedding=source_embedding,
        target_embedding=target_embedding,
        source_positions=_make_positions(settings, "source_positions", factory),
        target_positions=_make_positions(settings, "target_positions", factory),
        source_dropout=factory.dropout("source_dropout", settings.dropout),
        target_dropout=factory.dropout("target_dropout", settings.dropout),
        encoder=tuple(
            make_encoder_layer(settings, index, factory) for index in range(settings.encoder.layers)
        ),
        encoder_norm=make_normalization(settings, "encoder", factory) if is_pre else None,
        memory_projections=make_memory_projections(settings, factory),
        decoder=tuple(
            make_decoder_layer(settings, index, factory) for index in range(settings.decoder.layers)
        ),
        decoder_norm=make_normalization(settings, "decoder", factory) if is_pre else None,
        output=make_output(target_embedding, settings.embedding, sizes, factory, tied_bias=True),
    )


def _make_positions(settings: TransformerModel, name: str, factory: LayerFactory) -> Function:
    if settings.position_limit is None:
        return Sinusoids(settings.embedding.size)
    size = settings.embedding.size
    initializer = keras.initializers.RandomNormal(stddev=1 / math.sqrt(size))
    table = factory.embedding(name, settings.position_limit, size, initializer)
    return lambda positions: ops.cast(table(positions), "float32")
