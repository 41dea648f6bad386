"""Constraints, penalties and samples in a search over a tiny decoder, against brute force."""

import numpy as np
import pytest
import tensorflow as tf
from test_search import A, B, TinyDecoder, logits, scripted

from s2s_cli.decoding.search import Hypotheses, Search
from s2s_cli.text.tokenizer import BOS, EOS, UNK

LIMITS = [4, 2, 3]
EVERYTHING = 400  # a beam that holds all hypotheses of so few tokens


class Decoder(TinyDecoder):
    """The tiny decoder, whose attention is a distribution over five source positions."""

    def step(self, last_ids, cache, constants, rows):
        found = super().step(last_ids, cache, constants, rows)
        return found._replace(attention=tf.nn.softmax(2 * found.cache))

    def search(self, limits, *, given=None, graph=False, **options):
        search = Search(self.step, **options)
        constants = {"sentence": tf.constant(self.sentences)}
        given = {name: tf.constant(value) for name, value in (given or {}).items()}
        found = (tf.function(search, autograph=False) if graph else search)(
            tf.zeros([3, 5]), constants, tf.constant(limits), given
        )
        return Hypotheses(*(part.numpy() for part in found))

    def after(self, sentence, ids):
        """Log probabilities of the next token, and the attention from it."""
        state = np.zeros(5)
        for last in [BOS, *ids]:
            state = np.tanh(self.table[last] + state @ self.recurrent + self.sentences[sentence])
        scores, weights = state @ self.output, np.exp(2 * state)
        return scores - np.log(np.exp(scores).sum()), weights / weights.sum()


def log_probability(decoder, sentence, ids):
    return sum(decoder.after(sentence, ids[:k])[0][token] for k, token in enumerate(ids))


def brute_force(decoder, sentence, limit, is_allowed, score=log_probability):
    """(score, ids) of all sequences of allowed tokens that end or reach the limit; best first."""
    found, unfinished = [], [[]]
    while unfinished:
        ids = unfinished.pop()
        for token in range(1, 6):
            longer = [*ids, token]
            if not is_allowed(ids, token):
                continue
            if token == EOS or len(longer) == limit:
                found.append((score(decoder, sentence, longer), longer))
            else:
                unfinished.append(longer)
    return sorted(found, reverse=True)


def rows(found, sentence):
    """(score, ids) of the hypotheses of a sentence, best first."""
    exist = found.log_probability[sentence] > -np.inf
    ids = [[i for i in row.tolist() if i] for row in found.ids[sentence][exist]]
    return list(zip(found.score[sentence][exist].tolist(), ids, strict=True))


def assert_equal(found, expected):
    assert [ids for _, ids in found] == [ids for _, ids in expected]
    np.testing.assert_allclose([s for s, _ in found], [s for s, _ in expected], atol=1e-5)


def without_unknown(ids, token):
    return token != UNK


def without_repetition(size):
    def is_allowed(ids, token):
        longer = [*ids, token]
        ngrams = [tuple(longer[k : k + size]) for k in range(len(longer) - size + 1)]
        return len(set(ngrams)) == len(ngrams)

    return is_allowed


@pytest.mark.parametrize(
    ("options", "is_allowed"),
    [
        ({"suppress_unknown": True}, without_unknown),
        ({"no_repeat_ngram_size": 1}, without_repetition(1)),
        ({"no_repeat_ngram_size": 2}, without_repetition(2)),
        ({"no_repeat_ngram_size": 3}, without_repetition(3)),
    ],
    ids=["unknown", "repeated-1", "repeated-2", "repeated-3"],
)
def test_all_hypotheses_are_found_but_those_with_forbidden_tokens(options, is_allowed):
    """Their probabilities are those of the model, which gives forbidden tokens their share."""
    decoder = Decoder(0)
    found = decoder.search(LIMITS, beam_size=EVERYTHING, length_penalty=0.0, **options)
    for sentence, limit in enumerate(LIMITS):
        assert_equal(rows(found, sentence), brute_force(decoder, sentence, limit, is_allowed))


@pytest.mark.parametrize(
    ("options", "is_allowed"),
    [
        ({"suppress_unknown": True}, without_unknown),
        ({"no_repeat_ngram_size": 2}, without_repetition(2)),
    ],
    ids=["unknown", "repeated-2"],
)
@pytest.mark.parametrize("seed", range(2))
def test_greedy_search_takes_the_best_token_that_is_not_forbidden(options, is_allowed, seed):
    decoder, limits = Decoder(seed), [9, 7, 8]
    found = decoder.search(limits, graph=True, **options)
    for sentence, limit in enumerate(limits):
        ids = []
        while len(ids) < limit and EOS not in ids:
            logs, _ = decoder.after(sentence, ids)
            allowed = [token for token in range(1, 6) if is_allowed(ids, token)]
            ids.append(max(allowed, key=lambda token: logs[token]))
        assert rows(found, sentence)[0][1] == ids


# Prefixes.

PREFIX = np.array([[A, B, A], [0, 0, 0], [UNK, 0, 0]], np.int32)


@pytest.mark.parametrize("beam_size", [1, EVERYTHING])
def test_each_hypothesis_begins_with_its_prefix_whose_probability_counts(beam_size):
    decoder = Decoder(0)
    found = decoder.search(
        LIMITS, given={"prefix": PREFIX}, beam_size=beam_size, length_penalty=0.0
    )
    for sentence, limit in enumerate(LIMITS):
        prefix = [i for i in PREFIX[sentence].tolist() if i]

        def is_allowed(ids, token, prefix=prefix):
            return len(ids) >= len(prefix) or token == prefix[len(ids)]

        expected = brute_force(decoder, sentence, limit, is_allowed)
        if beam_size == EVERYTHING:
            assert_equal(rows(found, sentence), expected)
        else:
            ((score, ids),) = rows(found, sentence)
            assert ids[: len(prefix)] == prefix
            assert score == pytest.approx(log_probability(decoder, sentence, ids), abs=1e-5)


def test_a_prefix_of_tokens_that_the_model_takes_for_impossible_stands_all_the_same():
    step = scripted([[logits(a=200), logits(eos=1)]])
    given = {"prefix": tf.constant([[B]])}
    found = Search(step)(tf.constant([[0, 0]]), {}, tf.constant([5]), given)
    assert found.ids.numpy().tolist() == [[[B, EOS]]]
    assert found.log_probability.numpy()[0, 0] == pytest.approx(-209, abs=1)


# Rankings.

MASK = np.array([[True] * 5, [True] * 3 + [False] * 2, [True] * 4 + [False]])


def coverage(decoder, sentence, ids, beta=0.3):
    attention = sum(decoder.after(sentence, ids[:k])[1] for k in range(len(ids)))
    return beta * np.log(np.minimum(attention, 1))[MASK[sentence]].sum()


def test_a_score_holds_the_coverage_penalty_and_the_log_probability_does_not():
    def score(decoder, sentence, ids):
        mean = log_probability(decoder, sentence, ids) / len(ids)
        return mean + coverage(decoder, sentence, ids)

    decoder = Decoder(0)
    options = {"beam_size": EVERYTHING, "coverage_penalty": 0.3}
    found = decoder.search(LIMITS, given={"source_mask": MASK}, **options)
    for sentence, limit in enumerate(LIMITS):
        expected = brute_force(decoder, sentence, limit, lambda *_: True, score)
        assert_equal(rows(found, sentence), expected)
        best = found.log_probability[sentence, 0]
        expected = log_probability(decoder, sentence, expected[0][1])
        assert best == pytest.approx(expected, abs=1e-5)


def beam_search(decoder, sentence, limit, size, *, diversity=0.0, has_coverage=False):
    """(score, ids) by a beam search in plain Python, with scores / length."""

    def at_end(ids):
        return coverage(decoder, sentence, ids) if has_coverage else 0.0

    beam = [(0.0, [])]
    for _ in range(limit):
        ranked = []
        for total, ids in beam:
            if EOS in ids:
                ranked.append((total / len(ids) + at_end(ids), total, ids))
                continue
            logs, _ = decoder.after(sentence, ids)
            best = sorted(range(1, 6), key=lambda token: -logs[token])[:size]
            for place, token in enumerate(best):
                longer = [*ids, token]
                rank = (total + logs[token] - diversity * place) / len(longer)
                rank += at_end(longer) if token == EOS else 0.0
                ranked.append((rank, total + logs[token], longer))
        beam = [(total, ids) for _, total, ids in sorted(ranked, reverse=True)[:size]]
    return sorted(((total / len(ids) + at_end(ids), ids) for total, ids in beam), reverse=True)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("options", [{"diversity": 0.7}, {"coverage_penalty": 0.3}], ids=str)
def test_a_beam_is_chosen_by_the_ranks_of_siblings_or_by_the_coverage_of_what_ends(
    size, seed, options
):
    decoder, limits = Decoder(seed), [6, 5, 4]
    found = decoder.search(limits, given={"source_mask": MASK}, beam_size=size, **options)
    plain = []
    for sentence, limit in enumerate(limits):
        expected = beam_search(
            decoder, sentence, limit, size,
            diversity=options.get("diversity", 0.0), has_coverage="coverage_penalty" in options,
        )  # fmt: skip
        assert_equal(rows(found, sentence), expected)
        plain.append(expected != beam_search(decoder, sentence, limit, size))
    assert any(plain)


# Required terms. The terms of three sentences: two, none, and one of three tokens.

TERMS = np.array([[[A, B, 0], [B, 0, 0]], [[0, 0, 0], [0, 0, 0]], [[A, A, B], [0, 0, 0]]], np.int32)


def terms_of(sentence):
    return [[i for i in term if i] for term in TERMS[sentence].tolist() if any(term)]


def stands_in(term, ids):
    return any(ids[k : k + len(term)] == term for k in range(len(ids)))


def begun(term, ids):
    """How many tokens of a term stand at the end of ids."""
    return max(k for k in range(len(term)) if not k or ids[-k:] == term[:k])


def with_terms(decoder, sentence, limit):
    """Which tokens may follow: rows end with all terms, and go on with them where they would end, or
    have no more room."""
    terms = terms_of(sentence)

    def would_have_ended(ids):
        return any(
            int(np.argmax(decoder.after(sentence, ids[:k])[0])) == EOS for k in range(len(ids) + 1)
        )

    def is_allowed(ids, token):
        lacking = [term for term in terms if not stands_in(term, ids)]
        if not lacking:
            return True
        most = max(begun(term, ids) for term in lacking)
        onward = {term[most] for term in lacking if begun(term, ids) == most}
        if would_have_ended(ids) or sum(map(len, lacking)) >= limit - len(ids) - 1:
            return token in onward
        return token != EOS

    return is_allowed


@pytest.mark.parametrize("seed", [0])
def test_a_beam_that_holds_everything_finds_all_hypotheses_with_their_terms(seed):
    decoder, limits = Decoder(seed), [4, 3, 5]
    found = decoder.search(limits, given={"terms": TERMS}, beam_size=800, length_penalty=0.0)
    for sentence, limit in enumerate(limits):
        expected = brute_force(decoder, sentence, limit, with_terms(decoder, sentence, limit))
        assert all(stands_in(term, ids) for _, ids in expected for term in terms_of(sentence))
        assert_equal(rows(found, sentence), expected)


@pytest.mark.parametrize(("seed", "beam_size"), [(0, 1), (1, 1), (2, 2), (3, 3), (4, 8)])
def test_all_terms_stand_in_every_hypothesis_with_any_beam(beam_size, seed):
    decoder, limits = Decoder(seed), [8, 6, 9]
    found = decoder.search(limits, given={"terms": TERMS}, beam_size=beam_size)
    for sentence in range(3):
        hypotheses = rows(found, sentence)
        assert hypotheses
        for score, ids in hypotheses:
            assert all(stands_in(term, ids) for term in terms_of(sentence))
            mean = log_probability(decoder, sentence, ids) / len(ids)
            assert score == pytest.approx(mean, abs=1e-5)
    plain = decoder.search(limits, beam_size=beam_size)
    assert_equal(rows(found, 1), rows(plain, 1))


def test_a_term_is_recognised_wherever_it_begins():
    """After a, a, another a may be the second token of `a a b`."""
    step = scripted([[*[logits(a=5)] * 3, logits(b=5), *[logits(eos=5)] * 5]])
    given = {"terms": tf.constant([[[A, A, B]]])}
    for beam_size in (1, 2):
        found = Search(step, beam_size=beam_size)(
            tf.constant([[0, 0]]), {}, tf.constant([9]), given
        )
        assert [i for i in found.ids.numpy()[0, 0].tolist() if i] == [A, A, A, B, EOS]


def test_terms_that_have_no_room_stand_as_far_as_they_fit():
    for beam_size in (1, 3):
        found = Decoder(0).search([1, 1, 2], given={"terms": TERMS}, beam_size=beam_size)
        ((_, ids), *_) = rows(found, 2)
        assert ids == [A, A]


def test_a_required_term_may_repeat_an_ngram_and_a_prefix_prevails_over_all():
    given = {"terms": TERMS, "prefix": np.array([[B, B], [0, 0], [A, A]], np.int32)}
    for beam_size in (1, 4):
        found = Decoder(1).search(
            [9, 6, 9], given=given, beam_size=beam_size, no_repeat_ngram_size=1
        )
        for _, ids in rows(found, 0):
            assert ids[:2] == [B, B] and stands_in([A, B], ids)
        for _, ids in rows(found, 2):
            assert ids[:2] == [A, A] and stands_in([A, A, B], ids)


# What all of them have in common.

FEATURES = [
    {"beam_size": 3, "coverage_penalty": 0.3, "no_repeat_ngram_size": 2, "diversity": 0.3},
    {"beam_size": 4, "given": {"terms": TERMS, "prefix": PREFIX}, "suppress_unknown": True},
    {"beam_size": 1, "given": {"terms": TERMS}, "min_length": 3, "no_repeat_ngram_size": 2},
]


@pytest.mark.parametrize("options", FEATURES, ids=str)
def test_removing_finished_sentences_changes_no_outcome_of_any_feature(options):
    given = {"source_mask": MASK, **options.get("given", {})}
    pair = [
        Decoder(2).search([9, 5, 7], **{**options, "given": given}, compact=compact, graph=compact)
        for compact in (True, False)
    ]
    for sentence in range(3):
        assert_equal(*(rows(found, sentence) for found in pair))


@pytest.mark.parametrize("options", FEATURES, ids=str)
def test_features_work_with_columns_that_stand_for_other_ids(options):
    """A shortlist: the columns in another order, and padding behind them."""
    order = np.array([3, 5, 4, 2, 1, 0, 0, 0], np.int32)

    class Shortlisted(Decoder):
        def step(self, last_ids, cache, constants, rows):
            found = super().step(last_ids, cache, constants, rows)
            scores = tf.gather(found.scores, order, axis=1)
            scores = tf.concat([scores[:, :6], tf.fill([tf.shape(rows)[0], 2], -1e9)], axis=1)
            return found._replace(scores=scores, ids=tf.constant(order))

    given = {"source_mask": MASK, **options.get("given", {})}
    pair = [kind(2).search([9, 5, 7], **{**options, "given": given})
            for kind in (Decoder, Shortlisted)]  # fmt: skip
    for sentence in range(3):
        assert_equal(*(rows(found, sentence) for found in pair))


def test_a_search_without_features_remembers_nothing_of_its_rows():
    search = Search(Decoder(0).step, beam_size=3)
    state = search._start(tf.zeros([3, 5]), tf.constant(LIMITS), {})
    assert state.outcome.history == {}
    assert search._features._constraints({}) == []
