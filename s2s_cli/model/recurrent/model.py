"""The LSTM and GRU encoder-decoder: its layers, `encode`, `decode` and `project`.

Shapes: B sentences, S source and T target positions, E embedding size, D memory size, U decoder
units, H size of `hidden`, V target vocabulary size, C candidate tokens, K beam size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras
from keras import layers, ops

from s2s_cli.config.schema import RecurrentModel
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
from s2s_cli.model.normalization import layer_norm
from s2s_cli.model.recurrent import inference
from s2s_cli.model.recurrent.coverage import Coverage, attend, make_coverage
from s2s_cli.model.recurrent.layers import fed_layer, recurrent_dropout, training_layer
from s2s_cli.model.recurrent.positions import over_positions

Function = Callable[..., Any]
# What layer normalisation adds to the variance.
EPSILON = 1e-5


@dataclass(frozen=True)
class RecurrentLayers:
    """Every layer of the model; each is a Keras layer, or a function called in the same way."""

    settings: RecurrentModel
    source_embedding: Function
    target_embedding: Function
    source_dropout: Function
    target_dropout: Function
    encoder: tuple[Function, ...]
    encoder_norms: tuple[Function, ...]
    """The layer normalisation of the output of each layer that is read; empty without any."""
    encoder_dropouts: tuple[Function, ...]
    bridges: Mapping[str, Function]
    """For each decoder state that is not the encoder's state as it is, the layer that makes it."""
    decoder: tuple[Function, ...]
    decoder_norms: tuple[Function, ...]
    decoder_dropouts: tuple[Function, ...]
    attention: Function | None
    coverage: Coverage | None
    """The attention where it has coverage."""
    attention_query: Function | None
    attention_keys: Function | None
    readout: Function | None
    output_dropout: Function
    output: Function

    # The functions of every family.

    def encode(self, source_ids: Tensor) -> Encoded:
        """source_ids (B,S) int32, 0 on the right → Encoded."""
        mask = ops.not_equal(source_ids, 0)
        inputs = self.source_dropout(self.source_embedding(source_ids))  # (B,S,E)
        memory = total = residual = None
        last_states: list[list[Tensor]] = []
        for index, layer in enumerate(self.encoder):
            if index > 0:
                inputs = self.encoder_dropouts[index - 1](memory)
                residual = total if self.encoder_norms else inputs
            hidden, *states = layer(inputs, mask=mask)  # (B,S,D)
            last_states.append(self._joined(states))
            total = hidden if index == 0 else hidden + residual
            memory = total
            if index < len(self.encoder_norms):
                memory = self.encoder_norms[index](total)
        # The mask goes on as a tensor, and padding holds zeros: Keras's implicit mask is lost
        # at the first operation or model boundary.
        memory = ops.where(ops.expand_dims(mask, -1), memory, 0.0)
        constants: Tensors = {}
        if self.settings.decoder.attention != "none":
            constants = {"memory": memory, "memory_mask": mask}
        if self.attention_keys is not None:
            constants["keys"] = self.attention_keys(memory)  # (B,S,U)
        return Encoded(constants, self._initial_states(memory, mask, last_states))

    def initial_cache(self, encoded: Encoded) -> Tensors:
        """The states that the encoder provides; they do not grow with the positions."""
        # Recurrent sums are float32, whatever the precision of the products.
        return {
            name: state if state.dtype == "float32" else ops.cast(state, "float32")
            for name, state in encoded.state.items()
        }

    def decode(
        self, target_in_ids: Tensor, cache: Tensors, constants: Tensors, *, beam_size: int = 1
    ) -> Decoded:
        """target_in_ids (B,T) int32, and the states before them → Decoded.

        In beam search, ids (B×K,1) and the states hold the K rows of a sentence next to each
        other, and the constants (B,…) stand once for all of them.
        """
        inputs = self.target_dropout(self.target_embedding(target_in_ids))  # (B,T,E)
        if self.settings.decoder.input_feeding and target_in_ids.shape[1] != 1:
            hidden, new_cache, attention = self._decode_one_by_one(inputs, cache, constants)
        else:
            hidden, new_cache, attention = self._decode(inputs, cache, constants, beam_size)
        return Decoded(self.output_dropout(hidden), new_cache, attention)

    def _decode_one_by_one(
        self, inputs: Tensor, cache: Tensors, constants: Tensors
    ) -> tuple[Tensor, Tensors, Tensor]:
        """As `_decode`, for positions of which each gets the readout vector of the one before."""
        ones = ops.repeat(ops.ones_like(inputs[..., :1]), self.settings.decoder.units, axis=-1)
        # What is dropped is drawn for all positions at once, as without input feeding.
        masks = [dropout(ones) for dropout in self.decoder_dropouts]

        def step(
            inputs: list[Tensor], cache: Tensors, constants: Tensors
        ) -> tuple[list[Tensor], Tensors]:
            embedded, *masks = inputs
            one = replace(self, decoder_dropouts=tuple(partial(ops.multiply, m) for m in masks))
            hidden, new_cache, attention = one._decode(embedded, cache, constants, 1)
            return [hidden, attention], new_cache

        outputs, new_cache = over_positions(
            step, [inputs, *masks], cache, constants, self._decoder_parts
        )
        hidden, attention = outputs
        return hidden, new_cache, attention

    def _decode(
        self, inputs: Tensor, cache: Tensors, constants: Tensors, beam_size: int
    ) -> tuple[Tensor, Tensors, Tensor | None]:
        """inputs (B,T,E) → hidden (B,T,H), the next cache, attention (B,T,S) or None."""
        is_fed = self.settings.decoder.input_feeding
        if is_fed:
            fed = ops.cast(ops.expand_dims(cache["decoder_readout"], 1), inputs.dtype)
            inputs = ops.concatenate([inputs, fed], axis=-1)  # (B,1,E+H)
        output: Tensor = None
        total = residual = context = attention = None
        new_cache: Tensors = {}
        for index, layer in enumerate(self.decoder):
            if index > 0:
                inputs = self.decoder_dropouts[index - 1](output)
                residual = total if self.decoder_norms else inputs
            if context is not None:
                inputs = ops.concatenate([inputs, context], axis=-1)  # (B,T,U+D)
            names = state_names(self.settings, index)
            hidden, *states = layer(inputs, initial_state=[cache[name] for name in names])
            new_cache.update(zip(names, states, strict=True))
            total = hidden if index == 0 else hidden + residual
            output = self.decoder_norms[index](total) if self.decoder_norms else total
            if index == self.settings.decoder.query_layer:
                context, attention, coverage = self._attend(output, cache, constants, beam_size)
                new_cache.update(coverage)
        if context is not None:
            output = ops.concatenate([context, output], axis=-1)  # (B,T,D+U)
        if self.readout is not None:
            output = self.readout(output)  # (B,T,H)
        if is_fed:
            new_cache["decoder_readout"] = ops.cast(output[:, 0], "float32")
        return output, new_cache, attention

    def project(self, hidden: Tensor) -> Tensor:
        """hidden (…,H) → logits (…,V) float32, or (…,C) over candidates."""
        return ops.cast(self.output(hidden), "float32")

    # Variants.

    def for_training(self, draws: DropoutDraws | None) -> RecurrentLayers:
        """Recurrences over all positions at once, with dropout as drawn, or without dropout."""
        rate, dropout = self.settings.recurrent_dropout, None
        is_fed = self.settings.decoder.input_feeding
        make_decoder_layer: Function = fed_layer if is_fed else training_layer
        if draws is not None and rate > 0:
            dropout = partial(recurrent_dropout, draws, rate)

        return replace(
            self.with_dropout(draws),
            encoder=tuple(training_layer(layer, dropout) for layer in self.encoder),
            encoder_norms=tuple(map(layer_norm, self.encoder_norms)),
            decoder=tuple(make_decoder_layer(layer, dropout) for layer in self.decoder),
            decoder_norms=tuple(map(layer_norm, self.decoder_norms)),
        )

    def with_dropout(self, draws: DropoutDraws | None) -> RecurrentLayers:
        """The same layers with dropout as drawn, or without dropout for None."""

        def dropout(layer: Any) -> Function:
            return dropout_function(layer, draws)

        return replace(
            self,
            source_dropout=dropout(self.source_dropout),
            target_dropout=dropout(self.target_dropout),
            encoder_dropouts=tuple(map(dropout, self.encoder_dropouts)),
            decoder_dropouts=tuple(map(dropout, self.decoder_dropouts)),
            output_dropout=dropout(self.output_dropout),
        )

    def for_inference(self) -> InferenceLayers:
        """The layers of a search; see `s2s_cli.model.recurrent.inference`."""
        return inference.float_layers(self)

    def for_int8_inference(self) -> InferenceLayers:
        """The layers of a search with 8-bit products."""
        return inference.int8_layers(self)

    # Parts of the functions.

    def _joined(self, states: list[Tensor]) -> list[Tensor]:
        """The states of both directions of an encoder layer, concatenated."""
        if not self.settings.encoder.bidirectional:
            return states
        half = len(states) // 2
        pairs = zip(states[:half], states[half:], strict=True)
        return [ops.concatenate([forward, backward], axis=-1) for forward, backward in pairs]

    def _initial_states(
        self, memory: Tensor, mask: Tensor, last_states: list[list[Tensor]]
    ) -> Tensors:
        """The states of each decoder layer, from the encoder layer at its height."""
        mean = None
        if self.settings.decoder.initial_state == "mean":
            present = ops.cast(ops.expand_dims(mask, -1), memory.dtype)
            mean = ops.sum(memory, axis=1) / ops.sum(present, axis=1)
        state: Tensors = {}
        for index in range(self.settings.decoder.layers):
            below = last_states[min(index, len(last_states) - 1)]
            for kind, name in enumerate(state_names(self.settings, index)):
                vector = below[kind] if mean is None else mean
                bridge = self.bridges.get(name)
                state[name] = vector if bridge is None else bridge(vector)
        if self.settings.decoder.input_feeding:
            zero = ops.zeros_like(last_states[0][0][:, :1])
            state["decoder_readout"] = ops.repeat(zero, self.settings.hidden_size, axis=1)
        if self.settings.decoder.coverage:
            state["decoder_coverage"] = ops.zeros_like(mask, dtype="float32")
        return state

    @property
    def _decoder_parts(self) -> list[keras.Layer]:
        """The layers that decode what is embedded."""
        parts = [
            *self.decoder,
            *self.decoder_norms,
            *([self.attention] if self.coverage is None else self.coverage.parts),
            self.attention_query,
            self.readout,
        ]
        return [part for part in parts if part is not None]

    def _attend(
        self, output: Tensor, cache: Tensors, constants: Tensors, beam_size: int
    ) -> tuple[Tensor, Tensor, Tensors]:
        """output (B,T,U) → context (B,T,D), attention (B,T,S), and what it adds to the cache."""
        memory, query = constants["memory"], output
        if self.attention_query is not None:
            query = self.attention_query(output)
        elif self.settings.layer_norm:
            # The scores would be sums of as many products as there are units, each of size 1, and
            # softmax would begin with all of its weight on one position.
            query = query / math.sqrt(self.settings.decoder.units)
        if beam_size > 1:  # the K rows of a sentence are K queries to its memory
            query = ops.reshape(query, (-1, beam_size, query.shape[-1]))
        new_cache: Tensors = {}
        if self.coverage is not None:
            attention, new_cache = self._cover(self.coverage, query, cache, constants, beam_size)
            context = ops.matmul(ops.cast(attention, memory.dtype), memory)
        else:
            assert self.attention is not None
            context, attention = self.attention(
                [query, memory, constants.get("keys", memory)],
                mask=[None, constants["memory_mask"]],
                return_attention_scores=True,
            )
        if beam_size > 1:
            context = ops.reshape(context, (-1, 1, context.shape[-1]))
            attention = ops.reshape(attention, (-1, 1, ops.shape(attention)[-1]))
        return context, attention, new_cache

    def _cover(
        self,
        coverage: Coverage,
        query: Tensor,
        cache: Tensors,
        constants: Tensors,
        beam_size: int,
    ) -> tuple[Tensor, Tensors]:
        """query (B,T,U), or (B,K,U) in beam search → attention (B,T or K,S), and the coverage of the
        next position."""
        name, mask, keys = "decoder_coverage", constants["memory_mask"], constants.get("keys")
        given = {"keys": constants["memory"] if keys is None else keys, "mask": mask}
        prepared = coverage.prepare(query, given["keys"])

        def step(
            inputs: list[Tensor], states: Tensors, given: Tensors
        ) -> tuple[list[Tensor], Tensors]:
            before = ops.expand_dims(states[name], 1)  # (B×K,1,S)
            if beam_size > 1:
                before = ops.reshape(before, (-1, beam_size, ops.shape(before)[2]))
            found = attend(coverage, inputs, given["keys"], given["mask"], before)
            after = before + found
            if beam_size > 1:
                after = ops.reshape(after, (-1, 1, ops.shape(after)[2]))
            return [found], {name: after[:, 0]}

        states = {name: cache[name]}
        if query.shape[1] == beam_size:
            (attention,), states = step(prepared, states, given)
        else:
            (attention,), states = over_positions(step, prepared, states, given, coverage.parts)
        return attention, states


def state_names(settings: RecurrentModel, layer: int) -> list[str]:
    """The names of the states of a decoder layer."""
    kinds = ["hidden", "cell"] if settings.architecture == "lstm" else ["hidden"]
    return [f"decoder_{layer}_{kind}" for kind in kinds]


def make_layers(
    settings: RecurrentModel, sizes: VocabSizes, factory: LayerFactory
) -> RecurrentLayers:
    """Makes every layer once."""
    encoder, decoder = settings.encoder, settings.decoder
    source_embedding, target_embedding = make_embeddings(settings.embedding, sizes, factory)

    def dropout(name: str) -> keras.Layer:
        is_same = settings.variational_dropout
        return factory.dropout(name, settings.dropout, same_at_all_positions=is_same)

    def dropouts(side: str, count: int) -> tuple[Function, ...]:
        return tuple(dropout(f"{side}_dropout_{index}") for index in range(1, count))

    def norms(side: str, count: int) -> tuple[Function, ...]:
        names = (f"{side}_{index}_norm" for index in range(count if settings.layer_norm else 0))
        return tuple(factory.layer_norm(name, EPSILON) for name in names)

    attention, query, keys = _make_attention(settings, factory)
    width = settings.hidden_size
    has_readout = decoder.attention != "none" or width != decoder.units
    return RecurrentLayers(
        settings=settings,
        source_embedding=source_embedding,
        target_embedding=target_embedding,
        source_dropout=dropout("source_dropout"),
        target_dropout=dropout("target_dropout"),
        encoder=tuple(_make_encoder_layer(settings, i, factory) for i in range(encoder.layers)),
        encoder_norms=norms("encoder", encoder.layers - (0 if decoder.reads_memory else 1)),
        encoder_dropouts=dropouts("encoder", encoder.layers),
        bridges=_make_bridges(settings, factory),
        decoder=tuple(
            factory.recurrent(f"decoder_{index}", settings.architecture, decoder.units)
            for index in range(decoder.layers)
        ),
        decoder_norms=norms("decoder", decoder.layers),
        decoder_dropouts=dropouts("decoder", decoder.layers),
        attention=attention,
        coverage=make_coverage(settings, factory) if decoder.coverage else None,
        attention_query=query,
        attention_keys=keys,
        readout=factory.dense("readout", width, activation="tanh") if has_readout else None,
        output_dropout=dropout("output_dropout"),
        output=make_output(target_embedding, settings.embedding, sizes, factory),
    )


def _make_encoder_layer(settings: RecurrentModel, index: int, factory: LayerFactory) -> keras.Layer:
    kind, units, name = settings.architecture, settings.encoder.units, f"encoder_{index}"
    if not settings.encoder.bidirectional:
        return factory.recurrent(name, kind, units)
    return layers.Bidirectional(
        # Keras puts `forward_` before the name of the first; the other keeps its name.
        factory.recurrent(name, kind, units),
        backward_layer=factory.recurrent(f"backward_{name}", kind, units, backwards=True),
        dtype=factory.policy,
        name=name,
    )


def _make_bridges(settings: RecurrentModel, factory: LayerFactory) -> dict[str, Function]:
    """A layer for each decoder state that cannot be the encoder's state as it is."""
    decoder = settings.decoder
    if decoder.initial_state == "last" and settings.encoder.width == decoder.units:
        return {}
    names = [name for i in range(decoder.layers) for name in state_names(settings, i)]
    return {
        name: factory.dense(f"bridge_{name}", decoder.units, activation="tanh") for name in names
    }


def _make_attention(
    settings: RecurrentModel, factory: LayerFactory
) -> tuple[Function | None, Function | None, Function | None]:
    """The attention, and the layers that make its query and its keys, as far as there are any."""
    kind, units, policy = settings.decoder.attention, settings.decoder.units, factory.policy
    has_coverage = settings.decoder.coverage
    if kind == "none":
        return None, None, None
    attention = None if has_coverage else layers.Attention(dtype=policy, name="attention")
    if kind == "dot":
        return attention, None, None
    keys = factory.dense("attention_keys", units, use_bias=False)
    if kind == "general":
        return attention, None, keys
    if not has_coverage:
        attention = layers.AdditiveAttention(dtype=policy, name="attention")
        attention.build([(None, None, units), (None, None, units)])
        initializer = factory.initializer("glorot_uniform", "attention/scale")
        attention.scale.assign(initializer(attention.scale.shape, attention.scale.dtype))
    return attention, factory.dense("attention_query", units), keys
