"""The report of `s2s clean` as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from s2s_cli.cleaning.report import CleanedCorpus, Report
from s2s_cli.cli.console import shown_path


def report_lines(report: Report) -> Iterator[tuple[str, str | None]]:
    """Each line with its colour: the corpora, the reasons with examples, the files."""
    for path, how in report.read_as.items():
        yield f"{shown_path(path)} is read as {how}", None
    names = [", ".join(map(shown_path, corpus.files)) for corpus in report.corpora]
    width = max(map(len, names))
    for name, corpus in zip(names, report.corpora, strict=True):
        yield f"{name:<{width}} {corpus.read:>11,} rows, {corpus.kept:>11,} kept", None
    yield "", None
    width = max((len(rejected.what) for rejected in report.rejected), default=0)
    for rejected in report.rejected:
        yield f"rejected  {rejected.what:<{width}}  {rejected.count:>9,}", "yellow"
        for example in rejected.examples:
            yield f"    {shown_path(example.place)}  {example.text}".rstrip(), None
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
        f"{shown_path(corpus.kept_file)}: {corpus.kept:,} pair{'s' * (corpus.kept != 1)} to train on",
        "green",
    )
    rejected = corpus.read - corpus.kept
    yield f"{shown_path(corpus.rejected_file)}: {rejected:,} rejected, each with its reason", None
