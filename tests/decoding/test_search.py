"""Greedy and beam search over scripted steps and a tiny decoder, without a model."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from s2s_cli.decoding.search import Hypotheses, Search, StepOutput, length_limits
from s2s_cli.text.tokenizer import BOS, EOS

A, B = 4, 5


def scripted(script):
    """A step that gives row n the logits script[n][position]; the cache is (row, position)."""
    table = tf.constant(script, tf.float32)

    def step(last_ids, cache, constants, rows):
        scores = tf.gather(tf.gather_nd(table, cache), rows)
        return StepOutput(scores, cache + tf.constant([[0, 1]]))

    return step


def logits(**scores):
    row = [-9.0] * 6
    for name, value in scores.items():
        row[{"pad": 0, "unk": 1, "bos": 2, "eos": EOS, "a": A, "b": B}[name]] = value
    return row


def search(script, limits, **options):
    cache = tf.stack([tf.range(len(script)), tf.zeros([len(script)], tf.int32)], axis=1)
    found = tf.function(Search(scripted(script), **options), autograph=False)(
        cache, {}, tf.constant(limits)
    )
    return found.ids[:, 0].numpy().tolist(), found.log_probability[:, 0].numpy()


def test_rows_end_at_different_positions_and_are_padded_after_their_end():
    script = [
        [logits(a=1), logits(eos=1), logits(b=9), logits(b=9)],
        [logits(b=1), logits(a=1), logits(a=2, b=1), logits(eos=1)],
    ]
    ids, _ = search(script, [4, 4])
    assert ids == [[A, EOS, 0, 0], [B, A, A, EOS]]


def test_a_row_ends_at_its_own_limit():
    script = [[logits(a=1)] * 5] * 2
    ids, _ = search(script, [2, 5])
    assert ids == [[A, A, 0, 0, 0], [A, A, A, A, A]]


def test_padding_is_never_chosen():
    ids, _ = search([[logits(pad=9, a=1), logits(pad=9, eos=1)]], [3])
    assert ids == [[A, EOS]]


def test_the_log_probability_is_the_sum_over_the_ids():
    script = [[logits(a=1, b=0.5), logits(eos=2, b=1), logits(a=1)]]
    ids, scores = search(script, [9])
    rows = np.array(script[0], np.float64)[: len(ids[0])]
    log_probabilities = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    expected = sum(row[i] for row, i in zip(log_probabilities, ids[0], strict=True))
    assert scores[0] == pytest.approx(expected, abs=1e-5)


def test_the_step_gets_the_ids_that_were_chosen_last():
    seen = []
    script = scripted([[logits(a=1), logits(b=1), logits(eos=1)]])

    def step(last_ids, cache, constants, rows):
        tf.py_function(lambda ids: seen.append(ids.numpy().tolist()), [last_ids], [])
        return script(last_ids, cache, constants, rows)

    found = Search(step)(tf.constant([[0, 0]]), {}, tf.constant([5]))
    assert found.ids.numpy().tolist() == [[[A, B, EOS]]] and seen == [[BOS], [A], [B]]


def test_columns_may_stand_for_other_ids():
    script = scripted([[logits(a=1), logits(b=1), *[logits(eos=1)] * 3]] * 2)
    columns = tf.constant([0, 1, 2, EOS, 70, 80])

    def step(last_ids, cache, constants, rows):
        return script(last_ids, cache, constants, rows)._replace(ids=columns)

    for beam_size in (1, 2):
        found = Search(step, beam_size=beam_size)(tf.constant([[0, 0]]), {}, tf.constant([5]))
        assert [i for i in found.ids[0, 0].numpy().tolist() if i] == [70, 80, EOS]


class TinyDecoder:
    """A recurrent step over six tokens, whose scores depend on all that went before."""

    def __init__(self, seed):
        random = np.random.default_rng(seed)
        self.table, self.recurrent, self.output = (
            random.normal(size=shape).astype(np.float32) for shape in ((6, 5), (5, 5), (5, 6))
        )
        self.sentences = random.normal(size=(3, 5)).astype(np.float32)

    def step(self, last_ids, cache, constants, rows):
        beam_size = tf.shape(last_ids)[0] // tf.shape(constants["sentence"])[0]
        sentence = tf.repeat(constants["sentence"], beam_size, axis=0)
        cache = tf.tanh(tf.gather(self.table, last_ids) + cache @ self.recurrent + sentence)
        return StepOutput(tf.gather(cache, rows) @ self.output, cache, attention=cache)

    def search(self, limits, *, graph=False, **options):
        """The search, in a graph as in a translation, or faster without one."""
        search = Search(self.step, **options)
        found = (tf.function(search, autograph=False) if graph else search)(
            tf.zeros([3, 5]), {"sentence": tf.constant(self.sentences)}, tf.constant(limits)
        )
        return Hypotheses(*(part.numpy() for part in found))

    def every_hypothesis(self, sentence, limit, length_penalty, min_length):
        """(score, ids) of all sequences that end, or reach the limit; best first."""
        found = []

        def extend(ids, log_probability, state):
            last = ids[-1] if ids else BOS
            state = np.tanh(self.table[last] + state @ self.recurrent + self.sentences[sentence])
            scores = state @ self.output
            scores = scores - np.log(np.exp(scores).sum())
            for token in range(1, 6):
                total, longer = log_probability + scores[token], [*ids, token]
                if token == EOS and len(ids) < min_length:
                    continue
                if token == EOS or len(longer) == limit:
                    found.append((total / len(longer) ** length_penalty, longer))
                else:
                    extend(longer, total, state)

        extend([], 0.0, np.zeros(5))
        return sorted(found, reverse=True)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("min_length", [0, 2])
def test_a_beam_that_holds_everything_finds_what_brute_force_finds(length_penalty, min_length):
    decoder, limits = TinyDecoder(0), [4, 2, 3]
    options = {"length_penalty": length_penalty, "min_length": min_length}
    found = decoder.search(limits, beam_size=400, **options)
    for sentence, limit in enumerate(limits):
        expected = decoder.every_hypothesis(sentence, limit, **options)
        exist = found.score[sentence] > -np.inf
        assert exist.sum() == len(expected)
        scores = [score for score, _ in expected]
        np.testing.assert_allclose(found.score[sentence][exist], scores, atol=1e-5)
        best = [i for i in found.ids[sentence, 0].tolist() if i]
        assert best == expected[0][1]


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy_search(seed):
    decoder, limits = TinyDecoder(seed), [9, 7, 8]
    found = decoder.search(limits)
    for sentence, limit in enumerate(limits):
        ids, state = [BOS], np.zeros(5, np.float32)
        while len(ids) <= limit and ids[-1] != EOS:
            state = np.tanh(
                decoder.table[ids[-1]] + state @ decoder.recurrent + decoder.sentences[sentence]
            )
            ids.append(1 + int(np.argmax((state @ decoder.output)[1:])))
        assert [i for i in found.ids[sentence, 0].tolist() if i] == ids[1:]


@pytest.mark.parametrize("beam_size", [2, 3, 5])
def test_a_graph_finds_what_the_same_search_finds_without_one(beam_size):
    options = {"beam_size": beam_size, "length_penalty": 0.5, "min_length": 1}
    found = [TinyDecoder(3).search([6, 2, 4], graph=graph, **options) for graph in (True, False)]
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("beam_size", [2, 3, 5])
def test_a_hypothesis_has_the_score_and_alignment_of_its_own_history(beam_size):
    decoder = TinyDecoder(3)
    found = decoder.search([6, 6, 6], beam_size=beam_size, length_penalty=0.5)
    for sentence, rank in itertools.product(range(3), range(beam_size)):
        ids = [i for i in found.ids[sentence, rank].tolist() if i]
        state, last, total, aligned = np.zeros(5, np.float32), BOS, 0.0, []
        for token in ids:
            state = np.tanh(
                decoder.table[last] + state @ decoder.recurrent + decoder.sentences[sentence]
            )
            scores = state @ decoder.output
            total, last = total + scores[token] - np.log(np.exp(scores).sum()), token
            aligned.append(int(np.argmax(state)))
        gains = found.token_log_probability[sentence, rank]
        assert gains[: len(ids)].sum() == pytest.approx(total, abs=1e-5)
        assert not gains[len(ids) :].any()
        assert found.log_probability[sentence, rank] == pytest.approx(total, abs=1e-5)
        assert found.score[sentence, rank] == pytest.approx(total / len(ids) ** 0.5, abs=1e-5)
        assert found.aligned[sentence, rank, : len(ids)].tolist() == aligned


def test_a_sentence_gets_in_a_batch_what_it_gets_alone():
    """Finished sentences leave the loop, which changes nothing for the others."""
    decoder = TinyDecoder(4)
    together = decoder.search([2, 9, 4], beam_size=3)
    for sentence, limit in enumerate([2, 9, 4]):
        alone = TinyDecoder(4)
        alone.sentences = alone.sentences[[sentence] * 3]
        found = alone.search([limit] * 3, beam_size=3)
        np.testing.assert_allclose(found.score[0], together.score[sentence], atol=1e-6)
        width = found.ids.shape[-1]
        assert found.ids[0].tolist() == together.ids[sentence, :, :width].tolist()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "options",
    [{"min_length": 1}, {"beam_size": 3, "min_length": 2, "length_penalty": 0.5}],
    ids=str,
)
def test_removing_finished_sentences_changes_no_outcome(options, seed):
    decoder = TinyDecoder(seed)
    pair = [decoder.search([9, 2, 5], compact=compact, **options) for compact in (True, False)]
    for a, b in zip(*pair, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_scores_are_computed_for_active_rows_only():
    counts = []
    script = scripted([[logits(eos=1)] * 4, [logits(a=1)] * 4, [logits(a=1)] * 4])

    def step(last_ids, cache, constants, rows):
        tf.py_function(lambda rows: counts.append(len(rows)), [rows], [])
        return script(last_ids, cache, constants, rows)

    Search(step)(tf.constant([[0, 0], [1, 0], [2, 0]]), {}, tf.constant([4, 2, 4]))
    assert counts == [3, 2, 1, 1]


def test_limits_follow_the_source_and_stop_at_max_length():
    source_ids = tf.constant([[5, 3, 0, 0, 0, 0], [5, 5, 5, 5, 5, 3]])
    assert length_limits(source_ids, 200, 2.0).numpy().tolist() == [12, 20]
    assert length_limits(source_ids, 200, 1e12).numpy().tolist() == [200, 200]
    assert length_limits(source_ids, 15, 2.0).numpy().tolist() == [12, 15]
