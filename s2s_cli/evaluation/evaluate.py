"""Scores the translations of a test set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from s2s_cli.evaluation.breakdown import (
    FrequencyTable,
    LengthTable,
    WordCounts,
    by_frequency,
    by_length,
    reference_words,
)
from s2s_cli.evaluation.inputs import EvaluationSet, Translated
from s2s_cli.evaluation.metrics import RESAMPLES, Score, Scoring, score_translations
from s2s_cli.evaluation.records import TranslationRecord, write_record
from s2s_cli.runs.run import Run, step_of
from s2s_cli.text import scripts


@dataclass(frozen=True)
class Evaluation:
    """The scores of a test set and of its parts.

    `better_tokenizer` is the tokenizer that BLEU needs for these references, if it was taken with
    an unfit one.
    """

    sentences: int
    scores: list[Score]
    by_length: LengthTable
    by_frequency: FrequencyTable
    better_tokenizer: str | None

    def as_json(self) -> dict[str, Any]:
        """The values by name."""
        return {
            "sentences": self.sentences,
            "scores": [score.as_json() for score in self.scores],
            **self.tables(),
        }

    def tables(self) -> dict[str, Any]:
        """The tables by name, as values for JSON."""
        return {"by_length": asdict(self.by_length), "by_frequency": asdict(self.by_frequency)}


def evaluate(
    translations: Sequence[str],
    test_set: EvaluationSet,
    scoring: Scoring,
    *,
    resamples: int = RESAMPLES,
    known: WordCounts | None = None,
    others: Sequence[Score] = (),
) -> Evaluation:
    """Scores translations, a line each.

    `known` counts the words of the training targets; `others` are added to the scores. Raises
    S2SError where memory is too short for `resamples`.
    """
    known = known or reference_words(test_set, scoring)
    scores = score_translations(translations, test_set.references, scoring, resamples=resamples)
    return Evaluation(
        len(test_set),
        [*scores, *others],
        by_length(translations, test_set, scoring),
        by_frequency(translations, test_set, scoring, known),
        scripts.better_bleu_tokenizer(test_set.references[0], scoring.bleu_tokenizer),
    )


def record_evaluation(
    run: Run,
    checkpoint: str,
    source: str,
    test_set: EvaluationSet,
    translated: Translated,
    evaluation: Evaluation,
    *,
    ensemble: Sequence[Run] = (),
) -> Path:
    """Writes what a run translated and how it scored into the run; returns the file.

    It is named after `source`, the file of sources. `ensemble` are the runs that translated
    together with this one. Raises OSError.
    """
    assert test_set.sources is not None and translated.decoding is not None
    path = run.translations(f"{'ensemble' if ensemble else 'evaluation'}-{_slug(source)}")
    step = step_of(run.find_checkpoint(checkpoint))
    references = zip(*test_set.references, strict=True)
    write_record(
        path,
        TranslationRecord(
            "evaluation",
            step,
            translated.decoding,
            evaluation.scores,
            evaluation.tables(),
            ensemble,
        ),
        zip(test_set.sources, references, translated.found, strict=True),
    )
    return path


def _slug(source: str) -> str:
    """A file's name without its folders, of letters that every file system takes."""
    return re.sub(r"[^\w.-]", "_", Path(source).name) or "stdin"
