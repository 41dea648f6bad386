"""Required terms in a search: dynamic beam allocation, https://arxiv.org/abs/1804.06609.

Beside its best tokens, each row offers the next token of each term that it lacks, and the beam is
shared out among the hypotheses that have as many tokens of their terms. A hypothesis may end only
when it has all of them. Beyond the paper, a row that would end goes on with required tokens instead
until it has all terms, and so does one with no more room than its terms need: every hypothesis has
its terms in the end, with any beam and with greedy search.

Shapes: B sentences, K hypotheses of each, N rows, M of them active, C terms of a sentence, W tokens
of a term, X continuations of a row, V columns of scores. Terms are padded with 0.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from s2s_cli.decoding.choosers import Scores, log_probabilities
from s2s_cli.decoding.constraints import Rows, column_numbers, columns_of
from s2s_cli.text.tokenizer import EOS, PAD


class Progress(NamedTuple):
    """How far rows, of any shape (…), are with their terms.

    matched (…,C,W) bool: whether the last tokens of the row are the first w + 1 of the term; met
    (…,C) bool: whether the term stands in the row.
    """

    matched: tf.Tensor
    met: tf.Tensor


def no_progress(terms: tf.Tensor) -> Progress:
    """That of rows without tokens, for terms (N,C,W): terms that are only padding are met."""
    return Progress(tf.zeros_like(terms, tf.bool), terms[:, :, 0] == PAD)


def advanced(progress: Progress, terms: tf.Tensor, ids: tf.Tensor) -> Progress:
    """The progress after one more token, ids (…) int32, with terms (…,C,W)."""
    before = tf.concat(
        [tf.ones_like(progress.matched[..., :1]), progress.matched[..., :-1]], axis=-1
    )
    matched = before & (terms == ids[..., None, None]) & (terms != PAD)
    return Progress(matched, progress.met | tf.reduce_any(matched & _is_last(terms), axis=-1))


def _is_last(terms: tf.Tensor) -> tf.Tensor:
    """Which tokens (…,C,W) are the last of their term."""
    is_token = terms != PAD
    after = tf.concat([is_token[..., 1:], tf.zeros_like(is_token[..., :1])], axis=-1)
    return is_token & ~after


def _begun(progress: Progress) -> tf.Tensor:
    """How many tokens of each term that is not met stand at the end of the row, (…,C) int32."""
    width = tf.shape(progress.matched)[-1]
    counts = tf.where(progress.matched, tf.range(1, width + 1), 0)
    return tf.where(progress.met, 0, tf.reduce_max(counts, axis=-1))


def missing_tokens(progress: Progress, terms: tf.Tensor) -> tf.Tensor:
    """How many tokens rows (…) need at least to have all of their terms, (…) int32."""
    return _missing_terms_size(progress, terms) - tf.reduce_max(_begun(progress), axis=-1)


def _missing_terms_size(progress: Progress, terms: tf.Tensor) -> tf.Tensor:
    """How many tokens the terms have that rows (…) lack, (…) int32."""
    lengths = tf.math.count_nonzero(terms, axis=-1, dtype=tf.int32)
    return tf.reduce_sum(tf.where(progress.met, 0, lengths), axis=-1)


def next_tokens(progress: Progress, terms: tf.Tensor) -> tf.Tensor:
    """The next token of each term (N,C,W) that rows lack, 0 for those that they have, (N,C) int32."""
    token = tf.gather(terms, _begun(progress), axis=2, batch_dims=2)
    return tf.where(progress.met, PAD, token)


def progress_of(history: dict[str, tf.Tensor]) -> Progress:
    """The progress that is remembered of rows."""
    return Progress(history["matched"], history["met"])


def required_terms(allowed: tf.Tensor, rows: Rows) -> tf.Tensor:
    """The constraint: rows may end only with all terms, and must go on with them where they would
    end or have no more room."""
    terms, progress = rows.given["terms"], progress_of(rows.history)
    tokens = next_tokens(progress, terms)
    lacking = ~tf.reduce_all(progress.met, axis=1)
    begun = _begun(progress)
    # Another term would throw away the tokens of the one that is begun.
    is_furthest = begun == tf.reduce_max(begun, axis=1, keepdims=True)
    onward = columns_of(rows, tokens, (tokens != PAD) & is_furthest)
    required = columns_of(rows, tokens, tokens != PAD)
    end = tf.fill([tf.shape(tokens)[0], 1], EOS)
    is_end = columns_of(rows, end, lacking[:, None])
    is_forced = lacking & (rows.history["ending"] | _has_no_room(rows, progress))
    return tf.where(is_forced[:, None], onward, (allowed | required) & ~is_end)


def ending(rows: Rows) -> tf.Tensor:
    """Which rows (M,) lack terms and have, here or at an earlier position, `</s>` as their best
    token."""
    best = tf.argmax(rows.scores, axis=1, output_type=tf.int32)
    would_end = (best if rows.column_ids is None else tf.gather(rows.column_ids, best)) == EOS
    if "prefix" in rows.given:
        length = tf.math.count_nonzero(rows.given["prefix"], axis=1, dtype=tf.int32)
        would_end &= rows.position >= length
    return ~tf.reduce_all(rows.history["met"], axis=1) & (rows.history["ending"] | would_end)


def _has_no_room(rows: Rows, progress: Progress) -> tf.Tensor:
    """Which rows (M,) could not have all terms before `</s>` after a token of none of them."""
    room = rows.limit - rows.position - 1
    return _missing_terms_size(progress, rows.given["terms"]) >= room


def with_next_tokens(
    rows: Rows, scores: Scores, ids: tf.Tensor, logs: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Continuations (M,X) with the next token of each term that a row lacks, (M,X+C)."""
    tokens = next_tokens(progress_of(rows.history), rows.given["terms"])
    assert scores.allowed is not None
    column = tf.where(tokens == PAD, 0, column_numbers(scores.ids, tokens))
    values = tf.gather(scores.values, column, axis=1, batch_dims=1)
    is_allowed = tf.gather(scores.allowed, column, axis=1, batch_dims=1) & (tokens != PAD)
    # Each continuation once.
    is_offered = tf.reduce_any(tokens[:, :, None] == ids[:, None], axis=2)
    count = tf.shape(tokens)[1]
    is_earlier = tf.range(count) < tf.range(count)[:, None]
    is_repeated = tf.reduce_any((tokens[:, :, None] == tokens[:, None]) & is_earlier, axis=2)
    is_new = is_allowed & ~is_offered & ~is_repeated
    found = tf.where(is_new, log_probabilities(scores, values), -float("inf"))
    return tf.concat([ids, tokens], axis=1), tf.concat([logs, found], axis=1)


def share_beam(
    terms: tf.Tensor, before: Progress, ids: tf.Tensor, rank: tf.Tensor, beam_size: int
) -> tf.Tensor:
    """The K continuations of each sentence that go on, numbered row by row, (B,K) int32.

    Terms (N,C,W) and progress of all rows, and their continuations as ids and rank, (N,X). The beam
    is shared out evenly among the continuations with as many missing tokens, and what is left over
    goes to those with the fewest; what a share does not use goes to the best of the others. One
    place is always that of the best continuation. Once as many hypotheses with all terms have ended
    as the share of these is, they come first.
    """
    has_ended = ids == PAD
    after = advanced(Progress(before.matched[:, None], before.met[:, None]), terms[:, None], ids)
    missing = tf.where(
        has_ended, missing_tokens(before, terms)[:, None], missing_tokens(after, terms[:, None])
    )
    shape = [-1, beam_size * tf.shape(ids)[1]]
    missing, has_ended, rank = (tf.reshape(part, shape) for part in (missing, has_ended, rank))
    return _shared_out(missing, has_ended, rank, beam_size)


def _shared_out(
    missing: tf.Tensor, has_ended: tf.Tensor, rank: tf.Tensor, beam_size: int
) -> tf.Tensor:
    """`share_beam` for the continuations of each sentence side by side, (B,K×X)."""
    rank, order = tf.math.top_k(rank, tf.shape(rank)[1])
    missing, has_ended = (
        tf.gather(part, order, axis=1, batch_dims=1) for part in (missing, has_ended)
    )
    exists = rank > -float("inf")
    banks = tf.range(tf.reduce_max(missing) + 1)
    in_bank = (missing[:, :, None] == banks) & exists[:, :, None]
    place = tf.reduce_sum(
        tf.where(in_bank, tf.cumsum(tf.cast(in_bank, tf.int32), axis=1, exclusive=True), 0), axis=2
    )
    # What each bank gets: an even share, and one more for those with the fewest missing tokens.
    is_used = tf.reduce_any(in_bank, axis=1)
    used = tf.maximum(tf.math.count_nonzero(is_used, axis=1, keepdims=True, dtype=tf.int32), 1)
    number = tf.cumsum(tf.cast(is_used, tf.int32), axis=1, exclusive=True)
    extra = tf.where(used > beam_size, beam_size - 1, beam_size % used)
    share = beam_size // used + tf.cast(number < extra, tf.int32)
    has_all, is_best = missing == 0, tf.range(tf.shape(rank)[1]) == 0
    ended = tf.math.count_nonzero(has_ended & exists & has_all, axis=1, dtype=tf.int32)
    is_enough = (ended > 0) & (ended >= share[:, 0])
    is_due = is_best | (place < tf.gather(share, missing, axis=1, batch_dims=1))
    comes_first = exists & tf.where(is_enough[:, None], has_all, is_due)
    # Equal ones stay in the order of their rank.
    _, chosen = tf.math.top_k(tf.cast(comes_first, tf.int32), beam_size)
    return tf.gather(order, chosen, axis=1, batch_dims=1)
