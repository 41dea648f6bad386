"""The search whose step is the decoder of a model, or of several, with any checkpoints' weights."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from s2s_cli.config.schema import Decoding, ModelSettings
from s2s_cli.decoding.ensemble import ensemble_step
from s2s_cli.decoding.features import with_room
from s2s_cli.decoding.graph_cache import SearchGraph, cache_path
from s2s_cli.decoding.sampling import Sampling
from s2s_cli.decoding.search import Hypotheses, Search, Step, StepOutput, length_limits
from s2s_cli.errors import ConfigError
from s2s_cli.model.family import InferenceLayers, Layers, Tensors, VocabSizes, family_of
from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.tokenizer import PAD

# source_ids (B,S) → Hypotheses; with a shortlist also candidates (C,) and allowed (B,C); by name,
# what else is given for each sentence: see `s2s_cli.decoding.features`.
SearchFunction = Callable[..., Hypotheses]

ARGUMENTS = {
    "source_ids": tf.TensorSpec((None, None), tf.int32),
    "candidates": tf.TensorSpec((None,), tf.int32),
    "allowed": tf.TensorSpec((None, None), tf.bool),
    "prefix": tf.TensorSpec((None, None), tf.int32),
    "terms": tf.TensorSpec((None, None, None), tf.int32),
    "keys": tf.TensorSpec((None,), tf.int64),
}
# Settings of decoding that the graph does not depend on, but for what `_in_the_graph` adds.
NOT_IN_THE_GRAPH = {
    "batch_size", "long_sources", "max_source_length", "n_best", "precision", "seed", "shortlist",
    "unknown",
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
    scored; allowed (B,C) bool says which of them a sentence may use. All else is given by name.
    """

    def search(
        source_ids: tf.Tensor,
        candidates: tf.Tensor | None = None,
        allowed: tf.Tensor | None = None,
        **given: tf.Tensor,
    ) -> Hypotheses:
        models = [layers(candidates) for layers in inference_layers]
        encoded = [layers.encode(source_ids) for layers in models]
        allowing = {} if allowed is None else {"allowed": allowed}
        find = Search(
            ensemble_step([_decoder_step(layers, decoding.rows, candidates) for layers in models]),
            beam_size=decoding.rows,
            length_penalty=decoding.length_penalty,
            min_length=decoding.min_length,
            suppress_unknown=decoding.unknown == "suppress",
            no_repeat_ngram_size=decoding.no_repeat_ngram_size,
            coverage_penalty=decoding.coverage_penalty,
            diversity=decoding.diversity,
            sampling=_sampling(decoding),
            compact=compact,
        )
        longest = min(one.bounded_target(decoding.max_length) for one in settings)
        limits = length_limits(source_ids, longest, decoding.max_length_ratio)
        if given:
            limits = with_room(limits, given, longest)
        if decoding.coverage_penalty:
            given["source_mask"] = source_ids != PAD
        cache = tuple(
            layers.initial_cache(one) for layers, one in zip(models, encoded, strict=True)
        )
        constants = tuple({**one.constants, **allowing} for one in encoded)
        return find(cache, constants, limits, given)

    return search


def _sampling(decoding: Decoding) -> Sampling | None:
    """What tokens are drawn from, where they are drawn."""
    if not decoding.sampling:
        return None
    return Sampling(decoding.temperature, decoding.top_k, decoding.top_p)


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


class _ByArguments:
    """A search function that has a graph for each set of arguments."""

    def __init__(self, make: Callable[[tuple[str, ...]], SearchFunction]):
        """`make` returns the graph for the arguments with these names, in their order."""
        self._make, self._lock = make, threading.Lock()
        self._made: dict[tuple[str, ...], SearchFunction] = {}

    def __call__(self, *arguments: Any, **given: Any) -> Hypotheses:
        """Searches with the first of ARGUMENTS, and others by name."""
        search = self.graph(*list(ARGUMENTS)[: len(arguments)], *given)
        return search(*arguments, *given.values())

    def graph(self, *names: str) -> SearchFunction:
        """The graph for the arguments with these names, which is made once."""
        with self._lock:  # several threads search
            if names not in self._made:
                self._made[names] = self._make(names)
            return self._made[names]


def compile_search(search: SearchFunction) -> SearchFunction:
    """The search as a graph for each set of arguments, which is traced at its first call."""

    def make(names: tuple[str, ...]) -> SearchFunction:
        # AutoGraph would take seconds to rewrite functions that hold no Python loop.
        return tf.function(  # type: ignore[no-any-return]
            lambda *values: search(**dict(zip(names, values, strict=True))),
            input_signature=_signature(names),
            autograph=False,
        )

    return _ByArguments(make)


def _signature(names: Sequence[str]) -> list[tf.TensorSpec]:
    return [ARGUMENTS[name] for name in names]


def _usual_arguments(decoding: Decoding) -> tuple[str, ...]:
    """The names of the arguments that are always given."""
    shortlist = ("candidates", "allowed") if decoding.shortlist else ()
    return ("source_ids", *shortlist, *(("keys",) if decoding.sampling else ()))


def _in_the_graph(decoding: Decoding) -> list[Any]:
    """What the graph depends on, as JSON values."""
    return [
        decoding.model_dump(mode="json", exclude=NOT_IN_THE_GRAPH),
        decoding.rows,
        decoding.unknown == "suppress",
    ]


@dataclass(frozen=True)
class ModelSearch:
    """The search of a model, or of an ensemble, to be run with the weights of any checkpoints."""

    models: tuple[ModelSettings, ...]
    """The settings of each model."""
    sizes: VocabSizes
    decoding: Decoding
    """With `precision` resolved."""

    def __post_init__(self) -> None:
        """Raises ConfigError where a setting needs attention and no model has any."""
        if self.has_attention:
            return
        for name, value in (
            ("unknown", self.decoding.unknown if self.decoding.unknown == "replace" else None),
            ("coverage_penalty", self.decoding.coverage_penalty or None),
        ):
            if value is not None:
                raise ConfigError(
                    f"decoding.{name} is {value}, which needs attention, and this model has none.",
                    f"Leave decoding.{name} at {Decoding.model_fields[name].default}.",
                )

    def bind(self, *weights: Mapping[str, Any]) -> SearchFunction:
        """The search with the weights of each model, by path: arrays or variables, as they are now."""
        if self.decoding.precision == "int8":
            for model, values in zip(self._float_models, weights, strict=True):
                model.load(values)
            layers = [model.layers.for_int8_inference() for model in self._float_models]
            return compile_search(make_search(self.models, layers, self.decoding))
        numbered = _numbered(weights)
        values = {path: tf.convert_to_tensor(numbered[path]) for path in self._graph.shapes}

        def make(names: tuple[str, ...]) -> SearchFunction:
            run = self._graph_of(names).bind(values)
            return lambda *arguments: Hypotheses(*run(*arguments))

        search = _ByArguments(make)
        search.graph(*_usual_arguments(self.decoding))
        return search

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

    @property
    def _graph(self) -> SearchGraph:
        """The traced search with the usual arguments."""
        return self._graph_of(_usual_arguments(self.decoding))

    @functools.cached_property
    def _graphs(self) -> dict[tuple[str, ...], SearchGraph]:
        """The traced searches, by the names of their arguments."""
        return {}

    def _graph_of(self, names: tuple[str, ...]) -> SearchGraph:
        """The traced search with some arguments; from the cache of an earlier process where it has
        one."""
        if names not in self._graphs:
            path = cache_path(
                [
                    [settings.model_dump(mode="json") for settings in self.models],
                    _in_the_graph(self.decoding),
                    names,
                    [self.sizes.source, self.sizes.target],
                    self.decoding.precision,
                ],
                [settings.family for settings in self.models],
            )
            found = SearchGraph.load(path)
            if found is None:
                found = self._trace(path.stem, names)
                found.save(path)
            self._graphs[names] = found
        return self._graphs[names]

    def _trace(self, prefix: str, names: tuple[str, ...]) -> SearchGraph:
        models = self._make_models(self.decoding.precision)
        layers = [model.layers.for_inference() for model in models]
        search = make_search(self.models, layers, self.decoding)
        variables = _numbered([model.weights for model in models])

        def search_with(values: Sequence[tf.Tensor], *arguments: tf.Tensor) -> Sequence[tf.Tensor]:
            with keras.StatelessScope(list(zip(variables.values(), values, strict=True))):
                return tuple(search(**dict(zip(names, arguments, strict=True))))

        return SearchGraph.trace(search_with, variables, _signature(names), prefix)

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
