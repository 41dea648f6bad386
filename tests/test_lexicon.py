import numpy as np
import pytest

from s2s_cli.errors import RunError
from s2s_cli.schema import Tokenizer as TokenizerConfig
from s2s_cli.text.corpus import Pair
from s2s_cli.text.filters import Limits
from s2s_cli.text.lexicon import Lexicon, learn_lexicon
from s2s_cli.text.store import build_store
from s2s_cli.text.tokenizer import EOS, UNK, learn

PAIRS = [("das haus", "the house"), ("das buch", "the book"), ("ein buch", "a book")]


@pytest.fixture
def words(tmp_path):
    sentences = [sentence for pair in PAIRS for sentence in pair]
    config = TokenizerConfig(type="word", vocab_size=50)
    return learn(sentences, config, tmp_path / "words.model", seed=1, threads=1)


@pytest.fixture
def lexicon(tmp_path, words) -> Lexicon:
    rows = [Pair(source, target) for source, target in PAIRS]
    store = build_store(tmp_path / "store", "key", rows, words, words, limits=Limits(9), threads=1)
    return learn_lexicon(store, words.size, words.size, seed=1)


def best(lexicon, words, source):
    (row,) = words.encode([source])
    return words.pieces()[lexicon.likeliest[row[0], 0]]


def test_pieces_that_meet_beside_others_are_told_apart(lexicon, words):
    assert [best(lexicon, words, word) for word in ("das", "haus", "buch", "ein")] == [
        "▁the",
        "▁house",
        "▁book",
        "▁a",
    ]


def test_candidates_are_those_of_the_pieces_and_the_frequent_ones_each_once(lexicon, words):
    frugal = Lexicon(lexicon.likeliest, lexicon.frequent[:1])
    sources = words.encode(["haus haus", "ein"])
    candidates, allowed = frugal.candidates(sources, 1)
    assert candidates.tolist() == sorted(set(candidates.tolist()))
    pieces = words.pieces()
    always = {UNK, EOS, int(lexicon.frequent[0])}
    for row, word in zip(allowed, ("▁house", "▁a"), strict=True):
        assert set(candidates[row].tolist()) == always | {pieces.index(word)}


def test_a_lexicon_is_the_same_after_saving_and_a_damaged_one_is_named(lexicon, words, tmp_path):
    types = words.size, words.size
    lexicon.save(tmp_path / "lexicon.npz")
    loaded = Lexicon.load(tmp_path / "lexicon.npz", *types)
    assert np.array_equal(loaded.likeliest, lexicon.likeliest)
    assert np.array_equal(loaded.frequent, lexicon.frequent)
    whole = (tmp_path / "lexicon.npz").read_bytes()
    middle = len(whole) // 4
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    for damaged in (b"", b"PK", whole[:40], whole[:-9], flipped):
        (tmp_path / "lexicon.npz").write_bytes(damaged)
        with pytest.raises(RunError, match=r"lexicon\.npz: the lexicon cannot be read"):
            Lexicon.load(tmp_path / "lexicon.npz", *types)


def test_a_lexicon_of_other_vocabularies_or_that_claims_too_much_is_refused(
    lexicon, words, tmp_path
):
    path = tmp_path / "lexicon.npz"
    lexicon.save(path)
    for types in ((words.size + 1, words.size), (words.size, 5)):
        with pytest.raises(RunError, match=r"of other vocabularies|types that there are not"):
            Lexicon.load(path, *types)
    np.savez_compressed(path, likeliest=np.zeros(10**6, np.int32), frequent=lexicon.frequent)
    with pytest.raises(RunError, match="it holds 4000"):
        Lexicon.load(path, words.size, words.size)
