"""Which scripts a side of a corpus is written in, and which text is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import regex

# A script with a smaller share of the letters in a sample is not usual.
USUAL_SHARE = 0.05
LATIN = "Latin"
# The scripts of living languages.
SCRIPTS = (
    LATIN, "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari", "Han", "Hiragana", "Katakana",
    "Hangul", "Bengali", "Tamil", "Telugu", "Gujarati", "Gurmukhi", "Kannada", "Malayalam",
    "Sinhala", "Oriya", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Georgian", "Armenian",
    "Ethiopic", "Mongolian", "Thaana", "Syriac", "Tifinagh", "Nko", "Bopomofo", "Yi", "Cherokee",
    "Canadian_Aboriginal", "Javanese", "Balinese", "Sundanese", "Buginese", "Batak", "Cham",
    "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet", "Lisu", "Vai", "Bamum", "Ol_Chiki", "Adlam",
    "Meetei_Mayek", "Limbu", "Lepcha", "Saurashtra", "Kayah_Li", "Rejang",
)  # fmt: skip
# Kana is written with Chinese characters, which a small sample may not show.
_WRITTEN_WITH = {"Hiragana": ("Katakana", "Han"), "Katakana": ("Hiragana", "Han")}
_PATTERNS = {name: regex.compile(rf"\p{{{name}}}") for name in SCRIPTS}
_LATIN_WORD = regex.compile(rf"\p{{{LATIN}}}{{3,}}")
_NO_SCRIPT = r"\p{Common}\p{Inherited}\p{Unknown}"


def usual_scripts(texts: Iterable[str]) -> frozenset[str]:
    """The scripts that hold at least USUAL_SHARE of the letters; empty where they are not known."""
    letters: Counter[str] = Counter()
    for text in texts:
        letters.update(text)
    counts: Counter[str] = Counter()
    for letter, count in letters.items():
        if letter.isalpha():
            counts[_script(letter)] += count
    found = {name for name, count in counts.items() if count >= USUAL_SHARE * counts.total()}
    for name in tuple(found):
        found.update(_WRITTEN_WITH.get(name, ()))
    return frozenset() if "" in found else frozenset(found)


def _script(letter: str) -> str:
    """The name of a letter's script; empty for one that is not in SCRIPTS."""
    return next((name for name, pattern in _PATTERNS.items() if pattern.match(letter)), "")


def unusual_script(usual: frozenset[str]) -> Callable[[str], bool]:
    """Returns a function that is true for text with most letters of scripts that are not `usual`."""
    if not usual:
        return lambda text: False
    has_latin = LATIN in usual
    members = "".join(rf"\p{{{name}}}" for name in sorted(usual))
    usual_letter = regex.compile(f"[{members}]")
    unusual_letter = regex.compile(f"[^{members}{_NO_SCRIPT}]")

    def is_wrong(text: str) -> bool:
        if has_latin and text.isascii():
            return False
        unusual = unusual_letter.findall(text)
        if len(unusual) <= len(usual_letter.findall(text) if unusual else ()):
            return False
        # Names, abbreviations and units stay in Latin letters in all scripts.
        is_latin = all(map(_PATTERNS[LATIN].match, unusual))
        return not (is_latin and len(_LATIN_WORD.findall(text)) <= 1)

    return is_wrong
