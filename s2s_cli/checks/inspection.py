"""Inspects the rows of corpora, first as lines of text and then as sentence pairs."""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from s2s_cli.checks import findings
from s2s_cli.checks.alignment import ShiftDetector
from s2s_cli.checks.findings import KIND_BY_NAME, Collector, Kind, Split
from s2s_cli.checks.repeats import SeenTexts
from s2s_cli.config.schema import Files
from s2s_cli.text.chunks import chunks
from s2s_cli.text.corpus import read_rows
from s2s_cli.text.filters import TOO_LONG, Filters
from s2s_cli.text.lines import Reading, bare_line
from s2s_cli.text.marks import JOINER
from s2s_cli.text.rows import BAD_RECORD, INVALID_UTF8, Pair, Problem, Row, place_of
from s2s_cli.text.tokenizer import UNK, Tokenizers

CHUNK = 5_000
# Where no limit is set, a ratio of lengths in tokens above which a pair is reported.
UNUSUAL_RATIO = 5.0
# Control characters but the tab, the soft hyphen, zero-width characters but the joiners
# (U+200C, U+200D), marks of direction, invisible operators, and a byte order mark.
CONTROL = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069"
    "\ufeff\ufff9-\ufffb]"
)
# A cell as spreadsheets write it: in quotes, with the quotes in it doubled.
QUOTED = re.compile(r'"(?:[^"]|"")*""(?:[^"]|"")*"')
# What "surrogateescape" makes of bytes that are not UTF-8.
NOT_UTF8 = re.compile("[\udc80-\udcff]")
SPECIAL = "<s>|</s>|<pad>|<unk>|\u2581"


class PlacedPair(NamedTuple):
    """A sentence pair and where it is in its files."""

    pair: Pair
    files: Files
    number: int
    unit: str = ""

    @property
    def source_place(self) -> str:
        """file:line of the source."""
        return place_of(self.files.paths[0], self.number, self.unit)

    @property
    def target_place(self) -> str:
        """file:line of the target."""
        return place_of(self.files.paths[-1], self.number, self.unit)


class LineInspector:
    """Reports what is wrong with the lines of corpora, and returns their pairs."""

    def __init__(self, collector: Collector, reading: Reading, *, is_word_level: bool):
        self._collector, self._reading = collector, reading
        self._special = re.compile(SPECIAL + (f"|{JOINER}" if is_word_level else ""))

    def pairs(self, files: Files, split: str, index: int = 0) -> Iterator[PlacedPair]:
        """Every pair of a corpus that can be read and has text."""
        shifts = ShiftDetector()
        for row in read_rows(files, index, self._reading):
            self._inspect_row(row, files, split)
            if row.raw and files.source:
                shifts.add(*_sides(row))
            if row.pair is None:
                continue
            if row.pair.source or row.pair.target:
                yield PlacedPair(row.pair, files, row.number, row.unit)
            else:
                self._collector.add(split, findings.EMPTY_LINE, row.place(files.paths[0]), "")
        for shift in shifts.shifts:
            if shift.offset:
                self._collector.add_message(
                    split,
                    findings.SHIFT,
                    f"{files.source}:{shift.line}",
                    f"from about here on, line i belongs to line i{shift.offset:+d} of {files.target}",
                )

    def _inspect_row(self, row: Row, files: Files, split: str) -> None:
        for problem in row.problems:
            self._add_problem(split, problem)
        for raw, path in zip(row.raw, files.paths, strict=False):
            self._inspect_line(raw, path, row.number, split, is_tsv=files.tsv is not None)
        if row.pair is None or row.raw:
            return
        place = row.place(files.paths[0])
        for text in row.pair[:2]:
            if QUOTED.fullmatch(text):
                self._collector.add(split, findings.QUOTED_CELL, place, text)
            self._inspect_text(text, place, split)
        if row.line_ends:
            self._collector.add(split, findings.LINE_END_INSIDE, place, *row.pair[:2])

    def _add_problem(self, split: str, problem: Problem) -> None:
        kind = KIND_BY_NAME[problem.kind]
        if problem.text is None or problem.kind == BAD_RECORD:
            message = f"{problem.message} {problem.hint}".strip()
            self._collector.add_message(split, kind, problem.place, message)
            return
        bad_byte = NOT_UTF8.search(problem.text) if problem.kind == INVALID_UTF8 else None
        at = bad_byte.start() if bad_byte else 0
        self._collector.add(split, kind, problem.place, problem.text, at=at)

    def _inspect_line(
        self, raw: bytes, path: str, number: int, split: str, *, is_tsv: bool
    ) -> None:
        text = bare_line(raw, number).decode("utf-8", "surrogateescape")
        if not is_tsv:
            text = text.strip()
        place = f"{path}:{number}"
        if number == 1 and raw.startswith(codecs.BOM_UTF8):
            self._collector.add(split, findings.BOM_AT_START, place, text)
        if raw.removesuffix(b"\n").endswith(b"\r"):
            self._collector.add(split, findings.CARRIAGE_RETURN, place, text)
        if not is_tsv and "\t" in text:
            self._collector.add(split, findings.TAB_INSIDE, place, text, at=text.index("\t"))
        if NOT_UTF8.search(text):
            return
        if is_tsv and any(map(QUOTED.fullmatch, text.split("\t"))):
            self._collector.add(split, findings.QUOTED_CELL, place, text)
        self._inspect_text(text, place, split)

    def _inspect_text(self, text: str, place: str, split: str) -> None:
        for kind, pattern in (
            (findings.CONTROL, CONTROL),
            (findings.SPECIAL_TOKEN, self._special),
        ):
            if found := pattern.search(text):
                self._collector.add(split, kind, place, text, at=found.start())


def _sides(row: Row) -> tuple[str, str]:
    """The texts of a row of parallel files, whether it can be read or not."""
    if row.pair is not None:
        return row.pair.source, row.pair.target
    source, target = (bare_line(raw, row.number).decode("utf-8", "replace") for raw in row.raw)
    return source.strip(), target.strip()


@dataclass(frozen=True)
class PairInspector:
    """Reports on pairs: by their lengths in tokens, and by what was read before.

    Without tokenizers, lengths are not known and not judged. The training pairs must be
    inspected first, as other splits are compared with them.
    """

    collector: Collector
    filters: Filters
    tokenizers: Tokenizers | None
    threads: int
    seen_pairs: SeenTexts
    seen_sources: SeenTexts
    normalizers: Mapping[str, Callable[[str], str]]
    """What the tokenizer of `source` and that of `target` do with a sentence first."""

    def inspect(self, pairs: Iterable[tuple[Split, PlacedPair]]) -> None:
        """Inspects pairs, each with its split, and counts them there."""
        for chunk in chunks(pairs, CHUNK):
            by_split: dict[str, list[PlacedPair]] = {}
            splits = {split.name: split for split, _ in chunk}
            for split, placed in chunk:
                by_split.setdefault(split.name, []).append(placed)
            for name, some in by_split.items():
                splits[name].read += len(some)
                self._inspect_lengths(splits[name], some)
                self._find_repeats(name, some)
                self._find_normalized(name, some)

    def _inspect_lengths(self, split: Split, pairs: list[PlacedPair]) -> None:
        sources, targets = self._encoded(pairs)
        reported = replace(
            self.filters,
            max_length_ratio=self.filters.max_length_ratio or UNUSUAL_RATIO,
            drop_identical=True,
        )
        for placed, source, target in zip(pairs, sources, targets, strict=True):
            lengths = len(source), len(target)
            reason = reported.reason(placed.pair, *lengths)
            if reason is not None:
                # The side at fault: the longer one if too long, else the shorter one.
                is_source = (lengths[0] > lengths[1]) == (reason == TOO_LONG)
                place = placed.source_place if is_source else placed.target_place
                self.collector.add(split.name, KIND_BY_NAME[reason.name], place, *placed.pair[:2])
            left_out = self.filters.reason(placed.pair, *lengths)
            if left_out is not None and split.name != "test":
                split.left_out[left_out.name] = split.left_out.get(left_out.name, 0) + 1
                continue
            split.used += 1
            split.weight += placed.pair.weight
            split.source_tokens += lengths[0]
            split.target_tokens += lengths[1]
            split.source_unknown += source.count(UNK)
            split.target_unknown += target.count(UNK)

    def _encoded(self, pairs: list[PlacedPair]) -> tuple[list[list[int]], list[list[int]]]:
        """Ids of both sides; without tokenizers, one token for any text that is not empty."""
        sources = [placed.pair.source for placed in pairs]
        targets = [placed.pair.target for placed in pairs]
        if self.tokenizers is None:
            return [[0] * bool(text) for text in sources], [[0] * bool(text) for text in targets]
        return (
            self.tokenizers.source.encode(sources, self.threads),
            self.tokenizers.target.encode(targets, self.threads),
        )

    def _find_repeats(self, split: str, pairs: list[PlacedPair]) -> None:
        full = [placed for placed in pairs if placed.pair.source and placed.pair.target]
        sources = [self.normalizers["source"](placed.pair.source) for placed in full]
        targets = [self.normalizers["target"](placed.pair.target) for placed in full]
        texts = list(map("\t".join, zip(sources, targets, strict=True)))
        found: list[tuple[Kind, Iterable[bool]]]
        if split == "training":
            self.seen_sources.add(sources)
            found = [(findings.DUPLICATE, self.seen_pairs.add(texts))]
        else:
            found = [
                (findings.SOURCE_OVERLAP, self.seen_sources.contains(sources)),
                (findings.PAIR_OVERLAP, self.seen_pairs.contains(texts)),
            ]
        for kind, is_found in found:
            for placed in itertools.compress(full, is_found):
                self.collector.add(split, kind, placed.source_place, *placed.pair[:2])

    def _find_normalized(self, split: str, pairs: list[PlacedPair]) -> None:
        """Reports sentences of which normalization changes more than white space and case."""
        for placed in pairs:
            for side, text, place in (
                ("source", placed.pair.source, placed.source_place),
                ("target", placed.pair.target, placed.target_place),
            ):
                normalized = self.normalizers[side](text)
                if normalized.casefold().split() != text.casefold().split():
                    kind = findings.NORMALIZED[side]
                    self.collector.add(split, kind, place, text, normalized)
