"""What goes on from each row of a search: its best token, or the best of the beam.

Shapes: B sentences, K hypotheses of each, N = B × K rows, M of them active, V columns of scores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from s2s_cli.decoding.constraints import MAX_FORBIDDEN, is_forbidden
from s2s_cli.decoding.top_k import log_softmax, top_k


class Scores(NamedTuple):
    """What a position is chosen from.

    values (M,V) float32 logits of the active rows; ids (V,) int32 that the columns stand for,
    or None where a column is its id; position () int32; min_length, in tokens.
    """

    values: tf.Tensor
    ids: tf.Tensor | None
    position: tf.Tensor
    min_length: int


class Choice(NamedTuple):
    """How the rows (N,) go on.

    parent: the row that each goes on from, None where it is the row itself; ids: its next
    token; log_probability: the sum over all of its tokens.
    """

    parent: tf.Tensor | None
    ids: tf.Tensor
    log_probability: tf.Tensor


# The continuations (M,C) of active rows, as ids and log probabilities, → those of all rows (N,C).
SpreadToRows = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Greedy:
    """Each row goes on with its most probable token."""

    beam_size = 1

    def choose(self, scores: Scores, lengths: tf.Tensor, spread: SpreadToRows) -> Choice:
        """Finds the next token of each row."""
        # argmax takes a third of the time of the best three.
        column = tf.argmax(scores.values, axis=1, output_type=tf.int32)[:, None]
        ids, forbidden = _ids_of(scores, column)
        best = tf.cond(
            tf.reduce_any(forbidden),
            lambda: best_tokens(scores, 1),
            lambda: (ids, log_softmax(scores.values, column)),
        )
        ids, log_probability = spread(*best)
        return Choice(None, ids[:, 0], log_probability[:, 0])


class Beam:
    """The K best continuations of a sentence go on, ranked by their length-normalised score.

    Every row offers its K best tokens; a row that has ended offers itself. Ties are broken in
    favour of the earlier row, and in it of the earlier id.
    """

    def __init__(self, beam_size: int, length_penalty: float):
        self.beam_size, self._length_penalty = beam_size, length_penalty

    def choose(self, scores: Scores, lengths: tf.Tensor, spread: SpreadToRows) -> Choice:
        """Finds the K best continuations of each sentence; `lengths` (N,) counts the next token."""
        ids, log_probability = spread(*best_tokens(scores, self.beam_size))
        width = tf.shape(log_probability)[1]
        together = self.beam_size * width
        normalised = normalise(log_probability, lengths[:, None], self._length_penalty)
        _, best = tf.math.top_k(tf.reshape(normalised, [-1, together]), self.beam_size)
        sentences = tf.range(tf.shape(best)[0])[:, None]
        best = tf.reshape(best + sentences * together, [-1])
        return Choice(
            parent=best // width,
            ids=tf.gather(tf.reshape(ids, [-1]), best),
            log_probability=tf.gather(tf.reshape(log_probability, [-1]), best),
        )


def best_tokens(scores: Scores, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The most probable allowed ids of each row and their log probabilities, (M,C).

    C is `count`, or V where there are fewer columns.
    """
    columns = tf.shape(scores.values)[1]
    best, column = top_k(scores.values, tf.minimum(count + MAX_FORBIDDEN, columns))
    logs = best - best[:, :1] + log_softmax(scores.values, column[:, :1])
    ids, forbidden = _ids_of(scores, column)
    logs = tf.where(forbidden, -float("inf"), logs)
    logs, order = tf.math.top_k(logs, tf.minimum(count, columns))
    return tf.gather(ids, order, axis=1, batch_dims=1), logs


def _ids_of(scores: Scores, column: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The ids of columns, and whether they are forbidden."""
    ids = column if scores.ids is None else tf.gather(scores.ids, column)
    return ids, is_forbidden(ids, scores.position, scores.min_length)


def normalise(log_probability: tf.Tensor, length: tf.Tensor, length_penalty: float) -> tf.Tensor:
    """log probability / length**length_penalty; a length of 0 counts as 1."""
    return log_probability / tf.cast(tf.maximum(length, 1), tf.float32) ** length_penalty
