"""Greedy search over an opaque step function, as one graph loop.

`step(last_ids (N,), state, constants) -> (logits (N,V), state)` is all that the
search knows of a model. `state` is any nest of tensors whose first axis is N;
`constants` belong to the sentences and stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from s2s_cli.text.tokenizer import BOS, EOS, PAD

Step = Callable[[tf.Tensor, Any, Any], tuple[tf.Tensor, Any]]


class Hypotheses(NamedTuple):
    """ids (N,L) int32, `</s>` included, 0 behind it; log_probability (N,) float32, summed over ids."""

    ids: tf.Tensor
    log_probability: tf.Tensor


def length_limits(source_ids: tf.Tensor, max_length: int, max_length_ratio: float) -> tf.Tensor:
    """The most ids that each row (N,S) may be given, (N,) int32: ratio × pieces + 10, or max_length."""
    pieces = tf.math.count_nonzero(source_ids, axis=1, dtype=tf.int32) - 1
    bound = tf.floor(tf.constant(max_length_ratio, tf.float64) * tf.cast(pieces, tf.float64)) + 10
    return tf.cast(tf.minimum(bound, max_length), tf.int32)


def greedy(step: Step, state: Any, constants: Any, limits: tf.Tensor) -> Hypotheses:
    """The likeliest id at each position, until every row has ended or reached its limit (N,)."""
    rows = tf.shape(limits)[0]
    longest = tf.reduce_max(limits)

    class Loop(NamedTuple):
        position: tf.Tensor  # () int32
        last_ids: tf.Tensor  # (N,) int32
        alive: tf.Tensor  # (N,) bool
        ids: tf.Tensor  # (L,N) int32, a row a position
        log_probability: tf.Tensor  # (N,) float32
        state: Any

    def advance(loop: Loop) -> tuple[Loop]:
        logits, state = step(loop.last_ids, loop.state, constants)
        best = tf.argmax(logits[:, PAD + 1 :], axis=-1, output_type=tf.int32) + PAD + 1
        chosen = tf.where(loop.alive, best, PAD)
        log_probability = tf.gather(logits, best, axis=1, batch_dims=1) - tf.reduce_logsumexp(
            logits, axis=-1
        )
        alive = loop.alive & (chosen != EOS) & (loop.position + 1 < limits)
        return (
            Loop(
                position=loop.position + 1,
                last_ids=chosen,
                alive=alive,
                ids=tf.tensor_scatter_nd_update(loop.ids, [[loop.position]], [chosen]),
                log_probability=loop.log_probability + tf.where(loop.alive, log_probability, 0.0),
                state=state,
            ),
        )

    start = Loop(
        position=tf.constant(0),
        last_ids=tf.fill([rows], BOS),
        alive=limits > 0,
        ids=tf.fill([longest, rows], PAD),
        log_probability=tf.zeros([rows]),
        state=state,
    )
    (end,) = tf.while_loop(lambda loop: tf.reduce_any(loop.alive), advance, (start,))
    return Hypotheses(tf.transpose(end.ids)[:, : end.position], end.log_probability)
