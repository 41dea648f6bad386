"""Two files with a sentence a line: line i of one is the translation of line i of the other."""

from __future__ import annotations

from collections.abc import Iterator

from s2s_cli.config.schema import Files
from s2s_cli.text.lines import Reading, decode, raw_lines
from s2s_cli.text.rows import UNEQUAL_LENGTHS, CorpusError, Pair, Problem, Row, file_row


def parallel_rows(files: Files, index: int, reading: Reading | None) -> Iterator[Row]:
    """The rows of `source` and `target`. Raises CorpusError for what cannot be read."""
    assert files.source is not None and files.target is not None
    sources, targets = raw_lines(files.source, reading), raw_lines(files.target, reading)
    number = 0
    for number, source in enumerate(sources, start=1):
        target = next(targets, None)
        if target is None:
            source_lines = number + sum(1 for _ in sources)
            yield _unequal(files.source, source_lines, files.target, number - 1)
            return
        problems: list[Problem] = []
        pair = Pair(
            decode(source, files.source, number, problems).strip(),
            decode(target, files.target, number, problems).strip(),
            1.0,
            index,
        )
        yield Row(number, (source, target), None if problems else pair, tuple(problems))
    more = sum(1 for _ in targets)
    if more:
        yield _unequal(files.source, number, files.target, number + more)


def _unequal(source: str, source_lines: int, target: str, target_lines: int) -> Row:
    problem = unequal_lengths(source, source_lines, target, target_lines).problem
    return file_row(problem, min(source_lines, target_lines))


def unequal_lengths(source: str, source_lines: int, target: str, target_lines: int) -> CorpusError:
    """The error for two files that are not parallel; its place is the first line too many."""
    longer = source if source_lines > target_lines else target
    return CorpusError(
        Problem(
            UNEQUAL_LENGTHS,
            f"{longer}:{min(source_lines, target_lines) + 1}",
            f"{source} has {source_lines} lines and {target} has {target_lines};"
            " line i of one must be the translation of line i of the other.",
            "Find the line that is missing; cutting the longer file would leave wrong pairs.",
        )
    )
