"""What formats that hold graphs convert: the search of a run, its encoder, and its decoder step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from s2s_cli.config.schema import ResolvedConfig
from s2s_cli.decoding.model_search import make_search
from s2s_cli.model.family import Layers
from s2s_cli.model.seq2seq import Seq2Seq

SOURCE_IDS = tf.TensorSpec((None, None), tf.int32, name="source_ids")
ServingFunction = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def serving_function(seq2seq: Seq2Seq, config: ResolvedConfig) -> ServingFunction:
    """source_ids (B,S) int32, `</s>` after each sentence and 0 on the right → ids (B,L) int32, with
    `</s>` where it was reached, and log_probability (B,) float32, of the best hypothesis."""
    layers = seq2seq.layers.for_inference()
    search = make_search([config.model], [layers], config.decoding, compact=False)
    limit = config.model.position_limit

    def serve(source_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        if limit is not None:
            message = f"source_ids may have {limit} positions at most, with </s>"
            fits = tf.debugging.assert_less_equal(tf.shape(source_ids)[1], limit, message)
            with tf.control_dependencies([fits]):
                source_ids = tf.identity(source_ids)
        found = search(source_ids)
        return {"ids": found.ids[:, 0], "log_probability": found.log_probability[:, 0]}

    return serve


def encoder_function(seq2seq: Seq2Seq) -> ServingFunction:
    """source_ids (B,S) int32 → what `Seq2Seq.encoder` gives, by name."""

    def encode(source_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        layers = _layers(seq2seq)
        encoded = layers.encode(source_ids)
        return {**encoded.constants, **layers.initial_cache(encoded)}

    return encode


def step_function(
    seq2seq: Seq2Seq,
) -> tuple[Callable[..., dict[str, tf.Tensor]], Sequence[tf.TensorSpec]]:
    """What `Seq2Seq.decoder` computes, as a function of tensors, and what they are.

    The output next_X is the input X of the next position: in some formats, no two tensors of a graph
    have one name.
    """
    inputs = seq2seq.decoder.input
    is_cache = {name: name in seq2seq.decoder.output for name in inputs}

    def step(*values: tf.Tensor) -> dict[str, tf.Tensor]:
        layers, given = _layers(seq2seq), dict(zip(inputs, values, strict=True))
        last_ids = given.pop("target_in_ids")
        cache = {name: value for name, value in given.items() if is_cache[name]}
        constants = {name: value for name, value in given.items() if not is_cache[name]}
        decoded = layers.decode(last_ids, cache, constants)
        found = {"logits": layers.project(decoded.hidden)[:, 0]}
        if decoded.attention is not None:
            found["attention"] = decoded.attention[:, 0]
        return {**found, **{f"next_{name}": value for name, value in decoded.cache.items()}}

    specs = [tf.TensorSpec(one.shape, one.dtype, name=name) for name, one in inputs.items()]
    return step, specs


def _layers(seq2seq: Seq2Seq) -> Layers:
    """The layers of a search; made while a graph is, so that it holds what they prepare of the weights."""
    return seq2seq.layers.for_inference()(None)
