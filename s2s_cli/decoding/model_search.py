"""The search whose step is the decoder of a model, or of several, with any checkpoints' weights."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from s2s_cli.config.schema import Decoding, ModelSettings
from s2s_cli.decoding.ensemble import ensemble_step
from s2s_cli.decoding.graph_cache import SearchGraph, cache_path
from s2s_cli.decoding.search import Hypotheses, Search, Step, StepOutput, length_limits
from s2s_cli.model.family import InferenceLayers, Layers, Tensors, VocabSizes, family_of
from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.seq2seq import Seq2Seq

# source_ids (B,S) → Hypotheses; with a shortlist also candidates (C,) and allowed (B,C).
SearchFunction = Callable[..., Hypotheses]

# Settings of decoding that the graph does not depend on, but for whether there is a shortlist.
NOT_IN_THE_GRAPH = {
    "batch_size", "long_sources", "max_source_length", "n_best", "precision", "shortlist",
}  # fmt: skip


def make_search(
    settings: Sequence[ModelSettings],
    inference_layers: Sequence[InferenceLayers],
    decoding: Decoding,
    *,
    compact: bool = True,
) -> SearchFunction:
    """source_ids (B,S) → Hypotheses; to be compiled or exported. For `compact` see `Search`.

    Several models are an ensemble; see `ensemble_step`. With candidates (C,), only these tokens are
    scored; allowed (B,C) bool says which of them a sentence may use.
    """

    def search(
        source_ids: tf.Tensor, candidates: tf.Tensor | None = None, allowed: tf.Tensor | None = None
    ) -> Hypotheses:
        models = [layers(candidates) for layers in inference_layers]
        encoded = [layers.encode(source_ids) for layers in models]
        given = {} if allowed is None else {"allowed": allowed}
        find = Search(
            ensemble_step(
                [_decoder_step(layers, decoding.beam_size, candidates) for layers in models]
            ),
            beam_size=decoding.beam_size,
            length_penalty=decoding.length_penalty,
            min_length=decoding.min_length,
            compact=compact,
        )
        longest = min(one.bounded_target(decoding.max_length) for one in settings)
        limits = length_limits(source_ids, longest, decoding.max_length_ratio)
        cache = tuple(
            layers.initial_cache(one) for layers, one in zip(models, encoded, strict=True)
        )
        return find(cache, tuple({**one.constants, **given} for one in encoded), limits)

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
    """The search of a model, or of an ensemble, to be run with the weights of any checkpoints."""

    models: tuple[ModelSettings, ...]
    """The settings of each model."""
    sizes: VocabSizes
    decoding: Decoding
    """With `precision` resolved."""

    def bind(self, *weights: Mapping[str, Any]) -> SearchFunction:
        """The search with the weights of each model, by path: arrays or variables, as they are now."""
        if self.decoding.precision == "int8":
            for model, values in zip(self._float_models, weights, strict=True):
                model.load(values)
            layers = [model.layers.for_int8_inference() for model in self._float_models]
            return compile_search(make_search(self.models, layers, self.decoding), self.decoding)
        run = self._graph.bind(_numbered(weights))
        return lambda *arguments: Hypotheses(*run(*arguments))

    @property
    def shapes(self) -> list[dict[str, Sequence[int]]]:
        """The shape of every weight of each model, by path."""
        if self.decoding.precision == "int8":
            return [dict(model.shapes) for model in self._float_models]
        found: list[dict[str, Sequence[int]]] = [{} for _ in self.models]
        for numbered, shape in self._graph.shapes.items():
            number, _, path = numbered.partition("/")
            found[int(number)][path] = shape
        return found

    @property
    def has_attention(self) -> bool:
        """Whether any model gives attention."""
        return any(family_of(settings).has_attention(settings) for settings in self.models)

    @functools.cached_property
    def _float_models(self) -> list[Seq2Seq]:
        """The models whose weights are quantised."""
        return self._make_models("float32")

    @functools.cached_property
    def _graph(self) -> SearchGraph:
        """The traced search, from the cache of an earlier process where there is one."""
        path = cache_path(
            [
                [settings.model_dump(mode="json") for settings in self.models],
                self.decoding.model_dump(mode="json", exclude=NOT_IN_THE_GRAPH),
                self.decoding.shortlist is not None,
                [self.sizes.source, self.sizes.target],
                self.decoding.precision,
            ],
            [settings.family for settings in self.models],
        )
        found = SearchGraph.load(path)
        if found is None:
            found = self._trace(path.stem)
            found.save(path)
        return found

    def _trace(self, prefix: str) -> SearchGraph:
        models = self._make_models(self.decoding.precision)
        layers = [model.layers.for_inference() for model in models]
        search = make_search(self.models, layers, self.decoding)
        variables = _numbered([model.weights for model in models])

        def search_with(values: Sequence[tf.Tensor], *arguments: tf.Tensor) -> Sequence[tf.Tensor]:
            with keras.StatelessScope(list(zip(variables.values(), values, strict=True))):
                return tuple(search(*arguments))

        return SearchGraph.trace(search_with, variables, _signature(self.decoding), prefix)

    def _make_models(self, precision: str) -> list[Seq2Seq]:
        factory = LayerFactory.for_inference(precision)
        return [Seq2Seq(settings, self.sizes, factory) for settings in self.models]


def _numbered(weights: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The weights of each model by path, together: each path begins with the model's number."""
    return {
        f"{number}/{path}": value
        for number, by_path in enumerate(weights)
        for path, value in by_path.items()
    }
