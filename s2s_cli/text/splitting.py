"""Cuts a long source into parts, and joins the translations of parts.

An export ships this file as it is, so it imports nothing of this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import regex

# Chinese characters, kana, and the punctuation and full-width forms that are used with them.
_CJK = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\u3000-\u303f\uff00-\uffef"
# Written without spaces between words, but with spaces between clauses.
_SOUTHEAST_ASIAN = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_IS_CJK = regex.compile(f"[{_CJK}]")
_IS_UNSPACED = regex.compile(f"[{_CJK}{_SOUTHEAST_ASIAN}]")

SENTENCE_ENDS = (".", "!", "?", "…", "।", "؟", "۔")
# Those of scripts that have no space behind a sentence, and what divides their sentences.
UNSPACED_ENDS = ("。", "！", "？", "．", "｡")
UNSPACED_BREAKS = ("，", "、", "；", "：", "､")
CLOSING = "”’」』）》〉】\"'"


def split_source(ids: Sequence[int], tokens: Sequence[str], size: int) -> list[Sequence[int]]:
    """`ids` in parts of at most `size`, cut after a sentence, else before a word (in scripts without
    spaces: after a clause), else anywhere.

    `tokens` are all tokens of the vocabulary, by id.
    """
    cuts = [0]
    while len(ids) - cuts[-1] > size:
        cuts.append(_cut(ids, tokens, cuts[-1], cuts[-1] + size))
    return [ids[start:end] for start, end in pairwise([*cuts, len(ids)])]


def _cut(ids: Sequence[int], tokens: Sequence[str], start: int, end: int) -> int:
    """Where the part from `start` on ends: at `end`, or in the half before it."""

    def rank(place: int) -> tuple[int, int]:
        # A closing quotation mark may stand behind the end of the sentence.
        before = "".join(tokens[index] for index in ids[max(start, place - 3) : place])
        return _rank(before, tokens[ids[place]]), place

    return max(range(end, start + (end - start) // 2, -1), key=rank)


def _rank(before: str, after: str) -> int:
    """How good a place to cut is between some text and a token, 0 to 2."""
    before = before.rstrip(CLOSING) or before
    is_word = after.startswith("\u2581")  # which stands for the white space before a word
    is_unspaced_text = is_unspaced(after[0])
    if before.endswith(UNSPACED_ENDS) and after[0] not in CLOSING:
        return 2
    if before.endswith(SENTENCE_ENDS) and (is_word or is_unspaced_text):
        return 2
    is_break = before.endswith((*UNSPACED_BREAKS, ",", ";", ":")) and is_unspaced_text
    return int(is_word or is_break)


def is_cjk(character: str) -> bool:
    """Whether the character belongs to Chinese or Japanese text."""
    return _IS_CJK.match(character) is not None


def is_unspaced(character: str) -> bool:
    """Whether words that begin or end with the character need no space between them."""
    return _IS_UNSPACED.match(character) is not None


def join_texts(texts: Iterable[str]) -> str:
    """Texts one after the other, with a space between two unless they meet in Chinese or Japanese."""
    joined = ""
    for text in filter(None, texts):
        meets = joined and not (is_cjk(joined[-1]) or is_cjk(text[0]))
        joined += f" {text}" if meets else text
    return joined
