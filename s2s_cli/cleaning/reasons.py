"""The reasons for which cleaning rejects a pair."""

from __future__ import annotations

from dataclasses import dataclass

from s2s_cli.text import rows
from s2s_cli.text.filters import EMPTY_SIDE, IDENTICAL, UNEVEN


@dataclass(frozen=True)
class Reason:
    """A reason to reject a pair.

    `name` is its key in counts and files of rejects, `what` describes such a pair, and `setting`
    is the field of the section `cleaning` that decides, if one does.
    """

    name: str
    what: str
    setting: str | None = None


# In the order in which a pair is tested: it is rejected for the first that holds.
REASONS = (
    Reason(rows.INVALID_UTF8, "line that is not UTF-8"),
    Reason(rows.MISSING_COLUMN, "row without its columns"),
    Reason(rows.BAD_RECORD, "record that cannot be read"),
    Reason(rows.BAD_WEIGHT, "weight that is not a number"),
    EMPTY := Reason(EMPTY_SIDE.name, f"pair {EMPTY_SIDE.phrase}", "empty"),
    REPLACED := Reason("replacement_character", "U+FFFD instead of a character", "encoding"),
    MOJIBAKE := Reason("mojibake", "text that was read in the wrong encoding", "encoding"),
    CONTROL := Reason("control", "control or invisible character", "control"),
    TOO_LONG := Reason("too_long", "text longer than max_characters", "max_characters"),
    SAME := Reason(IDENTICAL.name, f"pair {IDENTICAL.phrase}", "identical"),
    SCRIPT := Reason("script", "text in an unusual script", "script"),
    UNEVEN_LENGTHS := Reason(UNEVEN.name, f"pair {UNEVEN.phrase}", "max_length_ratio"),
    URLS := Reason("urls", "pair with different URLs or addresses", "urls"),
    NUMBERS := Reason("numbers", "pair with different numbers", "numbers"),
    LANGUAGE := Reason("language", "text in another language", "languages"),
    DUPLICATE := Reason("duplicate", "repeated pair", "duplicates"),
    NEAR_DUPLICATE := Reason(
        "near_duplicate", "repeated but for digits, case, punctuation", "duplicates"
    ),
)
REASON_BY_NAME = {reason.name: reason for reason in REASONS}
