"""Evaluating a run on a test set: its scores, and the record that is written into the run."""

import shutil

import pytest

from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import DataError, S2SError
from s2s_cli.evaluation.breakdown import training_words
from s2s_cli.evaluation.evaluate import evaluate, record_evaluation
from s2s_cli.evaluation.inputs import EvaluationSet, read_test_set, translate_all
from s2s_cli.evaluation.metrics import Scoring, score_translations
from s2s_cli.evaluation.records import read_record
from s2s_cli.runs.run import Run, step_of

PLAIN = Scoring("13a")


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory) -> Run:
    return Run(shutil.copytree(trained, tmp_path_factory.mktemp("evaluated") / "run"))


@pytest.fixture(scope="module")
def translator(run) -> Translator:
    return Translator.from_run(run)


def test_an_evaluation_records_what_it_scored(run, translator, corpus):
    source, reference = corpus / "validation.digits", corpus / "validation.words"
    done = []
    test_set = read_test_set(str(source), [str(reference)])
    translated = translate_all(translator, test_set.sources, done.append)
    assert sum(done) == 24
    found = evaluate(
        translated.texts, test_set, PLAIN, resamples=100, known=training_words(run, PLAIN)
    )
    path = record_evaluation(run, "best", str(source), test_set, translated, found)
    assert path == run.root / "translations" / "evaluation-validation.digits.jsonl"
    description, sentences = read_record(path)
    assert description["kind"] == "evaluation"
    assert description["step"] == step_of(run.find_checkpoint("best"))
    assert description["decoding"]["precision"] == translator.decoding.precision
    assert [score["value"] for score in description["scores"]] == [s.value for s in found.scores]
    assert [score["interval"] for score in description["scores"]] == [
        list(score.interval) for score in found.scores
    ]
    assert sum(bucket["sentences"] for bucket in description["by_length"]["buckets"]) == 24
    assert description["by_frequency"]["counted_in"] == "training"
    lines = list(sentences)
    assert [line["source"] for line in lines] == source.read_text().splitlines()
    references = reference.read_text().splitlines()
    assert [line["reference"] for line in lines] == references
    texts = [line["translation"] for line in lines]
    assert score_translations(texts, [references], PLAIN, resamples=100) == found.scores
    (again,) = translator.translate([lines[3]["source"]])
    assert lines[3]["tokens"] == list(again.tokens)
    assert lines[3]["log_probability"] == pytest.approx(again.log_probability, abs=1e-4)
    assert lines[3]["alignment"] == [list(pair) for pair in again.alignment]
    assert sum(lines[3]["token_scores"]) == pytest.approx(lines[3]["log_probability"], abs=1e-4)


def test_the_record_is_named_after_the_file(run, translator):
    test_set = EvaluationSet(["1 2"], [["one two"]])
    translated = translate_all(translator, test_set.sources, lambda count: None)
    found = evaluate(translated.texts, test_set, Scoring("char"), resamples=0)
    path = record_evaluation(run, "latest", "x/a test (1).de.gz?", test_set, translated, found)
    assert path.name == "evaluation-a_test__1_.de.gz_.jsonl"
    assert read_record(path)[0]["step"] == 12


def test_files_that_are_not_parallel_or_empty_are_refused(tmp_path):
    source, reference = tmp_path / "a", tmp_path / "b"
    source.write_text("1\n2\n")
    reference.write_text("one\n")
    with pytest.raises(DataError, match=r"a has 2 lines and .*b has 1"):
        read_test_set(str(source), [str(reference)])
    for path in (source, reference):
        path.write_text("")
    with pytest.raises(DataError, match="a: the file is empty"):
        read_test_set(str(source), [str(reference)])


def test_a_search_for_which_memory_is_too_short_names_the_options(translator):
    def fail(*_):
        raise MemoryError

    short = Translator.__new__(Translator)
    vars(short).update(vars(translator))
    short.search_function = fail
    with pytest.raises(S2SError) as caught:
        translate_all(short, ["1 2"], lambda count: None)
    assert caught.value.message == "memory is too short to translate 128 sentences at once."
    assert caught.value.hint == "Lower --batch-size or --beam-size."


def test_text_without_spaces_that_is_scored_by_words_is_noticed():
    test_set = EvaluationSet(None, [["猫坐在垫子上"]])
    assert evaluate(["猫坐"], test_set, PLAIN, resamples=0).better_tokenizer == "zh"
    assert evaluate(["猫坐"], test_set, Scoring("zh"), resamples=0).better_tokenizer is None
