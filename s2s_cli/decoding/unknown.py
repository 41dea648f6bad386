"""Replaces `<unk>` in a translation by the source word with the most attention.

As https://aclanthology.org/P15-1002 (section 3.3), but without a dictionary.
"""

from __future__ import annotations

from collections.abc import Sequence

import regex

from s2s_cli.text.marks import WORD_START
from s2s_cli.text.splitting import is_unspaced
from s2s_cli.text.tokenizer import UNK

_IN_WORDS = r"[^\p{P}\p{S}\s]+"
# Letters and digits, with what joins them: `l'eau`, `re-read`, `3.14`; else what is no white space.
_WORD = regex.compile(rf"{_IN_WORDS}(?:[\p{{Pd}}'’.,:/&]{_IN_WORDS})*|\S")


def replaced_unknown(
    ids: Sequence[int], tokens: Sequence[str], aligned: Sequence[int], surfaces: Sequence[str]
) -> tuple[list[str], int]:
    """The tokens of a translation with source words for `<unk>`, and how many words these are.

    `aligned` has the source position of each token, `surfaces` the text of each source token. Several
    `<unk>` in a row for one word become that word once. One whose attention is on the end of the
    source stays, as ` ⁇ `.
    """
    found: list[str] = []
    count, last = 0, None
    for token_id, token, position in zip(ids, tokens, aligned, strict=True):
        word = source_word(surfaces, position) if token_id == UNK else None
        if token_id != UNK:
            found.append(token)
        elif word is None:
            found.append(f"{WORD_START}\u2047{WORD_START}")
        elif word != last:
            found.append(WORD_START + word[2])
            count += 1
        last = word
    return found, count


def source_word(surfaces: Sequence[str], position: int) -> tuple[int, int, str] | None:
    """Where the word around a source token begins and ends in the source, and the word itself.

    None behind the last token. In scripts without spaces, a word is a token.
    """
    if position >= len(surfaces):
        return None
    start = sum(map(len, surfaces[:position]))
    token = surfaces[position].strip()
    start += surfaces[position].find(token)
    if token and is_unspaced(token[0]):
        return start, start + len(token), token
    words = _WORD.finditer("".join(surfaces))
    # White space that is a token of its own belongs to the word behind it.
    word = next((match for match in words if match.end() > start), None)
    return None if word is None else (word.start(), word.end(), word.group())
