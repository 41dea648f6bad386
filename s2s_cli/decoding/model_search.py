"""The search whose step is the decoder of a model: as a function, compiled, or kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from s2s_cli.decoding.kept import KeptSearch, place
from s2s_cli.decoding.search import Hypotheses, Search, Step, StepOutput, length_limits
from s2s_cli.model.recurrent import RecurrentLayers, StandIns, Tensors
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.model.stand_ins import floating
from s2s_cli.schema import Decoding, Model
from s2s_cli.training.checkpoint import named_weights, read_weights


def search_of(
    seq2seq: Seq2Seq,
    decoding: Decoding,
    *,
    drops: bool = True,
    stand_ins: Callable[[tf.Tensor | None], StandIns] | None = None,
) -> Callable[..., Hypotheses]:
    """source_ids (B,S) → Hypotheses; to be compiled or exported. For `drops` see `Search`.

    With candidates (C,), no other types are scored; allowed (B,C) bool says which of
    them a sentence may take.
    """
    layers = seq2seq.layers
    stand_ins = stand_ins or floating(layers)

    def search(
        source_ids: tf.Tensor, candidates: tf.Tensor | None = None, allowed: tf.Tensor | None = None
    ) -> Hypotheses:
        here = stand_ins(candidates)
        encoded = layers.encode(source_ids, here)
        constants = dict(encoded.constants)
        if allowed is not None:
            constants["allowed"] = allowed
        limits = length_limits(source_ids, decoding.max_length, decoding.max_length_ratio)
        # The sums of a recurrence are kept in float32, whatever the products are taken in.
        state = {name: tf.cast(value, tf.float32) for name, value in encoded.state.items()}
        find = Search(
            step_of(layers, here, decoding.beam_size, candidates),
            beam_size=decoding.beam_size,
            length_penalty=decoding.length_penalty,
            min_length=decoding.min_length,
            drops=drops,
        )
        return find(state, constants, limits)

    return search


def step_of(
    layers: RecurrentLayers, stand_ins: StandIns, beam_size: int, candidates: tf.Tensor | None
) -> Step:
    """One position of the decoder, with logits of the rows that are asked for."""

    def step(
        last_ids: tf.Tensor, state: Tensors, constants: Tensors, rows: tf.Tensor
    ) -> StepOutput:
        decoded = layers.decode(
            last_ids[:, None], state, constants, beam_size=beam_size, stand_ins=stand_ins
        )
        attention = None if decoded.attention is None else decoded.attention[:, 0]
        logits = layers.project(tf.gather(decoded.hidden, rows), stand_ins)[:, 0]
        if candidates is not None:
            logits = tf.where(tf.gather(constants["allowed"], rows // beam_size), logits, -1e9)
        return StepOutput(logits, decoded.state, attention, candidates)

    return step


def compiled(search: Callable[..., Hypotheses], decoding: Decoding) -> Callable[..., Hypotheses]:
    """The search as a graph, which is traced when it is called first."""
    # AutoGraph would take seconds to rewrite functions that hold no Python loop.
    return tf.function(search, input_signature=_signature(decoding), autograph=False)


def _signature(decoding: Decoding) -> list[tf.TensorSpec]:
    """What a search is given."""
    source_ids = tf.TensorSpec((None, None), tf.int32)
    if not decoding.shortlist:
        return [source_ids]
    return [source_ids, tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, None), tf.bool)]


def kept_search(
    folder: Path, model: Model, decoding: Decoding, sizes: tuple[int, int], precision: str
) -> Callable[..., Hypotheses]:
    """The search with the weights of a checkpoint, traced now or in an earlier process."""
    path, signature = place(model, decoding, sizes, precision), _signature(decoding)
    found = KeptSearch.load(path)
    if found is None:
        seq2seq = Seq2Seq(model, *sizes, precision, trains=False)
        search, variables = search_of(seq2seq, decoding), named_weights(seq2seq)

        def given(values: Sequence[tf.Tensor], *arguments: tf.Tensor) -> tuple[tf.Tensor, ...]:
            with keras.StatelessScope(list(zip(variables.values(), values, strict=True))):
                return tuple(search(*arguments))

        found = KeptSearch.trace(given, variables, signature, path.stem)
        found.save(path)
    return found.function(read_weights(folder, found.weights, found.shapes), signature)
