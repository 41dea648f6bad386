"""The coverage penalty of a hypothesis that leaves source tokens without attention.

https://arxiv.org/abs/1609.08144, equation 14.
"""

from __future__ import annotations

import tensorflow as tf

# A source position counts as having at least this much attention: its logarithm must be finite.
LEAST_ATTENTION = 1e-10


def coverage_penalty(beta: float, attention: tf.Tensor, source_mask: tf.Tensor) -> tf.Tensor:
    """beta × Σ log(min(attention, 1)) over the source positions that are no padding, (N,) float32.

    attention (N,S) float32 is that of all target positions of a hypothesis, summed; source_mask
    (N,S) bool. It is 0 where each source token had attention of at least 1, else below 0.
    """
    covered = tf.clip_by_value(attention, LEAST_ATTENTION, 1.0)
    return beta * tf.reduce_sum(tf.where(source_mask, tf.math.log(covered), 0.0), axis=1)
