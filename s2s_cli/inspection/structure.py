"""The layers of a model, each once, and which of its three Keras models call it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras

from s2s_cli.config.schema import Config, ResolvedConfig
from s2s_cli.model.family import VocabSizes
from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.seq2seq import Seq2Seq

MODELS = ("training", "encoder", "decoder")


@dataclass(frozen=True)
class WeightShape:
    """A weight by its path, such as `output/kernel`."""

    path: str
    shape: tuple[int, ...]

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class SharedLayer:
    """A layer, its weights, and the models that call it, in the order of MODELS."""

    name: str
    kind: str
    weights: tuple[WeightShape, ...]
    models: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """How many numbers its weights hold."""
        return sum(weight.parameters for weight in self.weights)

    @property
    def shapes(self) -> str:
        """The shapes of its weights, for people."""
        return ", ".join("×".join(map(str, weight.shape)) for weight in self.weights)


@dataclass(frozen=True)
class Structure:
    """All layers of a model, those of the encoder first, each in the order of its call.

    `vocab_sizes` are those of source and target; where the vocabularies are not learned yet, they
    are bounds (`is_bound`).
    """

    architecture: str
    layers: tuple[SharedLayer, ...]
    vocab_sizes: tuple[int, int]
    is_bound: bool

    @property
    def parameters(self) -> int:
        """Of all layers together, each counted once."""
        return sum(layer.parameters for layer in self.layers)

    def share(self, layer: SharedLayer) -> float:
        """The share of all parameters that a layer has."""
        return layer.parameters / max(1, self.parameters)

    def parameters_of(self, model: str) -> int:
        """Of the layers that one of the models calls."""
        return sum(layer.parameters for layer in self.layers if model in layer.models)

    def as_json(self) -> dict[str, object]:
        """All of it as JSON values."""
        return {
            "architecture": self.architecture,
            "vocab_sizes": dict(zip(("source", "target"), self.vocab_sizes, strict=True)),
            "vocab_sizes_are_bounds": self.is_bound,
            "parameters": self.parameters,
            "models": {model: self.parameters_of(model) for model in MODELS},
            "layers": [
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "parameters": layer.parameters,
                    "share": self.share(layer),
                    "models": list(layer.models),
                    "weights": {weight.path: list(weight.shape) for weight in layer.weights},
                }
                for layer in self.layers
            ],
        }


def structure_of_run(config: ResolvedConfig, vocab_sizes: tuple[int, int]) -> Structure:
    """The structure of a trained model, from the sizes of its vocabularies."""
    return _structure(config, vocab_sizes, is_bound=False)


def structure_of_config(config: Config) -> Structure:
    """The structure of the model that a config describes, as large as its vocabularies may become."""
    size = config.tokenizer.vocab_size
    return _structure(config, (size, size), is_bound=True)


def _structure(config: Config, vocab_sizes: tuple[int, int], *, is_bound: bool) -> Structure:
    factory = LayerFactory.for_inference("float32")
    seq2seq = Seq2Seq(config.model, VocabSizes(*vocab_sizes), factory)
    return Structure(
        config.model.architecture, shared_layers(seq2seq), vocab_sizes, is_bound=is_bound
    )


def shared_layers(seq2seq: Seq2Seq) -> tuple[SharedLayer, ...]:
    """Every layer that has weights. Two models share a layer where it is the same Python object."""
    models = {
        # In the order of rows: the layers of the encoder, then what else the decoder calls.
        "encoder": seq2seq.encoder,
        "decoder": seq2seq.decoder,
        "training": seq2seq.training_model,
    }
    callers: dict[int, set[str]] = {}
    found: dict[int, keras.Layer] = {}
    for name, model in models.items():
        for layer in model.layers:
            if layer.weights:
                found.setdefault(id(layer), layer)
                callers.setdefault(id(layer), set()).add(name)
    return tuple(
        SharedLayer(
            layer.name,
            type(layer).__name__,
            tuple(WeightShape(weight.path, tuple(weight.shape)) for weight in layer.weights),
            tuple(model for model in MODELS if model in callers[key]),
        )
        for key, layer in found.items()
    )
