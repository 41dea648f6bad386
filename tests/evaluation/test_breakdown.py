"""Tables by the length of sentences and by the frequency of words, beside counts by hand."""

from dataclasses import asdict

import pytest

from s2s_cli.evaluation import breakdown
from s2s_cli.evaluation.breakdown import by_frequency, by_length, reference_words, training_words
from s2s_cli.evaluation.inputs import EvaluationSet
from s2s_cli.evaluation.metrics import Scoring, score_translations
from s2s_cli.runs.run import Run

PLAIN = Scoring("none")


def test_each_length_has_the_scores_of_its_sentences():
    sources = ["a b c", "a b c d e f", "a b c d e", ""]
    references = ["x y z u", "x y", "z", "x"]
    texts = ["x y z u", "x y", "u", "x"]
    table = by_length(texts, EvaluationSet(sources, [references]), PLAIN)
    assert (table.side, table.unit) == ("source", "words")
    short, longer = table.buckets
    assert (short.low, short.high, short.sentences) == (0, 5, 3)
    assert (longer.low, longer.high, longer.sentences) == (6, 10, 1)
    rows = [0, 2, 3]
    expected = score_translations(
        [texts[row] for row in rows], [[references[row] for row in rows]], PLAIN
    )
    assert short.scores == {score.name: score.value for score in expected}


def test_the_longest_sentences_have_no_upper_bound():
    line = " ".join(["a"] * 61)
    (bucket,) = by_length([line], EvaluationSet([line], [[line]]), PLAIN).buckets
    assert (bucket.low, bucket.high) == (61, None)


def test_without_a_source_references_are_measured_and_text_without_spaces_in_characters():
    table = by_length(["猫坐在垫子上"], EvaluationSet(None, [["猫坐在 垫子上"]]), Scoring("zh"))
    assert (table.side, table.unit) == ("reference", "characters")
    assert (table.buckets[0].low, table.buckets[0].high) == (6, 10)


def test_words_are_counted_as_right_as_often_as_they_are_in_the_reference():
    test_set = EvaluationSet(None, [["the cat , the dog", "the mat"]])
    texts = ["the the the cat", "the cat"]
    known = reference_words(test_set, PLAIN)
    assert dict(known.counts) == {"the": 3, "cat": 1, ",": 1, "dog": 1, "mat": 1}
    table = by_frequency(texts, test_set, PLAIN, known)
    assert (table.counted_in, table.sentences, table.of) == ("references", 2, 2)
    once, often = table.buckets
    # cat is right once of twice; comma, dog and mat are missing.
    assert (once.low, once.high, once.words) == (1, 1, 4)
    assert (once.precision, once.recall) == (50, 25) and once.f1 == pytest.approx(100 / 3)
    # the: two of three and one of one are right, of three in the references.
    assert (often.low, often.high, often.words) == (2, 9, 3)
    assert (often.precision, often.recall) == (75, 100)


def test_words_are_those_of_bleu_and_of_all_references():
    test_set = EvaluationSet(None, [["Red, red."], ["red!"]])
    known = reference_words(test_set, Scoring("13a", lowercase=True))
    assert dict(known.counts) == {"red": 3, ",": 1, ".": 1, "!": 1}
    table = by_frequency(["Red"], test_set, Scoring("13a", lowercase=True), known)
    assert [(b.words, b.precision, b.recall) for b in table.buckets] == [
        (3, None, 0),
        (3, 100, pytest.approx(200 / 3)),
    ]


def test_words_are_counted_in_the_training_targets_while_the_token_store_is_there(
    trained, corpus, tmp_path, monkeypatch
):
    lines = (corpus / "train.words").read_text().splitlines()
    done = []
    found = training_words(Run(trained), PLAIN, done.append)
    assert (found.counted_in, found.sentences, found.of) == ("training", 240, 240)
    assert found.counts["seven"] == " ".join(lines).split().count("seven") and sum(done) == 240
    monkeypatch.setattr(breakdown, "MOST_SENTENCES", 100)
    some = training_words(Run(trained), PLAIN)
    assert (some.sentences, some.of) == (80, 240)
    assert some.counts.total() == len(" ".join(lines[::3]).split())
    assert training_words(Run(tmp_path), PLAIN) is None


def test_tables_are_plain_values():
    test_set = EvaluationSet(None, [["a"]])
    table = by_frequency(["a"], test_set, PLAIN, reference_words(test_set, PLAIN))
    assert asdict(table) == {
        "counted_in": "references",
        "sentences": 1,
        "of": 1,
        "buckets": [{"low": 1, "high": 1, "words": 1, "precision": 100, "recall": 100, "f1": 100}],
    }
