"""Which sentence pairs are left out, and why."""

from __future__ import annotations

from dataclasses import dataclass

from s2s_cli.schema import Data
from s2s_cli.text.corpus import Pair

# The reasons; each is a field of Counts and a kind of finding.
EMPTY_SIDE, TOO_LONG, UNEVEN, IDENTICAL = "empty_side", "too_long", "uneven", "identical"


@dataclass(frozen=True)
class Limits:
    """What a pair has to keep to; lengths are in pieces."""

    max_length: int
    max_length_ratio: float | None = None
    drop_identical: bool = False

    @classmethod
    def of(cls, data: Data) -> Limits:
        """Those of a config."""
        return cls(data.max_length, data.max_length_ratio, data.drop_identical)

    def broken(self, pair: Pair, source_length: int, target_length: int) -> str | None:
        """The first limit that the pair breaks; None for one to keep."""
        shorter, longer = sorted((source_length, target_length))
        if shorter == 0:
            return EMPTY_SIDE
        if longer > self.max_length:
            return TOO_LONG
        if self.max_length_ratio is not None and longer > self.max_length_ratio * shorter:
            return UNEVEN
        if self.drop_identical and pair.source == pair.target:
            return IDENTICAL
        return None
