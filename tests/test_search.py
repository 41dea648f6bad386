import itertools

import numpy as np
import pytest
import tensorflow as tf

from s2s_cli.decoding.search import greedy, length_limits
from s2s_cli.text.tokenizer import BOS, EOS

A, B = 4, 5


def scripted(script):
    """A step that gives row n the logits script[n][position]; the state counts positions."""
    table = tf.constant(script, tf.float32)

    def step(last_ids, state, constants):
        return tf.gather(table, state, axis=1, batch_dims=1), state + 1

    return step


def logits(**scores):
    row = [-9.0] * 6
    for name, value in scores.items():
        row[{"pad": 0, "unk": 1, "bos": 2, "eos": EOS, "a": A, "b": B}[name]] = value
    return row


def search(script, limits):
    state = tf.zeros([len(script)], tf.int32)
    found = tf.function(greedy)(scripted(script), state, {}, tf.constant(limits))
    return found.ids.numpy().tolist(), found.log_probability.numpy()


def test_rows_end_apart_and_hold_padding_behind_their_end():
    script = [
        [logits(a=1), logits(eos=1), logits(b=9), logits(b=9)],
        [logits(b=1), logits(a=1), logits(a=2, b=1), logits(eos=1)],
    ]
    ids, _ = search(script, [4, 4])
    assert ids == [[A, EOS, 0, 0], [B, A, A, EOS]]


def test_a_row_stops_at_its_own_limit():
    script = [[logits(a=1)] * 5] * 2
    ids, _ = search(script, [2, 5])
    assert ids == [[A, A, 0, 0, 0], [A, A, A, A, A]]


def test_padding_is_never_chosen():
    ids, _ = search([[logits(pad=9, a=1), logits(pad=9, eos=1)]], [3])
    assert ids == [[A, EOS]]


def test_the_score_is_the_sum_of_the_log_probabilities_of_the_ids():
    script = [[logits(a=1, b=0.5), logits(eos=2, b=1), logits(a=1)]]
    ids, scores = search(script, [9])
    rows = np.array(script[0], np.float64)[: len(ids[0])]
    log_probabilities = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    expected = sum(row[i] for row, i in zip(log_probabilities, ids[0], strict=True))
    assert scores[0] == pytest.approx(expected, abs=1e-5)


def test_the_step_is_given_what_was_chosen_last():
    seen = []

    def step(last_ids, state, constants):
        tf.py_function(lambda ids: seen.append(ids.numpy().tolist()), [last_ids], [])
        return scripted([[logits(a=1), logits(b=1), logits(eos=1)]])(last_ids, state, constants)

    found = greedy(step, tf.zeros([1], tf.int32), {}, tf.constant([5]))
    assert found.ids.numpy().tolist() == [[A, B, EOS]] and seen == [[BOS], [A], [B]]


def test_where_scores_do_not_depend_on_history_greedy_finds_the_best_of_all_sequences():
    random = np.random.default_rng(7)
    for _ in range(20):
        table = random.normal(size=(3, 6)).astype(np.float32)
        table[:, EOS] = -9.0  # no sequence ends before its limit, so all are of one length
        ids, scores = search([table.tolist()], [3])
        log_probabilities = table - np.log(np.exp(table).sum(axis=1, keepdims=True))

        def score(sequence, log_probabilities=log_probabilities):
            return sum(log_probabilities[i, token] for i, token in enumerate(sequence))

        best = max(itertools.product(range(1, 6), repeat=3), key=score)
        assert ids == [list(best)]
        assert scores[0] == pytest.approx(score(best), abs=1e-5)


def test_limits_follow_the_source_and_stop_at_max_length():
    source_ids = tf.constant([[5, 3, 0, 0, 0, 0], [5, 5, 5, 5, 5, 3]])
    assert length_limits(source_ids, 200, 2.0).numpy().tolist() == [12, 20]
    assert length_limits(source_ids, 200, 1e12).numpy().tolist() == [200, 200]
    assert length_limits(source_ids, 15, 2.0).numpy().tolist() == [12, 15]
