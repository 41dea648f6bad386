"""A pass over corpora that stops at nothing and notes what is wrong with them."""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from s2s_cli.errors import DataError
from s2s_cli.schema import Files
from s2s_cli.text import findings as kinds
from s2s_cli.text.alignment import Alignment
from s2s_cli.text.corpus import Pair, parse_weight, raw_lines
from s2s_cli.text.filters import EMPTY_SIDE, IDENTICAL, TOO_LONG, UNEVEN, Limits
from s2s_cli.text.findings import Kind, Notes, Split
from s2s_cli.text.repeats import Seen
from s2s_cli.text.tokenizer import JOINER, UNK, Tokenizer

CHUNK = 5_000
# The longer side over the shorter, in pieces, that is worth a look where no limit is set.
UNUSUAL_RATIO = 5.0
# Control characters but the tab, the soft hyphen, zero-width characters but the joiners
# (U+200C, U+200D), marks of direction, invisible operators, and a byte order mark.
CONTROL = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069"
    "\ufeff\ufff9-\ufffb]"
)
# What "surrogateescape" makes of bytes that are not UTF-8.
NOT_UTF8 = re.compile("[\udc80-\udcff]")
SPECIAL = "<s>|</s>|<pad>|<unk>|\u2581"


class Row(NamedTuple):
    """A sentence pair, where its sides stand, and whether training can read it."""

    pair: Pair
    source_place: str
    target_place: str
    is_valid: bool


class Reader:
    """Reads the rows of corpora; what is wrong with a line goes to `notes`."""

    def __init__(self, notes: Notes, *, is_word_level: bool):
        self._notes = notes
        self._special = re.compile(SPECIAL + (f"|{JOINER}" if is_word_level else ""))

    def rows(self, files: Files, split: str, index: int = 0) -> Iterator[Row]:
        """Every row with text in it, without outer white space."""
        rows = self._tsv(files, split, index) if files.tsv else self._parallel(files, split, index)
        empty = True
        try:
            for row in rows:
                if row.pair.source or row.pair.target or not row.is_valid:
                    empty = False
                    yield row
                elif not files.tsv:
                    self._notes.add(split, kinds.EMPTY_LINE, row.source_place, "")
        except DataError as error:
            path = next(path for path in files.paths if error.message.startswith(f"{path}:"))
            message = error.message.removeprefix(f"{path}: ")
            self._notes.tell(split, kinds.UNREADABLE, path, message)
            return
        if empty:
            name = " and ".join(files.paths)
            self._notes.tell(split, kinds.NO_PAIRS, name, "there is not one sentence pair in it")

    def _parallel(self, files: Files, split: str, index: int) -> Iterator[Row]:
        assert files.source is not None and files.target is not None
        alignment = Alignment()
        sources = _Side(files.source)
        targets = _Side(files.target)
        for number, (raw, other) in enumerate(
            itertools.zip_longest(sources.lines(), targets.lines()), start=1
        ):
            if raw is None or other is None:
                continue
            places = f"{files.source}:{number}", f"{files.target}:{number}"
            source, is_source_valid = self._decoded(raw, number, places[0], split)
            target, is_target_valid = self._decoded(other, number, places[1], split)
            alignment.add(source, target)
            for text, place in zip((source, target), places, strict=True):
                if "\t" in text:
                    self._notes.add(split, kinds.TAB_INSIDE, place, text, at=text.index("\t"))
            is_valid = is_source_valid and is_target_valid
            yield Row(Pair(source, target, 1.0, index), *places, is_valid)
        if sources.count != targets.count:
            shorter, longer = sorted((sources, targets), key=lambda side: side.count)
            self._notes.tell(
                split,
                kinds.UNEQUAL_LENGTHS,
                f"{longer.path}:{shorter.count + 1}",
                f"{shorter.path} has {shorter.count} lines, {longer.path} has {longer.count}",
            )
        for step in alignment.steps:
            if step.offset:
                text = (
                    f"from about here on, line i goes with line i{step.offset:+d} of {files.target}"
                )
                self._notes.tell(split, kinds.SHIFT, f"{files.source}:{step.line}", text)

    def _tsv(self, files: Files, split: str, index: int) -> Iterator[Row]:
        assert files.tsv is not None
        for number, raw in enumerate(raw_lines(files.tsv), start=1):
            place = f"{files.tsv}:{number}"
            line, is_valid = self._decoded(raw, number, place, split, strips=False)
            if not line.strip():
                self._notes.add(split, kinds.EMPTY_LINE, place, "")
                continue
            columns = line.split("\t")
            weight = 1.0
            if len(columns) < 2:
                self._notes.add(split, kinds.MISSING_COLUMN, place, line)
                columns, is_valid = [line, ""], False
            elif len(columns) > 2 and files.third_column == "weight":
                try:
                    weight = parse_weight(columns[2], place)
                except DataError:
                    self._notes.add(split, kinds.BAD_WEIGHT, place, columns[2])
                    is_valid = False
            pair = Pair(columns[0].strip(), columns[1].strip(), weight, index)
            yield Row(pair, place, place, is_valid)

    def _decoded(
        self, raw: bytes, number: int, place: str, split: str, *, strips: bool = True
    ) -> tuple[str, bool]:
        """The text of a line without its end, and whether it is UTF-8."""
        has_mark = number == 1 and raw.startswith(codecs.BOM_UTF8)
        raw = raw.removeprefix(codecs.BOM_UTF8 if has_mark else b"").removesuffix(b"\n")
        has_return = raw.endswith(b"\r")
        text = raw.removesuffix(b"\r").decode("utf-8", "surrogateescape")
        if strips:
            text = text.strip()
        for kind, is_found in ((kinds.BOM_AT_START, has_mark), (kinds.CARRIAGE_RETURN, has_return)):
            if is_found:
                self._notes.add(split, kind, place, text)
        if found := NOT_UTF8.search(text):
            self._notes.add(split, kinds.INVALID_UTF8, place, text, at=found.start())
            return NOT_UTF8.sub("\ufffd", text), False
        for kind, pattern in ((kinds.CONTROL, CONTROL), (kinds.SPECIAL_TOKEN, self._special)):
            if found := pattern.search(text):
                self._notes.add(split, kind, place, text, at=found.start())
        return text, True


class _Side:
    """Counts the lines of a file while they are read."""

    def __init__(self, path: str):
        self.path = path
        self.count = 0

    def lines(self) -> Iterator[bytes]:
        """The lines of the file, as they are."""
        for line in raw_lines(self.path):
            self.count += 1
            yield line


@dataclass(frozen=True)
class Inspector:
    """Judges rows as sentence pairs: by their lengths in pieces, and by what was read before.

    Without tokenizers, lengths are not judged. Training is to be read first.
    """

    notes: Notes
    limits: Limits
    tokenizers: tuple[Tokenizer, Tokenizer] | None
    threads: int
    pairs_seen: Seen
    sources_seen: Seen

    def inspect(self, rows: Iterable[tuple[Split, Row]]) -> None:
        """Reads all rows, each with its split, and counts them there."""
        read = iter(rows)
        while chunk := list(itertools.islice(read, CHUNK)):
            by_split: dict[str, list[Row]] = {}
            splits = {split.name: split for split, _ in chunk}
            for split, row in chunk:
                by_split.setdefault(split.name, []).append(row)
            for name, some in by_split.items():
                splits[name].pairs += len(some)
                valid = [row for row in some if row.is_valid]
                self._judge_lengths(splits[name], valid)
                self._find_repeats(name, valid)

    def _judge_lengths(self, split: Split, rows: list[Row]) -> None:
        sources, targets = self._encoded(rows)
        strict = replace(
            self.limits,
            max_length_ratio=self.limits.max_length_ratio or UNUSUAL_RATIO,
            drop_identical=True,
        )
        for row, source, target in zip(rows, sources, targets, strict=True):
            lengths = len(source), len(target)
            noted = strict.broken(row.pair, *lengths)
            if noted is not None:
                is_source = (lengths[0] > lengths[1]) == (noted == TOO_LONG)
                place = row.source_place if is_source else row.target_place
                self.notes.add(split.name, _KINDS[noted], place, *row.pair[:2])
            if split.name == "test" or self.limits.broken(row.pair, *lengths) is None:
                split.used += 1
                split.source_pieces += lengths[0]
                split.target_pieces += lengths[1]
                split.source_unknown += source.count(UNK)
                split.target_unknown += target.count(UNK)

    def _encoded(self, rows: list[Row]) -> list[list[list[int]]]:
        """Ids of both sides; without tokenizers, one piece that says nothing for any text."""
        texts = [[row.pair.source for row in rows], [row.pair.target for row in rows]]
        if self.tokenizers is None:
            return [[[0] if text else [] for text in side] for side in texts]
        return [
            tokenizer.encode(side, self.threads)
            for tokenizer, side in zip(self.tokenizers, texts, strict=True)
        ]

    def _find_repeats(self, split: str, rows: list[Row]) -> None:
        full = [row for row in rows if row.pair.source and row.pair.target]
        sources = [row.pair.source for row in full]
        pairs = [f"{row.pair.source}\t{row.pair.target}" for row in full]
        found: list[tuple[Kind, Iterable[bool]]]
        if split == "training":
            self.sources_seen.add(sources)
            found = [(kinds.DUPLICATE, self.pairs_seen.add(pairs))]
        else:
            found = [
                (kinds.SOURCE_OVERLAP, self.sources_seen.contains(sources)),
                (kinds.PAIR_OVERLAP, self.pairs_seen.contains(pairs)),
            ]
        for kind, mask in found:
            for row in itertools.compress(full, mask):
                self.notes.add(split, kind, row.source_place, *row.pair[:2])


_KINDS = {
    EMPTY_SIDE: kinds.EMPTY,
    TOO_LONG: kinds.LONG,
    UNEVEN: kinds.RATIO,
    IDENTICAL: kinds.SAME,
}
