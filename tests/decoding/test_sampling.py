"""Samples follow the distribution that is asked for, and from the sentence alone."""

import numpy as np
import pytest
import tensorflow as tf
from test_search import A, B, TinyDecoder, logits, scripted

from s2s_cli.decoding.sampling import Sampling, inverse_cdf, sentence_keys, uniform_draws
from s2s_cli.decoding.search import Hypotheses, Search
from s2s_cli.text.tokenizer import EOS, PAD, UNK

DRAWS = 20_000
# The quantiles 0.999 of the chi-square distribution with 1, 2, … degrees of freedom.
CHI_SQUARE = [10.83, 13.82, 16.27, 18.47, 20.52]
SCORES = logits(pad=2.0, unk=0.3, bos=-1.0, eos=0.5, a=1.5, b=1.0)


def drawn(sampling, **options):
    """The first tokens of many samples of one sentence."""
    found = Search(scripted([[SCORES]] * DRAWS), beam_size=1, sampling=sampling, **options)(
        tf.stack([tf.range(DRAWS), tf.zeros([DRAWS], tf.int32)], axis=1),
        {},
        tf.ones([DRAWS], tf.int32),
        {"keys": tf.constant(sentence_keys(3, [[i] for i in range(DRAWS)]))},
    )
    return found.ids.numpy()[:, 0, 0], found.log_probability.numpy()[:, 0]


def expected(temperature=1.0, top_k=0, top_p=1.0, without=()):
    """The probability of each token, by the words of the settings."""
    scores = np.array(SCORES, np.float64) / temperature
    scores[[PAD, *without]] = -np.inf
    shares = np.exp(scores) / np.exp(scores).sum()
    best = np.argsort(-shares)
    if top_k:
        shares[best[top_k:]] = 0
        shares /= shares.sum()
    if top_p < 1:
        count = 1 + np.searchsorted(np.cumsum(shares[best]), top_p)
        shares[best[count:]] = 0
    return shares / shares.sum()


@pytest.mark.parametrize(
    ("sampling", "options", "without"),
    [
        ({}, {}, ()),
        ({"temperature": 0.5}, {}, ()),
        ({"temperature": 2.0}, {"min_length": 1}, (EOS,)),
        ({"top_k": 3}, {}, ()),
        ({"top_k": 99}, {"suppress_unknown": True}, (UNK,)),
        ({"top_p": 0.7}, {}, ()),
        ({"top_k": 4, "top_p": 0.6, "temperature": 1.5}, {}, ()),
    ],
    ids=str,
)
def test_tokens_are_drawn_with_their_probabilities(sampling, options, without):
    ids, log_probability = drawn(Sampling(**sampling), **options)
    shares = expected(**sampling, without=without)
    counts = np.bincount(ids, minlength=6)
    assert not counts[shares == 0].any()
    possible = shares > 0
    wanted = DRAWS * shares[possible]
    assert ((counts[possible] - wanted) ** 2 / wanted).sum() < CHI_SQUARE[possible.sum() - 2]
    # What the model gives, not what was drawn from.
    logs = np.array(SCORES) - np.log(np.exp(SCORES).sum())
    np.testing.assert_allclose(log_probability, logs[ids], atol=1e-5)


def test_a_draw_falls_on_the_column_that_its_share_of_the_sum_belongs_to():
    chooser = np.random.default_rng(5)
    probability = chooser.random((300, 150)).astype(np.float32) ** 8
    probability[chooser.random((300, 150)) < 0.5] = 0
    uniform = chooser.random(300).astype(np.float32)
    uniform[:2] = 0, 1 - 2**-24
    found = inverse_cdf(tf.constant(probability), tf.constant(uniform)).numpy()
    until = np.cumsum(probability.astype(np.float64), axis=1)
    share = until / until[:, -1:]
    for row, column in enumerate(found):
        assert probability[row, column] > 0
        assert share[row, column] > uniform[row] - 1e-5
        assert share[row, column] - probability[row, column] / until[row, -1] < uniform[row] + 1e-5


def test_draws_are_uniform_and_those_of_rows_and_positions_are_independent():
    keys = tf.constant(sentence_keys(1, [[i] for i in range(2_000)]))
    found = [
        uniform_draws(keys, tf.fill([2_000], row), tf.constant(position)).numpy()
        for row, position in ((0, 0), (1, 0), (0, 1))
    ]
    for some in found:
        # The test of Kolmogorov and Smirnov, with 0.999.
        assert np.abs(np.sort(some) - np.arange(2_000) / 2_000).max() < 1.95 / 2_000**0.5
    assert np.abs(np.corrcoef(found) - np.eye(3)).max() < 0.1
    again = uniform_draws(keys, tf.fill([2_000], 1), tf.constant(0)).numpy()
    assert (again == found[1]).all()
    other = sentence_keys(2, [[i] for i in range(2_000)])
    assert len(set(other) | set(keys.numpy())) == 4_000


def samples(sentences, size, decoder, keys, **options):
    constants = {"sentence": tf.constant(decoder.sentences[sentences])}
    found = Search(decoder.step, beam_size=size, sampling=Sampling(3.0), **options)(
        tf.zeros([len(sentences), 5]),
        constants,
        tf.constant([7] * len(sentences)),
        {"keys": tf.constant(keys[sentences])},
    )
    found = Hypotheses(*(part.numpy() for part in found))
    return [
        {(tuple(i for i in row.tolist() if i), round(float(score), 4)) for row, score in pair}
        for pair in (zip(*both, strict=True) for both in zip(found.ids, found.score, strict=True))
    ]


def test_a_sentence_is_sampled_alike_in_any_batch_order_and_number():
    decoder, keys = TinyDecoder(0), sentence_keys(1, [[4], [5], [6]])
    together = samples([0, 1, 2], 6, decoder, keys)
    assert samples([2, 0], 6, decoder, keys) == [together[2], together[0]]
    assert samples([1], 6, decoder, keys, compact=False) == [together[1]]
    (fewer,) = samples([1], 2, decoder, keys)
    assert fewer <= together[1]
    assert len(together[0]) > 3  # independent samples, of which few are equal
    assert samples([0], 6, decoder, sentence_keys(2, [[4], [5], [6]])) != [together[0]]


def test_samples_take_a_prefix_and_required_terms():
    decoder, keys = TinyDecoder(0), tf.constant(sentence_keys(1, [[4], [5], [6]]))
    given = {
        "keys": keys,
        "prefix": tf.constant([[A, A], [B, 0], [0, 0]]),
        "terms": tf.constant([[[B, B]], [[0, 0]], [[A, 0]]]),
    }
    constants = {"sentence": tf.constant(decoder.sentences)}
    found = Search(decoder.step, beam_size=4, sampling=Sampling())(
        tf.zeros([3, 5]), constants, tf.constant([8, 8, 8]), given
    )
    for row in found.ids.numpy()[0].tolist():
        assert row[:2] == [A, A] and [B, B] in [row[k : k + 2] for k in range(8)]
    assert all(row[0] == B for row in found.ids.numpy()[1].tolist())
    assert all(A in row for row in found.ids.numpy()[2].tolist())
