"""Scripts: which ones are written without spaces between words, and what follows from that."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable

import regex

# Chinese characters, kana, and the punctuation and full-width forms that are used with them.
_CJK = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\u3000-\u303f\uff00-\uffef"
# Written without spaces between words, but with spaces between clauses.
_SOUTHEAST_ASIAN = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_IS_CJK = regex.compile(f"[{_CJK}]")
_IS_UNSPACED = regex.compile(f"[{_CJK}{_SOUTHEAST_ASIAN}]")
_IS_KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")
_IS_LETTER = regex.compile(r"[\p{L}\p{M}]")

# Sentences that are looked at to see which script a corpus is written in.
SAMPLE = 1000


def is_unspaced(character: str) -> bool:
    """Whether words that begin or end with the character need no space between them."""
    return _IS_UNSPACED.match(character) is not None


def join_texts(texts: Iterable[str]) -> str:
    """Texts one after the other, with a space between two unless they meet in Chinese or Japanese."""
    joined = ""
    for text in filter(None, texts):
        meets = joined and not (_IS_CJK.match(joined[-1]) or _IS_CJK.match(text[0]))
        joined += f" {text}" if meets else text
    return joined


def bleu_tokenizer(sentences: Iterable[str]) -> str:
    """sacreBLEU's tokenizer for text like these sentences, of which a sample is looked at.

    `zh` for Chinese; `char` for Japanese, Thai, Lao, Khmer and Burmese, for which sacreBLEU has no
    tokenizer without further packages; else `13a`.
    """
    counts: Counter[str] = Counter()
    for sentence in itertools.islice(sentences, SAMPLE):
        for letter in _IS_LETTER.findall(sentence):
            if _IS_KANA.match(letter):
                counts["kana"] += 1
            elif _IS_CJK.match(letter):
                counts["han"] += 1
            elif _IS_UNSPACED.match(letter):
                counts["other"] += 1
            else:
                counts["spaced"] += 1
    unspaced = counts["kana"] + counts["han"] + counts["other"]
    if unspaced <= counts["spaced"]:
        return "13a"
    # Japanese is about half kana; Chinese has none.
    return "zh" if counts["han"] > 10 * (counts["kana"] + counts["other"]) else "char"
