"""Decoder inputs that the model has predicted itself, in place of the reference's.

Shapes: B sentences, T target positions, N tokens that are not padding, V tokens.
"""

from __future__ import annotations

import math

import tensorflow as tf

from s2s_cli.config.schema import ScheduledSampling
from s2s_cli.model.dropout import DropoutDraws
from s2s_cli.text.tokenizer import BOS


def sampling_rate(settings: ScheduledSampling, step: tf.Tensor) -> tf.Tensor:
    """The share of inputs that are predictions at a step, () float32; see the schema."""
    begun = tf.cast(step - settings.start_step, tf.float32)
    return tf.where(begun > 0, settings.rate * _share(settings, begun / settings.steps), 0.0)


def _share(settings: ScheduledSampling, progress: tf.Tensor) -> tf.Tensor:
    """What the schedule multiplies the rate by, at begun steps / steps."""
    if settings.schedule == "linear":
        return tf.minimum(progress, 1.0)
    if settings.schedule == "exponential":
        return 1.0 - tf.exp(-progress)
    if settings.schedule == "inverse_sigmoid":
        return tf.sigmoid(progress - math.log(settings.steps))
    return tf.ones_like(progress)


def predicted_ids(
    logits: tf.Tensor, present: tf.Tensor, shape: tf.Tensor, choice: str, draws: DropoutDraws
) -> tf.Tensor:
    """logits (N,V) at the positions `present` (N,2) → what is predicted there, (B,T) int32, 0
    elsewhere. `shape` is (B,T)."""
    if choice == "best":
        ids = tf.argmax(logits, axis=1, output_type=tf.int32)
    else:
        drawn = tf.gather_nd(draws.uniform("scheduled_sampling/token", shape), present)
        below = tf.cumsum(tf.nn.softmax(logits), axis=1) <= drawn[:, None]
        ids = tf.math.count_nonzero(below, axis=1, dtype=tf.int32)
        # Rounding may leave the sum of all probabilities just below 1.
        ids = tf.minimum(ids, tf.shape(logits)[1] - 1)
    return tf.scatter_nd(tf.cast(present, tf.int32), ids, shape)


def mixed_inputs(
    target_in_ids: tf.Tensor, predicted: tf.Tensor, rate: tf.Tensor, draws: DropoutDraws
) -> tf.Tensor:
    """target_in_ids (B,T) with some replaced by what was predicted at the position before.

    `<s>` and padding stay.
    """
    shape = tf.shape(target_in_ids)
    before = tf.pad(predicted[:, :-1], [[0, 0], [1, 0]], constant_values=BOS)
    is_chosen = draws.chosen("scheduled_sampling", rate, shape)
    is_token = (target_in_ids != 0) & (tf.range(shape[1]) > 0)
    return tf.where(is_chosen & is_token, before, target_in_ids)
