"""Greedy, beam and sampled search over an opaque step function, as one graph loop.

Shapes: B sentences, K hypotheses of each (the beam; 1 is greedy search), N = B × K rows, M of
them active, L target and S source positions, V tokens. The rows of a sentence stand together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from s2s_cli.decoding.choosers import Beam, Choice, Greedy, Scores, normalise
from s2s_cli.decoding.constraints import Forbidden
from s2s_cli.decoding.features import Features, Given, History
from s2s_cli.decoding.sampling import Sample, Sampling, uniform_draws
from s2s_cli.text.tokenizer import BOS, EOS, PAD

# The loop continues without the finished sentences as soon as they are this share of all.
FINISHED_SHARE = 0.1


class StepOutput(NamedTuple):
    """scores (M,V) float32 logits; the next cache of all rows; attention (N,S), or None;
    ids (V,) int32 that the columns of the scores stand for, None where a column is its id."""

    scores: tf.Tensor
    cache: Any
    attention: tf.Tensor | None = None
    ids: tf.Tensor | None = None


# step(last_ids (N,) int32, cache, constants, rows (M,) int32) -> StepOutput is all that the
# search knows of a model. `cache` is any nest of tensors whose first axis is N, and is
# reordered with the hypotheses; `constants` have the sentences as their first axis and are
# not; `rows` are the rows whose scores are wanted.
Step = Callable[[tf.Tensor, Any, Any, tf.Tensor], StepOutput]


class Hypotheses(NamedTuple):
    """The hypotheses of each sentence, best first.

    ids (B,K,L) int32: with `</s>` where it was reached, 0 after it; score (B,K) float32:
    log probability / length**length_penalty, plus the coverage penalty; log_probability (B,K)
    float32, summed over ids, -inf where there is no such hypothesis; aligned (B,K,L) int32: the
    source position with the most attention from each id, 0 without attention;
    token_log_probability (B,K,L) float32.
    """

    ids: tf.Tensor
    score: tf.Tensor
    log_probability: tf.Tensor
    aligned: tf.Tensor
    token_log_probability: tf.Tensor


class _Outcome(NamedTuple):
    """What is returned of each row."""

    ids: tf.Tensor  # (N,L) int32
    log_probability: tf.Tensor  # (N,) float32
    length: tf.Tensor  # (N,) int32
    aligned: tf.Tensor  # (N,L) int32
    token_log_probability: tf.Tensor  # (N,L) float32
    history: History  # what features of the search remember of it


class _Fixed(NamedTuple):
    """What does not change during the search; the first axis of all is B."""

    constants: Any
    given: Given


class _State(NamedTuple):
    """Every row of the search at one position."""

    position: tf.Tensor  # () int32
    sentence: tf.Tensor  # (B,) int32, its index among all sentences
    limit: tf.Tensor  # (B,) int32
    active: tf.Tensor  # (N,) bool
    last_ids: tf.Tensor  # (N,) int32
    outcome: _Outcome
    cache: Any


def length_limits(source_ids: tf.Tensor, max_length: int, max_length_ratio: float) -> tf.Tensor:
    """How many ids each row (N,S) may get, (N,) int32: ratio × tokens + 10, at most max_length.

    Computed in float64, as Python computes it, so that no ratio is rounded differently; where the length
    of the rows is known beforehand, by Python, as some runtimes have no float64.
    """
    tokens = tf.math.count_nonzero(source_ids, axis=1, dtype=tf.int32) - 1
    if source_ids.shape[1] is not None:
        counts = range(-1, source_ids.shape[1])
        table = [min(math.floor(max_length_ratio * n) + 10, max_length) for n in counts]
        return tf.gather(tf.constant(table, tf.int32), tokens + 1)
    bound = tf.floor(tf.constant(max_length_ratio, tf.float64) * tf.cast(tokens, tf.float64)) + 10
    return tf.cast(tf.minimum(bound, max_length), tf.int32)


class Search:
    """Finds the best target sentences, position by position.

    At each position the K best of all continuations stay, ranked by score; a finished
    hypothesis keeps its row and its score while others overtake it or fail to. A sentence is
    finished when all of its hypotheses have ended or reached its limit.
    """

    def __init__(
        self,
        step: Step,
        *,
        beam_size: int = 1,
        length_penalty: float = 1.0,
        min_length: int = 0,
        suppress_unknown: bool = False,
        no_repeat_ngram_size: int = 0,
        coverage_penalty: float = 0.0,
        diversity: float = 0.0,
        sampling: Sampling | None = None,
        compact: bool = True,
    ):
        """With `sampling`, the `beam_size` hypotheses of a sentence are independent samples.

        With `compact`, finished sentences are removed on the way; without, the number of rows
        stays as it is, for converters that need that. The outcome is the same."""
        self._step, self._beam_size, self._compact = step, beam_size, compact
        self._length_penalty, self._is_sampled = length_penalty, sampling is not None
        self._forbidden = Forbidden(min_length, suppress_unknown)
        self._features = Features(beam_size, no_repeat_ngram_size, coverage_penalty)
        self._chooser: Greedy | Beam | Sample
        if sampling is not None:
            self._chooser = Sample(sampling)
        elif beam_size == 1:
            self._chooser = Greedy()
        else:
            self._chooser = Beam(beam_size, length_penalty, diversity)

    def __call__(
        self, cache: Any, constants: Any, limits: tf.Tensor, given: Given | None = None
    ) -> Hypotheses:
        """The hypotheses for an initial cache of B rows and as many limits, (B,) int32.

        `given` is described in `s2s_cli.decoding.features`; limits must leave room for it.
        """
        fixed = _Fixed(constants, given or {})
        state = self._start(cache, limits, fixed.given)
        if not self._compact:
            state = self._loop(state, fixed, lambda state: tf.reduce_any(state.active))
            return self._sorted(state.outcome, fixed.given)

        def has_active(state: _State, fixed: _Fixed, found: _Outcome) -> tf.Tensor:
            return tf.reduce_any(state.active)

        def advance(state: _State, fixed: _Fixed, found: _Outcome) -> Any:
            state = self._until_some_finish(state, fixed)
            found = self._written(state, found)
            return (*self._without_finished(state, fixed), found)

        loop = (state, fixed, state.outcome)
        shapes = _shapes(loop, any_rows=True)
        _, _, found = tf.while_loop(has_active, advance, loop, shape_invariants=shapes)
        return self._sorted(found, fixed.given)

    # The loop.

    def _start(self, cache: Any, limits: tf.Tensor, given: Given) -> _State:
        """One empty hypothesis a sentence, or one for each sample; the rest of the beam has
        probability 0."""
        size, longest = self._beam_size, tf.maximum(tf.reduce_max(limits), 0)
        sentences = tf.size(limits)
        is_first = tf.tile(tf.range(size) == 0, [sentences])
        exists = tf.ones_like(is_first) if self._is_sampled else is_first
        blank = tf.fill([sentences * size, longest], PAD)
        return _State(
            position=tf.constant(0),
            sentence=tf.range(sentences),
            limit=limits,
            active=exists & tf.repeat(limits > 0, size),
            last_ids=tf.fill([sentences * size], BOS),
            outcome=_Outcome(
                ids=blank,
                log_probability=tf.where(exists, 0.0, -float("inf")),
                length=tf.zeros([sentences * size], tf.int32),
                aligned=tf.zeros_like(blank),
                token_log_probability=tf.zeros(tf.shape(blank), tf.float32),
                history=self._features.start(given),
            ),
            # Not `tf.repeat`: it reshapes, and in ONNX a shape cannot have axes of length 0.
            cache=_gathered(cache, tf.repeat(tf.range(sentences), size)),
        )

    def _until_some_finish(self, state: _State, fixed: _Fixed) -> _State:
        def unfinished(state: _State) -> tf.Tensor:
            return tf.math.count_nonzero(self._unfinished(state), dtype=tf.float32)

        enough = unfinished(state) * (1 - FINISHED_SHARE)

        def goes_on(state: _State) -> tf.Tensor:
            count = unfinished(state)
            return (count > 0) & (count >= enough)

        return self._loop(state, fixed, goes_on)

    def _loop(self, state: _State, fixed: _Fixed, goes_on: Callable[[_State], tf.Tensor]) -> _State:
        def advance(state: _State) -> tuple[_State]:
            return (self._advance(state, fixed),)

        shapes = _shapes(state, any_rows=self._compact)
        (state,) = tf.while_loop(goes_on, advance, (state,), shape_invariants=(shapes,))
        return state

    def _advance(self, state: _State, fixed: _Fixed) -> _State:
        """All rows, one position on."""
        rows = tf.range(tf.size(state.active))
        if self._compact:
            rows = tf.boolean_mask(rows, state.active)
        output = self._step(state.last_ids, state.cache, fixed.constants, rows)
        before = state.outcome._replace(
            length=state.outcome.length + tf.cast(state.active, tf.int32),
            history=self._features.attended(state.outcome.history, state.active, output.attention),
        )
        choice, history = self._choice(output, rows, state._replace(outcome=before), fixed.given)
        before = before._replace(history=history)
        aligned = tf.zeros_like(state.last_ids)
        if output.attention is not None:
            aligned = tf.argmax(output.attention, axis=-1, output_type=tf.int32)
            aligned = tf.where(state.active, aligned, 0)
        active, cache = state.active, output.cache
        if choice.parent is not None:
            before, active, aligned, cache = _gathered(
                (before, active, aligned, cache), choice.parent
            )
        log_probability = choice.log_probability
        is_here = tf.range(tf.shape(before.ids)[1]) == state.position

        def write(column: tf.Tensor, buffer: tf.Tensor) -> tf.Tensor:
            return tf.where(is_here, column[:, None], buffer)

        within = tf.repeat(state.position + 1 < state.limit, self._beam_size)
        exists = log_probability > -float("inf")
        gain = tf.where(active & exists, log_probability - before.log_probability, 0.0)
        return state._replace(
            position=state.position + 1,
            active=active & (choice.ids != EOS) & within & exists,
            last_ids=choice.ids,
            outcome=_Outcome(
                ids=write(choice.ids, before.ids),
                log_probability=log_probability,
                length=before.length,
                aligned=write(aligned, before.aligned),
                token_log_probability=write(gain, before.token_log_probability),
                history=self._features.advanced(before.history, choice.ids, fixed.given),
            ),
            cache=cache,
        )

    def _choice(
        self, output: StepOutput, rows: tf.Tensor, state: _State, given: Given
    ) -> tuple[Choice, History]:
        """How all rows go on, with the scores of the active `rows` (M,), and their history."""
        scores = Scores(output.scores, output.ids, state.position, self._forbidden)
        if self._is_sampled:
            key = tf.gather(given["keys"], rows // self._beam_size)
            draws = uniform_draws(key, rows % self._beam_size, state.position)
            scores = scores._replace(draws=draws)
        features, outcome = self._features, state.outcome
        by_sentence, by_row = (state.limit, given), (outcome.ids, outcome.history)
        seen = features.rows(scores, rows, by_sentence, by_row)
        choice = self._chooser.choose(
            features.constrained(scores, seen),
            features.ranking(outcome.length, seen, outcome.history, given),
            lambda ids, logs: self._spread(ids, logs, rows, state),
        )
        return choice, features.scored(outcome.history, rows, seen)

    def _spread(
        self, ids: tf.Tensor, logs: tf.Tensor, rows: tf.Tensor, state: _State
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The continuations (M,C) of active rows, placed among all rows, (N,C), with the log
        probability of the whole hypothesis.

        A row that has ended has one continuation: padding, at no cost.
        """
        total = logs + tf.gather(state.outcome.log_probability, rows)[:, None]
        is_first = tf.range(tf.shape(ids)[1]) == 0
        ended = tf.where(is_first, state.outcome.log_probability[:, None], -float("inf"))
        if not self._compact:
            active = state.active[:, None]
            return tf.where(active, ids, PAD), tf.where(active, total, ended)
        return (
            tf.scatter_nd(rows[:, None], ids, tf.shape(ended)),
            tf.tensor_scatter_nd_update(ended, rows[:, None], total),
        )

    # Finished sentences.

    def _unfinished(self, state: _State) -> tf.Tensor:
        """Which sentences (B,) have a hypothesis that has not ended."""
        return tf.reduce_any(self._by_sentence(state.active), axis=1)

    def _written(self, state: _State, found: _Outcome) -> _Outcome:
        """`found` with the rows of `state` written to where their sentences stand among all."""
        rows = self._rows_of(state.sentence)[:, None]
        return tf.nest.map_structure(  # type: ignore[no-any-return]
            lambda all_rows, values: tf.tensor_scatter_nd_update(all_rows, rows, values),
            found,
            state.outcome,
        )

    def _without_finished(self, state: _State, fixed: _Fixed) -> tuple[_State, _Fixed]:
        sentences = tf.cast(tf.where(self._unfinished(state))[:, 0], tf.int32)
        by_row = (state.active, state.last_ids, state.outcome, state.cache)
        active, last_ids, outcome, cache = _gathered(by_row, self._rows_of(sentences))
        return _State(
            position=state.position,
            sentence=tf.gather(state.sentence, sentences),
            limit=tf.gather(state.limit, sentences),
            active=active,
            last_ids=last_ids,
            outcome=outcome,
            cache=cache,
        ), _gathered(fixed, sentences)

    def _sorted(self, found: _Outcome, given: Given) -> Hypotheses:
        log_probability = self._features.whole(found.log_probability, found.history)
        found = found._replace(log_probability=log_probability)
        score = normalise(found.log_probability, found.length, self._length_penalty)
        at_end = self._features.at_end(found.history, given)
        score = score if at_end is None else score + at_end
        score, order = tf.math.top_k(self._by_sentence(score), self._beam_size)
        longest = tf.reduce_max(found.length)
        ids, log_probability, aligned, token_log_probability = (
            tf.gather(self._by_sentence(tensor), order, axis=1, batch_dims=1)
            for tensor in (
                found.ids[:, :longest],
                found.log_probability,
                found.aligned[:, :longest],
                found.token_log_probability[:, :longest],
            )
        )
        return Hypotheses(ids, score, log_probability, aligned, token_log_probability)

    # Shapes.

    def _by_sentence(self, rows: tf.Tensor) -> tf.Tensor:
        """(N,…) as (B,K,…)."""
        return tf.reshape(rows, tf.concat([[-1, self._beam_size], tf.shape(rows)[1:]], axis=0))

    def _rows_of(self, sentences: tf.Tensor) -> tf.Tensor:
        """The rows (B×K,) of sentences (B,)."""
        return tf.reshape(sentences[:, None] * self._beam_size + tf.range(self._beam_size), [-1])


def _gathered(tensors: Any, rows: tf.Tensor) -> Any:
    return tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), tensors)


def _shapes(tensors: Any, *, any_rows: bool) -> Any:
    """Shapes for a loop whose cache grows along axes of length 0, and that may remove rows."""

    def shape(tensor: tf.Tensor) -> tf.TensorShape:
        if not tensor.shape.rank:
            return tf.TensorShape([])
        rows, *sizes = tensor.shape.as_list()
        return tf.TensorShape([None if any_rows else rows, *(size or None for size in sizes)])

    return tf.nest.map_structure(shape, tensors)
