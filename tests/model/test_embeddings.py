"""Embedding tables: initializers, and initial values from a file."""

import keras
import numpy as np
import pytest
from model_cases import make_model, model_settings

from s2s_cli.config.schema import SideFiles
from s2s_cli.config.schema import Tokenizer as TokenizerConfig
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.model.embeddings import load_vectors
from s2s_cli.model.family import VocabSizes
from s2s_cli.text.tokenizer import Tokenizer, Tokenizers, learn


def table_values(layer: keras.Layer) -> np.ndarray:
    return keras.ops.convert_to_numpy(layer.embeddings)


def test_an_initializer_gets_its_arguments():
    settings = model_settings(embedding__initializer={"name": "constant", "value": 0.25})
    layers = make_model(settings).layers
    assert np.all(table_values(layers.source_embedding) == 0.25)
    settings = model_settings(embedding__initializer={"name": "random_normal", "stddev": 1e-3})
    values = table_values(make_model(settings).layers.source_embedding)
    assert 0 < np.abs(values).max() < 1e-2


def test_an_initializer_with_an_argument_that_it_does_not_take_is_refused():
    settings = model_settings(embedding__initializer={"name": "zeros", "mean": 1})
    with pytest.raises(ConfigError, match=r"^model\.embedding\.initializer: Keras cannot make"):
        make_model(settings)


@pytest.fixture
def words(tmp_path) -> Tokenizer:
    config = TokenizerConfig(type="word", vocab_size=50)
    return learn(["the dog , sees the cat."], config, tmp_path / "t.model", seed=1, threads=1)


def make_tables(words: Tokenizer, size: int = 3) -> tuple[keras.Layer, keras.Layer]:
    sizes = VocabSizes(words.vocab_size, words.vocab_size)
    layers = make_model(model_settings(embedding__size=size), sizes).layers
    return layers.source_embedding, layers.target_embedding


def load(tables, words: Tokenizer, **files):
    return load_vectors(
        tables,
        SideFiles(**{side: str(path) for side, path in files.items()}),
        Tokenizers(words, words),
    )


@pytest.mark.parametrize("header", ["", "3 3\n"], ids=["no header", "header"])
def test_word_vectors_are_matched_by_token_and_counted(tmp_path, words, header):
    path = tmp_path / "w.vec"
    path.write_text(header + "dog 1 2 3\ncat 4 5 6\nat home 7 8 9\n. 1 1 1\n")
    source, target = make_tables(words)
    before, other = table_values(source), table_values(target)
    (report,) = load((source, target), words, source=path)
    rows = dict(zip(words.tokens(), table_values(source).tolist(), strict=True))
    assert (report.path, report.matched) == (str(path), 3)
    assert report.vocab_size == words.vocab_size
    assert rows["▁dog"] == [1, 2, 3] and rows["▁cat"] == [4, 5, 6] and rows["▁⁀."] == [1, 1, 1]
    untouched = words.tokens().index("▁the")
    assert rows["▁the"] == before[untouched].tolist()
    np.testing.assert_array_equal(table_values(target), other)


def test_a_vector_for_the_token_itself_is_preferred_to_one_for_the_word_in_it(tmp_path, words):
    (tmp_path / "w.vec").write_text("▁dog 1 1 1\ndog 2 2 2\n")
    source, target = make_tables(words)
    load((source, target), words, source=tmp_path / "w.vec", target=tmp_path / "w.vec")
    row = words.tokens().index("▁dog")
    assert table_values(source)[row].tolist() == table_values(target)[row].tolist() == [1, 1, 1]


@pytest.mark.parametrize("header", ["", "2 2\n", "99999999999999 2\n"])
def test_vectors_of_another_size_are_refused(tmp_path, words, header):
    (tmp_path / "w.vec").write_text(header + "bird 1 2\ndog 1 2\n")
    with pytest.raises(DataError, match=r"w\.vec:1: the vectors have 2 values"):
        load(make_tables(words), words, source=tmp_path / "w.vec")


def test_a_vector_that_does_not_consist_of_numbers_is_named_by_its_line(tmp_path, words):
    (tmp_path / "w.vec").write_text("bird 1 2 3\ndog 1 x 3\n")
    with pytest.raises(DataError, match=r"w\.vec:2: the vector of 'dog'"):
        load(make_tables(words), words, source=tmp_path / "w.vec")


def test_an_array_fills_the_whole_table_and_must_have_its_shape(tmp_path, words):
    tables = make_tables(words)
    array = np.arange(words.vocab_size * 3, dtype=np.float32).reshape(-1, 3)
    np.save(tmp_path / "t.npy", array)
    (report,) = load(tables, words, target=tmp_path / "t.npy")
    assert report.matched == words.vocab_size
    np.testing.assert_array_equal(table_values(tables[1]), array)
    np.save(tmp_path / "t.npy", array[1:])
    with pytest.raises(DataError, match="the array has shape"):
        load(tables, words, target=tmp_path / "t.npy")
    (tmp_path / "t.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match=r"cannot be read as an \.npy array"):
        load(tables, words, target=tmp_path / "t.npy")
