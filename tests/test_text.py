import gzip

import numpy as np
import pytest

from s2s_cli.errors import DataError
from s2s_cli.schema import Corpus, Data, Tokenizer, Validation
from s2s_cli.text.batches import make_batch, plan_epoch, plan_in_order
from s2s_cli.text.corpus import Pair, read_lines, read_pairs, training_pairs, validation_pairs
from s2s_cli.text.filters import Limits
from s2s_cli.text.store import build_store, open_store
from s2s_cli.text.tokenizer import BOS, EOS, PAD, learn, separate_punctuation

SENTENCES = [
    "Don't go, my friend (yes).",
    "The dog   is «here» :-)",
    "What's 3.14, then?",
    "A man sleeps in a green room.",
]


def test_tsv_and_parallel_files_zipped_or_not_give_the_same_pairs(tmp_path):
    (tmp_path / "a.tsv").write_text("one\teins\n two \tzwei\t0.5\n\n", encoding="utf-8")
    (tmp_path / "a.en").write_bytes(b"\xef\xbb\xbfone\r\n two \r\n")
    with gzip.open(tmp_path / "a.de.gz", "wt", encoding="utf-8") as file:
        file.write("eins\nzwei")
    from_tsv = list(read_pairs(Corpus(tsv=str(tmp_path / "a.tsv"))))
    parallel = Corpus(source=str(tmp_path / "a.en"), target=str(tmp_path / "a.de.gz"))
    assert from_tsv == [Pair("one", "eins"), Pair("two", "zwei", 0.5)]
    assert [(p.source, p.target) for p in read_pairs(parallel)] == [
        ("one", "eins"),
        ("two", "zwei"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tb\nc\n", "a.tsv:2: this line has no tab"),
        (b"a\tb\nc\t\xff\n", "a.tsv:2: this line is not UTF-8 (byte 3"),
        (
            b"a\tb\tCC-BY\n",
            "a.tsv:1: the third column is 'CC-BY'; it must be a weight of 0 or more",
        ),
        (b"a\tb\t-1\n", "must be a weight"),
        (b"\n \n", "there is not one sentence pair in it"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, content, message):
    (tmp_path / "a.tsv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_pairs(Corpus(tsv=str(tmp_path / "a.tsv"))))
    assert message in caught.value.message


def test_a_third_column_that_is_no_weight_can_be_ignored(tmp_path):
    (tmp_path / "a.tsv").write_text("a\tb\tCC-BY\n")
    corpus = Corpus(tsv=str(tmp_path / "a.tsv"), third_column="ignore")
    assert list(read_pairs(corpus)) == [Pair("a", "b")]


@pytest.mark.parametrize(
    ("lines", "counts"), [((3, 2), (3, 2)), ((1, 4), (1, 4)), ((2, 0), (2, 0))]
)
def test_files_of_unequal_length_are_refused_with_both_lengths(tmp_path, lines, counts):
    for name, number in zip(("a.en", "a.de"), lines, strict=True):
        (tmp_path / name).write_text("x\n" * number)
    corpus = Corpus(source=str(tmp_path / "a.en"), target=str(tmp_path / "a.de"))
    with pytest.raises(DataError) as caught:
        list(read_pairs(corpus))
    message = caught.value.message
    assert f"a.en has {counts[0]} lines and" in message and f"a.de has {counts[1]}" in message


def test_a_truncated_gz_file_is_a_clear_error(tmp_path):
    whole = gzip.compress(b"x\n" * 9999)
    (tmp_path / "a.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read after line"):
        list(read_lines(str(tmp_path / "a.gz")))


def test_only_line_feeds_end_a_line(tmp_path):
    (tmp_path / "a").write_bytes("a\u2028b\x0bc\x85d\re\n".encode())
    assert list(read_lines(str(tmp_path / "a"))) == ["a\u2028b\x0bc\x85d\re"]


def test_a_fraction_holds_out_all_pairs_of_a_source_and_every_pair_is_on_one_side(tmp_path):
    pairs = [f"source {i % 150}\ttarget {i}" for i in range(600)]
    (tmp_path / "a.tsv").write_text("\n".join(pairs))
    data = Data(train=[Corpus(tsv=str(tmp_path / "a.tsv"))], validation=Validation(fraction=0.2))
    train, held_out = list(training_pairs(data, seed=1)), list(validation_pairs(data, seed=1))
    assert len(train) + len(held_out) == 600
    assert not {pair.source for pair in train} & {pair.source for pair in held_out}
    assert 0.1 < len(held_out) / 600 < 0.3
    assert held_out != list(validation_pairs(data, seed=2))


def test_max_pairs_takes_a_sample_from_the_whole_file(tmp_path):
    (tmp_path / "a.tsv").write_text("\n".join(f"s{i:03d}\tt" for i in range(500)))
    data = Data(
        train=[Corpus(tsv=str(tmp_path / "a.tsv"))],
        validation=Validation(tsv=str(tmp_path / "a.tsv"), max_pairs=50),
    )
    sources = [pair.source for pair in validation_pairs(data, seed=1)]
    assert len(sources) == 50 and sources == sorted(sources)
    assert sources[0] < "s100" and sources[-1] > "s400"


@pytest.mark.parametrize("type_", ["unigram", "bpe", "word", "char"])
def test_every_level_gives_back_what_it_was_given(tmp_path, type_):
    sizes = {"unigram": 40, "bpe": 60, "word": 100, "char": 100}
    config = Tokenizer(type=type_, vocab_size=sizes[type_])
    tokenizer = learn(SENTENCES * 5, config, tmp_path / "t.model", seed=1, threads=2)
    assert tokenizer.pieces()[:4] == ["<pad>", "<unk>", "<s>", "</s>"]
    ids = tokenizer.encode(SENTENCES)
    expected = [" ".join(sentence.split()) for sentence in SENTENCES]
    assert tokenizer.decode([[BOS, *row, EOS, PAD] for row in ids]) == expected


def test_marks_belong_to_their_word():
    assert separate_punctuation("हिन्दी, ไทย!") == "हिन्दी ⁀, ไทย ⁀!"


def test_words_are_kept_apart_from_punctuation(tmp_path):
    config = Tokenizer(type="word", vocab_size=100)
    tokenizer = learn(SENTENCES, config, tmp_path / "t.model", seed=1, threads=1)
    assert {"▁dog", "▁go", "▁⁀,"} <= set(tokenizer.pieces())


def test_case_is_folded_where_asked(tmp_path):
    config = Tokenizer(type="char", vocab_size=100, lowercase=True)
    tokenizer = learn(SENTENCES, config, tmp_path / "t.model", seed=1, threads=1)
    assert tokenizer.decode(tokenizer.encode(["The DOG"])) == ["the dog"]


def test_a_vocabulary_that_the_data_do_not_support_is_refused_with_the_right_size(tmp_path):
    with pytest.raises(
        DataError, match=r"vocab_size is 4000, but .* no more than \d+ types"
    ) as caught:
        learn(SENTENCES, Tokenizer(vocab_size=4000), tmp_path / "t", seed=1, threads=1)
    assert "Set tokenizer.vocab_size to" in caught.value.hint
    with pytest.raises(
        DataError, match=r"characters of the training sentences alone need \d+ types"
    ):
        learn(SENTENCES, Tokenizer(type="bpe", vocab_size=10), tmp_path / "t", seed=1, threads=1)


@pytest.fixture
def tokenizer(tmp_path):
    config = Tokenizer(type="char", vocab_size=60)
    return learn(
        ["abcdefghijklmnopqrstuvwxyz 0123456789"], config, tmp_path / "t", seed=1, threads=1
    )


def make_store(folder, pairs, tokenizer, max_length=50):
    return build_store(
        folder / "store", "key", pairs, tokenizer, tokenizer, limits=Limits(max_length), threads=1
    )


def random_pairs(number, corpora=1):
    random = np.random.default_rng(5)
    lengths = random.integers(1, 30, (number, 2))
    return [
        Pair("a" * source, "b" * target, 1.0, index % corpora)
        for index, (source, target) in enumerate(lengths)
    ]


def test_the_store_keeps_ids_texts_and_weights_and_counts_what_it_leaves_out(tmp_path, tokenizer):
    pairs = [Pair("abc", "de", 0.5), Pair("", "x"), Pair("a" * 60, "b"), Pair("f", "ghij")]
    store = make_store(tmp_path, pairs, tokenizer)
    assert (store.counts.pairs, store.counts.empty_side, store.counts.too_long) == (2, 1, 1)
    assert list(store.texts()) == [("abc", "de"), ("f", "ghij")]
    assert store.source[0].tolist() == tokenizer.encode(["abc"])[0]
    assert store.weights.tolist() == [0.5, 1.0]
    assert open_store(tmp_path / "store", "another key") is None


def test_a_batch_is_padded_on_the_right_between_its_special_ids(tmp_path, tokenizer):
    store = make_store(tmp_path, [Pair("abc", "d", 0.5), Pair("e", "fg")], tokenizer)
    (abc, e), (d, fg) = tokenizer.encode(["abc", "e"]), tokenizer.encode(["d", "fg"])
    batch = make_batch(store, np.array([0, 1]))
    assert batch.source_ids.tolist() == [[*abc, EOS], [*e, EOS, 0, 0]]
    assert batch.target_in_ids.tolist() == [[BOS, *d, 0], [BOS, *fg]]
    assert batch.target_out_ids.tolist() == [[*d, EOS, 0], [*fg, EOS]]
    assert batch.weights.tolist() == [[0.5, 0.5, 0.5, 0.0], [1.0, 1.0, 1.0, 1.0]]
    assert (batch.source_tokens, batch.target_tokens) == (
        8,
        7,
    )  # the char level marks a word's start


@pytest.mark.parametrize("size", [{"batch_tokens": 100}, {"batch_size": 7}, {"batch_tokens": 5}])
def test_an_epoch_holds_every_pair_once_and_no_batch_is_over_the_budget(tmp_path, tokenizer, size):
    store = make_store(tmp_path, random_pairs(200), tokenizer)
    plan = plan_epoch(store, seed=1, epoch=3, **size)
    rows = np.concatenate([plan[index] for index in range(len(plan))])
    assert sorted(rows.tolist()) == list(range(200))
    for index in range(len(plan)):
        batch = make_batch(store, plan[index])
        longest = max(batch.source_ids.shape[1], batch.target_out_ids.shape[1])
        within = len(plan[index]) * longest <= size.get("batch_tokens", np.inf)
        assert within or len(plan[index]) == 1
        assert len(plan[index]) <= size.get("batch_size", np.inf)


def test_the_plan_depends_on_seed_and_epoch_and_on_nothing_else(tmp_path, tokenizer):
    store = make_store(tmp_path, random_pairs(100), tokenizer)

    def order(seed, epoch):
        return plan_epoch(store, seed=seed, epoch=epoch, batch_tokens=90).order.tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3) and order(1, 2) != order(2, 2)


def test_length_buckets_leave_little_padding(tmp_path, tokenizer):
    lengths = np.random.default_rng(5).integers((3, 0), (30, 4), (2000, 2))
    pairs = [Pair("a" * length, "b" * (length + more)) for length, more in lengths]
    store = make_store(tmp_path, pairs, tokenizer)
    plan = plan_epoch(store, seed=1, epoch=0, batch_tokens=600)
    cells = tokens = 0
    for index in range(len(plan)):
        batch = make_batch(store, plan[index])
        cells += batch.target_out_ids.size + batch.source_ids.size
        tokens += batch.target_tokens + batch.source_tokens
    assert tokens / cells > 0.9


def test_mixed_corpora_have_their_shares_and_all_their_pairs_stand_equally_often(
    tmp_path, tokenizer
):
    store = make_store(tmp_path, random_pairs(90, corpora=3), tokenizer)
    seen = np.zeros(90, int)
    for epoch in range(6):
        plan = plan_epoch(store, seed=1, epoch=epoch, batch_size=10, mixing_weights=[4.0, 1.0, 1.0])
        shares = np.bincount(store.corpora[plan.order], minlength=3)
        assert shares.tolist() == [60, 15, 15]
        seen += np.bincount(plan.order, minlength=90)
    assert seen.tolist() == [12 if index % 3 == 0 else 3 for index in range(90)]


def test_the_plan_for_scoring_holds_every_pair_once(tmp_path, tokenizer):
    store = make_store(tmp_path, random_pairs(50), tokenizer)
    plan = plan_in_order(store, batch_size=8)
    assert sorted(plan.order.tolist()) == list(range(50))
