"""Compares systems on a test set: paired significance tests, and the sentences that differ most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sacrebleu.metrics import CHRF
from sacrebleu.significance import PairedTest, Result

from s2s_cli.evaluation.inputs import EvaluationSet
from s2s_cli.evaluation.metrics import Scoring, require_resampling

# sacreBLEU's names of its tests, and how many samples or trials it takes.
TESTS = {"bs": 1_000, "ar": 10_000}


@dataclass(frozen=True)
class SystemScore:
    """The score of a system with its 95% interval, and how it differs from the baseline's.

    The p-values are of the paired bootstrap (https://aclanthology.org/W04-3250) and of paired
    approximate randomisation (https://aclanthology.org/W05-0908), both two-sided; None for the
    baseline itself.
    """

    system: str
    value: float
    interval: tuple[float, float]
    difference: float | None = None
    p_bootstrap: float | None = None
    p_randomisation: float | None = None


@dataclass(frozen=True)
class MetricComparison:
    """The scores of all systems by a metric, the baseline first, with a signature of each test."""

    name: str
    signatures: list[str]
    systems: list[SystemScore]


@dataclass(frozen=True)
class SentencePair:
    """A sentence that two systems translate differently, with its number from 1 and its scores."""

    line: int
    source: str | None
    references: list[str]
    baseline: str
    translation: str
    baseline_chrf: float
    chrf: float


@dataclass(frozen=True)
class SentenceDifferences:
    """How the sentences of a system differ from the baseline's.

    Of the `different` ones, `better` and `worse` have a higher and a lower sentence chrF; `most`
    are those whose chrF differs most, the largest difference first.
    """

    system: str
    different: int
    better: int
    worse: int
    most: list[SentencePair]


@dataclass(frozen=True)
class Comparison:
    """All systems compared with the first of them, the baseline."""

    sentences: int
    metrics: list[MetricComparison]
    differences: list[SentenceDifferences]

    def as_json(self) -> dict[str, Any]:
        """The values by name."""
        return asdict(self)


def compare(
    systems: Sequence[tuple[str, Sequence[str]]],
    test_set: EvaluationSet,
    scoring: Scoring,
    *,
    show: int,
    on_test: Callable[[int], None] = lambda count: None,
) -> Comparison:
    """Compares the translations of named systems with those of the first.

    Of each, `show` sentences that differ most are listed. `on_test(1)` is called after each of
    `number_of_tests`. Raises S2SError where memory is too short.
    """
    require_resampling(len(test_set))
    metrics = [_compare_by(name, systems, test_set, scoring, on_test) for name in scoring.metrics()]
    return Comparison(len(test_set), metrics, _differences(systems, test_set, scoring, show))


def number_of_tests(scoring: Scoring) -> int:
    """How many significance tests a comparison makes, each of all systems."""
    return len(TESTS) * len(scoring.metrics())


# Significance.


def _compare_by(
    name: str,
    systems: Sequence[tuple[str, Sequence[str]]],
    test_set: EvaluationSet,
    scoring: Scoring,
    on_test: Callable[[int], None],
) -> MetricComparison:
    """The scores and p-values of all systems by a metric."""
    signatures, results = [], []
    for test, samples in TESTS.items():
        metrics = {name: scoring.metrics()[name]}
        # Each starts from the seed, so that all metrics see the same samples of sentences.
        paired = PairedTest(
            list(systems), metrics, test_set.references, test_type=test, n_samples=samples
        )
        found, scores = paired()
        ((own_name, signature),) = found.items()
        signatures.append(str(signature))
        results.append(scores[own_name])
        on_test(1)
    bootstrap, randomisation = results
    rows = zip(systems, bootstrap, randomisation, strict=True)
    return MetricComparison(
        name,
        signatures,
        [
            _system_score(system, sampled, randomised, bootstrap[0])
            for (system, _), sampled, randomised in rows
        ],
    )


def _system_score(name: str, sampled: Result, randomised: Result, baseline: Result) -> SystemScore:
    """The score of a system from the results of both tests and the baseline's."""
    score, p_values = float(sampled.score), (sampled.p_value, randomised.p_value)
    interval = float(sampled.mean - sampled.ci), float(sampled.mean + sampled.ci)
    if None in p_values:  # the baseline itself
        return SystemScore(name, score, interval)
    difference = score - float(baseline.score)
    if difference == 0:
        # sacreBLEU counts samples with a larger difference, of which equal systems have none: it
        # would call them significantly different.
        p_values = (1.0, 1.0)
    return SystemScore(name, score, interval, difference, *p_values)


# Sentences.


def _differences(
    systems: Sequence[tuple[str, Sequence[str]]],
    test_set: EvaluationSet,
    scoring: Scoring,
    show: int,
) -> list[SentenceDifferences]:
    """How the translations of each system differ from those of the first."""
    metric = CHRF(lowercase=scoring.lowercase)
    references = [list(row) for row in zip(*test_set.references, strict=True)]
    sources: Sequence[str | None] = test_set.sources or [None] * len(test_set)
    (_, baseline), *others = systems
    before = _sentence_scores(metric, baseline, references)
    found = []
    for name, texts in others:
        after = _sentence_scores(metric, texts, references)
        columns = zip(sources, references, baseline, texts, before, after, strict=True)
        pairs = [SentencePair(line, *row) for line, row in enumerate(columns, start=1)]
        different = [pair for pair in pairs if pair.translation != pair.baseline]
        gains = [pair.chrf - pair.baseline_chrf for pair in different]
        most = sorted(different, key=lambda pair: -abs(pair.chrf - pair.baseline_chrf))[:show]
        found.append(
            SentenceDifferences(
                name, len(different), sum(g > 0 for g in gains), sum(g < 0 for g in gains), most
            )
        )
    return found


def _sentence_scores(
    metric: CHRF, texts: Sequence[str], references: Sequence[Sequence[str]]
) -> list[float]:
    rows = zip(texts, references, strict=True)
    return [float(metric.sentence_score(text, own).score) for text, own in rows]
