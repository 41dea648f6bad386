"""Kinds of findings, and the report of `s2s check` as values."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from s2s_cli.text import rows
from s2s_cli.text.filters import BEYOND_POSITIONS, EMPTY_SIDE, IDENTICAL, TOO_LONG, UNEVEN, Reason

MAX_EXAMPLES = 3
# Characters of a text that an example shows.
EXCERPT = 60


@dataclass(frozen=True)
class Kind:
    """A kind of finding. `outcome` says what training does; `fails` makes the check fail."""

    name: str
    what: str
    outcome: str
    fails: bool = False


STOPS = "training stops"
LEFT_OUT = "left out"
USED = "used"


def _left_out(reason: Reason, outcome: str = LEFT_OUT) -> Kind:
    return Kind(reason.name, f"pair {reason.phrase}", outcome)


# In the order of the report: what fails comes first.
KINDS = (
    Kind(rows.UNREADABLE, "file that cannot be read", STOPS, True),
    NO_PAIRS := Kind(rows.NO_PAIRS, "no sentence pair", STOPS, True),
    Kind(rows.UNEQUAL_LENGTHS, "files of unequal length", STOPS, True),
    SHIFT := Kind("shift", "shifted alignment", "used, with wrong translations", True),
    Kind(rows.INVALID_UTF8, "line that is not UTF-8", STOPS, True),
    Kind(rows.MISSING_COLUMN, "row without its columns", STOPS, True),
    Kind(rows.BAD_RECORD, "record that cannot be read", STOPS, True),
    Kind(rows.OTHER_COLUMNS, "columns that do not hold the sentences", STOPS, True),
    Kind(rows.BAD_WEIGHT, "weight that is not a number", STOPS, True),
    NO_TOKENIZER := Kind("no_tokenizer", "vocabulary that cannot be learned", STOPS, True),
    NO_VECTORS := Kind("no_vectors", "word vectors that cannot be used", STOPS, True),
    NO_WEIGHT := Kind("no_weight", "weights that are all 0", STOPS, True),
    UNMATCHED_VECTORS := Kind("unmatched_vectors", "word vectors that match few tokens", USED),
    SKIPPED_VECTORS := Kind(
        "skipped_vectors", "lines of word vectors that cannot be used", "skipped"
    ),
    MANY_UNKNOWN := Kind("many_unknown", "large share of <unk>", "used; they become <unk>"),
    EMPTY_LINE := Kind("empty_line", "line empty on both sides", LEFT_OUT),
    _left_out(EMPTY_SIDE),
    _left_out(TOO_LONG),
    _left_out(BEYOND_POSITIONS),
    _left_out(UNEVEN, USED),
    _left_out(IDENTICAL, USED),
    DUPLICATE := Kind("duplicate", "repeated pair", USED),
    SOURCE_OVERLAP := Kind(
        "source_overlap", "source that is also in training", "used; scores will be too high"
    ),
    PAIR_OVERLAP := Kind(
        "pair_overlap", "pair that is also in training", "used; scores will be too high"
    ),
    NORMALIZED_SOURCE := Kind("normalized_source", "source that normalization changes", USED),
    NORMALIZED_TARGET := Kind(
        "normalized_target", "target that normalization changes", "used; translations have its form"
    ),
    CONTROL := Kind("control", "control or zero-width character", USED),
    LINE_END_INSIDE := Kind("line_end_inside", "line end inside a text", "replaced by a space"),
    TAB_INSIDE := Kind("tab_inside", "tab inside a line", USED),
    QUOTED_CELL := Kind(
        "quoted_cell",
        "cell in quotes of a spreadsheet",
        "used with its quotes; read it with `path:` and `quotes: true`",
    ),
    SPECIAL_TOKEN := Kind(
        "special_token", "text like a special token", "used; never read as the token"
    ),
    BOM_AT_START := Kind("bom_at_start", "byte order mark at the start", "removed"),
    CARRIAGE_RETURN := Kind("carriage_return", "line end CR LF", "read as LF"),
)
NORMALIZED = {"source": NORMALIZED_SOURCE, "target": NORMALIZED_TARGET}
KIND_BY_NAME = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True)
class Example:
    """A line with a finding; `place` is file:line, or a file."""

    place: str
    text: str


@dataclass(frozen=True)
class Finding:
    """How often a kind of finding occurred in a split, with the first few lines."""

    split: str
    kind: str
    what: str
    count: int
    outcome: str
    fails: bool
    examples: tuple[Example, ...]


@dataclass
class Split:
    """The pairs of training, validation or test: read = used + sum(left_out.values()).

    As in the counts of a token store, `read` are pairs that can be read and have text;
    `left_out` is by name of the reason. Numbers of tokens, and of `<unk>` among them, are those
    of the used pairs.
    """

    name: str
    read: int = 0
    used: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    source_tokens: int = 0
    target_tokens: int = 0
    source_unknown: int = 0
    target_unknown: int = 0
    weight: float = 0.0
    """The sum of the weights of the used pairs."""


@dataclass(frozen=True)
class Report:
    """Everything that was found; `passes` says whether the corpora can be trained on."""

    splits: tuple[Split, ...]
    findings: tuple[Finding, ...]
    passes: bool
    read_as: dict[str, str] = field(default_factory=dict)
    """How each file was read whose content decided that, in words."""


_Key = TypeVar("_Key", bound=Hashable)


class Tally(Generic[_Key]):
    """How often each of some things occurred, with its first examples."""

    def __init__(self) -> None:
        self.counts: dict[_Key, int] = {}
        self.examples: dict[_Key, list[Example]] = {}

    def add(self, key: _Key, place: str, text: Callable[[], str]) -> None:
        """Counts one; `text` is called for those that become examples."""
        self.counts[key] = self.counts.get(key, 0) + 1
        examples = self.examples.setdefault(key, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(Example(place, text()))


class Collector:
    """Counts findings by split and kind, with the first examples of each.

    `outcomes` replaces the outcome of kinds, by name, where the config decides it.
    """

    def __init__(self, outcomes: dict[str, str]):
        self._outcomes = outcomes
        self._tally = Tally[tuple[str, str]]()

    def add(self, split: str, kind: Kind, place: str, *texts: str, at: int = 0) -> None:
        """Counts a line; its example shows each text, around the character `at`."""
        self._tally.add((split, kind.name), place, lambda: side_by_side(texts, at))

    def add_message(self, split: str, kind: Kind, place: str, message: str) -> None:
        """Counts a finding that needs a sentence to explain."""
        self._tally.add((split, kind.name), place, lambda: message)

    def has_failed(self, split: str) -> bool:
        """Whether the split has a finding that makes the check fail."""
        return any(kind.fails and (split, kind.name) in self._tally.counts for kind in KINDS)

    def findings(self, splits: list[str]) -> tuple[Finding, ...]:
        """All findings, in the order of KINDS and then of the splits."""
        return tuple(
            Finding(
                split,
                kind.name,
                kind.what,
                self._tally.counts[split, kind.name],
                self._outcome(split, kind),
                kind.fails,
                tuple(self._tally.examples[split, kind.name]),
            )
            for kind in KINDS
            for split in splits
            if (split, kind.name) in self._tally.counts
        )

    def _outcome(self, split: str, kind: Kind) -> str:
        if split != "test":
            return self._outcomes.get(kind.name, kind.outcome)
        # Training does not read a test set, and evaluation translates every line of it.
        return "evaluation stops" if kind.outcome == STOPS else kind.outcome.replace(LEFT_OUT, USED)


def side_by_side(texts: Sequence[str], at: int = 0) -> str:
    """An excerpt of each text, around the character `at`."""
    return " | ".join(excerpt(text, at) for text in texts)


def excerpt(text: str, at: int = 0) -> str:
    """Some characters of a text around number `at`; what cannot be printed is escaped."""
    start = max(0, min(at - EXCERPT // 2, len(text) - EXCERPT))
    part = text[start : start + EXCERPT]
    escaped = re.sub(r"[^ -~]", lambda match: _escaped(match[0]), part)
    return ("…" if start else "") + escaped + ("…" if start + EXCERPT < len(text) else "")


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8, see surrogateescape
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
