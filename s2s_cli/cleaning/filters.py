"""The filters of the section `cleaning`, made for one corpus."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from s2s_cli.cleaning.content import addresses_differ, numbers_differ
from s2s_cli.cleaning.damage import REPLACEMENT, has_control, is_mojibake
from s2s_cli.cleaning.language import LanguageFilter
from s2s_cli.cleaning.reasons import (
    CONTROL,
    EMPTY,
    LANGUAGE,
    MOJIBAKE,
    NUMBERS,
    REPLACED,
    SAME,
    SCRIPT,
    TOO_LONG,
    UNEVEN_LENGTHS,
    URLS,
    Reason,
)
from s2s_cli.cleaning.sameness import is_untranslated
from s2s_cli.cleaning.scripts import unusual_script, usual_scripts
from s2s_cli.config.schema import Cleaning
from s2s_cli.text.rows import Pair

# Characters added to both lengths, as one more says little about a short text.
LENGTH_SMOOTHING = 10


class Filter(NamedTuple):
    """A reason, and the function of source and target that says whether it holds."""

    reason: Reason
    holds: Callable[[str, str], bool]


def first_reason(filters: Sequence[Filter], pair: Pair) -> Reason | None:
    """The first reason to reject the pair; None for a pair to keep."""
    source, target = pair.source, pair.target
    for reason, holds in filters:
        if holds(source, target):
            return reason
    return None


def make_filters(
    settings: Cleaning, sample: Sequence[Pair], language: LanguageFilter | None
) -> Iterator[Filter]:
    """The filters that are switched on, in the order of REASONS.

    `sample` shows what is usual in the corpus; `language` is the filter of settings.languages.
    """
    if settings.empty:
        yield Filter(EMPTY, lambda source, target: not source or not target)
    if settings.encoding:
        yield Filter(REPLACED, _on_either_side(lambda text: REPLACEMENT in text))
        yield Filter(MOJIBAKE, _on_either_side(is_mojibake))
    if settings.control:
        yield Filter(CONTROL, _on_either_side(has_control))
    if (limit := settings.max_characters) is not None:
        yield Filter(TOO_LONG, lambda source, target: max(len(source), len(target)) > limit)
    if settings.identical:
        yield Filter(SAME, is_untranslated)
    if settings.script:
        yield Filter(SCRIPT, _in_unusual_script(sample))
    if settings.max_length_ratio is not None:
        yield Filter(UNEVEN_LENGTHS, _uneven(sample, settings.max_length_ratio))
    if settings.urls:
        yield Filter(URLS, addresses_differ)
    if settings.numbers:
        yield Filter(NUMBERS, numbers_differ)
    if language is not None:
        yield Filter(LANGUAGE, language.rejects)


def _on_either_side(holds: Callable[[str], bool]) -> Callable[[str, str], bool]:
    return lambda source, target: holds(source) or holds(target)


def _in_unusual_script(sample: Sequence[Pair]) -> Callable[[str, str], bool]:
    is_wrong_source = unusual_script(usual_scripts(pair.source for pair in sample))
    is_wrong_target = unusual_script(usual_scripts(pair.target for pair in sample))
    return lambda source, target: is_wrong_source(source) or is_wrong_target(target)


def _uneven(sample: Sequence[Pair], limit: float) -> Callable[[str, str], bool]:
    """True for a pair whose ratio of lengths is `limit` times the median one, or one part of it."""
    full = [pair for pair in sample if pair.source and pair.target]
    usual = statistics.median([_ratio(p.source, p.target) for p in full]) if full else 1.0
    least, most = usual / limit, usual * limit
    return lambda source, target: not least <= _ratio(source, target) <= most


def _ratio(source: str, target: str) -> float:
    return (len(target) + LENGTH_SMOOTHING) / (len(source) + LENGTH_SMOOTHING)
