import itertools
import re
import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_cases import property_test

from s2s_cli.config.schema import Tokenizer as TokenizerConfig
from s2s_cli.errors import DataError, RunError
from s2s_cli.text.marks import escape, separate_punctuation, unescape
from s2s_cli.text.tokenizer import (
    BOS,
    EOS,
    PAD,
    Tokenizer,
    Tokenizers,
    _explained,
    learn,
    learn_shared,
)

SENTENCES = [
    "Don't go, my friend (yes).",
    "The dog   is «here» :-)",
    "What's 3.14, then?",
    "A man sleeps in a green room.",
]
SIZES = {"unigram": 40, "bpe": 60, "word": 100, "char": 100}
ALPHABET = string.ascii_letters + string.digits + ".,!?-'äöüßéŁж字"


def learn_in(folder, sentences=SENTENCES, *, side="source", **settings) -> Tokenizer:
    config = TokenizerConfig(**{"type": "char", "vocab_size": 100, **settings})
    return learn(sentences, config, folder / "t.model", side=side, seed=1, threads=1)


@pytest.mark.parametrize("type_", SIZES)
def test_every_type_decodes_what_it_encoded(tmp_path, type_):
    tokenizer = learn_in(tmp_path, SENTENCES * 5, type=type_, vocab_size=SIZES[type_])
    assert tokenizer.tokens()[:4] == ["<pad>", "<unk>", "<s>", "</s>"]
    assert len(tokenizer.tokens()) == tokenizer.vocab_size
    ids = tokenizer.encode(SENTENCES)
    expected = [" ".join(sentence.split()) for sentence in SENTENCES]
    assert tokenizer.decode([[BOS, *row, EOS, PAD] for row in ids]) == expected


def test_combining_marks_stay_with_their_word():
    assert separate_punctuation("हिन्दी, ไทย!") == "हिन्दी ⁀, ไทย ⁀!"


def test_words_are_separated_from_punctuation(tmp_path):
    tokenizer = learn_in(tmp_path, type="word")
    assert {"▁dog", "▁go", "▁⁀,"} <= set(tokenizer.tokens())


def test_the_case_of_the_source_is_folded_if_set(tmp_path):
    source = learn_in(tmp_path, lowercase=True)
    assert source.decode(source.encode(["The DOG"])) == ["the dog"]
    target = learn_in(tmp_path, lowercase=True, side="target")
    assert target.decode(target.encode(["The dog"])) == ["The dog"]


# One sentence a script: with ligatures, joiners, vowel signs and marks that normalization changes.
SCRIPTS = {
    "Chinese": "我们在湖边，看书。「你好！」",
    "Japanese": "ガラスのコップで、お茶を飲みます。ｶﾅ",
    "Thai": "เขาไปทำงานที่น้ำตก",
    "Hindi": "वह हिन्दी में क़िताब पढ़ती है।",
    "Arabic": "الكتابُ على الطاولة؟ ﷺ",
    "Persian": "می‌خواهم کتاب‌ها را ببینم",
    "Hebrew": "הַסֵּפֶר עַל הַשֻּׁלְחָן",
    "Korean": "책이 책상 위에 있다.",
    "Greek": "Το βιβλίο είναι στο τραπέζι; «ναι»",
    "Cyrillic": "Книга лежит на столе — №5.",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 ok 👍🏽",
    "marks": "a ▁ b ▂ c ⁀ d ▂1 ½ … ² ﬁ ⁠x",
}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("type_", SIZES)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_target_of_any_script_comes_back_as_it_is(tmp_path, script, type_, form):
    text = unicodedata.normalize(form, SCRIPTS[script])
    size = 4 + len(set(escape(text)) | {" "}) if type_ in ("unigram", "bpe") else 300
    target = learn_in(tmp_path, [text] * 5, type=type_, vocab_size=size, side="target")
    assert target.decode(target.encode([text])) == [" ".join(text.split(" "))]


def test_a_shared_vocabulary_has_the_same_ids_and_a_rule_for_each_side(tmp_path):
    paths = {side: tmp_path / f"{side}.model" for side in ("source", "target")}
    config = TokenizerConfig(type="char", vocab_size=100, lowercase=True)
    sentences = [("source", "Wait… ½"), ("target", "Warte… ½")] * 3
    both = learn_shared(sentences, config, paths, seed=1, threads=1)
    assert both.source.tokens() == both.target.tokens()
    assert both.source.fingerprint != both.target.fingerprint
    (source,), (target,) = (t.encode(["Wait… ½"]) for t in (both.source, both.target))
    assert both.source.decode([source]) == ["wait... 1⁄2"]
    assert both.target.decode([target]) == ["Wait… ½"]
    assert Tokenizers.load(*paths.values(), "char").target.encode(["Wait… ½"]) == [target]


@property_test
@given(text=st.text(st.sampled_from("ab \u2581\u2582\u2040012")))
def test_marks_in_text_are_escaped_reversibly(text):
    escaped = escape(text)
    assert unescape(escaped) == text
    assert not {"\u2581", "\u2040"} & set(escaped)


def test_a_vocabulary_that_the_sentences_do_not_support_is_refused_with_the_right_size(tmp_path):
    with pytest.raises(
        DataError, match=r"vocab_size is 4000, .* no more than \d+ tokens"
    ) as caught:
        learn_in(tmp_path, type="unigram", vocab_size=4000)
    limit = int(re.search(r"Set tokenizer.vocab_size to (\d+)", caught.value.hint)[1])
    assert learn_in(tmp_path, type="unigram", vocab_size=limit).vocab_size == limit
    with pytest.raises(DataError, match=r"characters of the training sentences alone need \d+ tok"):
        learn_in(tmp_path, type="bpe", vocab_size=10)


def test_a_reason_that_is_not_recognised_is_shown_as_it_is():
    assert "Internal: something new" in _explained("Internal: something new", None).message


def test_long_lines_are_in_the_vocabulary_too(tmp_path):
    tokenizer = learn_in(tmp_path, ["a b " * 5000 + "z"])
    assert "z" in tokenizer.tokens()


def test_the_vocabulary_can_be_read_beside_the_model(tmp_path):
    tokenizer = learn_in(tmp_path)
    lines = (tmp_path / "t.vocab").read_text(encoding="utf-8").split("\n")[:-1]
    assert [line.split("\t")[0] for line in lines] == tokenizer.tokens()


def test_learning_reports_the_sentences_read_and_passes_errors_on(tmp_path):
    reported = []
    config = TokenizerConfig(type="char", vocab_size=100)
    many = (SENTENCES[i % 4] for i in range(25_000))
    learn(many, config, tmp_path / "t", seed=1, threads=1, on_progress=reported.append)
    assert reported == [10_000, 20_000, 25_000]

    def stop(sentences_read):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        learn(SENTENCES, config, tmp_path / "new", seed=1, threads=1, on_progress=stop)
    assert not (tmp_path / "new").exists()


def test_an_error_in_the_sentences_is_not_hidden_by_sentencepiece(tmp_path):
    def broken():
        yield "one"
        raise DataError("a.tsv:2: this line has no tab.")

    with pytest.raises(DataError, match="has no tab"):
        learn_in(tmp_path, broken())


def test_tokenizers_of_one_file_are_one_and_others_are_two(tmp_path):
    learn_in(tmp_path)
    path, copy = tmp_path / "t.model", tmp_path / "copy.model"
    copy.write_bytes(path.read_bytes())
    shared = Tokenizers.load(path, path, "char")
    assert shared.source is shared.target
    two = Tokenizers.load(path, copy, "char")
    assert two.source is not two.target and two.source.fingerprint == two.target.fingerprint
    assert two.vocab_sizes == (two.source.vocab_size, two.target.vocab_size)
    assert Tokenizer.load(path, "word").fingerprint != two.source.fingerprint


def test_a_tokenizer_that_is_missing_damaged_or_another_is_refused(tmp_path):
    learn_in(tmp_path)
    path = tmp_path / "t.model"
    with pytest.raises(RunError, match="not the one of the checkpoint"):
        Tokenizer.load(path, "char", "0" * 64)
    with pytest.raises(RunError, match="not the one of the checkpoint"):
        Tokenizers.load(path, path, "char", lambda path: "0" * 64)
    with pytest.raises(RunError, match="cannot be read"):
        Tokenizer.load(tmp_path / "none.model", "char")
    path.write_bytes(b"")
    with pytest.raises(RunError, match="not a tokenizer made by s2s"):
        Tokenizer.load(path, "char")


@pytest.fixture(scope="module", params=["unigram", "bpe", "word", "char"])
def tokenizer(request, tmp_path_factory) -> Tokenizer:
    words = ["".join(pair) for pair in itertools.product(ALPHABET, ALPHABET[::7])]
    size = 150 if request.param in ("unigram", "bpe") else 4000
    return learn_in(
        tmp_path_factory.mktemp("tokenizer"),
        [" ".join([word, *ALPHABET]) for word in words],
        type=request.param,
        vocab_size=size,
        normalization="identity",
    )


@property_test
@given(text=st.lists(st.text(ALPHABET, min_size=1, max_size=8), max_size=8).map(" ".join))
def test_text_of_known_characters_comes_back_from_its_tokens(tokenizer, text):
    (ids,) = tokenizer.encode([text])
    (back,) = tokenizer.decode([ids])
    if "\u2040" in "".join(tokenizer.tokens()):  # words never seen are unknown; others come back
        words = [word for word in re.split(r"\W+|_", back.replace("⁇", " ")) if word]
        assert set(words) <= set(re.split(r"\W+|_", text))
    else:
        assert back == text


@property_test
@given(text=st.text())
def test_any_text_has_tokens_that_are_not_padding_and_decode_to_text(tokenizer, text):
    (ids,) = tokenizer.encode([text])
    assert all(0 < i < tokenizer.vocab_size for i in ids)
    assert isinstance(tokenizer.decode([ids])[0], str)


@pytest.mark.parametrize("type_", SIZES)
def test_a_tag_is_a_token_that_no_text_is_taken_for_and_that_is_never_written(tmp_path, type_):
    config = TokenizerConfig(type=type_, vocab_size=SIZES[type_])
    tokenizer = learn(
        SENTENCES, config, tmp_path / "t.model", tags=["<BT>", "<x,y>"], seed=1, threads=1
    )
    tag = tokenizer.tag_id("<BT>")
    assert tokenizer.tokens()[tag] == "<BT>" and tokenizer.tag_id("<x,y>") != tag
    (ids,) = tokenizer.encode(["<BT> A man"])
    assert tag not in ids
    assert tokenizer.decode([[tag, *tokenizer.encode(["A man"])[0]]]) == ["A man"]
    for missing in ("<none>", "</s>", "A"):
        with pytest.raises(DataError, match=f"no token for the tag {missing}"):
            tokenizer.tag_id(missing)
