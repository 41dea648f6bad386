"""What constraints and penalties add to a search; nothing where none of them is used.

Shapes: B sentences, K hypotheses of each, N = B × K rows, M of them active, L target and S source
positions, C terms of W tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from s2s_cli.decoding import glossary
from s2s_cli.decoding.choosers import Ranking, Scores
from s2s_cli.decoding.constraints import (
    Constraint,
    Rows,
    allowed_columns,
    forced_prefix,
    no_repeated_ngram,
)
from s2s_cli.decoding.coverage import coverage_penalty

# Tensors by name. What is given for each sentence, as far as it is there: `prefix` (B,P) int32,
# tokens that each hypothesis begins with; `terms` (B,C,W) int32, those that must stand in it, each
# contiguous (both padded with 0); `keys` (B,) int64, which samples follow from; `source_mask` (B,S)
# bool, which positions are no padding.
Given = dict[str, tf.Tensor]
# What is remembered of each row: `coverage` (N,S) float32, its attention so far, summed; `matched`
# (N,C,W) bool and `met` (N,C) bool, its progress with the terms; `ending` (N,) bool, whether it would
# have ended without them.
History = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Features:
    """The constraints and penalties of a search with K = `beam_size`."""

    beam_size: int
    no_repeat_ngram_size: int = 0
    coverage_penalty: float = 0.0

    def start(self, given: Given) -> History:
        """The history of rows without tokens."""
        history: History = {}
        if self.coverage_penalty:
            mask = self._by_row(given["source_mask"])
            history["coverage"] = tf.zeros(tf.shape(mask), tf.float32)
        if "terms" in given:
            history |= glossary.no_progress(self._by_row(given["terms"]))._asdict()
            history["ending"] = tf.zeros(tf.shape(history["met"])[:1], tf.bool)
        return history

    def attended(self, history: History, active: tf.Tensor, attention: tf.Tensor | None) -> History:
        """The history with the attention (N,S) from the next token of active rows (N,)."""
        if not self.coverage_penalty:
            return history
        assert attention is not None, "the coverage penalty needs attention"
        attention = tf.where(active[:, None], tf.cast(attention, tf.float32), 0.0)
        return {**history, "coverage": history["coverage"] + attention}

    def advanced(self, history: History, ids: tf.Tensor, given: Given) -> History:
        """The history with the next tokens (N,)."""
        if "terms" not in given:
            return history
        before = glossary.progress_of(history)
        after = glossary.advanced(before, self._by_row(given["terms"]), ids)
        return {**history, **after._asdict()}

    def rows(
        self,
        scores: Scores,
        active_rows: tf.Tensor,
        by_sentence: tuple[tf.Tensor, Given],
        by_row: tuple[tf.Tensor, History],
    ) -> Rows | None:
        """The active rows (M,), as constraints see them; None where there is no constraint.

        by_sentence: limits (B,), and what is given; by_row: ids (N,L), and the history.
        """
        if not self._constraints(by_sentence[1]):
            return None
        limit, given = _gathered(by_sentence, active_rows // self.beam_size)
        ids, history = _gathered(by_row, active_rows)
        rows = Rows(scores.values, scores.ids, scores.position, ids, limit, given, history)
        if "terms" not in given:
            return rows
        return rows._replace(history={**history, "ending": glossary.ending(rows)})

    def scored(self, history: History, active_rows: tf.Tensor, rows: Rows | None) -> History:
        """The history of all rows with what the scores of the active ones (M,) have added to it."""
        if rows is None or "terms" not in rows.given:
            return history
        ending = tf.tensor_scatter_nd_update(
            history["ending"], active_rows[:, None], rows.history["ending"]
        )
        return {**history, "ending": ending}

    def constrained(self, scores: Scores, rows: Rows | None) -> Scores:
        """The scores with the columns that constraints allow."""
        if rows is None:
            return scores
        constraints = self._constraints(rows.given)
        return scores._replace(allowed=allowed_columns(constraints, rows))

    def _constraints(self, given: Given) -> list[Constraint]:
        """Those that there are; the last one prevails."""
        constraints: list[Constraint] = []
        if self.no_repeat_ngram_size:
            constraints.append(no_repeated_ngram(self.no_repeat_ngram_size))
        if "terms" in given:
            constraints.append(glossary.required_terms)
        if "prefix" in given:
            constraints.append(forced_prefix)
        return constraints

    def ranking(
        self, lengths: tf.Tensor, rows: Rows | None, history: History, given: Given
    ) -> Ranking:
        """What a beam ranks continuations by, with the lengths (N,) that they have."""
        at_end = self.at_end(history, given)
        if "terms" not in given or rows is None:
            return Ranking(lengths, at_end)
        terms, progress = self._by_row(given["terms"]), glossary.progress_of(history)
        return Ranking(
            lengths,
            at_end,
            lambda *offered: glossary.with_next_tokens(rows, *offered),
            lambda ids, rank: glossary.share_beam(terms, progress, ids, rank, self.beam_size),
        )

    def at_end(self, history: History, given: Given) -> tf.Tensor | None:
        """What is added to the score of hypotheses (N,) that have ended, or None."""
        if not self.coverage_penalty:
            return None
        mask = self._by_row(given["source_mask"])
        return coverage_penalty(self.coverage_penalty, history["coverage"], mask)

    def whole(self, log_probability: tf.Tensor, history: History) -> tf.Tensor:
        """The log probabilities (N,), -inf where another hypothesis of the sentence has all terms and
        this one has not."""
        if "met" not in history:
            return log_probability
        has_all = tf.reduce_all(history["met"], axis=1) & (log_probability > -float("inf"))
        by_sentence = tf.reshape(has_all, [-1, self.beam_size])
        has_better = tf.repeat(tf.reduce_any(by_sentence, axis=1), self.beam_size)
        return tf.where(has_better & ~has_all, -float("inf"), log_probability)

    def _by_row(self, tensor: tf.Tensor) -> tf.Tensor:
        """(B,…) as (N,…)."""
        return tf.repeat(tensor, self.beam_size, axis=0)


def _gathered(tensors: Any, rows: tf.Tensor) -> Any:
    return tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), tensors)


def with_room(limits: tf.Tensor, given: Given, max_length: int) -> tf.Tensor:
    """The limits (B,), raised to what prefix and terms need, `</s>` counted, up to `max_length`."""
    needed = tf.ones_like(limits)
    if "prefix" in given:
        needed += tf.math.count_nonzero(given["prefix"], axis=1, dtype=tf.int32)
    if "terms" in given:
        needed += tf.math.count_nonzero(given["terms"], axis=[1, 2], dtype=tf.int32)
    return tf.maximum(limits, tf.minimum(needed, max_length))
