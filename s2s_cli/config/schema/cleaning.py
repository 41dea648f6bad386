"""The section `cleaning`: which training pairs `s2s clean` rejects."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from s2s_cli.config.schema.section import Count, MisfitError, Section

_LANGUAGE = re.compile("[a-z]{2,3}")


class Cleaning(Section):
    """Which training pairs `s2s clean` rejects, tested in this order. Training does not read it."""

    empty: bool = True
    """Reject pairs with an empty side."""
    encoding: bool = True
    """Reject text with U+FFFD, and UTF-8 that was read in another encoding, such as `Ã©` for `é`.
    Lines that are not UTF-8 are rejected in any case."""
    control: bool = True
    """Reject control characters, invisible characters and noncharacters. Tabs, soft hyphens, joiners
    and marks of direction are none of these, nor are zero-width spaces in Thai, Lao, Khmer and
    Burmese."""
    max_characters: Count | None = 1000
    """Largest number of characters of a side; null: no limit."""
    identical: bool = True
    """Reject sides that are the same text but for case, spaces and punctuation at the ends. Text of
    one word, such as a name, and text without letters may be the same in both languages."""
    script: bool = True
    """Reject a side with most letters in scripts that are not usual on that side: those with less
    than 5% of the letters in the first 10,000 lines of the corpus. One word in Latin letters, such
    as a name, is accepted everywhere, and so are units."""
    max_length_ratio: Annotated[float, Field(gt=1.0)] | None = 3.0
    """Largest ratio of characters between the sides, relative to the median ratio in the first
    10,000 lines of the corpus. 10 are added to both numbers, so that short text may vary more.
    null: no limit."""
    urls: bool = True
    """Reject pairs whose sides hold different URLs or e-mail addresses."""
    numbers: bool = True
    """Reject pairs whose sides both hold a number that the other lacks, or of which one holds a
    number of three or more digits and the other no digit at all. Separators of thousands, hours
    that differ by 12, years of two digits, and round numbers in words, such as 300, are no
    difference."""
    languages: list[str] | None = None
    """Codes of the languages of source and target, such as `[en, de]`: reject a side of 20 or more
    letters that is in another language. Needs `s2s-cli[langid]`. null: do not identify languages."""
    duplicates: Literal["near", "exact"] | None = "near"
    """Reject pairs that stand in a corpus before. `near`: also pairs that differ from an earlier one
    in digits, case and punctuation only. null: keep all."""

    @model_validator(mode="after")
    def _two_languages(self) -> Cleaning:
        codes = self.languages
        if codes is not None and (len(codes) != 2 or not all(map(_LANGUAGE.fullmatch, codes))):
            clause = "must be the codes of two languages, such as [en, de]"
            raise MisfitError(("languages", clause))
        return self
