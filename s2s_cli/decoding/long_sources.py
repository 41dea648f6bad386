"""A source that is longer than the model has ever seen is translated in parts, or cut."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from s2s_cli.decoding.translation import Translation

WORD_START = "\u2581"  # SentencePiece's mark where white space was
SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", "।", "؟", "۔")


def parts(ids: Sequence[int], pieces: Sequence[str], most: int) -> list[Sequence[int]]:
    """`ids` in parts of at most `most`, cut behind a sentence, else before a word, else anywhere.

    `pieces` are all pieces of the vocabulary, by id.
    """
    cuts = [0]
    while len(ids) - cuts[-1] > most:
        cuts.append(_cut(ids, pieces, cuts[-1], cuts[-1] + most))
    return [ids[start:end] for start, end in pairwise([*cuts, len(ids)])]


def _cut(ids: Sequence[int], pieces: Sequence[str], start: int, end: int) -> int:
    """Where the part from `start` on ends: at `end`, or in the half before it."""
    places = range(end, start + (end - start) // 2, -1)
    words = [place for place in places if pieces[ids[place]].startswith(WORD_START)]
    ended = (place for place in words if pieces[ids[place - 1]].endswith(SENTENCE_ENDS))
    return next(ended, words[0] if words else end)


def joined(
    found: Sequence[Sequence[Translation]], length_penalty: float, *, is_long: bool
) -> list[Translation]:
    """The translations of a whole source, the best first, from those of its parts."""
    if not is_long:
        return list(found[0])
    return [
        _in_one([part[min(rank, len(part) - 1)] for part in found], length_penalty)
        for rank in range(max(map(len, found)))
    ]


def _in_one(parts: Sequence[Translation], length_penalty: float) -> Translation:
    """Parts behind one another; the score is that of their sum."""
    log_probability = sum(part.log_probability for part in parts)
    length = sum(part.length for part in parts)
    before = [(0, 0), *((len(part.source_tokens), len(part.tokens)) for part in parts)]
    shifts = accumulate(before, lambda a, b: (a[0] + b[0], a[1] + b[1]))
    return Translation(
        text=" ".join(part.text for part in parts if part.text),
        score=log_probability / max(1, length) ** length_penalty,
        log_probability=log_probability,
        length=length,
        source_tokens=tuple(token for part in parts for token in part.source_tokens),
        tokens=tuple(token for part in parts for token in part.tokens),
        alignment=tuple(
            (i + source, j + target)
            for part, (source, target) in zip(parts, shifts, strict=False)
            for i, j in part.alignment
        ),
        is_long=True,
    )
