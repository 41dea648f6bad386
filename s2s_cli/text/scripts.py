"""Which script a text is written in, and which tokenizer BLEU needs for it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable

import regex

from s2s_cli.text.splitting import is_cjk, is_unspaced

_IS_KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")
_IS_LETTER = regex.compile(r"[\p{L}\p{M}]")

# Sentences that are looked at to see which script a corpus is written in.
SAMPLE = 1000


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
            elif is_cjk(letter):
                counts["han"] += 1
            elif is_unspaced(letter):
                counts["other"] += 1
            else:
                counts["spaced"] += 1
    unspaced = counts["kana"] + counts["han"] + counts["other"]
    if unspaced <= counts["spaced"]:
        return "13a"
    # Japanese is about half kana; Chinese has none.
    return "zh" if counts["han"] > 10 * (counts["kana"] + counts["other"]) else "char"


def is_written_without_spaces(sentences: Iterable[str]) -> bool:
    """Whether these sentences, of which a sample is looked at, have no spaces between words."""
    return bleu_tokenizer(sentences) != "13a"


def better_bleu_tokenizer(sentences: Iterable[str], chosen: str) -> str | None:
    """The tokenizer that BLEU needs for these sentences where the chosen one takes whole lines for
    words, else None."""
    fitting = bleu_tokenizer(sentences)
    return fitting if fitting != "13a" and chosen not in ("zh", "char") else None
