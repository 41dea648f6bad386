"""Which tokens may stand at a position: for all rows alike, or as the history of each row demands.

Shapes: M active rows, L target positions, V columns of scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from s2s_cli.text.tokenizer import EOS, PAD, UNK

# The score of a column that a row may not choose. Not -inf: a search for the highest scores adds
# columns of -inf at the end, which are no tokens.
FORBIDDEN_SCORE = -1e30


@dataclass(frozen=True)
class Forbidden:
    """Which tokens no row may choose: padding, `</s>` before `min_length` tokens, and `<unk>`
    where it is suppressed."""

    min_length: int = 0
    unknown: bool = False

    @property
    def max_count(self) -> int:
        """So many tokens at most are forbidden at a position: with as many more, top-k leaves
        enough."""
        return 3 if self.unknown else 2

    def __call__(self, ids: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        """Whether ids, of any shape, are forbidden at a position (0 is the first), bool."""
        found = (ids == PAD) | ((ids == EOS) & (position < self.min_length))
        return found | (ids == UNK) if self.unknown else found


class Rows(NamedTuple):
    """What a constraint knows of the active rows.

    scores (M,V) float32 logits; column_ids (V,) int32 that the columns stand for, None where a
    column is its id; position () int32; ids (M,L) int32, of which those before `position` are
    chosen; limit (M,) int32, tokens at most; given (M,…) and history (M,…), tensors by name: what is
    given for the sentence of a row, and what features of the search remember of it.
    """

    scores: tf.Tensor
    column_ids: tf.Tensor | None
    position: tf.Tensor
    ids: tf.Tensor
    limit: tf.Tensor
    given: dict[str, tf.Tensor]
    history: dict[str, tf.Tensor]


# (allowed (M,V) bool by the constraints before, rows) → allowed (M,V) bool. The last one prevails.
Constraint = Callable[[tf.Tensor, Rows], tf.Tensor]


def allowed_columns(constraints: list[Constraint], rows: Rows) -> tf.Tensor:
    """Which columns each row may choose, (M,V) bool."""
    allowed = tf.ones(tf.shape(rows.scores), tf.bool)
    for constraint in constraints:
        allowed = constraint(allowed, rows)
    return allowed


def no_repeated_ngram(size: int) -> Constraint:
    """Forbids each token that would repeat an n-gram of `size` tokens of its row."""

    def constrain(allowed: tf.Tensor, rows: Rows) -> tf.Tensor:
        # Row by row, the n-gram at `start` is repeated by its last token where the tokens before
        # that are the last tokens of the row.
        starts = tf.range(tf.maximum(tf.shape(rows.ids)[1] - size + 1, 0))
        repeats = tf.ones([tf.shape(rows.ids)[0], tf.size(starts)], tf.bool)
        for offset in range(size - 1):
            last = tf.gather(rows.ids, tf.maximum(rows.position - size + 1 + offset, 0), axis=1)
            repeats &= tf.gather(rows.ids, starts + offset, axis=1) == last[:, None]
        repeats &= starts + size <= rows.position
        return allowed & ~columns_of(rows, tf.gather(rows.ids, starts + size - 1, axis=1), repeats)

    return constrain


def forced_prefix(allowed: tf.Tensor, rows: Rows) -> tf.Tensor:
    """Forces the tokens of given["prefix"] (M,P) int32, padded with 0, at the first positions."""
    prefix = rows.given["prefix"]
    width = tf.shape(prefix)[1]
    token = tf.gather(prefix, tf.minimum(rows.position, width - 1), axis=1)[:, None]
    is_forced = (token != PAD) & (rows.position < width)
    return tf.where(is_forced, columns_of(rows, token, is_forced), allowed)


def columns_of(rows: Rows, ids: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Which columns (M,V) hold one of the ids (M,X) of their row that are `wanted`, (M,X) bool."""
    row, place = tf.unstack(tf.cast(tf.where(wanted), tf.int32), axis=1)
    column = column_numbers(rows.column_ids, tf.gather_nd(ids, tf.stack([row, place], axis=1)))
    shape = tf.shape(rows.scores)
    # An id may be wanted twice, and boolean values have no sum to scatter.
    counts = tf.scatter_nd(tf.stack([row, column], axis=1), tf.ones_like(row), shape)
    return counts > 0


def column_numbers(column_ids: tf.Tensor | None, ids: tf.Tensor) -> tf.Tensor:
    """The columns that stand for ids, of any shape, each of which must be a column's."""
    if column_ids is None:
        return ids
    columns = tf.range(tf.size(column_ids))
    # Only padding stands in several columns, and nobody looks for it.
    numbers = tf.scatter_nd(column_ids[:, None], columns, [tf.reduce_max(column_ids) + 1])
    return tf.gather(numbers, ids)


def masked_scores(scores: tf.Tensor, allowed: tf.Tensor | None) -> tf.Tensor:
    """The scores (M,V), FORBIDDEN_SCORE where a column is not allowed; None allows all."""
    return scores if allowed is None else tf.where(allowed, scores, FORBIDDEN_SCORE)
