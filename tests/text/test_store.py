import json

import numpy as np
import pytest
from text_cases import character_tokenizer, make_store, random_pairs

from s2s_cli.text.filters import Counts
from s2s_cli.text.rows import Pair
from s2s_cli.text.store import RowArray, open_store


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return character_tokenizer(tmp_path_factory.mktemp("characters"))


def test_the_store_has_ids_texts_and_weights_and_counts_what_it_leaves_out(tmp_path, tokenizer):
    pairs = [Pair("abc", "de", 0.5), Pair("", "x"), Pair("a" * 60, "b"), Pair("f", "ghij")]
    store = make_store(tmp_path, pairs, tokenizer)
    assert store.counts == Counts(read=4, used=2, left_out={"empty_side": 1, "too_long": 1})
    assert list(store.texts()) == [("abc", "de"), ("f", "ghij")]
    assert store.source[0].tolist() == tokenizer.encode(["abc"])[0]
    assert store.weights.tolist() == [0.5, 1.0]
    assert store.key == "key"


def test_a_store_opens_with_its_key_only_and_only_whole(tmp_path, tokenizer):
    made = make_store(tmp_path, random_pairs(20), tokenizer)
    opened = open_store(tmp_path / "store", "key")
    assert opened.counts == made.counts and list(opened.texts()) == list(made.texts())
    assert np.array_equal(opened.target.values, made.target.values)
    assert open_store(tmp_path / "store", "another key") is None
    assert open_store(tmp_path / "none", "key") is None
    description = (tmp_path / "store" / "store.json").read_text()
    for damaged in ("", "{}", "[1]", description.replace('"key"', '"kez"', 1)):
        (tmp_path / "store" / "store.json").write_text(damaged)
        assert open_store(tmp_path / "store", "key") is None
    (tmp_path / "store" / "store.json").write_text(description)
    content = bytearray((tmp_path / "store" / "weights.bin").read_bytes())
    content[0] ^= 1
    (tmp_path / "store" / "weights.bin").write_bytes(content)
    assert open_store(tmp_path / "store", "key") is None


def test_more_than_256_corpora_are_told_apart(tmp_path, tokenizer):
    pairs = [Pair("a", "b", 1.0, corpus) for corpus in range(300)]
    store = make_store(tmp_path, pairs, tokenizer)
    assert store.corpora.tolist() == list(range(300))


def test_the_tag_of_a_corpus_stands_before_its_sources_and_not_in_their_text(tmp_path, tokenizer):
    pairs = [Pair("ab", "c", 1.0, 0), Pair("ab", "c", 1.0, 1), Pair("", "c", 1.0, 1)]
    store = make_store(tmp_path, pairs, tokenizer, source_tags=(None, 9))
    plain = tokenizer.encode(["ab"])[0]
    assert [store.source[row].tolist() for row in range(2)] == [plain, [9, *plain]]
    assert list(store.texts()) == [("ab", "c"), ("ab", "c")]
    assert store.counts.left_out == {"empty_side": 1}


def test_a_store_without_pairs_can_be_opened(tmp_path, tokenizer):
    store = make_store(tmp_path, [Pair("", "x")], tokenizer)
    assert len(store) == 0 and store.counts == Counts(1, 0, {"empty_side": 1})
    assert len(store.source.lengths) == 0 and list(store.texts()) == []


def test_the_order_does_not_depend_on_threads(tmp_path, tokenizer):
    pairs = random_pairs(12_000)
    one = make_store(tmp_path / "1", pairs, tokenizer, threads=1)
    four = make_store(tmp_path / "4", pairs, tokenizer, threads=4)
    assert np.array_equal(one.source.values, four.source.values)


def test_building_reports_progress_and_can_be_ended(tmp_path, tokenizer):
    reported = []
    make_store(tmp_path, random_pairs(12_000), tokenizer, on_progress=reported.append)
    assert reported == [5_000, 10_000, 12_000]

    def stop(pairs_done):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        make_store(tmp_path / "new", random_pairs(10), tokenizer, on_progress=stop)
    assert not (tmp_path / "new" / "store").exists()


def test_lengths_are_16_bits_where_they_fit():
    offsets = np.concatenate([[0], np.cumsum([3, 0, 65_535])])
    short = RowArray(np.zeros(0), offsets).lengths
    assert short.tolist() == [3, 0, 65_535] and short.dtype == np.uint16
    long = RowArray(np.zeros(0), np.array([0, 3, 65_539])).lengths
    assert long.tolist() == [3, 65_536] and long.dtype == np.int32


def test_lengths_of_many_blocks_are_those_of_the_offsets():
    expected = np.random.default_rng(1).integers(0, 9, 600_000)
    rows = RowArray(np.zeros(0), np.concatenate([[0], np.cumsum(expected)]))
    assert np.array_equal(rows.lengths, expected)


def test_rows_are_taken_one_behind_the_other(tmp_path, tokenizer):
    rows = RowArray(np.arange(10), np.array([0, 3, 3, 7, 10]))
    taken = rows.take(np.array([3, 0, 1], np.uint32))
    assert taken.values.tolist() == [7, 8, 9, 0, 1, 2] and taken.lengths.tolist() == [3, 3, 0]


def test_the_description_of_a_store_is_json(tmp_path, tokenizer):
    make_store(tmp_path, [Pair("a", "b"), Pair("", "c")], tokenizer)
    description = json.loads((tmp_path / "store" / "store.json").read_text())
    assert description["counts"] == {"read": 2, "used": 1, "left_out": {"empty_side": 1}}
