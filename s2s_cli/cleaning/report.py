"""The report of `s2s clean` as values: what was read, kept and rejected, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from s2s_cli.checks.findings import Example, Tally
from s2s_cli.cleaning.reasons import REASONS, Reason


@dataclass(frozen=True)
class Rejected:
    """How many pairs were rejected for a reason, with the first few of them."""

    reason: str
    what: str
    count: int
    examples: tuple[Example, ...]


@dataclass
class CleanedCorpus:
    """What became of the lines of a corpus: read = kept + sum(rejected.values())."""

    files: list[str]
    kept_file: str
    rejected_file: str
    read: int = 0
    kept: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    """By name of the reason; reasons that never held are missing."""
    tabs: int = 0
    """Tabs inside sides, which are written as spaces."""
    line_ends: int = 0
    """Line ends inside sides, which are written as spaces."""


@dataclass(frozen=True)
class Report:
    """What became of all corpora, in the order of the config."""

    corpora: tuple[CleanedCorpus, ...]
    rejected: tuple[Rejected, ...]
    read_as: dict[str, str] = field(default_factory=dict)
    """How each file was read whose content decided that, in words."""


def summary(tally: Tally[Reason]) -> tuple[Rejected, ...]:
    """All reasons that held, in the order in which pairs are tested."""
    return tuple(
        Rejected(reason.name, reason.what, tally.counts[reason], tuple(tally.examples[reason]))
        for reason in REASONS
        if reason in tally.counts
    )
