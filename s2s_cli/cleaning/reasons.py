"""The reasons for which cleaning rejects a pair."""

from __future__ import annotations

from dataclasses import dataclass

from s2s_cli.text import corpus
from s2s_cli.text.filters import EMPTY_SIDE, IDENTICAL


@dataclass(frozen=True)
class Reason:
    """A reason to reject a pair.

    `name` is its key in counts and files of rejects, `phrase` continues "3 pairs", and `setting`
    is the field of the section `cleaning` that decides, if one does.
    """

    name: str
    phrase: str
    setting: str | None = None


# In the order in which a pair is tested: it is rejected for the first that holds.
REASONS = (
    Reason(corpus.INVALID_UTF8, "that are not UTF-8"),
    Reason(corpus.MISSING_COLUMN, "without a tab"),
    Reason(corpus.BAD_WEIGHT, "with a third column that is not a weight"),
    EMPTY := Reason(EMPTY_SIDE.name, EMPTY_SIDE.phrase, "empty"),
    REPLACED := Reason("replacement_character", "with U+FFFD instead of a character", "encoding"),
    MOJIBAKE := Reason("mojibake", "that were read in the wrong encoding", "encoding"),
    CONTROL := Reason("control", "with control or invisible characters", "control"),
    TOO_LONG := Reason("too_long", "with more than max_characters", "max_characters"),
    SAME := Reason(IDENTICAL.name, IDENTICAL.phrase, "identical"),
    SCRIPT := Reason("script", "in an unusual script", "script"),
    UNEVEN := Reason("uneven", "with sides of very unequal length", "max_length_ratio"),
    URLS := Reason("urls", "with different URLs or addresses", "urls"),
    NUMBERS := Reason("numbers", "with different numbers", "numbers"),
    LANGUAGE := Reason("language", "in another language", "languages"),
    DUPLICATE := Reason("duplicate", "that repeat an earlier pair", "duplicates"),
    NEAR_DUPLICATE := Reason(
        "near_duplicate",
        "that repeat one but for digits, case and punctuation",
        "duplicates",
    ),
)
REASON_BY_NAME = {reason.name: reason for reason in REASONS}
