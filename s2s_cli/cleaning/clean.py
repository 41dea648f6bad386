"""`s2s clean`: writes the training pairs that pass the filters of a config, and the others."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from s2s_cli.checks.findings import Tally, side_by_side
from s2s_cli.cleaning.filters import Filter, first_reason, make_filters
from s2s_cli.cleaning.language import LanguageFilter
from s2s_cli.cleaning.output import (
    KeptWriter,
    output_paths,
    rejected_columns,
    rejected_line,
    require_writable,
)
from s2s_cli.cleaning.reasons import REASON_BY_NAME, Reason
from s2s_cli.cleaning.report import CleanedCorpus, Report, summary
from s2s_cli.cleaning.sameness import Repeats
from s2s_cli.config.schema import Config, Corpus
from s2s_cli.files import output
from s2s_cli.text.chunks import chunks
from s2s_cli.text.corpus import read_rows
from s2s_cli.text.lines import Reading
from s2s_cli.text.rows import Pair, Row

# Lines at the start of a corpus that show what is usual in it.
SAMPLE = 10_000
CHUNK = 5_000


def clean(
    config: Config,
    folder: Path,
    *,
    force: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Report:
    """Reads each training corpus and writes its kept and rejected lines to files in `folder`.

    The files are there when all of them are complete. `progress` gets the number of bytes that
    were read. Raises S2SError for a corpus that cannot be read as a whole, and for files that
    would be replaced without `force`.
    """
    settings = config.cleaning
    paths = output_paths(config.data.train, folder)
    require_writable(config, paths, folder, force=force)
    language = LanguageFilter(*settings.languages) if settings.languages else None
    repeats, rejections, read = Repeats(settings.duplicates), Tally[Reason](), Reading()
    corpora = []
    with _made(folder), contextlib.ExitStack() as files:
        for index, (corpus, (kept, rejected)) in enumerate(
            zip(config.data.train, paths, strict=True)
        ):
            rows, sample = _with_sample(read_rows(corpus, index, read))
            cleaner = _Cleaner(
                corpus,
                tuple(make_filters(settings, sample, language)),
                repeats,
                KeptWriter(
                    files.enter_context(output(str(kept))),
                    is_weighted=any(pair.weight != 1.0 for pair in sample),
                ),
                files.enter_context(output(str(rejected))),
                CleanedCorpus(corpus.paths, str(kept), str(rejected)),
                rejections,
            )
            corpora.append(cleaner.counts)
            for chunk in chunks(rows, CHUNK):
                cleaner.clean(chunk)
                progress(read.done)
    return Report(tuple(corpora), summary(rejections), dict(read.read_as))


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Makes a folder, and removes it after an error if nothing was written to it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise


def _with_sample(rows: Iterator[Row]) -> tuple[Iterator[Row], list[Pair]]:
    """All rows, and the pairs among the first of them.

    Raises CorpusError where a problem is one of the whole corpus, or none of the first rows is a
    pair: then the config describes the files wrongly.
    """
    first = list(map(_require_row, itertools.islice(rows, SAMPLE)))
    sample = [row.pair for row in first if row.pair is not None]
    if first and not sample:
        raise first[0].problems[0].error()
    return itertools.chain(first, map(_require_row, rows)), sample


def _require_row(row: Row) -> Row:
    """The row; raises CorpusError for a problem that is one of the whole corpus."""
    if row.problems and row.problems[0].text is None:
        raise row.problems[0].error()
    return row


@dataclass(frozen=True)
class _Cleaner:
    """Sorts the rows of one corpus into its two files, and counts them."""

    corpus: Corpus
    filters: Sequence[Filter]
    repeats: Repeats
    kept: KeptWriter
    rejected: TextIO
    counts: CleanedCorpus
    rejections: Tally[Reason]

    def clean(self, rows: Sequence[Row]) -> None:
        """Writes and counts the next rows."""
        # A row that is no pair has a problem, so its empty pair is not looked at.
        pairs = [_without_tabs(row.pair) if row.pair else Pair("", "") for row in rows]
        for row, pair, reason in zip(rows, pairs, self._reasons(rows, pairs), strict=True):
            if reason is not None:
                self._reject(row, reason)
                continue
            self.kept.write(pair)
            self.counts.kept += 1
            self.counts.line_ends += row.line_ends
            if row.pair is not None and pair is not row.pair:
                self.counts.tabs += row.pair.source.count("\t") + row.pair.target.count("\t")
        self.counts.read += len(rows)

    def _reasons(self, rows: Sequence[Row], pairs: Sequence[Pair]) -> list[Reason | None]:
        """The reason to reject each row; None for one to keep."""
        reasons = [
            _problem(row) or first_reason(self.filters, pair)
            for row, pair in zip(rows, pairs, strict=True)
        ]
        # Repeats are found last, so that the one that stays is a pair that passes all else.
        passing = [index for index, reason in enumerate(reasons) if reason is None]
        repeated = self.repeats.reasons([pairs[index] for index in passing])
        for index, reason in zip(passing, repeated, strict=True):
            reasons[index] = reason
        return reasons

    def _reject(self, row: Row, reason: Reason) -> None:
        self.counts.rejected[reason.name] = self.counts.rejected.get(reason.name, 0) + 1
        place = row.place(self.corpus.paths[0])
        self.rejections.add(reason, place, lambda: side_by_side(rejected_columns(row)[:2]))
        self.rejected.write(rejected_line(row, reason))


def _problem(row: Row) -> Reason | None:
    return REASON_BY_NAME[row.problems[0].kind] if row.problems else None


def _without_tabs(pair: Pair) -> Pair:
    """The pair with tabs as spaces, which are the same to every tokenizer and fit into a TSV."""
    if "\t" not in pair.source and "\t" not in pair.target:
        return pair
    return pair._replace(
        source=pair.source.replace("\t", " "), target=pair.target.replace("\t", " ")
    )
