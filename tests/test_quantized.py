"""Products in whole numbers, and searches that take them."""

import numpy as np
import pytest
import tensorflow as tf

from s2s_cli import runtime
from s2s_cli.config import override_decoding
from s2s_cli.decoding.model_search import search_of
from s2s_cli.decoding.translator import Translator, pad_sources
from s2s_cli.errors import S2SError
from s2s_cli.model.quantized import QuantizedProduct
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.model.stand_ins import floating, quantized
from s2s_cli.run import Run
from s2s_cli.schema import Decoding, Model

HAS_INT8 = bool({"avx512_vnni", "avx_vnni"} & runtime.processor_flags())
needs_int8 = pytest.mark.skipif(not HAS_INT8, reason="this processor has no VNNI")

RANDOM = np.random.default_rng(3)
ROWS = np.tanh(RANDOM.normal(size=(7, 40))).astype(np.float32)
MATRIX = RANDOM.normal(size=(40, 12)).astype(np.float32)
BIAS = RANDOM.normal(size=12).astype(np.float32)


@needs_int8
@pytest.mark.parametrize("bound", [1.0, 3.0])
@pytest.mark.parametrize("bias", [None, BIAS])
def test_a_product_is_that_of_what_was_rounded(bound, bias):
    rows = bound * ROWS
    unit = np.abs(MATRIX).max(axis=0) / 127
    rounded = np.rint(rows * 127 / bound) * bound / 127 @ (np.rint(MATRIX / unit) * unit)
    found = QuantizedProduct(MATRIX, bias, bound=bound)(tf.constant(rows))
    np.testing.assert_allclose(found, rounded + (0 if bias is None else bias), atol=1e-2)


@needs_int8
def test_some_columns_are_those_of_the_whole_product():
    product = QuantizedProduct(MATRIX, BIAS)
    whole = product(tf.constant(ROWS))
    some = product.columns(tf.constant([5, 0, 5]))(tf.constant(ROWS[None]))
    np.testing.assert_array_equal(some[0], tf.gather(whole, [5, 0, 5], axis=1))


@needs_int8
@pytest.mark.parametrize("size", [0.0, 1e-12])
def test_a_column_of_next_to_nothing_gives_the_bias(size):
    for bias in (np.float32([1.5, -1e4]), np.zeros(2, np.float32)):
        product = QuantizedProduct(np.full((40, 2), size, np.float32), bias)
        np.testing.assert_allclose(product(tf.constant(ROWS)), [bias] * 7, rtol=1e-5, atol=1e-6)


ARCHITECTURES = [
    {},
    {"architecture": "gru", "encoder": {"units": 8, "bidirectional": False}},
    {"encoder": {"units": 4, "layers": 2}, "decoder": {"units": 8, "layers": 2}},
    {"embedding": {"size": 8, "shared": True, "tied": True}},
    {"decoder": {"units": 8, "attention": "none"}, "encoder": {"units": 4}},
    {"decoder": {"units": 8, "attention": "additive", "initial_state": "mean"}},
]


@needs_int8
@pytest.mark.parametrize("changes", ARCHITECTURES)
def test_what_stands_in_gives_what_the_layers_give_as_far_as_8_bits_go(changes):
    sizes = {"embedding": {"size": 8}, "encoder": {"units": 4}, "decoder": {"units": 8}}
    seq2seq = Seq2Seq(Model.model_validate({**sizes, **changes}), 30, 30)
    layers = seq2seq.layers
    random = np.random.default_rng(5)
    for weight in seq2seq.training_model.trainable_weights:
        weight.assign(random.normal(size=weight.shape) * 0.5)
    source_ids = pad_sources([[5, 6, 7, 8], [9, 10], [11, 4, 5]])
    target_in_ids = tf.constant([[1], [1], [1]])
    logits = []
    for stand_ins in (floating(layers)(None), quantized(layers)(None)):
        encoded = layers.encode(tf.constant(source_ids), stand_ins)
        decoded = layers.decode(
            target_in_ids, encoded.state, encoded.constants, stand_ins=stand_ins
        )
        logits.append(layers.project(decoded.hidden, stand_ins).numpy())
    assert np.abs(logits[0] - logits[1]).max() < 0.05 * np.abs(logits[0]).max()


@needs_int8
@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_sentence_is_translated_alike_whatever_stands_beside_it(beam_size):
    sizes = {"embedding": {"size": 8}, "encoder": {"units": 4}, "decoder": {"units": 8}}
    seq2seq = Seq2Seq(Model.model_validate(sizes), 30, 30)
    decoding = Decoding(beam_size=beam_size, max_length=9)
    search = search_of(seq2seq, decoding, stand_ins=quantized(seq2seq.layers))
    sources = [[5, 6, 7, 8], [9, 10], [11, 4, 5]]
    together = search(tf.constant(pad_sources(sources))).ids.numpy()
    for row, source in enumerate(sources):
        alone = search(tf.constant(pad_sources([source]))).ids.numpy()[0, 0]
        assert alone[alone > 0].tolist() == together[row, 0][together[row, 0] > 0].tolist()


@needs_int8
def test_a_run_translates_in_whole_numbers(trained):
    run = Run(trained)
    decoding = override_decoding(run.config(), precision="int8", beam_size=2, shortlist=9)
    assert len(Translator.from_run(run, decoding=decoding).translate(["1 2", "", "3"])) == 3


def test_where_there_are_no_instructions_for_it_int8_is_refused(monkeypatch):
    monkeypatch.setattr(runtime, "processor_flags", lambda: frozenset())
    assert runtime.choose_decoding_precision("auto") == "float32"
    with pytest.raises(S2SError, match="no instructions for it here"):
        runtime.choose_decoding_precision("int8")


@pytest.mark.parametrize(("gain", "chosen"), [(1.9, "bfloat16"), (0.5, "float32")])
def test_auto_is_bfloat16_only_where_it_was_measured_to_be_faster(monkeypatch, gain, chosen):
    monkeypatch.setattr(runtime, "processor_flags", lambda: frozenset({"avx512_bf16"}))
    monkeypatch.setattr(runtime, "_gain_of_bfloat16", lambda: gain)
    assert runtime.choose_precision("auto") == chosen
