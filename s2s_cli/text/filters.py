"""Which sentence pairs are left out of training, why, and how many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from s2s_cli.config.schema import Data, ModelSettings
from s2s_cli.text.rows import Pair


@dataclass(frozen=True)
class Reason:
    """A reason to leave a pair out.

    `name` is its key in counts and reports, `phrase` continues "3 pairs", and `setting` is the
    field of the section `data` that decides, if one does.
    """

    name: str
    phrase: str
    setting: str | None = None


EMPTY_SIDE = Reason("empty_side", "with an empty side")
TOO_LONG = Reason("too_long", "longer than data.max_length", "max_length")
BEYOND_POSITIONS = Reason("beyond_positions", "too long for model.max_positions, with </s>")
UNEVEN = Reason("uneven", "with sides of very unequal length", "max_length_ratio")
IDENTICAL = Reason("identical", "with identical sides", "drop_identical")
# In the order in which a pair is tested: it is left out for the first that holds.
REASONS = (EMPTY_SIDE, TOO_LONG, BEYOND_POSITIONS, UNEVEN, IDENTICAL)


@dataclass(frozen=True)
class Counts:
    """What became of the pairs of a split: read = used + sum(left_out.values())."""

    read: int = 0
    used: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    """By name of the reason; reasons that never held are missing."""


def describe_left_out(left_out: Mapping[str, int], data: Data | None = None) -> str:
    """`2 with an empty side, 1 longer than data.max_length`; with `data`, the settings' values too."""
    parts = []
    for reason in REASONS:
        if number := left_out.get(reason.name):
            part = f"{number:,} {reason.phrase}"
            if data is not None and reason.setting is not None:
                part += f" (data.{reason.setting}: {getattr(data, reason.setting)})"
            parts.append(part)
    return ", ".join(parts)


@dataclass(frozen=True)
class Filters:
    """The settings that leave pairs out; lengths are in tokens."""

    max_length: int
    max_length_ratio: float | None = None
    drop_identical: bool = False
    longest_sentence: int | None = None
    """The most tokens a side that the model has positions for, without `</s>`; None: any number."""

    @classmethod
    def from_settings(cls, data: Data, model: ModelSettings) -> Filters:
        """The filters of the section `data`, and of the model."""
        return cls(
            data.max_length, data.max_length_ratio, data.drop_identical, model.longest_sentence
        )

    def reason(self, pair: Pair, source_length: int, target_length: int) -> Reason | None:
        """The first reason to leave the pair out; None for a pair to use."""
        shorter, longer = sorted((source_length, target_length))
        if shorter == 0:
            return EMPTY_SIDE
        if longer > self.max_length:
            return TOO_LONG
        if self.longest_sentence is not None and longer > self.longest_sentence:
            return BEYOND_POSITIONS
        if self.max_length_ratio is not None and longer > self.max_length_ratio * shorter:
            return UNEVEN
        if self.drop_identical and pair.source == pair.target:
            return IDENTICAL
        return None
