"""Several models that translate together: a step of a search that is made of their steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from s2s_cli.decoding.search import Step, StepOutput


def ensemble_step(steps: Sequence[Step]) -> Step:
    """The step of models with one target vocabulary, whose probabilities are averaged.

    Its cache and constants are tuples with a part for each model. The softmax of its scores is the
    mean of the models' probabilities, and its attention is the mean over the models that give
    attention. Where there is one model, its scores and its attention stay as they are.
    """

    def step(
        last_ids: tf.Tensor, cache: tuple[Any, ...], constants: tuple[Any, ...], rows: tf.Tensor
    ) -> StepOutput:
        found = [
            one(last_ids, own_cache, own_constants, rows)
            for one, own_cache, own_constants in zip(steps, cache, constants, strict=True)
        ]
        return StepOutput(
            _joint_logits([output.scores for output in found]),
            tuple(output.cache for output in found),
            _mean([output.attention for output in found if output.attention is not None]),
            found[0].ids,
        )

    return step


def _joint_logits(logits: Sequence[tf.Tensor]) -> tf.Tensor:
    """Logits (M,V) of each model → logits whose softmax is the mean of theirs, (M,V)."""
    if len(logits) == 1:
        return logits[0]
    total = tf.add_n([tf.nn.softmax(one) for one in logits])

    def of_logarithms() -> tf.Tensor:
        return tf.reduce_logsumexp(tf.stack([tf.nn.log_softmax(one) for one in logits]), axis=0)

    # The softmax of a very improbable token is 0. With logarithms it has a score all the same, but
    # they take three times as long.
    return tf.cond(tf.reduce_min(total) > 0, lambda: tf.math.log(total), of_logarithms)


def _mean(tensors: Sequence[tf.Tensor]) -> tf.Tensor | None:
    """The mean of tensors of one shape, in float32; None where there are none."""
    if len(tensors) < 2:
        return tensors[0] if tensors else None
    return tf.add_n([tf.cast(one, tf.float32) for one in tensors]) / len(tensors)
