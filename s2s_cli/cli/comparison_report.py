"""The report of `s2s compare` as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from s2s_cli.cli.evaluation_report import LABELS, aligned, interval_text
from s2s_cli.evaluation.compare import (
    Comparison,
    MetricComparison,
    SentenceDifferences,
    SentencePair,
    SystemScore,
)

_HEADINGS = ("95% interval", "difference", "p, bootstrap", "p, randomisation")


def report_lines(comparison: Comparison) -> Iterator[str]:
    """A table a metric, the signatures, then the sentences that differ most."""
    baseline = comparison.metrics[0].systems[0].system
    yield (
        f"{comparison.sentences:,} sentences; p is for the difference from {baseline}; a lower TER is"
        " better"
    )
    for metric in comparison.metrics:
        yield ""
        yield from _metric_lines(metric)
    yield ""
    for metric in comparison.metrics:
        for signature in metric.signatures:
            yield f"{LABELS[metric.name]:<4}  {signature}"
    for found in comparison.differences:
        yield ""
        yield from _difference_lines(found, baseline, comparison.sentences)


def _metric_lines(metric: MetricComparison) -> Iterator[str]:
    rows = map(_system_cells, metric.systems)
    return aligned([["", LABELS[metric.name], *_HEADINGS], *rows])


def _system_cells(score: SystemScore) -> list[str]:
    cells = [score.system, f"{score.value:.2f}", interval_text(score.interval)]
    if score.difference is None:
        return [*cells, "", "", ""]
    p_values = (score.p_bootstrap, score.p_randomisation)
    return [*cells, f"{score.difference:+.2f}", *(f"{p:.4f}" for p in p_values)]


def _difference_lines(found: SentenceDifferences, baseline: str, sentences: int) -> Iterator[str]:
    yield (
        f"{found.system} differs from {baseline} in {found.different:,} of {sentences:,} sentences;"
        f" by chrF, {found.better:,} are better and {found.worse:,} worse"
    )
    for pair in found.most:
        yield ""
        yield from _pair_lines(pair, baseline, found.system)


def _pair_lines(pair: SentencePair, baseline: str, system: str) -> Iterator[str]:
    change = pair.chrf - pair.baseline_chrf
    yield f"line {pair.line:,}: chrF {pair.baseline_chrf:.1f} and {pair.chrf:.1f} ({change:+.1f})"
    rows = [("source", pair.source)] if pair.source is not None else []
    rows += [("reference", text) for text in pair.references]
    rows += [(baseline, pair.baseline), (system, pair.translation)]
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        yield f"  {label:<{width}}  {text}".rstrip()
