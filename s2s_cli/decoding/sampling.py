"""Random translations: each row goes on with a token that is drawn from the model's distribution.

A draw follows from (seed, source ids, row of the sentence, position) alone, so a sentence is sampled
alike in any batch and in any order.

Shapes: K samples of a sentence, N rows, M of them active, V columns of scores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2s_cli.decoding.choosers import Choice, Ranking, Scores, SpreadToRows, log_probabilities
from s2s_cli.decoding.constraints import FORBIDDEN_SCORE, masked_scores
from s2s_cli.decoding.top_k import BLOCK, top_k

# Nearly always so many tokens hold a share of `top_p`; all are sorted where they do not.
NUCLEUS = 256
# A sentence may have so many rows, as each of its positions has numbers for so many draws.
MAX_ROWS = 1 << 20
# The generator splitmix64, https://doi.org/10.1145/2714064.2660195, figure 10.
_GOLDEN = 0x9E3779B97F4A7C15
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))


@dataclass(frozen=True)
class Sampling:
    """The distribution that tokens are drawn from.

    The scores are divided by `temperature`; then only the `top_k` most probable tokens are left (0:
    all), and then only the fewest of the most probable whose probabilities sum to `top_p`
    (https://arxiv.org/abs/1904.09751, section 3.1). Probabilities are renormalised after each.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def draw(self, values: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        """The column of scores (M,V) for each draw (M,) float32 in [0, 1), (M,) int32."""
        probability = tf.nn.softmax(values / self.temperature)
        if not self.top_k and self.top_p == 1.0:
            return inverse_cdf(probability, uniform)
        best, column = self._most_probable(probability)
        if self.top_p < 1.0:
            wanted = self.top_p * (tf.reduce_sum(best, axis=1, keepdims=True) if self.top_k else 1)
            before = tf.cumsum(best, axis=1, exclusive=True)
            best = tf.where(before < wanted, best, 0.0)
        place = inverse_cdf(best, uniform)
        return tf.gather(column, place, axis=1, batch_dims=1)

    def _most_probable(self, probability: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The most probable columns, as probabilities and numbers, sorted."""
        columns = tf.shape(probability)[1]
        if self.top_k:
            return top_k(probability, tf.minimum(self.top_k, columns))
        best, column = tf.math.top_k(probability, tf.minimum(NUCLEUS, columns))
        is_enough = tf.reduce_all(tf.reduce_sum(best, axis=1) >= self.top_p)
        return tf.cond(  # type: ignore[no-any-return]
            is_enough, lambda: (best, column), lambda: tuple(tf.math.top_k(probability, columns))
        )


class Sample:
    """Each row goes on with a token that is drawn; the rows of a sentence are its samples."""

    def __init__(self, sampling: Sampling):
        self._sampling = sampling

    def choose(self, scores: Scores, ranking: Ranking, spread: SpreadToRows) -> Choice:
        """Draws the next token of each row."""
        columns = tf.range(tf.shape(scores.values)[1])
        column_ids = columns if scores.ids is None else scores.ids
        values = masked_scores(scores.values, scores.allowed)
        forbidden = scores.forbidden(column_ids, scores.position)
        values = tf.where(forbidden, FORBIDDEN_SCORE, values)
        column = self._sampling.draw(values, scores.draws)[:, None]
        logs = log_probabilities(scores, tf.gather(values, column, axis=1, batch_dims=1))
        ids, log_probability = spread(tf.gather(column_ids, column), logs)
        return Choice(None, ids[:, 0], log_probability[:, 0])


def inverse_cdf(probability: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """The column of probabilities (M,V), of any sum, that each draw (M,) falls on, (M,) int32.

    Sums by blocks of columns come first, as sums over all columns one by one take ten times as long.
    """
    rows, columns = tf.shape(probability)[0], tf.shape(probability)[1]
    blocks = -(-columns // BLOCK)
    probability = tf.pad(probability, [[0, 0], [0, blocks * BLOCK - columns]])
    probability = tf.reshape(probability, [rows, blocks, BLOCK])
    until = tf.cumsum(tf.reduce_sum(probability, axis=2), axis=1)
    drawn = uniform * until[:, -1]
    block = _first_above(until, drawn)
    before = tf.gather(tf.pad(until, [[0, 0], [1, 0]]), block, axis=1, batch_dims=1)
    until = tf.cumsum(tf.gather(probability, block, axis=1, batch_dims=1), axis=1)
    # The sum of a block is rounded otherwise here than above.
    drawn = tf.minimum(drawn - before, until[:, -1] * (1 - 1e-6))
    return block * BLOCK + _first_above(until, drawn)


def _first_above(values: tf.Tensor, bounds: tf.Tensor) -> tf.Tensor:
    """The first column of values (M,C), which do not decrease, that is above a bound (M,)."""
    count = tf.math.count_nonzero(values <= bounds[:, None], axis=1, dtype=tf.int32)
    return tf.minimum(count, tf.shape(values)[1] - 1)


def uniform_draws(keys: tf.Tensor, row: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """A draw for each key (M,) int64 of a sentence and row (M,) int32 of it, (M,) float32 in [0, 1)."""
    number = tf.cast(position, tf.int64) * MAX_ROWS + tf.cast(row, tf.int64) + 1
    bits = tf.bitcast(keys, tf.uint64) + tf.bitcast(number, tf.uint64) * _uint64(_GOLDEN)
    for shift, factor in _ROUNDS:
        shifted = tf.bitwise.right_shift(bits, _uint64(shift))
        bits = tf.bitwise.bitwise_xor(bits, shifted) * _uint64(factor)
    # Those of the 64 bits that float32 represents exactly.
    return tf.cast(tf.bitwise.right_shift(bits, _uint64(40)), tf.float32) * 2.0**-24


def _uint64(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint64)


def sentence_keys(seed: int, sources: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """What the draws of each sentence follow from, (B,) int64."""
    return np.array([_key(seed, ids) for ids in sources], np.int64)


def _key(seed: int, ids: Sequence[int]) -> int:
    content = b"%d\n" % seed + np.array(ids, "<i4").tobytes()
    digest = hashlib.blake2b(content, digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
