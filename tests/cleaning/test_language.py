"""The language of both sides is identified, where the extra is installed."""

import sys

import pytest
from cleaned import clean_lines, reasons
from dirt import clean_pairs

from s2s_cli.cleaning.language import LanguageFilter
from s2s_cli.errors import ConfigError

ENGLISH = "The brown dog is running quickly through the garden"
GERMAN = "Der braune Hund rennt schnell durch den Garten"
FRENCH = "Le chien brun court très vite dans le jardin"


def test_a_side_in_another_language_is_found():
    pytest.importorskip("py3langid")
    language = LanguageFilter("en", "de")
    assert not language.rejects(ENGLISH, GERMAN)
    for pair in ((GERMAN, ENGLISH), (FRENCH, GERMAN), (ENGLISH, FRENCH)):
        assert language.rejects(*pair)
    # Too few letters, and a language that is not sure.
    for target in ("C'est très bien, ça", "Pizza, Pasta, Espresso und Gelato"):
        assert not language.rejects(ENGLISH, target)


def test_the_setting_rejects_such_pairs(tmp_path):
    pytest.importorskip("py3langid")
    pairs = [*clean_pairs(50, 1), (ENGLISH, f"{FRENCH} aussi")]
    lines = ["\t".join(pair).encode() for pair in pairs]
    assert reasons(clean_lines(tmp_path, lines)[2]) == {}
    assert reasons(clean_lines(tmp_path, lines, languages=["en", "de"])[2]) == {51: "language"}


def test_a_language_that_is_not_known_is_named():
    pytest.importorskip("py3langid")
    with pytest.raises(ConfigError) as caught:
        LanguageFilter("en", "xx")
    assert caught.value.message == "cleaning.languages: the language `xx` is not known."
    assert ", de, " in caught.value.hint


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(ConfigError) as caught:
        LanguageFilter("en", "de")
    assert (caught.value.message, caught.value.hint) == (
        "cleaning.languages needs the package py3langid, which is not installed.",
        'pip install "s2s-cli[langid]"',
    )
