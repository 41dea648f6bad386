"""Sentences become translations, with whatever search and in whatever batch."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import MODELS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import s2s_cli
from s2s_cli.config.load import override_decoding
from s2s_cli.decoding.loading import load_model
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import RunError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.run import Run
from s2s_cli.text.padding import source_ids
from s2s_cli.text.tokenizer import BOS, Tokenizers

pytestmark = pytest.mark.slow

SENTENCES = ["1 2", "", "   ", "7 0 3 3 9 4", "5", "2 2 2"]


@pytest.fixture(scope="module", params=MODELS)
def trained(request, trained_as) -> Path:
    """A finished run of each family."""
    return trained_as(request.param)


def make_translator(trained, **changes) -> Translator:
    run = Run(trained)
    return Translator.from_run(run, decoding=override_decoding(run.config(), **changes))


@pytest.fixture(scope="module")
def translator(trained) -> Translator:
    return make_translator(trained)


@pytest.fixture(scope="module")
def beam(trained) -> Translator:
    return make_translator(trained, beam_size=4, n_best=4)


@pytest.fixture(scope="module")
def seq2seq(trained) -> Seq2Seq:
    return load_model(Run(trained))


@pytest.fixture(scope="module")
def tokenizers(trained) -> Tokenizers:
    run = Run(trained)
    source, target = (run.tokenizer_file(side) for side in ("source", "target"))
    return Tokenizers.load(source, target, run.config().tokenizer.type)


def log_probability(seq2seq, source, ids, candidates=slice(None)) -> float:
    """The log probability that teacher forcing gives to target ids, among candidates."""
    inputs = {
        "source_ids": source_ids([source]),
        "target_in_ids": np.array([[BOS, *ids[:-1]]], np.int32),
    }
    logits = np.array(seq2seq.training_model(inputs, training=False), np.float64)[0]
    logs = logits - np.log(np.exp(logits[:, candidates]).sum(axis=-1, keepdims=True))
    return sum(logs[position, token] for position, token in enumerate(ids))


# What is translated.


def test_every_sentence_has_a_translation_and_one_without_tokens_the_empty_one(translator):
    found = translator.translate(SENTENCES)
    assert [bool(translation.text or translation.tokens) for translation in found] == [
        bool(sentence.strip()) for sentence in SENTENCES
    ]
    assert found[1].tokens == found[1].source_tokens == found[1].token_scores == ()
    assert translator.translate([]) == []


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(max_size=20), max_size=5))
def test_there_is_one_translation_for_each_sentence_of_any_text(translator, sentences):
    assert len(translator.translate(sentences)) == len(sentences)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_size_of_a_batch_changes_no_translation(trained, beam, batch_size):
    sentences = SENTENCES * 2
    changed = make_translator(trained, beam_size=4, n_best=4, batch_size=batch_size)
    for row, other in zip(beam.n_best(sentences), changed.n_best(sentences), strict=True):
        assert [t.tokens for t in row] == [t.tokens for t in other]
        assert [t.score for t in row] == pytest.approx([t.score for t in other], abs=1e-5)


def test_progress_reports_every_sentence_once(translator):
    counts = []
    translator.translate(SENTENCES, counts.append)
    assert sum(counts) == len(SENTENCES)


def test_an_endless_iterable_is_translated_in_order_chunk_by_chunk(translator):
    read = []

    def endless():
        for number in itertools.count():
            read.append(number)
            yield str(number % 10)

    found = translator.translate_iter(endless(), chunk=4)
    first = [next(found)[0] for _ in range(6)]
    assert read == list(range(8))
    expected = translator.translate([str(number) for number in range(6)])
    assert [t.tokens for t in first] == [t.tokens for t in expected]
    assert list(translator.translate_iter([])) == []


# What a translation holds.


def test_every_token_is_aligned_to_a_token_of_the_source(translator):
    (translation,) = translator.translate(["7 0 3"])
    sources = len(translation.source_tokens)
    assert sources == 6 and translation.alignment
    assert all(0 <= i < sources for i, _ in translation.alignment)
    assert all(0 <= j < len(translation.tokens) for _, j in translation.alignment)


def test_scores_of_tokens_sum_to_the_log_probability_and_the_score_is_normalised(beam):
    for row in beam.n_best(SENTENCES):
        assert [t.score for t in row] == sorted((t.score for t in row), reverse=True)
        for found in row:
            assert sum(found.token_scores) == pytest.approx(found.log_probability, abs=1e-4)
            assert len(found.token_scores) == found.length
            expected = found.log_probability / max(1, found.length)
            assert found.score == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", [1, 4])
def test_a_hypothesis_has_the_probability_that_teacher_forcing_gives_it(
    translator, beam, seq2seq, tokenizers, size
):
    sources = [ids for ids in tokenizers.source.encode(SENTENCES) if ids][:3]
    found = (beam if size == 4 else translator).search(sources)
    for source, hypotheses in zip(sources, found, strict=True):
        assert len(hypotheses) == len({tuple(h.ids) for h in hypotheses}) == size
        for hypothesis in hypotheses:
            expected = log_probability(seq2seq, source, hypothesis.ids)
            assert hypothesis.log_probability == pytest.approx(expected, abs=1e-4)


def test_min_length_and_max_length_bound_the_tokens(trained):
    found = make_translator(trained, min_length=5, max_length=7).translate(SENTENCES)
    assert all(5 <= t.length <= 7 for t in found if t.source_tokens)


# Shortlists.


def test_a_shortlist_of_the_whole_vocabulary_changes_no_greedy_translation(trained, translator):
    """Without `<pad>` and `<s>`, probabilities and so the ranks of a beam are others."""
    short = make_translator(trained, shortlist=64).translate(SENTENCES)
    assert [t.tokens for t in short] == [t.tokens for t in translator.translate(SENTENCES)]


def test_a_shortlist_leaves_out_the_tokens_that_it_does_not_hold(trained, tokenizers):
    narrow = make_translator(trained, shortlist=1)
    lexicon = narrow._lexicon
    # One candidate for each source token, and none that are frequent.
    narrow._lexicon = type(lexicon)(lexicon.likeliest, np.zeros(0, np.int32))
    (translation,) = narrow.translate(["7 7"])
    source = tokenizers.source.encode(["7 7"])[0]
    allowed = {tokenizers.target.tokens()[i] for i in lexicon.likeliest[source, 0]}
    assert translation.tokens and set(translation.tokens) <= allowed | {"<unk>"}


# Precision.


@pytest.mark.parametrize("search", [{}, {"beam_size": 4, "shortlist": 64}], ids=str)
def test_a_translation_in_bfloat16_is_nearly_as_probable_in_float32(
    trained, seq2seq, tokenizers, search
):
    """Its products are rounded to 8 bits; rounded sums of them would be far off."""
    sources = [ids for ids in tokenizers.source.encode(SENTENCES) if ids]
    half = make_translator(trained, precision="bfloat16", **search)
    whole = make_translator(trained, **search).search(sources)
    for source, (rounded,), (exact,) in zip(sources, half.search(sources), whole, strict=True):
        lexicon = half._lexicon
        candidates = lexicon.candidates([source], 64)[0] if lexicon else slice(None)
        expected = log_probability(seq2seq, source, rounded.ids, candidates)
        assert rounded.log_probability == pytest.approx(expected, rel=0.02)
        assert expected / len(rounded.ids) > exact.log_probability / len(exact.ids) - 0.1


ALONE = """
import json, sys
import s2s_cli as s2s
found = s2s.load(sys.argv[1], precision="bfloat16", threads=2).translate(json.loads(sys.argv[2]))
print(json.dumps([[t.text, t.score, t.tokens] for t in found]))
"""


def test_two_translators_of_different_precision_in_one_process_give_what_each_gives_alone(
    trained, translator
):
    def shown(translations):
        return json.loads(json.dumps([[t.text, t.score, t.tokens] for t in translations]))

    float32 = shown(translator.translate(SENTENCES))
    both = [s2s_cli.load(trained, precision=name) for name in ("bfloat16", "float32")]
    found = [shown(translator.translate(SENTENCES)) for translator in both * 2]
    process = subprocess.run(
        [sys.executable, "-c", ALONE, trained, json.dumps(SENTENCES)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found == [json.loads(process.stdout), float32] * 2
    assert found[0] != found[1]


# What is refused.


def test_a_checkpoint_that_does_not_exist_is_refused_with_those_that_do(trained):
    with pytest.raises(RunError, match="there is no checkpoint `7`") as caught:
        Translator.from_run(Run(trained), "7")
    assert "12" in caught.value.hint
