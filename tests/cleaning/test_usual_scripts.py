"""What is usual on a side is learned from it, and text in other scripts is found."""

import pytest

from s2s_cli.cleaning.scripts import unusual_script, usual_scripts

SIDES = {
    "English": ["The dog runs.", "It’s a naïve café №5, 25 µm."],
    "Russian": ["Собака бежит.", "Это — дом."],
    "Russian with names": ["Собака бежит.", "Программа Windows Word."],
    "Greek": ["Ο σκύλος τρέχει."],
    "Chinese": ["狗在跑。", "这是一个房子，很大。"],
    "Japanese": ["犬が走っています。", "これは家です。"],
    "Korean": ["개가 달린다."],
    "Arabic": ["الكلب يجري."],
    "Hindi": ["कुत्ता दौड़ता है।"],
    "Thai": ["สุนัขวิ่ง"],
    "Serbian": ["Пас трчи брзо.", "Pas trči brzo."],
}


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ("English", {"Latin"}),
        ("Russian", {"Cyrillic"}),
        ("Russian with names", {"Cyrillic", "Latin"}),
        ("Chinese", {"Han"}),
        ("Japanese", {"Han", "Hiragana", "Katakana"}),
        ("Serbian", {"Cyrillic", "Latin"}),
    ],
)
def test_the_scripts_with_one_letter_in_twenty_are_usual(side, expected):
    assert usual_scripts(SIDES[side]) == expected


def test_a_few_foreign_letters_do_not_make_a_script_usual():
    assert usual_scripts(["letters " * 30, "дом"]) == {"Latin"}


@pytest.mark.parametrize("side", SIDES)
def test_text_like_that_of_the_side_is_usual(side):
    is_unusual = unusual_script(usual_scripts(SIDES[side]))
    harmless = ["", "123, 456", "?!…", "😀", "iPhone", "DVD", "x² = 4 µm"]
    assert not any(map(is_unusual, [*SIDES[side], *harmless]))


@pytest.mark.parametrize(
    ("side", "text"),
    [
        ("English", "Собака"),
        ("English", "The собака бежит"),
        ("English", "狗"),
        ("Russian", "The dog runs."),
        ("Russian", "the dog ест"),
        ("Russian", "ο σκύλος"),
        ("Chinese", "これはペンです"),
        ("Chinese", "the dog runs"),
        ("Japanese", "개가 달린다"),
        ("Korean", "犬が走る"),
        ("Arabic", "the dog runs"),
        ("Hindi", "the dog runs"),
        ("Thai", "ໝາແລ່ນ"),
    ],
)
def test_text_with_most_letters_in_another_script_is_found(side, text):
    assert unusual_script(usual_scripts(SIDES[side]))(text)


@pytest.mark.parametrize("side", ["English", "Russian"])
def test_a_name_in_another_script_inside_a_sentence_is_no_matter(side):
    is_unusual = unusual_script(usual_scripts(SIDES[side]))
    assert not is_unusual("It is Пушкин (Pushkin)" if side == "English" else "Это писатель Pushkin")


def test_nothing_is_unusual_where_nothing_is_known():
    assert not unusual_script(usual_scripts([]))("any")
    assert not unusual_script(usual_scripts(["𐌰𐌱𐌲"]))("any text")
