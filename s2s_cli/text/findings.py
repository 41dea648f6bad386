"""What a corpus was found to be like, as values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from s2s_cli.text.filters import EMPTY_SIDE, IDENTICAL, TOO_LONG, UNEVEN

MOST_EXAMPLES = 3
SHOWN = 60


@dataclass(frozen=True)
class Kind:
    """A kind of finding; one that `fails` stops the training or is certainly wrong."""

    name: str
    what: str
    outcome: str
    fails: bool = False


STOPS = "training stops"
LEFT_OUT = "left out"
KEPT = "kept"

# In the order of the report: what fails stands first.
UNREADABLE = Kind("unreadable", "file that cannot be read", STOPS, True)
NO_PAIRS = Kind("no_pairs", "no sentence pair", STOPS, True)
UNEQUAL_LENGTHS = Kind("unequal_lengths", "files of unequal length", STOPS, True)
SHIFT = Kind("shift", "shifted alignment", "kept, with wrong translations", True)
INVALID_UTF8 = Kind("invalid_utf8", "line that is not UTF-8", STOPS, True)
MISSING_COLUMN = Kind("missing_column", "line without a tab", STOPS, True)
BAD_WEIGHT = Kind("bad_weight", "third column that is no weight", STOPS, True)
NO_TOKENIZER = Kind("no_tokenizer", "vocabulary that cannot be learned", STOPS, True)
EMPTY_LINE = Kind("empty_line", "empty on both sides", LEFT_OUT)
EMPTY = Kind(EMPTY_SIDE, "empty side", LEFT_OUT)
LONG = Kind(TOO_LONG, "longer than data.max_length", LEFT_OUT)
RATIO = Kind(UNEVEN, "sides of very unequal length", KEPT)
SAME = Kind(IDENTICAL, "identical sides", KEPT)
DUPLICATE = Kind("duplicate", "pair that stands there before", KEPT)
SOURCE_OVERLAP = Kind(
    "source_overlap", "source that is in training too", "kept; flatters the scores"
)
PAIR_OVERLAP = Kind("pair_overlap", "pair that is in training too", "kept; flatters the scores")
CONTROL = Kind("control", "control or zero-width character", KEPT)
TAB_INSIDE = Kind("tab_inside", "tab inside a line", KEPT)
SPECIAL_TOKEN = Kind("special_token", "text like a special token", "kept; never read as the token")
BOM_AT_START = Kind("bom_at_start", "byte order mark at the start", "taken off")
CARRIAGE_RETURN = Kind("carriage_return", "line end CR LF", "read as LF")
KINDS = [kind for kind in vars().values() if isinstance(kind, Kind)]


@dataclass(frozen=True)
class Example:
    """A line that was found; `place` is file:line."""

    place: str
    text: str


@dataclass(frozen=True)
class Finding:
    """How often something was found in a split, and the first few lines."""

    split: str
    kind: str
    what: str
    count: int
    outcome: str
    fails: bool
    examples: tuple[Example, ...]


@dataclass
class Split:
    """The pairs of training, validation or test; pieces and `<unk>` are of the pairs in use."""

    name: str
    pairs: int = 0
    used: int = 0
    source_pieces: int = 0
    target_pieces: int = 0
    source_unknown: int = 0
    target_unknown: int = 0


@dataclass(frozen=True)
class Report:
    """All that was found, and whether a training can go by it."""

    splits: tuple[Split, ...]
    findings: tuple[Finding, ...]
    passes: bool


@dataclass
class Notes:
    """Counts what is found, and keeps the first examples of each kind in each split."""

    outcomes: dict[str, str] = field(default_factory=dict)
    """By name, where a config has another outcome than the kind's own."""
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    examples: dict[tuple[str, str], list[Example]] = field(default_factory=dict)

    def add(self, split: str, kind: Kind, place: str, *texts: str, at: int = 0) -> None:
        """Counts a line; of its texts, a stretch with the character `at` is shown."""
        if self._count(split, kind) <= MOST_EXAMPLES:
            self._keep(split, kind, place, " | ".join(shown(text, at) for text in texts))

    def tell(self, split: str, kind: Kind, place: str, message: str) -> None:
        """Counts something that takes a sentence to say."""
        if self._count(split, kind) <= MOST_EXAMPLES:
            self._keep(split, kind, place, message)

    def _count(self, split: str, kind: Kind) -> int:
        key = split, kind.name
        self.counts[key] = self.counts.get(key, 0) + 1
        return self.counts[key]

    def _keep(self, split: str, kind: Kind, place: str, text: str) -> None:
        self.examples.setdefault((split, kind.name), []).append(Example(place, text))

    def has_failed(self, split: str) -> bool:
        """Whether something was found in the split that training does not survive."""
        return any(kind.fails and (split, kind.name) in self.counts for kind in KINDS)

    def findings(self, splits: list[str]) -> tuple[Finding, ...]:
        """What fails first, then in the order of the kinds and of the splits."""
        return tuple(
            Finding(
                split,
                kind.name,
                kind.what,
                self.counts[split, kind.name],
                self._outcome(split, kind),
                kind.fails,
                tuple(self.examples[split, kind.name]),
            )
            for kind in KINDS
            for split in splits
            if (split, kind.name) in self.counts
        )

    def _outcome(self, split: str, kind: Kind) -> str:
        if split != "test":
            return self.outcomes.get(kind.name, kind.outcome)
        # Training does not read it; evaluation translates every line there is.
        return "evaluation stops" if kind.outcome == STOPS else kind.outcome.replace(LEFT_OUT, KEPT)


def shown(text: str, at: int = 0) -> str:
    """A stretch of a text with `at` in it; what does not print is escaped."""
    start = max(0, min(at - SHOWN // 2, len(text) - SHOWN))
    stretch = text[start : start + SHOWN]
    escaped = re.sub(r"[^ -~]", lambda match: _escaped(match[0]), stretch)
    return ("…" if start else "") + escaped + ("…" if start + SHOWN < len(text) else "")


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8, see surrogateescape
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
