"""The LSTM and GRU encoder-decoder: its layers, `encode`, `decode` and `project`.

Shapes: B sentences, S source and T target positions, E embedding size, D memory
size, U decoder units, H size of `hidden`, V target types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

from s2s_cli.errors import ConfigError
from s2s_cli.model import layers as s2s_layers
from s2s_cli.schema import Embedding, Initializer, Model

Tensor = Any
Tensors = dict[str, Tensor]
# Functions by the names of the layers that they stand in for; see `s2s_cli.model.stand_ins`.
StandIns = Mapping[str, Callable[..., Any]]
NOBODY: StandIns = {}


@dataclass(frozen=True)
class Encoded:
    """What the decoder needs of a source sentence.

    `constants` stay as they are while a translation grows: memory (B,S,D),
    memory_mask (B,S) bool and keys (B,S,U), as far as the attention asks for
    them. `state` is what the first decoder step starts from.
    """

    constants: Tensors
    state: Tensors


@dataclass(frozen=True)
class Decoded:
    """hidden (B,T,H), the state behind the last position, attention (B,T,S) or None."""

    hidden: Tensor
    state: Tensors
    attention: Tensor | None


class RecurrentLayers:
    """Every layer of the model, once, and the three functions that call them."""

    def __init__(self, config: Model, source_types: int, target_types: int, *, plain: bool = False):
        """`plain` takes Keras's own recurrent layers, with the same weights by the same names."""
        self.config, self.is_plain = config, plain
        self.source_embedding, self.target_embedding = _embeddings(
            config.embedding, source_types, target_types
        )
        self.source_dropout = self._dropout("source_dropout")
        self.target_dropout = self._dropout("target_dropout")
        self.encoder_layers = [self._encoder_layer(i) for i in range(config.encoder.layers)]
        self.encoder_dropouts = self._between("encoder", config.encoder.layers)
        self.bridges = self._bridges()
        self.decoder_layers = [self._decoder_layer(i) for i in range(config.decoder.layers)]
        self.decoder_dropouts = self._between("decoder", config.decoder.layers)
        self._make_attention()
        self._make_output(target_types)

    # The three functions.

    def encode(self, source_ids: Tensor, stand_ins: StandIns = NOBODY) -> Encoded:
        """source_ids (B,S) int32, 0 on the right → Encoded."""
        mask = ops.not_equal(source_ids, 0)
        embedded = stand_ins.get("source_embedding", self.source_embedding)(source_ids)
        memory = self.source_dropout(embedded)
        finals: list[list[Tensor]] = []
        for index, layer in enumerate(self.encoder_layers):
            below = memory if index == 0 else self.encoder_dropouts[index - 1](memory)
            memory, *states = stand_ins.get(layer.name, layer)(below, mask=mask)
            finals.append(self._joined(states))
            if index > 0:
                memory = memory + below
        # Padding holds zeros, and the mask goes on as a tensor: the implicit one
        # of Keras does not outlive an operation or a model boundary.
        memory = ops.where(ops.expand_dims(mask, -1), memory, 0.0)
        constants = {}
        if self.attention is not None:
            constants = {"memory": memory, "memory_mask": mask}
        if self.keys is not None:
            constants["keys"] = stand_ins.get("attention_keys", self.keys)(memory)
        return Encoded(constants, self._initial_state(memory, mask, finals))

    def decode(
        self,
        target_in_ids: Tensor,
        state: Tensors,
        constants: Tensors,
        *,
        beam_size: int = 1,
        stand_ins: StandIns = NOBODY,
    ) -> Decoded:
        """target_in_ids (B,T) int32, and what came before them → Decoded.

        Of a beam, ids (B×K,1) and state hold the rows of a sentence side by side,
        and the constants (B,…) stand once for all of them.
        """
        embedded = stand_ins.get("target_embedding", self.target_embedding)(target_in_ids)
        output = self.target_dropout(embedded)
        new_state: Tensors = {}
        for index, layer in enumerate(self.decoder_layers):
            below = output if index == 0 else self.decoder_dropouts[index - 1](output)
            names = self.state_names(index)
            call = stand_ins.get(layer.name, layer)
            output, *states = call(below, initial_state=[state[name] for name in names])
            new_state.update(zip(names, states, strict=True))
            if index > 0:
                output = output + below
        attention = None
        if self.attention is not None:
            context, attention = self._attend(output, constants, beam_size, stand_ins)
            output = ops.concatenate([context, output], axis=-1)
        if self.readout is not None:
            output = stand_ins.get("readout", self.readout)(output)
        return Decoded(self.output_dropout(output), new_state, attention)

    def project(self, hidden: Tensor, stand_ins: StandIns = NOBODY) -> Tensor:
        """hidden (B,T,H) → logits (B,T,V) float32; (B,T,C) where what stands in gives no more."""
        return ops.cast(stand_ins.get("output", self._all_types)(hidden), "float32")

    def _all_types(self, hidden: Tensor) -> Tensor:
        if self.output is None:
            return self.target_embedding(hidden, reverse=True)
        return self.output(hidden)

    def state_names(self, layer: int) -> list[str]:
        """The names of the states of a decoder layer."""
        kinds = ["hidden", "cell"] if self.config.architecture == "lstm" else ["hidden"]
        return [f"decoder_{layer}_{kind}" for kind in kinds]

    # Parts of the three functions.

    def _joined(self, states: list[Tensor]) -> list[Tensor]:
        """The states of both directions of an encoder layer, side by side."""
        if not self.config.encoder.bidirectional:
            return states
        half = len(states) // 2
        pairs = zip(states[:half], states[half:], strict=True)
        return [ops.concatenate([forward, backward], axis=-1) for forward, backward in pairs]

    def _initial_state(self, memory: Tensor, mask: Tensor, finals: list[list[Tensor]]) -> Tensors:
        """A state for each decoder layer, from the encoder layer at its height."""
        mean = None
        if self.config.decoder.initial_state == "mean":
            present = ops.cast(ops.expand_dims(mask, -1), memory.dtype)
            mean = ops.sum(memory, axis=1) / ops.sum(present, axis=1)
        state: Tensors = {}
        for index in range(self.config.decoder.layers):
            below = finals[min(index, len(finals) - 1)]
            for kind, name in enumerate(self.state_names(index)):
                vector = below[kind] if mean is None else mean
                bridge = self.bridges.get(name)
                state[name] = vector if bridge is None else bridge(vector)
        return state

    def _attend(
        self, output: Tensor, constants: Tensors, beam_size: int, stand_ins: StandIns
    ) -> tuple[Tensor, Tensor]:
        """output (B,T,U) → context (B,T,D) and attention (B,T,S)."""
        assert self.attention is not None
        memory = constants["memory"]
        query = output
        if self.query is not None:
            query = stand_ins.get("attention_query", self.query)(output)
        if beam_size > 1:  # the rows of a sentence ask as its positions would
            query = ops.reshape(query, (-1, beam_size, query.shape[-1]))
        context, attention = self.attention(
            [query, memory, constants.get("keys", memory)],
            mask=[None, constants["memory_mask"]],
            return_attention_scores=True,
        )
        if beam_size > 1:
            context = ops.reshape(context, (-1, 1, context.shape[-1]))
            attention = ops.reshape(attention, (-1, 1, ops.shape(attention)[-1]))
        return context, attention

    # The layers.

    def _encoder_layer(self, index: int) -> keras.Layer:
        encoder, name = self.config.encoder, f"encoder_{index}"
        if not encoder.bidirectional:
            return self._recurrent(encoder.units, name)
        return layers.Bidirectional(self._recurrent(encoder.units, f"{name}_cell"), name=name)

    def _decoder_layer(self, index: int) -> keras.Layer:
        return self._recurrent(self.config.decoder.units, f"decoder_{index}")

    def _recurrent(self, units: int, name: str) -> keras.Layer:
        of = layers if self.is_plain else s2s_layers
        kind = of.LSTM if self.config.architecture == "lstm" else of.GRU
        # Keras draws the kernels of all gates as one wide matrix, which leaves each
        # of them too small; these scales are those of a matrix a gate.
        gates = 4 if self.config.architecture == "lstm" else 3
        orthogonal = keras.initializers.Orthogonal(gain=gates**0.5)
        # Weights in bfloat16 are loaded, never drawn, and TensorFlow has no QR for them.
        is_drawn = keras.config.dtype_policy().variable_dtype == "float32"
        return kind(
            units,
            kernel_initializer=keras.initializers.VarianceScaling(1.0, "fan_in", "uniform"),
            recurrent_initializer=orthogonal if is_drawn else "zeros",
            return_sequences=True,
            return_state=True,
            # An exported graph runs where there is no GPU, too.
            use_cudnn=False if self.is_plain else "auto",
            name=name,
        )

    def _between(self, side: str, count: int) -> list[keras.Layer]:
        names = [f"{side}_dropout_{index}" for index in range(1, count)]
        return [self._dropout(name) for name in names]

    def _dropout(self, name: str) -> keras.Layer:
        of = layers if self.is_plain else s2s_layers
        return of.Dropout(self.config.dropout, name=name)

    def _bridges(self) -> dict[str, keras.Layer]:
        """A layer for each decoder state that cannot be taken over as it is."""
        config = self.config
        fits = config.encoder.width == config.decoder.units
        if config.decoder.initial_state == "last" and fits:
            return {}
        names = [name for i in range(config.decoder.layers) for name in self.state_names(i)]
        return {
            name: layers.Dense(config.decoder.units, activation="tanh", name=f"bridge_{name}")
            for name in names
        }

    def _make_attention(self) -> None:
        kind, units = self.config.decoder.attention, self.config.decoder.units
        self.attention: keras.Layer | None = None
        self.query: keras.Layer | None = None
        self.keys: keras.Layer | None = None
        if kind == "none":
            return
        if kind == "additive":
            self.attention = layers.AdditiveAttention(name="attention")
            self.query = layers.Dense(units, name="attention_query")
        else:
            self.attention = layers.Attention(name="attention")
        if kind != "dot":
            self.keys = layers.Dense(units, use_bias=False, name="attention_keys")

    def _make_output(self, target_types: int) -> None:
        config = self.config
        width = config.embedding.size if config.embedding.tied else config.decoder.units
        has_context = config.decoder.attention != "none"
        self.readout: keras.Layer | None = None
        if has_context or width != config.decoder.units:
            self.readout = layers.Dense(width, activation="tanh", name="readout")
        self.output_dropout = self._dropout("output_dropout")
        self.output: keras.Layer | None = None
        if not config.embedding.tied:
            # In bfloat16 its product is rounded, which costs less than any noise of training:
            # a logit of 10 by 0.03 at most. Everything behind it is float32.
            self.output = layers.Dense(target_types, name="output")


def _embeddings(
    config: Embedding, source_types: int, target_types: int
) -> tuple[keras.Layer, keras.Layer]:
    """The source and the target table, one and the same where they are shared."""

    def table(types: int, name: str, tied: bool) -> keras.Layer:
        arguments: dict[str, Any] = {
            "embeddings_initializer": _initializer(config.initializer),
            "trainable": config.trainable,
            "name": name,
        }
        if tied:
            return layers.ReversibleEmbedding(types, config.size, **arguments)
        return layers.Embedding(types, config.size, **arguments)

    if config.shared:
        shared = table(target_types, "embedding", config.tied)
        return shared, shared
    source = table(source_types, "source_embedding", tied=False)
    return source, table(target_types, "target_embedding", config.tied)


def _initializer(config: str | Initializer) -> keras.initializers.Initializer:
    name = config if isinstance(config, str) else config.name
    arguments = {} if isinstance(config, str) else config.model_extra or {}
    try:
        return keras.initializers.get({"class_name": name, "config": arguments})
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"model.embedding.initializer: Keras does not make {name} from {arguments}: {error}.",
            "Write {name: …} with the arguments that Keras documents for it.",
        ) from None
