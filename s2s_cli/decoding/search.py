"""Greedy and beam search over an opaque step function, as one graph loop.

Shapes: B sentences, K hypotheses of each (the beam; 1 is greedy search), N = B × K
rows, M of them alive, L target and S source positions, V types. The rows of a
sentence stand together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from s2s_cli.decoding.highest import highest, log_share
from s2s_cli.text.tokenizer import BOS, EOS, PAD

# The loop goes on without the sentences that are done as soon as they are this share.
DONE_SHARE = 0.1


class StepOutput(NamedTuple):
    """scores (M,V) float32 logits; the next state of all rows; attention (N,S), or None;
    ids (V,) int32 that the columns of the scores stand for, None where they are the ids."""

    scores: tf.Tensor
    state: Any
    attention: tf.Tensor | None = None
    ids: tf.Tensor | None = None


# step(last_ids (N,) int32, state, constants, rows (M,) int32) -> StepOutput is all that
# the search knows of a model. `state` is any nest of tensors whose first axis is N, and
# is reordered; `constants` have the sentences as their first axis and never are; `rows`
# says whose scores are asked for.
Step = Callable[[tf.Tensor, Any, Any, tf.Tensor], StepOutput]


class Hypotheses(NamedTuple):
    """The hypotheses of each sentence, best first.

    ids (B,K,L) int32: `</s>` included where it was reached, 0 behind it; score (B,K)
    float32: log probability / length**length_penalty; log_probability (B,K) float32,
    summed over ids, -inf where there is no such hypothesis; attended (B,K,L) int32:
    the source position that each id looked at most, 0 without attention.
    """

    ids: tf.Tensor
    score: tf.Tensor
    log_probability: tf.Tensor
    attended: tf.Tensor


class _Beam(NamedTuple):
    """Every row of the search at one position."""

    position: tf.Tensor  # () int32
    sentence: tf.Tensor  # (B,) int32, its place among all sentences
    limit: tf.Tensor  # (B,) int32
    alive: tf.Tensor  # (N,) bool
    length: tf.Tensor  # (N,) int32
    log_probability: tf.Tensor  # (N,) float32
    last_ids: tf.Tensor  # (N,) int32
    ids: tf.Tensor  # (N,L) int32
    attended: tf.Tensor  # (N,L) int32
    state: Any


def length_limits(source_ids: tf.Tensor, max_length: int, max_length_ratio: float) -> tf.Tensor:
    """The most ids that each row (N,S) may be given, (N,) int32: ratio × pieces + 10, or max_length."""
    pieces = tf.math.count_nonzero(source_ids, axis=1, dtype=tf.int32) - 1
    bound = tf.floor(tf.constant(max_length_ratio, tf.float64) * tf.cast(pieces, tf.float64)) + 10
    return tf.cast(tf.minimum(bound, max_length), tf.int32)


class Search:
    """Finds the best target sentences, position by position.

    At each position the K best of all continuations stay, ranked by score; what has
    ended keeps its place and its score while others outgrow it or fail to. A sentence
    is done when all of its hypotheses have ended or reached its limit.
    """

    def __init__(
        self,
        step: Step,
        *,
        beam_size: int = 1,
        length_penalty: float = 1.0,
        min_length: int = 0,
        drops: bool = True,
    ):
        """With `drops`, what is done is dropped on the way; without, all shapes stay as
        they are, for converters that know no others. The outcome is the same."""
        self._step, self._beam_size, self._drops = step, beam_size, drops
        self._length_penalty, self._min_length = length_penalty, min_length

    def __call__(self, state: Any, constants: Any, limits: tf.Tensor) -> Hypotheses:
        """The hypotheses for a first state of B rows and as many limits, (B,) int32."""
        beam = self._start(state, limits)
        if not self._drops:
            beam = self._until(beam, constants, lambda beam: tf.reduce_any(beam.alive))
            return self._sorted(*_outcome(beam))

        def is_alive(beam: _Beam, constants: Any, found: Any) -> tf.Tensor:
            return tf.reduce_any(beam.alive)

        def go_on(beam: _Beam, constants: Any, found: Any) -> tuple[_Beam, Any, Any]:
            beam = self._until_some_are_done(beam, constants)
            found = self._noted(beam, found)
            return (*self._without_what_is_done(beam, constants), found)

        loop = (beam, constants, _outcome(beam))
        _, _, found = tf.while_loop(is_alive, go_on, loop, shape_invariants=_any_rows(loop))
        return self._sorted(*found)

    # The loop.

    def _start(self, state: Any, limits: tf.Tensor) -> _Beam:
        """One empty hypothesis a sentence; the rest of the beam does not exist yet."""
        size, longest = self._beam_size, tf.maximum(tf.reduce_max(limits), 0)
        sentences = tf.size(limits)
        is_first = tf.tile(tf.range(size) == 0, [sentences])
        blank = tf.fill([sentences * size, longest], PAD)
        return _Beam(
            position=tf.constant(0),
            sentence=tf.range(sentences),
            limit=limits,
            alive=is_first & tf.repeat(limits > 0, size),
            length=tf.zeros([sentences * size], tf.int32),
            log_probability=tf.where(is_first, 0.0, -float("inf")),
            last_ids=tf.fill([sentences * size], BOS),
            ids=blank,
            attended=tf.zeros_like(blank),
            state=tf.nest.map_structure(lambda tensor: tf.repeat(tensor, size, axis=0), state),
        )

    def _until_some_are_done(self, beam: _Beam, constants: Any) -> _Beam:
        def going_on(beam: _Beam) -> tf.Tensor:
            return tf.math.count_nonzero(self._going_on(beam), dtype=tf.float32)

        enough = going_on(beam) * (1 - DONE_SHARE)

        def too_few_are_done(beam: _Beam) -> tf.Tensor:
            count = going_on(beam)
            return (count > 0) & (count >= enough)

        return self._until(beam, constants, too_few_are_done)

    def _until(self, beam: _Beam, constants: Any, goes_on: Callable[[_Beam], tf.Tensor]) -> _Beam:
        def advance(beam: _Beam) -> tuple[_Beam]:
            return (self._advance(beam, constants),)

        (beam,) = tf.while_loop(goes_on, advance, (beam,), shape_invariants=(_any_rows(beam),))
        return beam

    def _advance(self, beam: _Beam, constants: Any) -> _Beam:
        """All rows, one position on."""
        living = tf.range(tf.size(beam.alive))
        if self._drops:
            living = tf.boolean_mask(living, beam.alive)
        output = self._step(beam.last_ids, beam.state, constants, living)
        ids, log_probability = self._continuations(output, living, beam)
        attended = tf.zeros_like(beam.last_ids)
        if output.attention is not None:
            most = tf.argmax(output.attention, axis=-1, output_type=tf.int32)
            attended = tf.where(beam.alive, most, 0)
        state = output.state
        if self._beam_size > 1:
            parent, best = self._best(beam, log_probability)
            ids = tf.gather(tf.reshape(ids, [-1]), best)
            log_probability = tf.gather(tf.reshape(log_probability, [-1]), best)
            attended = tf.gather(attended, parent)
            state = _gathered(state, parent)
            beam = beam._replace(
                alive=tf.gather(beam.alive, parent),
                length=tf.gather(beam.length, parent),
                ids=tf.gather(beam.ids, parent),
                attended=tf.gather(beam.attended, parent),
            )
        else:
            ids, log_probability = ids[:, 0], log_probability[:, 0]
        is_here = tf.range(tf.shape(beam.ids)[1]) == beam.position
        within = tf.repeat(beam.position + 1 < beam.limit, self._beam_size)
        exists = log_probability > -float("inf")
        return beam._replace(
            position=beam.position + 1,
            alive=beam.alive & (ids != EOS) & within & exists,
            length=beam.length + tf.cast(beam.alive, tf.int32),
            log_probability=log_probability,
            last_ids=ids,
            ids=tf.where(is_here, ids[:, None], beam.ids),
            attended=tf.where(is_here, attended[:, None], beam.attended),
            state=state,
        )

    def _continuations(
        self, output: StepOutput, living: tf.Tensor, beam: _Beam
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best ids (N,C) behind each row, and the log probability (N,C) with them.

        C is K, or V where there are fewer types. A row that has ended has one
        continuation: padding, for nothing.
        """
        ids, best = self._likeliest(output, beam.position)
        best += tf.gather(beam.log_probability, living)[:, None]
        is_first = tf.range(tf.shape(ids)[1]) == 0
        stays = tf.where(is_first, beam.log_probability[:, None], -float("inf"))
        if not self._drops:
            alive = beam.alive[:, None]
            return tf.where(alive, ids, PAD), tf.where(alive, best, stays)
        return (
            tf.scatter_nd(living[:, None], ids, tf.shape(stays)),
            tf.tensor_scatter_nd_update(stays, living[:, None], best),
        )

    def _likeliest(self, output: StepOutput, position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The likeliest ids (M,C) that are allowed, and the logarithms of their probabilities."""
        columns = tf.shape(output.scores)[1]

        def judged(logs: tf.Tensor, column: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            ids = column if output.ids is None else tf.gather(output.ids, column)
            forbidden = (ids == PAD) | ((ids == EOS) & (position < self._min_length))
            return tf.where(forbidden, -float("inf"), logs), ids, forbidden

        def several() -> tuple[tf.Tensor, tf.Tensor]:
            # Padding and a forbidden end are all that can be in the way of K others.
            best, column = highest(output.scores, tf.minimum(self._beam_size + 2, columns))
            logs = best - best[:, :1] + log_share(output.scores, column[:, :1])
            logs, ids, _ = judged(logs, column)
            logs, order = tf.math.top_k(logs, tf.minimum(self._beam_size, columns))
            return tf.gather(ids, order, axis=1, batch_dims=1), logs

        if self._beam_size > 1:
            return several()
        # The likeliest is found in a third of the time of the three likeliest.
        column = tf.argmax(output.scores, axis=1, output_type=tf.int32)[:, None]
        logs, ids, forbidden = judged(log_share(output.scores, column), column)
        return tf.cond(tf.reduce_any(forbidden), several, lambda: (ids, logs))

    def _best(self, beam: _Beam, log_probability: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Of the continuations (N,C): the row (N,) that each of the K best of a sentence
        goes on from, and its place (N,) among all of them."""
        width = tf.shape(log_probability)[1]
        together = self._beam_size * width
        length = beam.length + tf.cast(beam.alive, tf.int32)
        score = self._score(log_probability, length[:, None])
        _, best = tf.math.top_k(tf.reshape(score, [-1, together]), self._beam_size)
        best = tf.reshape(best + tf.range(tf.size(beam.sentence))[:, None] * together, [-1])
        return best // width, best

    # What is done.

    def _noted(self, beam: _Beam, found: Any) -> Any:
        """The rows of the beam, written to where their sentences stand among all."""
        rows = self._rows_of(beam.sentence)[:, None]
        return tuple(
            tf.tensor_scatter_nd_update(all_rows, rows, values)
            for all_rows, values in zip(found, _outcome(beam), strict=True)
        )

    def _going_on(self, beam: _Beam) -> tf.Tensor:
        """The sentences (B,) with a hypothesis that has not ended."""
        return tf.reduce_any(self._by_sentence(beam.alive), axis=1)

    def _without_what_is_done(self, beam: _Beam, constants: Any) -> tuple[_Beam, Any]:
        sentences = tf.cast(tf.where(self._going_on(beam))[:, 0], tf.int32)
        rows = self._rows_of(sentences)
        by_row = beam._replace(position=(), sentence=(), limit=())
        return _gathered(by_row, rows)._replace(
            position=beam.position,
            sentence=tf.gather(beam.sentence, sentences),
            limit=tf.gather(beam.limit, sentences),
        ), _gathered(constants, sentences)

    def _sorted(
        self, ids: tf.Tensor, log_probability: tf.Tensor, length: tf.Tensor, attended: tf.Tensor
    ) -> Hypotheses:
        score, order = tf.math.top_k(
            self._by_sentence(self._score(log_probability, length)), self._beam_size
        )
        longest = tf.reduce_max(length)
        ids, log_probability, attended = (
            tf.gather(self._by_sentence(tensor), order, axis=1, batch_dims=1)
            for tensor in (ids[:, :longest], log_probability, attended[:, :longest])
        )
        return Hypotheses(ids, score, log_probability, attended)

    # Arithmetic.

    def _score(self, log_probability: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        return log_probability / tf.cast(tf.maximum(length, 1), tf.float32) ** self._length_penalty

    def _by_sentence(self, rows: tf.Tensor) -> tf.Tensor:
        """(N,…) as (B,K,…)."""
        return tf.reshape(rows, tf.concat([[-1, self._beam_size], tf.shape(rows)[1:]], axis=0))

    def _rows_of(self, sentences: tf.Tensor) -> tf.Tensor:
        """The rows (B×K,) of sentences (B,)."""
        return tf.reshape(sentences[:, None] * self._beam_size + tf.range(self._beam_size), [-1])


def _outcome(beam: _Beam) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """What of a beam is given back."""
    return beam.ids, beam.log_probability, beam.length, beam.attended


def _gathered(tensors: Any, rows: tf.Tensor) -> Any:
    return tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), tensors)


def _any_rows(tensors: Any) -> Any:
    """Shapes that leave the first axis open, for a loop that drops rows."""
    return tf.nest.map_structure(
        lambda tensor: tf.TensorShape([None, *tensor.shape[1:]] if tensor.shape.rank else []),
        tensors,
    )
