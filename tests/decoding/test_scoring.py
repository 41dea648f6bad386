"""Forced decoding gives translations the scores that the search gave them."""

import numpy as np
import pytest
from conftest import MODELS

from s2s_cli.config.load import override_decoding
from s2s_cli.decoding import scoring
from s2s_cli.decoding.loading import load_model
from s2s_cli.decoding.scoring import Scorer, Unscored
from s2s_cli.decoding.translation import Translation
from s2s_cli.decoding.translator import Translator
from s2s_cli.runs.run import Run
from s2s_cli.text.padding import source_ids, target_in_ids
from s2s_cli.text.tokenizer import EOS

pytestmark = pytest.mark.slow

SENTENCES = ["1 2", "7 0 3 3 9 4", "", "5", "2 2 2", "  8 1 ", "4 4 4 4 4 4"]


@pytest.fixture(scope="module", params=MODELS)
def run(request, trained_as) -> Run:
    """A finished run of each family."""
    return Run(trained_as(request.param))


@pytest.fixture(scope="module")
def scorer(run) -> Scorer:
    return Scorer.from_run(run)


@pytest.fixture(scope="module")
def translator(run) -> Translator:
    decoding = override_decoding(run.config(), beam_size=6, n_best=6, length_penalty=0.5)
    return Translator.from_run(run, decoding=decoding)


def test_the_ids_that_a_search_found_have_the_scores_that_it_gave_them(translator, scorer):
    sources = [ids for ids in scorer.tokenizers.source.encode(SENTENCES) if ids]
    found = translator.search(sources)
    pairs = [
        (ids, hypothesis) for ids, row in zip(sources, found, strict=True) for hypothesis in row
    ]
    assert len(pairs) == 36
    # The longest have no `</s>`, which forced decoding adds.
    targets = [h.ids[:-1] if h.ids[-1] == EOS else h.ids for _, h in pairs]
    scored = scorer.score_ids([(ids, own) for (ids, _), own in zip(pairs, targets, strict=True)])
    for (_, hypothesis), forced in zip(pairs, scored, strict=True):
        length = len(hypothesis.ids)
        own = hypothesis.token_log_probability
        assert forced.token_scores[:length] == pytest.approx(own, abs=1e-4)
        if hypothesis.ids[-1] == EOS:
            assert forced.log_probability == pytest.approx(hypothesis.log_probability, abs=1e-4)
            assert forced.length == length


def test_a_text_has_the_score_of_its_translation_where_it_is_cut_into_the_same_tokens(
    run, translator
):
    scorer = Scorer.from_run(run, length_penalty=0.5)
    found = translator.n_best(SENTENCES)
    pairs = [(s, t) for s, row in zip(SENTENCES, found, strict=True) for t in row]
    scored = scorer.score([(source, translation.text) for source, translation in pairs])
    same = [
        (translation, forced)
        for (_, translation), forced in zip(pairs, scored, strict=True)
        if (forced.tokens, forced.length) == (translation.tokens, translation.length)
    ]
    assert len(same) > 1
    for translation, forced in same:
        assert forced.score == pytest.approx(translation.score, abs=1e-4)
        assert forced.source_tokens == translation.source_tokens
        assert forced.text == translation.text


def test_scores_are_those_of_the_training_model_computed_in_numpy(run, scorer):
    pair = ("7 0 3", "seven zero one")
    tokenizers = scorer.tokenizers
    (source,), (target,) = tokenizers.source.encode(pair[:1]), tokenizers.target.encode(pair[1:])
    inputs = {"source_ids": source_ids([source]), "target_in_ids": target_in_ids([target])}
    logits = np.array(load_model(run).training_model(inputs, training=False), np.float64)[0]
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = [logs[position, token] for position, token in enumerate([*target, EOS])]
    (found,) = scorer.score([pair])
    assert found.token_scores == pytest.approx(expected, abs=1e-4)
    assert found.log_probability == pytest.approx(sum(expected), abs=1e-4)
    assert found.score == pytest.approx(sum(expected) / len(expected), abs=1e-4)
    assert found.tokens == tuple("▁seven▁zero▁one") and found.length == 16


def test_batches_change_neither_order_nor_scores(scorer, monkeypatch):
    pairs = [(s, t) for s in SENTENCES if s.strip() for t in ("one", "", "two two two two", "x y")]
    together = scorer.score(pairs)
    monkeypatch.setattr(scoring, "MAX_LOGITS", 40)
    done = []
    alone = scorer.score(pairs, done.append)
    assert sum(done) == len(pairs) == len(alone)
    for found, other in zip(together, alone, strict=True):
        assert found.tokens == other.tokens
        assert found.token_scores == pytest.approx(other.token_scores, abs=1e-5)


def test_empty_lines_have_a_place(scorer):
    both, no_source, no_target = scorer.score([(" ", ""), ("", "one"), ("1", " ")])
    assert both == Translation("") and no_source is Unscored.NO_SOURCE
    assert no_target.tokens == () and len(no_target.token_scores) == 1
    assert scorer.score([]) == []


def test_what_the_tokens_do_not_give_back_is_in_the_text(scorer):
    normal, unknown = scorer.score([("1", "one  two "), ("1", "one 漢")])
    assert normal.text == "one two"
    assert unknown.text.startswith("one") and unknown.text != "one 漢"
    assert "<unk>" in unknown.tokens


def test_a_length_penalty_of_0_gives_the_log_probability(run):
    (found,) = Scorer.from_run(run, length_penalty=0.0).score([("1", "one")])
    assert found.score == found.log_probability < 0


def test_long_sources_are_scored_whole_and_marked(run, scorer):
    long = Scorer(scorer._model, scorer.tokenizers, length_penalty=1.0, max_source_length=3)
    whole, short = long.score([("1 2 3", "one"), ("1", "one")])
    assert whole.is_long and not short.is_long
    (same,) = scorer.score([("1 2 3", "one")])
    assert whole.score == pytest.approx(same.score, abs=1e-6)


def test_what_has_more_tokens_than_the_model_has_positions_for_has_no_score(scorer):
    short = Scorer(
        scorer._model,
        scorer.tokenizers,
        length_penalty=1.0,
        max_source_length=None,
        longest_sentence=4,
    )
    found = short.score([("1 2 3", "one"), ("1", "one"), ("1", "three")])
    assert found[0] is found[2] is Unscored.TOO_LONG and found[1].score < 0


def test_a_very_improbable_token_has_a_finite_log_probability():
    class Layers:
        """A decoder that always gives one token a logit of 300."""

        def encode(self, source_ids):
            return type("Encoded", (), {"constants": {}, "state": {}})

        def initial_cache(self, encoded):
            return {}

        def decode(self, ids, cache, constants):
            hidden = np.zeros((*ids.shape, 1), np.float32)
            return type("Decoded", (), {"hidden": hidden})

        def project(self, hidden):
            return np.tile(np.array([0, 0, 0, 0, 300], np.float32), (len(hidden), 1))

    ids = np.array([[1, 3, 0], [4, 3, 3]], np.int32)
    found = scoring.forced_log_probabilities(Layers(), ids, ids, ids).numpy()
    assert found.tolist() == [[-300, -300, 0], [0, -300, -300]]
