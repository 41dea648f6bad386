"""What goes on from each row of a search: its best token, or the best of the beam.

Shapes: B sentences, K hypotheses of each, N = B × K rows, M of them active, V columns of scores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from s2s_cli.decoding.constraints import FORBIDDEN_SCORE, Forbidden, masked_scores
from s2s_cli.decoding.top_k import log_softmax, top_k
from s2s_cli.text.tokenizer import EOS, PAD


class Scores(NamedTuple):
    """What a position is chosen from.

    values (M,V) float32 logits of the active rows; ids (V,) int32 that the columns stand for,
    or None where a column is its id; position () int32; what no row may choose; allowed (M,V)
    bool: the columns that each row may choose, None for all; draws (M,) float32, uniform in [0, 1),
    None where nothing is drawn.
    """

    values: tf.Tensor
    ids: tf.Tensor | None
    position: tf.Tensor
    forbidden: Forbidden
    allowed: tf.Tensor | None = None
    draws: tf.Tensor | None = None


class Choice(NamedTuple):
    """How the rows (N,) go on.

    parent: the row that each goes on from, None where it is the row itself; ids: its next
    token; log_probability: the sum over all of its tokens.
    """

    parent: tf.Tensor | None
    ids: tf.Tensor
    log_probability: tf.Tensor


class Ranking(NamedTuple):
    """What a beam ranks continuations by, beside their log probabilities.

    lengths (N,) int32, the next token counted; at_end (N,) float32, added to the score of what ends
    at this position or has ended; offer: (scores, ids (M,C), their log probabilities) → the same
    with further continuations of each row, (M,C+D); select: (ids (N,C), rank (N,C) float32, which
    is higher for better ones) → the K continuations of each sentence that go on, (B,K) int32,
    numbered row by row. None: nothing is added, the K that rank highest go on.
    """

    lengths: tf.Tensor
    at_end: tf.Tensor | None = None
    offer: Callable[[Scores, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None = None
    select: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None


# The continuations (M,C) of active rows, as ids and log probabilities, → those of all rows (N,C).
SpreadToRows = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Greedy:
    """Each row goes on with its most probable token."""

    def choose(self, scores: Scores, ranking: Ranking, spread: SpreadToRows) -> Choice:
        """Finds the next token of each row, whatever it is ranked by."""
        if scores.allowed is not None:
            best = best_tokens(scores, 1)
        else:
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

    def __init__(self, beam_size: int, length_penalty: float, diversity: float = 0.0):
        """`diversity`: what a continuation loses for each better one of the same row, in log
        probability, while it is ranked (https://arxiv.org/abs/1611.08562, section 3)."""
        self._beam_size, self._length_penalty = beam_size, length_penalty
        self._diversity = diversity

    def choose(self, scores: Scores, ranking: Ranking, spread: SpreadToRows) -> Choice:
        """Finds the K best continuations of each sentence."""
        ids, logs = best_tokens(scores, self._beam_size)
        if ranking.offer is not None:
            ids, logs = ranking.offer(scores, ids, logs)
        ids, log_probability = spread(ids, logs)
        width = tf.shape(log_probability)[1]
        together = self._beam_size * width
        rank = self._rank(ids, log_probability, ranking)
        if ranking.select is None:
            _, best = tf.math.top_k(tf.reshape(rank, [-1, together]), self._beam_size)
        else:
            best = ranking.select(ids, rank)
        sentences = tf.range(tf.shape(best)[0])[:, None]
        best = tf.reshape(best + sentences * together, [-1])
        return Choice(
            parent=best // width,
            ids=tf.gather(tf.reshape(ids, [-1]), best),
            log_probability=tf.gather(tf.reshape(log_probability, [-1]), best),
        )

    def _rank(self, ids: tf.Tensor, log_probability: tf.Tensor, ranking: Ranking) -> tf.Tensor:
        """What the continuations (N,C) are ranked by, (N,C) float32."""
        if self._diversity:
            place = tf.range(tf.shape(ids)[1])
            # What was offered beside the best tokens stands behind them, and loses nothing.
            better = tf.cast(tf.where(place < self._beam_size, place, 0), tf.float32)
            log_probability -= self._diversity * better
        rank = normalise(log_probability, ranking.lengths[:, None], self._length_penalty)
        if ranking.at_end is not None:
            rank += tf.where((ids == EOS) | (ids == PAD), ranking.at_end[:, None], 0.0)
        return rank


def best_tokens(scores: Scores, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The most probable allowed ids of each row and their log probabilities, (M,C).

    C is `count`, or V where there are fewer columns.
    """
    columns = tf.shape(scores.values)[1]
    values = masked_scores(scores.values, scores.allowed)
    best, column = top_k(values, tf.minimum(count + scores.forbidden.max_count, columns))
    if scores.allowed is None:
        logs = best - best[:, :1] + log_softmax(scores.values, column[:, :1])
    else:
        logs = log_probabilities(scores, best)
    ids, forbidden = _ids_of(scores, column)
    logs = tf.where(forbidden, -float("inf"), logs)
    logs, order = tf.math.top_k(logs, tf.minimum(count, columns))
    return tf.gather(ids, order, axis=1, batch_dims=1), logs


def log_probabilities(scores: Scores, values: tf.Tensor) -> tf.Tensor:
    """The log probabilities of scores (M,C) among all columns, -inf for FORBIDDEN_SCORE.

    What is not allowed has its share of the probability all the same: that of a token is what the
    model gives it.
    """
    logs = values - tf.reduce_logsumexp(scores.values, axis=1, keepdims=True)
    return tf.where(values == FORBIDDEN_SCORE, -float("inf"), logs)


def _ids_of(scores: Scores, column: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The ids of columns, and whether they are forbidden."""
    ids = column if scores.ids is None else tf.gather(scores.ids, column)
    return ids, scores.forbidden(ids, scores.position)


def normalise(log_probability: tf.Tensor, length: tf.Tensor, length_penalty: float) -> tf.Tensor:
    """log probability / length**length_penalty; a length of 0 counts as 1."""
    return log_probability / tf.cast(tf.maximum(length, 1), tf.float32) ** length_penalty
