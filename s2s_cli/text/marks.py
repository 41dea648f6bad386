"""What is done to a sentence before SentencePiece cuts it, and to the text that it joins.

An export ships this file as it is, so it imports nothing of this package.
"""

from __future__ import annotations

import re

import regex

# In a vocabulary of words, marks a token that followed the one before it without a space:
# the character tie, which no Unicode normalization changes.
JOINER = "\u2040"
WORD_START = "\u2581"  # SentencePiece's mark for the white space before a word
# SentencePiece refuses lone surrogates, and takes a NUL for `<pad>`.
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")
# Where a word and punctuation (or a symbol) meet with no space between them.
_TOKEN_BOUNDARY = regex.compile(
    r"(?<=[\p{P}\p{S}])(?=[^\p{P}\p{S}\s])|(?<=[^\p{P}\p{S}\s])(?=[\p{P}\p{S}])"
)
# A mark in text is written as two characters, the first of which stands for itself too.
_ESCAPE = "\u2582"
_MARKS = (_ESCAPE, WORD_START, JOINER)
_TO_ESCAPE = re.compile("[" + "".join(_MARKS) + "]")
_ESCAPED = re.compile(_ESCAPE + "([012])")


def before_encoding(sentence: str, *, is_word_level: bool) -> str:
    """The sentence as SentencePiece gets it: all of it text, and no mark in it but the joiners."""
    sentence = escape(_NOT_TEXT.sub("\ufffd", sentence))
    return separate_punctuation(sentence) if is_word_level else sentence


def after_decoding(text: str, *, is_word_level: bool) -> str:
    """The sentence of which `before_encoding` made this text."""
    return unescape(text.replace(" " + JOINER, "") if is_word_level else text)


def separate_punctuation(sentence: str) -> str:
    """Turns `Don't go.` into `Don ⁀' ⁀t go ⁀.`."""
    separated: str = _TOKEN_BOUNDARY.sub(" " + JOINER, sentence)
    return separated


def escape(sentence: str) -> str:
    """The sentence with its marks written as two characters; `unescape` undoes it."""
    return _TO_ESCAPE.sub(lambda found: f"{_ESCAPE}{_MARKS.index(found[0])}", sentence)


def unescape(sentence: str) -> str:
    """The sentence of which `escape` made this one."""
    return _ESCAPED.sub(lambda found: _MARKS[int(found[1])], sentence)
