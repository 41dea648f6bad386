"""8-bit products, and the search layers that use them."""

import numpy as np
import pytest
import tensorflow as tf
from model_cases import (
    TRANSFORMERS,
    VARIANTS,
    by_inference_layers,
    make_model,
    model_settings,
    name_of,
    randomised,
)

from s2s_cli import runtime
from s2s_cli.config.load import override_decoding
from s2s_cli.config.schema import Decoding
from s2s_cli.decoding.model_search import compile_search, make_search
from s2s_cli.decoding.translator import Translator
from s2s_cli.model import quantization
from s2s_cli.model.family import VocabSizes
from s2s_cli.model.quantization import QuantizedProduct
from s2s_cli.runs.run import Run
from s2s_cli.text.padding import source_ids

needs_int8 = pytest.mark.skipif(not runtime.has_int8(), reason="this processor has no VNNI")


@pytest.fixture(autouse=True)
def exact_products(monkeypatch):
    """Where the processor has no instructions for exact products, other operations compute them."""

    def integer_product(rows, matrix, offset):
        sums = tf.matmul(tf.cast(rows, tf.int32), tf.cast(matrix, tf.int32))
        return tf.cast(sums + tf.cast(tf.round(offset), tf.int32), tf.float32)

    if not runtime.has_int8():
        monkeypatch.setattr(quantization, "integer_product", integer_product)


RANDOM = np.random.default_rng(3)
ROWS = np.tanh(RANDOM.normal(size=(7, 40))).astype(np.float32)
MATRIX = RANDOM.normal(size=(40, 12)).astype(np.float32)
BIAS = RANDOM.normal(size=12).astype(np.float32)


@pytest.mark.parametrize("bound", [1.0, 3.0])
@pytest.mark.parametrize("bias", [None, BIAS], ids=["no bias", "bias"])
def test_a_product_is_that_of_the_rounded_values(bound, bias):
    rows = bound * ROWS
    unit = np.abs(MATRIX).max(axis=0) / 127
    rounded = np.rint(rows * 127 / bound) * bound / 127 @ (np.rint(MATRIX / unit) * unit)
    found = QuantizedProduct(MATRIX, bias, bound=bound)(tf.constant(rows))
    np.testing.assert_allclose(found, rounded + (0 if bias is None else bias), atol=1e-2)


@pytest.mark.parametrize("bias", [None, BIAS], ids=["no bias", "bias"])
def test_without_a_bound_each_row_has_a_scale_of_its_own(bias):
    rows = np.float32(ROWS * np.float32([0, 1e-3, 1, 2, 30, 1, 1e4])[:, None])
    product = QuantizedProduct(MATRIX, bias, bound=None)
    found = product(tf.constant(rows)).numpy()
    added = 0 if bias is None else bias
    expected = rows @ MATRIX + added
    largest = np.abs(rows).max(axis=1, keepdims=True)
    assert (np.abs(found - expected) <= 0.2 * largest + 1e-6).all()
    np.testing.assert_array_equal(found[0], np.zeros(12) + added)
    np.testing.assert_array_equal(found[2:3], product(tf.constant(rows[2:3])))


def test_some_columns_are_those_of_the_whole_product():
    product = QuantizedProduct(MATRIX, BIAS)
    whole = product(tf.constant(ROWS))
    some = product.columns(tf.constant([5, 0, 5]))(tf.constant(ROWS[None]))
    np.testing.assert_array_equal(some[0], tf.gather(whole, [5, 0, 5], axis=1))


@pytest.mark.parametrize("size", [0.0, 1e-12])
def test_a_column_of_almost_nothing_gives_the_bias(size):
    for bias in (np.float32([1.5, -1e4]), np.zeros(2, np.float32)):
        product = QuantizedProduct(np.full((40, 2), size, np.float32), bias)
        np.testing.assert_allclose(product(tf.constant(ROWS)), [bias] * 7, rtol=1e-5, atol=1e-6)


CASES = [
    {},
    {"architecture": "gru", "encoder__units": 8, "encoder__bidirectional": False},
    {"encoder__layers": 2, "decoder__layers": 2},
    {"embedding__size": 8, "embedding__shared": True, "embedding__tied": True},
    {"decoder__attention": "none"},
    {"decoder__attention": "additive", "decoder__initial_state": "mean"},
    *VARIANTS[1::2],
    *({**changes, "embedding__shared": True} for changes in TRANSFORMERS),
]


@pytest.mark.slow
@pytest.mark.parametrize("changes", CASES, ids=name_of)
def test_8_bit_layers_give_what_the_layers_give_as_far_as_8_bits_go(changes):
    seq2seq = randomised(make_model(model_settings(**changes), VocabSizes(13, 13)))
    expected = by_inference_layers(seq2seq)
    found = by_inference_layers(seq2seq, quantized=True)
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    candidates = [3, 12, 5]
    some = by_inference_layers(seq2seq, quantized=True, candidates=candidates)
    np.testing.assert_array_equal(some, found[:, :, candidates])


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
@pytest.mark.parametrize("beam_size", [1, 3])
def test_an_8_bit_search_translates_a_sentence_alike_in_every_batch(beam_size, architecture):
    settings = model_settings(architecture=architecture)
    seq2seq = randomised(make_model(settings))
    decoding = Decoding(beam_size=beam_size, max_length=9)
    layers = seq2seq.layers.for_int8_inference()
    search = compile_search(make_search([settings], [layers], decoding))
    sources = [[5, 6, 7, 8], [9, 10], [5, 4, 5]]
    together = search(source_ids(sources)).ids.numpy()
    for row, source in enumerate(sources):
        alone = search(source_ids([source])).ids.numpy()[0, 0]
        assert alone[alone > 0].tolist() == together[row, 0][together[row, 0] > 0].tolist()


@needs_int8
@pytest.mark.slow
def test_a_run_translates_in_8_bits(trained):
    run = Run(trained)
    decoding = override_decoding(run.config(), precision="int8", beam_size=2, shortlist=9)
    found = Translator.from_run(run, decoding=decoding).translate(["1 2", "", "3"])
    assert [bool(translation.tokens) for translation in found] == [True, False, True]
