"""Evaluating a run on a test set: its scores, and the record that is written into the run."""

import shutil

import pytest

from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import DataError, S2SError
from s2s_cli.evaluation.evaluate import evaluate
from s2s_cli.evaluation.metrics import score_translations
from s2s_cli.evaluation.records import read_record
from s2s_cli.runs.run import Run, step_of


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory) -> Run:
    return Run(shutil.copytree(trained, tmp_path_factory.mktemp("evaluated") / "run"))


@pytest.fixture(scope="module")
def translator(run) -> Translator:
    return Translator.from_run(run)


def test_an_evaluation_records_what_it_scored(run, translator, corpus):
    source, reference = corpus / "validation.digits", corpus / "validation.words"
    done = []
    found = evaluate(
        run, translator, str(source), str(reference), bleu_tokenizer="13a", on_batch=done.append
    )
    assert sum(done) == 24
    assert found.record == run.root / "translations" / "evaluation-validation.digits.jsonl"
    description, sentences = read_record(found.record)
    assert description["kind"] == "evaluation"
    assert description["step"] == step_of(run.find_checkpoint("best"))
    assert description["decoding"]["precision"] == translator.decoding.precision
    assert [score["value"] for score in description["scores"]] == [s.value for s in found.scores]
    lines = list(sentences)
    assert [line["source"] for line in lines] == source.read_text().splitlines()
    references = reference.read_text().splitlines()
    assert [line["reference"] for line in lines] == references
    texts = [line["translation"] for line in lines]
    assert score_translations(texts, references, "13a") == found.scores
    (again,) = translator.translate([lines[3]["source"]])
    assert lines[3]["tokens"] == list(again.tokens)
    assert lines[3]["log_probability"] == pytest.approx(again.log_probability, abs=1e-4)
    assert lines[3]["alignment"] == [list(pair) for pair in again.alignment]
    assert sum(lines[3]["token_scores"]) == pytest.approx(lines[3]["log_probability"], abs=1e-4)


def test_the_record_is_named_after_the_file(run, translator, tmp_path):
    (tmp_path / "a test (1).de.gz?").write_text("1 2\n")
    (tmp_path / "reference").write_text("one two\n")
    found = evaluate(
        run,
        translator,
        str(tmp_path / "a test (1).de.gz?"),
        str(tmp_path / "reference"),
        checkpoint="latest",
        bleu_tokenizer="char",
    )
    assert found.record.name == "evaluation-a_test__1_.de.gz_.jsonl"
    assert read_record(found.record)[0]["step"] == 12


def test_files_that_are_not_parallel_or_empty_are_refused(run, translator, tmp_path):
    source, reference = tmp_path / "a", tmp_path / "b"
    source.write_text("1\n2\n")
    reference.write_text("one\n")
    with pytest.raises(DataError, match=r"a has 2 lines and .*b has 1"):
        evaluate(run, translator, str(source), str(reference), bleu_tokenizer="13a")
    for path in (source, reference):
        path.write_text("")
    with pytest.raises(DataError, match="a: the file is empty"):
        evaluate(run, translator, str(source), str(reference), bleu_tokenizer="13a")


def test_a_search_for_which_memory_is_too_short_names_the_options(run, translator, corpus):
    def fail(*_):
        raise MemoryError

    short = Translator.__new__(Translator)
    vars(short).update(vars(translator))
    short.search_function = fail
    source, reference = (str(corpus / f"validation.{end}") for end in ("digits", "words"))
    with pytest.raises(S2SError) as caught:
        evaluate(run, short, source, reference, bleu_tokenizer="13a")
    assert caught.value.message == "memory is too short to translate 128 sentences at once."
    assert caught.value.hint == "Lower --batch-size or --beam-size."
