import dataclasses

import numpy as np
import pytest
import safetensors.numpy

from s2s_cli.config.schema import Tokenizer as TokenizerConfig
from s2s_cli.errors import RunError
from s2s_cli.text.filters import Filters
from s2s_cli.text.lexicon import Lexicon, learn_lexicon
from s2s_cli.text.rows import Pair
from s2s_cli.text.store import build_store
from s2s_cli.text.tokenizer import EOS, UNK, Tokenizers, learn

PAIRS = [("das haus", "the house"), ("das buch", "the book"), ("ein buch", "a book")]


@pytest.fixture
def words(tmp_path):
    sentences = [sentence for pair in PAIRS for sentence in pair]
    config = TokenizerConfig(type="word", vocab_size=50)
    return learn(sentences, config, tmp_path / "words.model", seed=1, threads=1)


@pytest.fixture
def lexicon(tmp_path, words) -> Lexicon:
    pairs = [Pair(source, target) for source, target in PAIRS]
    tokenizers = Tokenizers(words, words)
    store = build_store(
        tmp_path / "store", "some key", pairs, tokenizers, filters=Filters(9), threads=1
    )
    return learn_lexicon(store, *tokenizers.vocab_sizes, seed=1)


def likeliest(lexicon, words, source):
    ((first, *_),) = words.encode([source])
    return words.tokens()[lexicon.likeliest[first, 0]]


def test_tokens_that_occur_in_several_pairs_are_told_apart(lexicon, words):
    found = [likeliest(lexicon, words, word) for word in ("das", "haus", "buch", "ein")]
    assert found == ["▁the", "▁house", "▁book", "▁a"]


def test_candidates_are_those_of_the_tokens_and_the_frequent_ones_each_once(lexicon, words):
    lexicon = dataclasses.replace(lexicon, frequent=lexicon.frequent[:1])
    candidates, allowed = lexicon.candidates(words.encode(["haus haus", "ein"]), 1)
    assert candidates.tolist() == sorted(set(candidates.tolist()))
    always = {UNK, EOS, int(lexicon.frequent[0])}
    for row, word in zip(allowed, ("▁house", "▁a"), strict=True):
        assert set(candidates[row].tolist()) == always | {words.tokens().index(word)}


def test_a_lexicon_is_the_same_after_saving(lexicon, words, tmp_path):
    path = tmp_path / "lexicon.safetensors"
    lexicon.save(path)
    loaded = Lexicon.load(path, words.vocab_size, words.vocab_size, store_key="some key")
    assert np.array_equal(loaded.likeliest, lexicon.likeliest)
    assert np.array_equal(loaded.frequent, lexicon.frequent)
    assert loaded.store_key == "some key"


def test_a_damaged_lexicon_is_refused(lexicon, words, tmp_path):
    path = tmp_path / "lexicon.safetensors"
    lexicon.save(path)
    whole = path.read_bytes()

    def flipped(at):
        return whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]

    damaged = [b"", b"PK", whole[:40], whole[:-9]]
    damaged += [flipped(at) for at in (0, 20, len(whole) // 2, len(whole) - 1)]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(RunError, match=r"lexicon\.safetensors: the lexicon cannot be used"):
            Lexicon.load(path, words.vocab_size, words.vocab_size)
    wrong = {"likeliest": lexicon.likeliest.astype(np.uint32), "frequent": lexicon.frequent}
    path.write_bytes(safetensors.numpy.save(wrong, {"store_key": "some key"}))
    with pytest.raises(RunError, match="something else than int32"):
        Lexicon.load(path, words.vocab_size, words.vocab_size)
    path.unlink()
    with pytest.raises(RunError, match="the lexicon cannot be used"):
        Lexicon.load(path, words.vocab_size, words.vocab_size)


def test_a_lexicon_of_another_corpus_or_other_vocabularies_is_refused(lexicon, words, tmp_path):
    path, size = tmp_path / "lexicon.safetensors", words.vocab_size
    lexicon.save(path)
    with pytest.raises(RunError, match="learned from another corpus"):
        Lexicon.load(path, size, size, store_key="another key")
    for sizes in ((size + 1, size), (size, 5)):
        with pytest.raises(RunError, match=r"for other vocabularies|tokens that the vocabulary"):
            Lexicon.load(path, *sizes)
    path.write_bytes(safetensors.numpy.save({"likeliest": np.zeros(10**6, np.int32)}))
    with pytest.raises(RunError, match="it has 4000"):
        Lexicon.load(path, size, size)
