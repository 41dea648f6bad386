"""One set of layers, three models: the training model, the encoder and the decoder step."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import keras

from s2s_cli.config.schema import ModelSettings
from s2s_cli.model.family import Layers, Tensors, VocabSizes, family_of
from s2s_cli.model.layer_factory import LayerFactory


class Seq2Seq:
    """Holds the layers once, and calls their functions on three sets of inputs.

    `training_model`: source_ids (B,S), target_in_ids (B,T) → logits (B,T,V).
    `encoder`: source_ids (B,S) → constants and the initial cache, by name.
    `decoder`: target_in_ids (B,1), cache, constants → logits (B,V), attention (B,S) where
    there is one, and the next cache.

    All three consist of Keras's own layers and share them, so a training step changes all of
    them: there are no other weights than these.
    """

    def __init__(self, settings: ModelSettings, sizes: VocabSizes, factory: LayerFactory):
        self.layers: Layers = family_of(settings).make_layers(settings, sizes, factory)
        source_ids, target_in_ids = _ids("source_ids"), _ids("target_in_ids")
        self._encoded = self.layers.encode(source_ids)
        cache = self.layers.initial_cache(self._encoded)
        decoded = self.layers.decode(target_in_ids, cache, self._encoded.constants)
        self.training_model = keras.Model(
            {"source_ids": source_ids, "target_in_ids": target_in_ids},
            self.layers.project(decoded.hidden),
            name="training",
        )

    @functools.cached_property
    def encoder(self) -> keras.Model:
        """The encoder on inputs of its own."""
        source_ids = _ids("source_ids")
        encoded = self.layers.encode(source_ids)
        outputs = {**encoded.constants, **self.layers.initial_cache(encoded)}
        return keras.Model({"source_ids": source_ids}, outputs, name="encoder")

    @functools.cached_property
    def decoder(self) -> keras.Model:
        """The decoder on inputs of its own: one position, and what encoder or step returned."""
        constants = _inputs_like(self._encoded.constants)
        cache = _inputs_like(self.layers.initial_cache(self._encoded))
        last_ids = keras.Input((1,), dtype="int32", name="target_in_ids")
        decoded = self.layers.decode(last_ids, cache, constants)
        outputs = {"logits": self.layers.project(decoded.hidden)[:, 0], **decoded.cache}
        if decoded.attention is not None:
            outputs["attention"] = decoded.attention[:, 0]
        inputs = {"target_in_ids": last_ids, **constants, **cache}
        return keras.Model(inputs, outputs, name="decoder")

    @property
    def weights(self) -> dict[str, keras.Variable]:
        """Every weight by its path, such as `decoder_0/lstm_cell/kernel`."""
        found = {weight.path: weight for weight in self.training_model.weights}
        assert len(found) == len(self.training_model.weights), "two weights have one path"
        return found

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every weight by its path."""
        return {path: tuple(weight.shape) for path, weight in self.weights.items()}

    def load(self, values: Mapping[str, Any]) -> None:
        """Assigns `values`, an array for the path of every weight."""
        for path, weight in self.weights.items():
            weight.assign(values[path])


def _ids(name: str) -> keras.KerasTensor:
    return keras.Input((None,), dtype="int32", name=name)


def _inputs_like(tensors: Tensors) -> Tensors:
    """A `keras.Input` of the same name, shape and dtype for each tensor; an axis of 0 grows."""
    return {
        name: keras.Input(
            [size or None for size in tensor.shape[1:]], dtype=tensor.dtype, name=name
        )
        for name, tensor in tensors.items()
    }
