"""What a search makes of a sentence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Translation:
    """A translation and its pieces.

    `score` is log_probability / length**length_penalty, where `length` counts the pieces
    and `</s>`; `alignment` holds (i, j) where piece j of the translation looked most at
    piece i of the source, as far as there is attention. `is_long` tells of a source of more
    than decoding.max_source_length pieces, which was split or truncated.
    """

    text: str
    score: float = 0.0
    log_probability: float = 0.0
    length: int = 0
    source_tokens: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    alignment: tuple[tuple[int, int], ...] = ()
    is_long: bool = False
