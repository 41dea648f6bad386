"""Sides that are the same, and pairs that repeat an earlier one."""

import pytest

from s2s_cli.cleaning.sameness import Repeats, is_untranslated
from s2s_cli.text.rows import Pair


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("two words", "two words"),
        ("Two words.", "two  WORDS!"),
        ("“It is so”", "It is so"),
        ("Так и есть", "так и есть"),
        ("我昨天去了北京图书馆。", "我昨天去了北京图书馆"),
    ],
)
def test_text_that_was_not_translated_is_found(source, target):
    assert is_untranslated(source, target)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("Berlin", "Berlin."),
        ("1984 - 12", "1984 - 12"),
        ("?!", "?!"),
        ("東京", "東京"),
        ("two words", "two other words"),
        ("room 5", "room 6"),
        ("a-b c", "ab c"),
        ("", ""),
    ],
)
def test_names_numbers_and_other_text_may_be_the_same_on_both_sides(source, target):
    assert not is_untranslated(source, target)


def repeats(kind, *pairs):
    found = Repeats(kind).reasons([Pair(*pair) for pair in pairs])
    return [reason and reason.name for reason in found]


def test_the_first_pair_stays_and_exact_repeats_are_told_from_near_ones():
    pairs = [("Go 1.", "Los 1."), ("go, 22", "LOS 22"), ("Go 1.", "Los 1."), ("Go!", "Los 1.")]
    assert repeats("near", *pairs) == [None, "near_duplicate", "duplicate", None]
    assert repeats("exact", *pairs) == [None, None, "duplicate", None]
    assert repeats(None, *pairs) == [None] * 4


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("It costs 1,000 euros.", "it costs 5 euros"),
        ("STRASSE", "straße"),
        ("¿Qué?", "qué"),
        ("他说：“好。”", "他说好"),
        ("١٢ رجل", "٣ رجل،"),
        ("a \u3000b", "a\xa0b"),
        ("ex\u00adample", "example"),
    ],
)
def test_digits_case_punctuation_and_spaces_make_no_other_pair(text, other):
    assert repeats("near", (text, "x"), (other, "x")) == [None, "near_duplicate"]


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("resume", "résumé"),
        ("5 €", "5 $"),
        ("a < b", "a > b"),
        ("well known", "wellknown"),
        ("1", "one"),
    ],
)
def test_other_characters_make_another_pair(text, other):
    assert repeats("near", (text, "x"), (other, "x")) == [None, None]


def test_text_of_punctuation_only_is_compared_as_it_is():
    assert repeats("near", ("?", "?"), ("!", "!"), ("?", "?")) == [None, None, "duplicate"]


def test_the_border_between_the_sides_counts():
    assert repeats("near", ("a b", "c"), ("a", "b c")) == [None, None]
