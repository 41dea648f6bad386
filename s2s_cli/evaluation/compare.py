"""Compares systems on a test set: paired significance tests, and the sentences that differ most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sacrebleu.metrics import CHRF
from sacrebleu.significance import PairedTest

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
    signatures: tuple[str, str]
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

    `show` sentences that differ most are listed of each. `on_test` is called after each of
    `test_count` tests. Raises S2SError where memory is too short.
    """
    require_resampling(len(test_set))
    return Comparison(
        len(test_set),
        [
            _compare_by(name, systems, test_set, scoring, on_test)
            for name in scoring.metrics()
        ],
        sentence_differences(systems, test_set, scoring, show),
    )


def test_count(scoring: Scoring) -> int:
    """How many significance tests a comparison makes."""
    return len(TESTS) * len(scoring.metrics())


def _compare_by(
    name: str,
    systems: Sequence[tuple[str, Sequence[str]]],
    test_set: EvaluationSet,
    scoring: Scoring,
    on_test: Callable[[int], None],
) -> MetricComparison:
    """The scores and significance of a metric; the draws are the same for each metric."""
    results, signatures = [], []
    for test, samples in TESTS.items():
        metric = scoring.metrics()[name]
        run = PairedTest(
            systems, {name: metric}, test_set.references, test_type=test, n_samples=samples
        )
        found_signatures, scores = run()
        ((own_name, signature),) = found_signatures.items()
        signatures.append(str(signature))
        results.append(scores[own_name])
        on_test(1)
    bootstrap, randomisation = results
    first = bootstrap[0].score
    return MetricComparison(
        name,
        (signatures[0], signatures[1]),
        [
            SystemScore(
                system,
                float(sampled.score),
                (float(sampled.mean - sampled.ci), float(sampled.mean + sampled.ci)),
                None if index == 0 else float(sampled.score - first),
                sampled.p_value,
                randomised.p_value,
            )
            for index, ((system, _), sampled, randomised) in enumerate(
                zip(systems, bootstrap, randomisation, strict=True)
            )
        ],
    )


def sentence_differences(
    systems: Sequence[tuple[str, Sequence[str]]],
    test_set: EvaluationSet,
    scoring: Scoring,
    show: int,
) -> list[SentenceDifferences]:
    """How each system differs from the first, sentence by sentence."""
    metric = CHRF(lowercase=scoring.lowercase)
    references = [list(row) for row in zip(*test_set.references, strict=True)]
    (_, baseline), *others = systems
    before = _sentence_scores(metric, baseline, references)
    found = []
    for name, translations in others:
        after = _sentence_scores(metric, translations, references)
        rows = [row for row, text in enumerate(translations) if text != baseline[row]]
        rows.sort(key=lambda row: -abs(after[row] - before[row]))  # noqa: B023  (called at once)
        found.append(
            SentenceDifferences(
                name,
                len(rows),
                sum(after[row] > before[row] for row in rows),
                sum(after[row] < before[row] for row in rows),
                [
                    SentencePair(
                        row + 1,
                        test_set.sources[row] if test_set.sources else None,
                        references[row],
                        baseline[row],
                        translations[row],
                        before[row],
                        after[row],
                    )
                    for row in rows[:show]
                ],
            )
        )
    return found


def _sentence_scores(
    metric: CHRF, translations: Sequence[str], references: Sequence[Sequence[str]]
) -> list[float]:
    return [
        float(metric.sentence_score(text, own).score)
        for text, own in zip(translations, references, strict=True)
    ]
