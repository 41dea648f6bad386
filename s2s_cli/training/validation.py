"""Scores a model in training on held-out pairs, with the search that `s2s translate` will use."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from s2s_cli.config.schema import ResolvedConfig, Training
from s2s_cli.decoding.model_search import ModelSearch
from s2s_cli.decoding.translator import Translator
from s2s_cli.evaluation.metrics import Scoring, score_translations
from s2s_cli.evaluation.records import TranslationRecord, write_record
from s2s_cli.model.family import VocabSizes
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.run import Run
from s2s_cli.text.batches import Batch, batches
from s2s_cli.text.lines import one_line
from s2s_cli.text.plan import plan_in_order
from s2s_cli.text.scripts import better_bleu_tokenizer
from s2s_cli.text.store import TokenStore
from s2s_cli.training.events import Sample, ValidationResult
from s2s_cli.training.loop import StoppedError
from s2s_cli.training.preparation import Prepared
from s2s_cli.training.step import ValidationLoss

TRANSLATED_METRICS = ("bleu", "chrf")


class Validation:
    """The function that scores the model at a step; a requested stop ends it with StoppedError."""

    def __init__(
        self,
        run: Run,
        config: ResolvedConfig,
        seq2seq: Seq2Seq,
        weights: Callable[[int], Mapping[str, Any]],
        prepared: Prepared,
        store: TokenStore,
        stop_requested: Callable[[], bool],
    ):
        """`weights(step)` are those that are scored, by path."""
        self._run, self._config, self._weights = run, config, weights
        self._prepared, self._store, self._stop_requested = prepared, store, stop_requested
        sizes = VocabSizes(*prepared.tokenizers.vocab_sizes)
        self._search = ModelSearch((config.model,), sizes, config.decoding)
        self._loss = ValidationLoss(seq2seq)
        self._plan = plan_in_order(
            store.source.lengths, store.target.lengths, batch_size=config.decoding.batch_size
        )
        self._sources, self._references = map(list, zip(*store.texts(), strict=True))

    def __call__(self, step: int) -> ValidationResult:
        """Loss and scores of the weights of a step; writes the translations into the run."""
        weights = self._weights(step)
        metrics = self._loss(self._until_stopped(batches(self._store, self._plan)), weights)
        translator = Translator.from_weights(
            self._search, weights, self._prepared.tokenizers, self._prepared.lexicon
        )
        found = translator.translate(self._sources, lambda _: self._require_no_stop())
        texts = [one_line(translation.text) for translation in found]
        scoring = Scoring(self._config.training.bleu_tokenizer)
        references = [self._references]
        scores = score_translations(texts, references, scoring, names=TRANSLATED_METRICS)
        metrics.update({score.name: score.value for score in scores})
        write_record(
            self._run.validation_translations(step),
            TranslationRecord("validation", step, self._config.decoding, scores),
            zip(self._sources, zip(*references, strict=True), found, strict=True),
        )
        return ValidationResult(
            metrics=metrics,
            signatures={score.name: score.signature for score in scores},
            samples=tuple(self._samples(texts)),
        )

    def _samples(self, texts: list[str]) -> Iterator[Sample]:
        """A few translations, evenly spread over the held-out pairs."""
        count = self._config.training.sample_translations
        shown = range(0, len(texts), max(1, len(texts) // max(1, count)))
        for row in itertools.islice(shown, count):
            yield Sample(self._sources[row], self._references[row], texts[row])

    def _until_stopped(self, held_out: Iterable[Batch]) -> Iterator[Batch]:
        for batch in held_out:
            self._require_no_stop()
            yield batch

    def _require_no_stop(self) -> None:
        if self._stop_requested():
            raise StoppedError


def selection_key(config: ResolvedConfig, store: TokenStore | None) -> str:
    """What a validation's cost is measured by; costs of another key are not compared with it.

    The metric, the held-out pairs, and, where translations are scored, how they are made.
    """
    metric = config.training.early_stopping.metric
    measured_by: dict[str, object] = {"metric": metric, "pairs": store.key if store else None}
    if metric in TRANSLATED_METRICS:
        # All other settings of decoding may change the best translation of a sentence.
        decoding = config.decoding.model_dump(mode="json", exclude={"batch_size", "n_best"})
        measured_by["decoding"] = decoding
        measured_by["tokenizer"] = config.training.bleu_tokenizer
    text = json.dumps(measured_by, sort_keys=True)
    return f"{metric} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def bleu_warnings(training: Training, store: TokenStore | None) -> tuple[str, ...]:
    """A sentence about a tokenizer of BLEU that takes whole lines of these pairs for words."""
    references = () if store is None else (target for _, target in store.texts())
    better = better_bleu_tokenizer(references, training.bleu_tokenizer)
    if better is None:
        return ()
    return (
        "the targets are written without spaces between words, so BLEU with"
        f" {training.bleu_tokenizer} takes whole lines for words; set training.bleu_tokenizer to"
        f" {better} or auto",
    )
