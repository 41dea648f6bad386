"""The report of `s2s check` as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from s2s_cli.checks.findings import Example, Finding, Report, Split
from s2s_cli.cli.console import shown_path


def report_lines(report: Report) -> Iterator[tuple[str, str | None]]:
    """Each line with its colour: the splits, the findings, the verdict."""
    for path, how in report.read_as.items():
        yield f"{shown_path(path)} is read as {how}", None
    for split in report.splits:
        yield _split_line(split), None
    yield "", None
    width = max((len(finding.what) for finding in report.findings), default=0)
    for finding in report.findings:
        yield _finding_line(finding, width), "red" if finding.fails else "yellow"
        for example in finding.examples:
            yield f"    {_example(example)}", None
    if report.findings:
        yield "", None
    failing = sum(finding.fails for finding in report.findings)
    warnings = len(report.findings) - failing
    noted = f"{warnings} warning{'' if warnings == 1 else 's'}" if warnings else "no warnings"
    if report.passes:
        yield f"passed, with {noted}", "green"
    else:
        problems = f"{failing} problem{'' if failing == 1 else 's'}"
        yield f"failed: {problems} to fix before training, and {noted}", "red"


def _split_line(split: Split) -> str:
    line = f"{split.name:<10} {split.read:>11,} pairs, {split.used:>11,} used"
    if split.source_tokens and split.target_tokens:
        source = split.source_unknown / split.source_tokens
        target = split.target_unknown / split.target_tokens
        line += f"   <unk> {source:.3%} of the source, {target:.3%} of the target"
    return line


def _finding_line(finding: Finding, width: int) -> str:
    mark = "fail" if finding.fails else "warn"
    return f"{mark}  {finding.split:<10}  {finding.what:<{width}}  {finding.count:>9,}  {finding.outcome}"


def _example(example: Example) -> str:
    """The place, from the working directory where it is inside, and the text."""
    return f"{shown_path(example.place)}  {example.text}".rstrip()
