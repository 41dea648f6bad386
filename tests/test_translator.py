import numpy as np
import pytest
import tensorflow as tf

from s2s_cli.decoding.translator import Translator, load_model, pad_sources
from s2s_cli.run import Run
from s2s_cli.text.tokenizer import BOS

SENTENCES = ["1 2", "", "7 0 3 3 9 4", "5", "8 1 6 2"]


def translator(run, **decoding) -> Translator:
    config = Run(run).config()
    changed = config.decoding.model_copy(update=decoding)
    return Translator.from_run(Run(run), decoding=changed)


def log_probability(seq2seq, source: list[int], ids: list[int], among=slice(None)) -> float:
    """The sum of the log probabilities, `among` some types, that teacher forcing gives to ids."""
    inputs = {
        "source_ids": pad_sources([source]),
        "target_in_ids": np.array([[BOS, *ids[:-1]]], np.int32),
    }
    logits = np.array(seq2seq.training_model(inputs, training=False), np.float64)[0]
    logs = logits - np.log(np.exp(logits[:, among]).sum(axis=-1, keepdims=True))
    return sum(logs[position, token] for position, token in enumerate(ids))


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_hypothesis_has_the_probability_that_teacher_forcing_gives_it(trained, beam_size):
    seq2seq, source, _ = load_model(Run(trained), Run(trained).config(), "best")
    sources = [ids for ids in source.encode(SENTENCES) if ids]
    found = translator(trained, beam_size=beam_size, n_best=beam_size).search(sources)
    for ids, hypotheses in zip(sources, found, strict=True):
        assert len(hypotheses) == beam_size
        assert len({tuple(hypothesis.ids) for hypothesis in hypotheses}) == beam_size
        for hypothesis in hypotheses:
            expected = log_probability(seq2seq, ids, hypothesis.ids)
            assert hypothesis.log_probability == pytest.approx(expected, abs=1e-4)


def test_a_shortlist_that_holds_every_type_changes_no_translation(trained):
    """Greedy: without `<pad>` and `<s>`, probabilities and so the ranks of a beam are others."""
    full = translator(trained).translate(SENTENCES)
    short = translator(trained, shortlist=64).translate(SENTENCES)
    assert [found.tokens for found in short] == [found.tokens for found in full]


def test_a_shortlist_leaves_out_what_it_does_not_hold(trained):
    """With one type a piece and none that are frequent, little can be said."""
    narrow = translator(trained, shortlist=1)
    narrow._lexicon = type(narrow._lexicon)(narrow._lexicon.likeliest, np.zeros(0, np.int32))
    (translation,) = narrow.translate(["7 7"])
    source_ids = narrow._source.encode(["7 7"])[0]
    allowed = {narrow._pieces[i] for i in narrow._lexicon.likeliest[source_ids, 0]}
    assert translation.tokens and set(translation.tokens) <= allowed | {"<unk>"}


@pytest.mark.parametrize("search", [{}, {"beam_size": 4}, {"beam_size": 4, "shortlist": 64}])
def test_what_is_found_in_bfloat16_is_nearly_as_probable_in_float32(trained, search):
    """Its products are rounded to 8 bits; rounded sums of them would be far off."""
    seq2seq, source, _ = load_model(Run(trained), Run(trained).config(), "best")
    sources = [ids for ids in source.encode(SENTENCES) if ids]
    half = translator(trained, precision="bfloat16", **search)
    found = half.search(sources)
    whole = translator(trained, **search).search(sources)
    for ids, (rounded,), (exact,) in zip(sources, found, whole, strict=True):
        among = half._lexicon.candidates([ids], 64)[0] if half._lexicon else slice(None)
        said = log_probability(seq2seq, ids, rounded.ids, among)
        assert rounded.log_probability == pytest.approx(said, rel=0.02)
        assert said / len(rounded.ids) > exact.log_probability / len(exact.ids) - 0.1


def test_weights_in_bfloat16_are_those_of_the_checkpoint_rounded(trained):
    config = Run(trained).config()
    whole, half = (
        load_model(Run(trained), config, "best", precision)[0].training_model.weights
        for precision in ("float32", "bfloat16")
    )
    for a, b in zip(whole, half, strict=True):
        if "seed" not in a.path:
            assert b.dtype == "bfloat16"
            expected = tf.cast(tf.cast(a.value, tf.bfloat16), tf.float32)
            np.testing.assert_array_equal(tf.cast(b.value, tf.float32), expected)


def test_every_piece_is_aligned_to_a_piece_of_the_source(trained):
    (translation,) = translator(trained).translate(["7 0 3"])
    pieces = len(translator(trained)._source.encode(["7 0 3"])[0])
    assert all(0 <= i < pieces for i, _ in translation.alignment)
    assert all(0 <= j < len(translation.tokens) for _, j in translation.alignment)
    assert translation.alignment
