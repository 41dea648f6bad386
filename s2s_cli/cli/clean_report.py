"""The report of `s2s clean` as lines of text."""

from __future__ import annotations

import os
from collections.abc import Iterator

from s2s_cli.cleaning.report import CleanedCorpus, Report


def report_lines(report: Report) -> Iterator[tuple[str, str | None]]:
    """Each line with its colour: the corpora, the reasons with examples, the files."""
    for path, how in report.read_as.items():
        yield f"{_shown(path)} is read as {how}", None
    names = [", ".join(map(_shown, corpus.files)) for corpus in report.corpora]
    width = max(map(len, names))
    for name, corpus in zip(names, report.corpora, strict=True):
        yield f"{name:<{width}} {corpus.read:>11,} rows, {corpus.kept:>11,} kept", None
    yield "", None
    width = max((len(rejected.what) for rejected in report.rejected), default=0)
    for rejected in report.rejected:
        yield f"rejected  {rejected.what:<{width}}  {rejected.count:>9,}", "yellow"
        for example in rejected.examples:
            yield f"    {_shown(example.place)}  {example.text}".rstrip(), None
    changes = list(_changes(report))
    yield from changes
    if report.rejected or changes:
        yield "", None
    for corpus in report.corpora:
        yield from _files(corpus)


def _changes(report: Report) -> Iterator[tuple[str, str | None]]:
    for name, count in (
        ("tab", sum(corpus.tabs for corpus in report.corpora)),
        ("line end", sum(corpus.line_ends for corpus in report.corpora)),
    ):
        if count:
            yield (
                f"{count:,} {name}{'' if count == 1 else 's'} inside text, written as spaces",
                None,
            )


def _files(corpus: CleanedCorpus) -> Iterator[tuple[str, str | None]]:
    yield (
        f"{_shown(corpus.kept_file)}: {corpus.kept:,} pair{'s' * (corpus.kept != 1)} to train on",
        "green",
    )
    rejected = corpus.read - corpus.kept
    yield f"{_shown(corpus.rejected_file)}: {rejected:,} rejected, each with its reason", None


def _shown(path: str) -> str:
    """A path from the working directory where it is inside."""
    return path.removeprefix(os.getcwd() + os.sep)
