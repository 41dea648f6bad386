"""Text that was damaged is told from text that is unusual."""

import pytest
from dirt import misread

from s2s_cli.cleaning.damage import has_control, is_mojibake

WORDS = [
    "déjà", "être", "schön", "Größe", "niño", "ação", "zloty złoty", "çağdaş", "kalbų", "Ősz ősz",
    "Привет", "Ελλάδα", "שלום", "سلام", "हिन्दी", "ภาษาไทย", "你好", "こんにちは", "한국어", "Việt", "Páshto",
    "it’s", "a – b", "“quoted”", "€ 5", "wait…", "25 °C", "😀",
]  # fmt: skip
GOOD = [
    *WORDS, "CAFÉ”", "“IRMÃ”, “MÃE”", "«\xa0déjà\xa0»", "die „Straße“, der „Spaß“…", "Ö’s und Ä’s", "QUÉ…",
    "la letra «Ñ»", "É…", "5 ¿qué?…¡sí!", "Â", "NÃO", "São Paulo", "Öštrič", "RUOŠŠÂ…", "note²", "Škoda’s",
    "Ð and ð", "þetta er “það”…", "caf\u0065\u0301", "à la carte™", "",
]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_utf8_that_was_read_in_another_encoding_is_mojibake(word, encoding):
    assert is_mojibake(f"So it is: {misread(word, encoding)}, he said.")


@pytest.mark.parametrize("text", GOOD)
def test_good_text_is_no_mojibake(text):
    assert not is_mojibake(text)


def test_mojibake_of_text_that_was_stored_twice_and_of_lost_spaces_is_found():
    assert is_mojibake(misread(misread("é", "cp1252"), "cp1252"))
    assert is_mojibake("déjÃ vu")


@pytest.mark.parametrize(
    "character",
    "\0\x07\x1b\r\x7f\x85\x9d\u2028\u200b\u2060\u2062\u206a\ufeff\ufff9\ufdd0\uffff\U0001fffe\U0010ffff",
)
def test_control_and_invisible_characters_are_found(character):
    assert has_control(f"one{character}two") and not has_control("one two")


@pytest.mark.parametrize(
    "text",
    [
        "a\tb", "soft\u00adhyphen", "می\u200cخواهم", "क्\u200dष", "👨\u200d👩\u200d👦",
        "\u200eLTR\u200f \u2066x\u2069",
        "ភាសា\u200bខ្មែរ", "ไทย\u200b 5", "nbsp\xa0thin\u2009narrow\u202f", "\ue000 private", "\U0001fae9",
    ],
)  # fmt: skip
def test_characters_that_real_text_has_are_no_control_characters(text):
    assert not has_control(text)
