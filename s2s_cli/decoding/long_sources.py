"""A source that is longer than the model was trained on is translated in parts, or truncated."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from s2s_cli.decoding.translation import Translation
from s2s_cli.text.splitting import join_texts


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
    """Parts one after the other; the score is that of their summed log probability, and what else the
    scores of the parts hold."""
    log_probability = sum(part.log_probability for part in parts)
    length = sum(part.length for part in parts)
    penalties = sum(
        part.score - part.log_probability / max(1, part.length) ** length_penalty for part in parts
    )
    before = [(0, 0), *((len(part.source_tokens), len(part.tokens)) for part in parts)]
    shifts = accumulate(before, lambda a, b: (a[0] + b[0], a[1] + b[1]))
    return Translation(
        text=join_texts(part.text for part in parts),
        score=log_probability / max(1, length) ** length_penalty + penalties,
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
        replaced=sum(part.replaced for part in parts),
        missing_terms=tuple(dict.fromkeys(term for part in parts for term in part.missing_terms)),
    )
