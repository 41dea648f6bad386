"""A glossary: terms of the source language, and the target terms that translations must use."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from s2s_cli.errors import DataError
from s2s_cli.text.lines import read_lines
from s2s_cli.text.marks import WORD_START
from s2s_cli.text.splitting import is_unspaced
from s2s_cli.text.tokenizer import UNK, Tokenizer

_IS_WORD = re.compile(r"\w")


@dataclass(frozen=True)
class Term:
    """A target term, as text and as token ids."""

    text: str
    ids: tuple[int, ...]


class Glossary:
    """Finds the target terms that the translation of a source must use."""

    def __init__(self, entries: Mapping[str, str], target: Tokenizer):
        """`entries` are target terms by source term. Raises DataError for a term of no tokens, or of
        characters that the target vocabulary does not have."""
        self._terms = {
            _plain(source): target_term(text, target) for source, text in entries.items()
        }
        self._by_character: dict[str, list[str]] = {}
        # The longest first, as `New York City` is not what `New York` is a term for.
        for source in sorted(self._terms, key=len, reverse=True):
            if not source:
                raise DataError("a source term of the glossary is empty.")
            self._by_character.setdefault(source[0], []).append(source)

    def terms_in(self, sentence: str) -> list[Term]:
        """The target terms for the source terms in a sentence, each once.

        Source terms are found between word boundaries, in the same case; of several that overlap,
        the first, and of those that begin at one place, the longest.
        """
        found: dict[Term, None] = {}
        sentence, place = _plain(sentence), 0
        while place < len(sentence):
            source = self._longest_at(sentence, place)
            if source is not None:
                found[self._terms[source]] = None
            place += len(source or " ")
        return list(found)

    def _longest_at(self, sentence: str, place: int) -> str | None:
        """The longest source term that begins at a place of a sentence, if any."""
        sources = self._by_character.get(sentence[place], ())
        return next(
            (
                source
                for source in sources
                if sentence.startswith(source, place)
                and _is_boundary(sentence, place)
                and _is_boundary(sentence, place + len(source))
            ),
            None,
        )


def _plain(text: str) -> str:
    """Text with single spaces, and with one way to write accents."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def read_glossary(path: str) -> dict[str, str]:
    """Reads lines of a source term, a tab and a target term; returns target terms by source term.

    Empty lines are skipped. Raises DataError, with the line, for other lines, and for a source term
    that has two target terms.
    """
    entries: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 2 or not all(fields):
            raise DataError(
                f"{path}:{number}: this is no entry of a glossary: {line!r}.",
                "Write a source term, a tab and the target term on each line.",
            )
        source, target = fields
        if entries.setdefault(source, target) != target:
            raise DataError(
                f"{path}:{number}: {source!r} is to become {target!r} here, and"
                f" {entries[source]!r} further above.",
                "Leave one entry for each source term.",
            )
    return entries


def target_term(text: str, target: Tokenizer) -> Term:
    """A target term with the tokens that it has between words. Raises DataError."""
    return Term(text, tuple(target_ids(text, target, "the term")))


def target_ids(text: str, target: Tokenizer, what: str) -> list[int]:
    """The token ids that a translation must have, so that `text` stands in it.

    Raises DataError, which calls the text `what`, where there are none, or `<unk>` among them.
    """
    (ids,) = target.encode([text])
    if not ids or UNK in ids:
        why = "has characters that the target vocabulary does not have" if ids else "has no tokens"
        raise DataError(f"{what} {text!r} {why}, so no translation can be made to hold it.")
    # Scripts without spaces have no mark of a word before their terms.
    is_marked = target.tokens()[ids[0]] == WORD_START
    return ids[1:] if is_marked and len(ids) > 1 and is_unspaced(text.strip()[0]) else ids


def _is_boundary(sentence: str, place: int) -> bool:
    """Whether a term may begin or end at a place: not inside a word."""
    around = sentence[max(0, place - 1) : place + 1]
    inside = 0 < place < len(sentence) and all(map(_IS_WORD.match, around))
    return not inside or any(map(is_unspaced, around))


def contains(ids: Sequence[int], term: Sequence[int]) -> bool:
    """Whether `ids` contains the term's ids consecutively."""
    return any(list(ids[start : start + len(term)]) == list(term) for start in _starts(ids, term))


def _starts(ids: Sequence[int], term: Sequence[int]) -> Iterator[int]:
    return (start for start, token in enumerate(ids) if token == term[0])
