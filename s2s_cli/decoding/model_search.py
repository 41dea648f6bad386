"""The search whose step is the decoder of a model, with the weights of any checkpoint."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from s2s_cli.config.schema import Decoding, ModelSettings
from s2s_cli.decoding.graph_cache import SearchGraph, cache_path
from s2s_cli.decoding.search import Hypotheses, Search, Step, StepOutput, length_limits
from s2s_cli.model.family import InferenceLayers, Layers, Tensors, VocabSizes
from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.seq2seq import Seq2Seq

# source_ids (B,S) → Hypotheses; with a shortlist also candidates (C,) and allowed (B,C).
SearchFunction = Callable[..., Hypotheses]

# Settings of decoding that the graph does not depend on, but for whether there is a shortlist.
NOT_IN_THE_GRAPH = {
    "batch_size", "long_sources", "max_source_length", "n_best", "precision", "shortlist",
}  # fmt: skip


def make_search(
    settings: ModelSettings,
    inference_layers: InferenceLayers,
    decoding: Decoding,
    *,
    compact: bool = True,
) -> SearchFunction:
    """source_ids (B,S) → Hypotheses; to be compiled or exported. For `compact` see `Search`.

    With candidates (C,), only these tokens are scored; allowed (B,C) bool says which of them a
    sentence may use.
    """

    def search(
        source_ids: tf.Tensor, candidates: tf.Tensor | None = None, allowed: tf.Tensor | None = None
    ) -> Hypotheses:
        layers = inference_layers(candidates)
        encoded = layers.encode(source_ids)
        constants = dict(encoded.constants)
        if allowed is not None:
            constants["allowed"] = allowed
        find = Search(
            _decoder_step(layers, decoding.beam_size, candidates),
            beam_size=decoding.beam_size,
            length_penalty=decoding.length_penalty,
            min_length=decoding.min_length,
            compact=compact,
        )
        longest = settings.bounded_target(decoding.max_length)
        limits = length_limits(source_ids, longest, decoding.max_length_ratio)
        return find(layers.initial_cache(encoded), constants, limits)

    return search


def _decoder_step(layers: Layers, beam_size: int, candidates: tf.Tensor | None) -> Step:
    """One position of the decoder, with the logits of the wanted rows."""

    def step(
        last_ids: tf.Tensor, cache: Tensors, constants: Tensors, rows: tf.Tensor
    ) -> StepOutput:
        decoded = layers.decode(last_ids[:, None], cache, constants, beam_size=beam_size)
        attention = None if decoded.attention is None else decoded.attention[:, 0]
        logits = layers.project(tf.gather(decoded.hidden[:, 0], rows))
        if candidates is not None:
            logits = tf.where(tf.gather(constants["allowed"], rows // beam_size), logits, -1e9)
        return StepOutput(logits, decoded.cache, attention, candidates)

    return step


def compile_search(search: SearchFunction, decoding: Decoding) -> SearchFunction:
    """The search as a graph, which is traced at its first call."""
    # AutoGraph would take seconds to rewrite functions that hold no Python loop.
    return tf.function(search, input_signature=_signature(decoding), autograph=False)  # type: ignore[no-any-return]


def _signature(decoding: Decoding) -> list[tf.TensorSpec]:
    """The arguments of a search."""
    source_ids = tf.TensorSpec((None, None), tf.int32)
    if not decoding.shortlist:
        return [source_ids]
    return [source_ids, tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, None), tf.bool)]


@dataclass(frozen=True)
class ModelSearch:
    """The search of a kind of model, to be run with the weights of any checkpoint of it."""

    settings: ModelSettings
    sizes: VocabSizes
    decoding: Decoding
    """With `precision` resolved."""

    def bind(self, weights: Mapping[str, Any]) -> SearchFunction:
        """The search with these weights, by path: arrays or variables, as they are now."""
        if self.decoding.precision == "int8":
            self._float_model.load(weights)
            layers = self._float_model.layers.for_int8_inference()
            return compile_search(make_search(self.settings, layers, self.decoding), self.decoding)
        run = self._graph.bind(weights)
        return lambda *arguments: Hypotheses(*run(*arguments))

    @property
    def shapes(self) -> dict[str, Sequence[int]]:
        """The shape of every weight, by path."""
        if self.decoding.precision == "int8":
            return dict(self._float_model.shapes)
        return dict(self._graph.shapes)

    @functools.cached_property
    def _float_model(self) -> Seq2Seq:
        """The model whose weights are quantised."""
        return self._make_model("float32")

    @functools.cached_property
    def _graph(self) -> SearchGraph:
        """The traced search, from the cache of an earlier process where there is one."""
        path = cache_path(
            [
                self.settings.model_dump(mode="json"),
                self.decoding.model_dump(mode="json", exclude=NOT_IN_THE_GRAPH),
                self.decoding.shortlist is not None,
                [self.sizes.source, self.sizes.target],
                self.decoding.precision,
            ],
            self.settings.family,
        )
        found = SearchGraph.load(path)
        if found is None:
            found = self._trace(path.stem)
            found.save(path)
        return found

    def _trace(self, prefix: str) -> SearchGraph:
        seq2seq = self._make_model(self.decoding.precision)
        search = make_search(self.settings, seq2seq.layers.for_inference(), self.decoding)
        variables = seq2seq.weights

        def search_with(values: Sequence[tf.Tensor], *arguments: tf.Tensor) -> Sequence[tf.Tensor]:
            with keras.StatelessScope(list(zip(variables.values(), values, strict=True))):
                return tuple(search(*arguments))

        return SearchGraph.trace(search_with, variables, _signature(self.decoding), prefix)

    def _make_model(self, precision: str) -> Seq2Seq:
        return Seq2Seq(self.settings, self.sizes, LayerFactory.for_inference(precision))
