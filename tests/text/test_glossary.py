"""Where source terms stand in a sentence, and which target terms they demand."""

import pytest

from s2s_cli.config.schema import Tokenizer as TokenizerConfig
from s2s_cli.errors import DataError
from s2s_cli.text.glossary import Glossary, read_glossary
from s2s_cli.text.tokenizer import learn

TARGETS = ["Haus", "Neu York", "Stadt New York", "eine Straße", "我们走", "C plus"]


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    path = tmp_path_factory.mktemp("target") / "target.model"
    config = TokenizerConfig(type="char", vocab_size=60, character_coverage=1.0)
    return learn(TARGETS, config, path, seed=1, threads=1)


def found(glossary, sentence):
    return [term.text for term in glossary.terms_in(sentence)]


def test_terms_are_found_between_word_boundaries_the_longest_first(target):
    glossary = Glossary(
        {
            "house": "Haus",
            "York": "York",
            "New York": "Neu York",
            "New York City": "Stadt New York",
        },
        target,
    )
    assert found(glossary, "A house in New York, the house.") == ["Haus", "Neu York"]
    assert found(glossary, "New  York City and York") == ["Stadt New York", "York"]
    assert found(glossary, "The houses, a House, warehouse, New Yorkers") == []
    assert found(glossary, "") == []


def test_terms_that_end_in_signs_or_have_no_spaces_around_them_are_found(target):
    glossary = Glossary({"C++": "C plus", "我们": "我们"}, target)
    assert found(glossary, "in C++, or C++") == ["C plus"]
    assert found(glossary, "今天我们走") == ["我们"]


def test_accents_may_be_written_in_two_ways(target):
    glossary = Glossary({"cafe\u0301": "Haus"}, target)
    assert found(glossary, "un caf\u00e9") == ["Haus"]


def test_a_term_has_the_tokens_that_it_has_in_a_sentence(target):
    (term,) = Glossary({"a": "Haus"}, target).terms_in("a")
    assert [target.tokens()[i] for i in term.ids] == ["▁", "H", "a", "u", "s"]
    (term,) = Glossary({"a": "我们"}, target).terms_in("a")
    assert [target.tokens()[i] for i in term.ids] == ["我", "们"]


def test_a_term_that_the_vocabulary_cannot_write_is_refused(target):
    with pytest.raises(DataError, match="the term 'Жук' has characters that the target vocabulary"):
        Glossary({"beetle": "Жук"}, target)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("house\tHaus\nroad\n", "glossary.tsv:2: this is no entry of a glossary: 'road'."),
        ("a\tb\tc\n", "glossary.tsv:1: this is no entry of a glossary: 'a\\tb\\tc'."),
        ("a\tb\n\na\tc\n", "glossary.tsv:3: 'a' is to become 'c' here, and 'b' further above."),
    ],
)
def test_a_line_that_is_no_entry_is_refused_with_its_number(tmp_path, content, message):
    path = tmp_path / "glossary.tsv"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        read_glossary(str(path))
    assert caught.value.message == f"{tmp_path}/{message}"


def test_empty_lines_and_an_entry_that_stands_twice_are_no_mistake(tmp_path):
    path = tmp_path / "glossary.tsv"
    path.write_text("house\tHaus\n\n road \t eine Straße \nhouse\tHaus\n")
    assert read_glossary(str(path)) == {"house": "Haus", "road": "eine Straße"}
