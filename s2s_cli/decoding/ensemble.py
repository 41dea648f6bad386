"""Several models that translate together: a step of a search that is made of their steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from s2s_cli.decoding.search import Step, StepOutput


def ensemble_step(steps: Sequence[Step]) -> Step:
    """The step of models with one target vocabulary, whose probabilities are averaged.

    Its cache and constants are tuples with a part for each model. Its scores are the logarithms
    of the mean of the models' probabilities, and its attention is the mean over the models that
    give attention. Where there is one model, its scores and its attention stay as they are.
    """

    def step(
        last_ids: tf.Tensor, cache: tuple[Any, ...], constants: tuple[Any, ...], rows: tf.Tensor
    ) -> StepOutput:
        found = [
            one(last_ids, own_cache, own_constants, rows)
            for one, own_cache, own_constants in zip(steps, cache, constants, strict=True)
        ]
        return StepOutput(
            _log_mean([output.scores for output in found]),
            tuple(output.cache for output in found),
            _mean([output.attention for output in found if output.attention is not None]),
            found[0].ids,
        )

    return step


def _log_mean(logits: Sequence[tf.Tensor]) -> tf.Tensor:
    """Logits (M,V) of each model → the logarithm of their mean softmax, (M,V)."""
    if len(logits) == 1:
        return logits[0]
    logs = [tf.nn.log_softmax(one) for one in logits]
    # Of logarithms, as the softmax of improbable tokens is 0.
    return tf.reduce_logsumexp(tf.stack(logs), axis=0) - math.log(len(logs))


def _mean(tensors: Sequence[tf.Tensor]) -> tf.Tensor | None:
    """The mean of tensors of one shape, in float32; None where there are none."""
    if len(tensors) < 2:
        return tensors[0] if tensors else None
    return tf.add_n([tf.cast(one, tf.float32) for one in tensors]) / len(tensors)
