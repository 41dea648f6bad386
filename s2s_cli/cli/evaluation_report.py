"""The report of `s2s evaluate` as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from s2s_cli.evaluation.breakdown import FrequencyTable, LengthTable
from s2s_cli.evaluation.evaluate import Evaluation
from s2s_cli.evaluation.metrics import Score

LABELS = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER", "comet": "COMET"}


def report_lines(evaluation: Evaluation) -> Iterator[str]:
    """The scores, then the tables by length and by frequency."""
    yield from aligned(
        [["", "score", "95% interval", "signature"], *map(_score_cells, evaluation.scores)], left=3
    )
    yield ""
    yield from _length_lines(evaluation.by_length)
    yield ""
    yield from _frequency_lines(evaluation.by_frequency)


def _score_cells(score: Score) -> list[str]:
    number = ".4f" if score.name == "comet" else ".2f"
    interval = interval_text(score.interval)
    return [LABELS[score.name], f"{score.value:{number}}", interval, score.signature]


def interval_text(interval: tuple[float, float] | None) -> str:
    """The bounds of an interval, or nothing."""
    return "" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def _length_lines(table: LengthTable) -> Iterator[str]:
    yield f"by the length of the {table.side}, in {table.unit}"
    names = list(table.buckets[0].scores)
    rows = [
        [
            _range(bucket.low, bucket.high),
            f"{bucket.sentences:,}",
            *(f"{bucket.scores[name]:.2f}" for name in names),
        ]
        for bucket in table.buckets
    ]
    yield from aligned([[table.unit, "sentences", *(LABELS[name] for name in names)], *rows])


def _frequency_lines(table: FrequencyTable) -> Iterator[str]:
    where = {"training": "the training targets", "references": "the references"}[table.counted_in]
    part = "" if table.sentences == table.of else f"{table.sentences:,} of the "
    yield f"by how often a word occurs in {where} ({part}{table.of:,} sentences)"
    rows = [
        [
            _range(bucket.low, bucket.high),
            f"{bucket.words:,}",
            *map(_percentage, (bucket.precision, bucket.recall, bucket.f1)),
        ]
        for bucket in table.buckets
    ]
    yield from aligned([["times", "words", "precision", "recall", "F1"], *rows])


def _percentage(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _range(low: int, high: int | None) -> str:
    if high is None:
        return f"{low:,} or more"
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def aligned(rows: Sequence[Sequence[str]], *, left: int | None = None) -> Iterator[str]:
    """The rows with columns of one width, numbers to the right, and to the left column `left`."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if index in (0, left) else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
