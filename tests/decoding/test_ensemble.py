"""Several models that translate together, against means of probabilities that are taken by hand."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import s2s_here, tiny_settings, train_in_process, write_config
from light_training import use_light_step, use_light_validation

import s2s_cli
from s2s_cli.cli.app import main
from s2s_cli.config.load import override_decoding
from s2s_cli.decoding import model_search
from s2s_cli.decoding.ensemble import ensemble_step
from s2s_cli.decoding.loading import load_model
from s2s_cli.decoding.search import Search, StepOutput
from s2s_cli.decoding.translator import Translator, load_tokenizers
from s2s_cli.errors import RunError, S2SError
from s2s_cli.evaluation.records import read_record
from s2s_cli.runs.run import Run
from s2s_cli.runtime import has_int8
from s2s_cli.text.padding import source_ids
from s2s_cli.text.tokenizer import BOS, EOS

needs_int8 = pytest.mark.skipif(not has_int8(), reason="this processor has no VNNI")
SENTENCES = ["1 2", "", "7 0 3 3 9 4", "5", "2 2 2"]
# A beam that returns all that it finds.
BEAM = {"beam_size": 3, "n_best": 3}


# Steps without a model.


class Bigrams:
    """A step over five tokens whose logits follow from the last token and from the sentence."""

    def __init__(self, seed, sentences=2, scale=2.0):
        random = np.random.default_rng(seed)
        self.logits = (scale * random.normal(size=(sentences, 5, 5))).astype(np.float32)

    def step(self, last_ids, cache, constants, rows):
        beam_size = tf.shape(last_ids)[0] // tf.shape(constants)[0]
        table = tf.repeat(constants, beam_size, axis=0)
        scores = tf.gather(table, last_ids, axis=1, batch_dims=1)
        return StepOutput(tf.gather(scores, rows), cache + 1, attention=tf.abs(scores))

    def probabilities(self):
        shares = np.exp(np.float64(self.logits))
        return shares / shares.sum(axis=-1, keepdims=True)


def search_together(members, limits, **options):
    steps = ensemble_step([member.step for member in members])
    counts = tuple(tf.zeros([len(limits), 1], tf.int32) for _ in members)
    tables = tuple(tf.constant(member.logits) for member in members)
    found = tf.function(Search(steps, **options), autograph=False)(
        counts, tables, tf.constant(limits)
    )
    return type(found)(*(part.numpy() for part in found))


def every_hypothesis(probabilities, limit):
    """(log probability, ids) of all sequences over tokens 1 … 4 that end, or reach the limit."""
    found = []

    def extend(ids, total):
        for token in range(1, 5):
            now = total + np.log(probabilities[ids[-1] if ids else BOS, token])
            if token == EOS or len(ids) + 1 == limit:
                found.append((now, [*ids, token]))
            else:
                extend([*ids, token], now)

    extend([], 0.0)
    return sorted(found, reverse=True)


def test_a_beam_that_holds_everything_ranks_hypotheses_by_the_mean_of_the_probabilities():
    members, limits = [Bigrams(seed) for seed in (1, 2, 3)], [4, 3]
    found = search_together(members, limits, beam_size=128, length_penalty=0.0)
    mean = sum(member.probabilities() for member in members) / 3
    for sentence, limit in enumerate(limits):
        expected = every_hypothesis(mean[sentence], limit)
        exist = found.score[sentence] > -np.inf
        np.testing.assert_allclose(
            found.log_probability[sentence][exist], [score for score, _ in expected], atol=1e-5
        )
        best = [i for i in found.ids[sentence, 0].tolist() if i]
        assert best == expected[0][1]


def test_tokens_are_aligned_to_the_source_position_with_the_most_attention_on_average():
    members = [Bigrams(seed) for seed in (4, 5)]
    found = search_together(members, [6, 6], min_length=5)
    for sentence in range(2):
        ids = [i for i in found.ids[sentence, 0].tolist() if i]
        for before, aligned in zip([BOS, *ids], found.aligned[sentence, 0], strict=False):
            attention = sum(np.abs(member.logits[sentence, before]) for member in members)
            assert aligned == np.argmax(attention)


def test_a_token_that_no_model_finds_probable_has_a_probability_too():
    """The softmax of all but `</s>` is 0 in float32, and `</s>` is forbidden."""
    members = [Bigrams(seed) for seed in (6, 7)]
    for member in members:
        member.logits[:, :, EOS] += 200
    found = search_together(members, [1, 1], min_length=1)
    mean = sum(member.probabilities() for member in members) / 2
    for sentence in range(2):
        expected = np.log(mean[sentence, BOS, [1, 2, 4]])
        assert found.ids[sentence, 0, 0] == [1, 2, 4][np.argmax(expected)]
        assert found.log_probability[sentence, 0] == pytest.approx(expected.max(), rel=1e-4)


# Runs of two families.


@pytest.fixture(scope="module")
def runs(trained_as) -> list[Run]:
    """An LSTM and a Transformer with the same tokenizers."""
    return [Run(trained_as("lstm")), Run(trained_as("transformer"))]


def together(runs, **changes) -> Translator:
    decoding = override_decoding(runs[0].config(), **changes)
    return Translator.from_runs(runs, decoding=decoding)


@pytest.fixture(scope="module")
def probabilities(runs):
    """A function that returns the mean of the probabilities (T,V) that the Keras models of the runs
    give, with the candidates scored only, to the tokens of a translation."""
    models = [load_model(run).training_model for run in runs]

    def mean(source, ids, candidates):
        inputs = {
            "source_ids": source_ids([source]),
            "target_in_ids": np.array([[BOS, *ids[:-1]]], np.int32),
        }
        shares = [np.exp(np.float64(model(inputs, training=False)[0])) for model in models]
        return sum(one / one[:, candidates].sum(axis=-1, keepdims=True) for one in shares) / 2

    return mean


@pytest.mark.parametrize(
    ("search", "tolerance"),
    [
        ({}, 1e-5),
        ({**BEAM, "shortlist": 5}, 1e-5),
        ({**BEAM, "precision": "bfloat16"}, 0.1),
        pytest.param({**BEAM, "precision": "int8"}, 0.1, marks=needs_int8),
    ],
    ids=str,
)
def test_the_score_of_a_token_is_the_logarithm_of_the_mean_of_its_probabilities(
    runs, probabilities, search, tolerance
):
    translator = together(runs, **search)
    tokenizers = load_tokenizers(runs[0], runs[0].config(), runs[0].find_checkpoint())
    sources = [ids for ids in tokenizers.source.encode(SENTENCES) if ids]
    for source, hypotheses in zip(sources, translator.search(sources), strict=True):
        lexicon = translator._lexicon
        candidates = lexicon.candidates([source], 5)[0] if lexicon else slice(None)
        for hypothesis in hypotheses[:2]:
            ids = hypothesis.ids
            expected = np.log(probabilities(source, ids, candidates)[range(len(ids)), ids])
            np.testing.assert_allclose(hypothesis.token_log_probability, expected, atol=tolerance)


def test_a_run_with_itself_translates_as_it_does_alone(runs):
    alone, twice = together(runs[:1], **BEAM), together([runs[0]] * 2, **BEAM)
    for one, other in zip(alone.n_best(SENTENCES), twice.n_best(SENTENCES), strict=True):
        assert [(t.text, t.alignment) for t in one] == [(t.text, t.alignment) for t in other]
        np.testing.assert_allclose([t.score for t in other], [t.score for t in one], atol=1e-5)


def test_the_cached_search_of_an_ensemble_is_its_own(runs, monkeypatch):
    expected = together(runs).translate(SENTENCES)
    monkeypatch.setattr(model_search, "Seq2Seq", lambda *_, **__: 1 / 0)
    found = together(runs).translate(SENTENCES)
    assert [(t.text, t.score) for t in found] == [(t.text, t.score) for t in expected]
    with pytest.raises(ZeroDivisionError):
        together([*runs, runs[0]])


def test_an_ensemble_may_be_loaded_from_paths_of_runs(runs):
    paths = [runs[0].root, str(runs[1].root)]
    (found,) = s2s_cli.load(paths).translate(["7 0 3"])
    assert found == together(runs).translate(["7 0 3"])[0]
    with pytest.raises(S2SError, match="the list of runs is empty"):
        s2s_cli.load([])


def test_the_command_translates_with_all_runs(runs):
    process = s2s_here("translate", runs[0].root, "--ensemble", runs[1].root, "--scores", "7 0 3")
    (expected,) = together(runs).translate(["7 0 3"])
    assert process.returncode == 0, process.err
    assert process.out == f"{expected.text} ||| {expected.score:.6f}\n"


def test_an_evaluation_of_an_ensemble_is_recorded_beside_that_of_its_first_run(
    runs, corpus, tmp_path, capsys
):
    first = Run(Path(shutil.copytree(runs[0].root, tmp_path / "run")))
    files = ["--source", corpus / "validation.digits", "--reference", corpus / "validation.words"]
    given = ["evaluate", first.root, "--ensemble", runs[1].root, *files]
    assert main([*map(str, given)]) == 0
    record = first.translations("ensemble-validation.digits")
    assert str(record) in capsys.readouterr().err
    description, _ = read_record(record)
    assert description["ensemble"] == [str(runs[1].root)]


# What every model allows.


@pytest.fixture
def limited(corpus, tmp_path, monkeypatch) -> Run:
    """A run with six positions, whose tokenizers are those of the others."""
    use_light_step(monkeypatch)
    use_light_validation(monkeypatch)
    settings = tiny_settings(corpus, "transformer")
    settings["model"] |= {"positions": "learned", "max_positions": 6}
    settings["training"]["max_steps"] = 1
    train_in_process(write_config(tmp_path / "c.yaml", settings), tmp_path / "limited")
    return Run(tmp_path / "limited")


def test_sources_and_translations_are_no_longer_than_every_model_allows(runs, limited):
    translator = together([runs[0], limited], min_length=6)
    assert translator.decoding.max_source_length == 5
    found = translator.translate(["1 2 3 4", "5"])
    assert found[0].is_long and not found[1].is_long and found[1].length == 6


# What is refused.


def test_runs_with_different_vocabularies_are_refused(runs, corpus, tmp_path, monkeypatch):
    use_light_step(monkeypatch)
    use_light_validation(monkeypatch)
    settings = tiny_settings(corpus)
    settings["tokenizer"] = {"type": "word", "vocab_size": 30}
    settings["training"]["max_steps"] = 1
    other = tmp_path / "other"
    train_in_process(write_config(tmp_path / "c.yaml", settings), other)
    with pytest.raises(RunError) as caught:
        together([runs[0], Run(other)])
    assert caught.value.message == (
        f"{runs[0].root} and {other} have different source and target vocabularies; the runs of an"
        " ensemble must have the same ones."
    )
    assert "section `tokenizer`" in caught.value.hint


def test_every_run_of_an_ensemble_must_be_one_and_have_the_checkpoint(runs, tmp_path, capsys):
    untrained = tmp_path / "untrained"
    untrained.mkdir()
    shutil.copy(runs[1].config_file, untrained)
    for further, message in (
        (tmp_path / "none", "this is not a run directory"),
        (untrained, "there is no checkpoint `best`"),
    ):
        assert main(["translate", str(runs[0].root), "--ensemble", str(further), "1"]) == 1
        error = capsys.readouterr().err
        assert str(further) in error and message in error
