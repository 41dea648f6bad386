"""A source that is longer than the model was trained on is translated in parts, or truncated."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from s2s_cli.decoding.translation import Translation
from s2s_cli.text.scripts import is_unspaced, join_texts

WORD_START = "\u2581"  # SentencePiece's mark for the white space before a word
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
    places = range(end, start + (end - start) // 2, -1)
    ranked = [(_rank(tokens[ids[place - 1]], tokens[ids[place]]), place) for place in places]
    return max(ranked)[1]


def _rank(before: str, after: str) -> int:
    """How good a place to cut is between two tokens, 0 to 2."""
    before = before.rstrip(CLOSING) or before
    is_word = after.startswith(WORD_START)
    is_unspaced_text = is_unspaced(after[0])
    if before.endswith(UNSPACED_ENDS) and after[0] not in CLOSING:
        return 2
    if before.endswith(SENTENCE_ENDS) and (is_word or is_unspaced_text):
        return 2
    is_break = before.endswith((*UNSPACED_BREAKS, ",", ";", ":")) and is_unspaced_text
    return int(is_word or is_break)


def join_parts(
    parts: Sequence[Sequence[Translation]], length_penalty: float, *, is_long: bool
) -> list[Translation]:
    """The translations of a whole source, best first, from the n-best lists of its parts.

    The list of rank r joins the r-th best of each part, or the last where a part has fewer.
    """
    if not is_long:
        return list(parts[0])
    joined = [
        _join([part[min(rank, len(part) - 1)] for part in parts], length_penalty)
        for rank in range(max(map(len, parts)))
    ]
    # Normalising by the whole length may order them otherwise than the parts were.
    return sorted(joined, key=lambda translation: -translation.score)


def _join(parts: Sequence[Translation], length_penalty: float) -> Translation:
    """Parts one after the other; the score is that of their summed log probability."""
    log_probability = sum(part.log_probability for part in parts)
    length = sum(part.length for part in parts)
    before = [(0, 0), *((len(part.source_tokens), len(part.tokens)) for part in parts)]
    shifts = accumulate(before, lambda a, b: (a[0] + b[0], a[1] + b[1]))
    return Translation(
        text=join_texts(part.text for part in parts),
        score=log_probability / max(1, length) ** length_penalty,
        log_probability=log_probability,
        length=length,
        source_tokens=tuple(token for part in parts for token in part.source_tokens),
        tokens=tuple(token for part in parts for token in part.tokens),
        token_scores=tuple(score for part in parts for score in part.token_scores),
        alignment=tuple(
            (i + source, j + target)
            for part, (source, target) in zip(parts, shifts, strict=False)
            for i, j in part.alignment
        ),
        is_long=True,
    )
