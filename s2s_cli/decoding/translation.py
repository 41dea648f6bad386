"""What a search finds for a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from s2s_cli.text.glossary import Term


@dataclass(frozen=True)
class Required:
    """What the translation of a source must hold: tokens to begin with, and terms."""

    prefix: tuple[int, ...] = ()
    terms: tuple[Term, ...] = ()


@dataclass(frozen=True)
class Hypothesis:
    """Target ids, with `</s>` where it was reached, and what the search knows of each.

    `aligned` is the source position with the most attention from each id.
    """

    ids: list[int]
    score: float
    log_probability: float
    aligned: list[int]
    token_log_probability: list[float]


@dataclass(frozen=True)
class Translation:
    """A translation and its tokens.

    `score` is log_probability / length**length_penalty, where `length` counts the tokens and `</s>`,
    plus the coverage penalty; `token_scores` holds the log probability of each token, and of `</s>`
    where it was reached; `alignment` holds (i, j) where token j of the translation has its most
    attention on token i of the source, as far as there is attention. `is_long`: the source has more
    than decoding.max_source_length tokens, and was split or truncated. `replaced` counts the source
    words that stand in `text` for `<unk>`; `missing_terms` are the required terms that do not stand
    in it, as there was no room.
    """

    text: str
    score: float = 0.0
    log_probability: float = 0.0
    length: int = 0
    source_tokens: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    token_scores: tuple[float, ...] = ()
    alignment: tuple[tuple[int, int], ...] = ()
    is_long: bool = False
    replaced: int = 0
    missing_terms: tuple[str, ...] = ()
