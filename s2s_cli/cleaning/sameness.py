"""Finds pairs that are the same text: both sides of one pair, or a pair and an earlier one."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Sequence
from typing import Literal

from s2s_cli.checks.repeats import SeenTexts
from s2s_cli.cleaning.reasons import DUPLICATE, NEAR_DUPLICATE, Reason
from s2s_cli.text.rows import Pair
from s2s_cli.text.splitting import is_unspaced

# White space and punctuation that may differ at the ends of two texts that are the same.
_ENDS = (
    string.whitespace
    + string.punctuation
    + "\xa0\u202f\u3000«»„“”‘’‚‹›…–—¡¿。、，！？；：「」『』．؟،؛۔।"
)
# Longer text in a script without spaces is more than a word.
_LONGEST_WORD = 6


def is_untranslated(source: str, target: str) -> bool:
    """Whether both sides are the same text but for case, spaces and punctuation at the ends.

    Text of one word is often right in both languages: a name, a number, an abbreviation. A wrong
    pair of one word does little harm, and a sentence that stays untranslated does.
    """
    text = _bare(source)
    if text != _bare(target):
        return False
    if not any(map(str.isalpha, text)):
        return False
    return len(text.split()) > 1 or (len(text) > _LONGEST_WORD and is_unspaced(text[0]))


def _bare(text: str) -> str:
    return " ".join(text.casefold().strip(_ENDS).split())


class Repeats:
    """Finds pairs that repeat an earlier one, in 16 bytes a pair; the first of them is kept."""

    def __init__(self, kind: Literal["near", "exact"] | None):
        self._kind = kind
        self._exact, self._near = SeenTexts(), SeenTexts()

    def reasons(self, pairs: Sequence[Pair]) -> list[Reason | None]:
        """The reason to reject each of the next pairs; None for one that repeats no other."""
        if self._kind is None:
            return [None] * len(pairs)
        texts = [f"{pair.source}\t{pair.target}" for pair in pairs]
        is_exact = self._exact.add(texts).tolist()
        if self._kind == "exact":
            return [DUPLICATE if exact else None for exact in is_exact]
        is_near = self._near.add([_key(text) for text in texts]).tolist()
        return [
            DUPLICATE if exact else NEAR_DUPLICATE if near else None
            for exact, near in zip(is_exact, is_near, strict=True)
        ]


class _KeyTable(dict[int, str | None]):
    """A table for `str.translate`, filled as characters occur.

    Letters are case-folded, digits become 0, white space becomes a space; punctuation, soft
    hyphens and other characters of format are deleted.
    """

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        category = unicodedata.category(character)
        mapped: str | None = character.casefold()
        if character == "\t":  # between source and target
            mapped = character
        elif character.isspace():
            mapped = " "
        elif category == "Nd":
            mapped = "0"
        elif category.startswith("P") or category == "Cf":
            mapped = None
        self[code] = mapped
        return mapped


_KEYS = _KeyTable()


def _key(text: str) -> str:
    """The same for all texts that differ in digits, case, punctuation and white space only.

    A text of nothing else is its own key.
    """
    key = text.translate(_KEYS)
    while "00" in key:
        key = key.replace("00", "0")
    sides = [" ".join(side.split()) for side in key.split("\t")]
    return "\t".join(sides) if any(sides) else text
