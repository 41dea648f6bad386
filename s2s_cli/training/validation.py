"""Scores a model in training on held-out pairs, with the search that `s2s translate` will use.

Of several workers, each takes a share of the pairs; all get the scores of all.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from s2s_cli.config.schema import ResolvedConfig, Training
from s2s_cli.decoding.model_search import ModelSearch
from s2s_cli.decoding.translation import Translation
from s2s_cli.decoding.translator import Translator
from s2s_cli.evaluation.metrics import Scoring, score_translations
from s2s_cli.evaluation.records import TranslationRecord, write_record
from s2s_cli.model.family import VocabSizes
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.run import Run
from s2s_cli.runtime.workers import Workers
from s2s_cli.text.batches import Batch, batches
from s2s_cli.text.lines import one_line
from s2s_cli.text.plan import plan_in_order
from s2s_cli.text.scripts import better_bleu_tokenizer
from s2s_cli.text.store import TokenStore
from s2s_cli.training.events import Sample, ValidationResult
from s2s_cli.training.loop import StoppedError
from s2s_cli.training.preparation import Prepared
from s2s_cli.training.step import BatchSums, ValidationLoss, total_means

TRANSLATED_METRICS = ("bleu", "chrf")


@dataclass(frozen=True)
class _Share:
    """What a worker has found: the sums of its batches, and the translations of its sentences."""

    sums: list[BatchSums]
    translations: list[Translation]
    is_stopped: bool = False


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
        workers: Workers,
    ):
        """`weights(step)` are those that are scored, by path; `stop_requested` is of this worker."""
        self._workers, self._shares = workers, TypeAdapter(_Share)
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
        """Loss and scores of the weights of a step; the chief writes the translations into the run."""
        sums, found = self._gathered(self._weights(step))
        metrics = total_means(sums)
        texts = [one_line(translation.text) for translation in found]
        scoring = Scoring(self._config.training.bleu_tokenizer)
        references = [self._references]
        scores = score_translations(texts, references, scoring, names=TRANSLATED_METRICS)
        metrics.update({score.name: score.value for score in scores})
        if self._workers.is_chief:
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

    def _gathered(self, weights: Mapping[str, Any]) -> tuple[list[BatchSums], list[Translation]]:
        """The sums of all batches and all translations, in order."""
        try:
            own = self._own_share(weights)
        except StoppedError:
            own = _Share([], [], is_stopped=True)
        if self._workers.count == 1:
            shares = [own]
        else:
            content = self._workers.gather(self._shares.dump_json(own))
            shares = [self._shares.validate_json(one) for one in content]
        if any(share.is_stopped for share in shares):
            raise StoppedError
        sums = _interleaved([share.sums for share in shares])
        return sums, _interleaved([share.translations for share in shares])

    def _own_share(self, weights: Mapping[str, Any]) -> _Share:
        first, every = self._workers.index, self._workers.count
        plan = replace(self._plan, sequence=self._plan.sequence[first::every])
        sums = self._loss(self._until_stopped(batches(self._store, plan)), weights)
        translator = Translator.from_weights(
            self._search, weights, self._prepared.tokenizers, self._prepared.lexicon
        )
        sources = self._sources[first::every]
        return _Share(sums, translator.translate(sources, lambda _: self._require_no_stop()))

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


def _interleaved(shares: list[list[Any]]) -> list[Any]:
    """Shares that took every so many-th element each, as the one list that they are of."""
    found = [None] * sum(map(len, shares))
    for first, share in enumerate(shares):
        found[first :: len(shares)] = share
    return found


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
