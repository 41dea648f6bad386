"""The highest scores and their log probabilities, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from s2s_cli.decoding.top_k import BLOCK, log_softmax, top_k


@pytest.mark.parametrize("columns", [1, BLOCK - 1, BLOCK, BLOCK + 1, 300])
def test_the_highest_scores_come_first_and_of_equal_ones_the_first_column(columns):
    scores = np.random.default_rng(columns).integers(0, 40, (50, columns)).astype(np.float32)
    for count in {1, min(7, columns), columns}:
        values, found = top_k(tf.constant(scores), count)
        expected = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(values, np.take_along_axis(scores, expected, axis=1))


def test_scores_of_minus_infinity_are_columns_as_others_are():
    scores = np.full((2, 70), -np.inf, np.float32)
    scores[0, 69] = 1
    values, found = top_k(tf.constant(scores), 3)
    assert found[0].numpy().tolist()[0] == 69 and found.numpy().max() < 70
    assert values[0, 0] == 1 and np.isneginf(values.numpy()[0, 1:]).all()


def test_log_softmax_is_that_of_numpy_for_columns_of_high_scores():
    scores = np.random.default_rng(4).normal(0, 5, (40, 300)).astype(np.float32)
    columns = np.argsort(-scores, axis=1)[:, :1].astype(np.int32)
    wide = scores.astype(np.float64)
    total = np.log(np.exp(wide - wide.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
    expected = np.take_along_axis(wide, columns, axis=1) - wide.max(axis=1, keepdims=True) - total
    for shift in (0.0, 1e4, -1e4):
        found = log_softmax(tf.constant(scores + np.float32(shift)), tf.constant(columns))
        np.testing.assert_allclose(found, expected, atol=2e-5 if shift == 0 else 0.01)
