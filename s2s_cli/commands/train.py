"""`s2s train`: prepares the data, trains or resumes, saves; yields what happens."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import tensorflow as tf

from s2s_cli.commands.mend import mend, restore_metrics
from s2s_cli.commands.prepare import prepare_lexicon, prepare_stores, prepare_tokenizers
from s2s_cli.commands.recorder import Recorder
from s2s_cli.commands.settle import fingerprints, settings_without_paths, settle
from s2s_cli.decoding.translator import Translator
from s2s_cli.evaluation import score_translations
from s2s_cli.events import (
    CheckpointDue,
    DataReady,
    ModelReady,
    PreparationEvent,
    Sample,
    SetBack,
    TrainingEvent,
    ValidationResult,
)
from s2s_cli.files import write_text
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.model.vectors import start_from_vectors
from s2s_cli.run import Run
from s2s_cli.schema import Config
from s2s_cli.text.batches import Batch, Plan, batches, plan_epoch, plan_in_order
from s2s_cli.text.store import TokenStore
from s2s_cli.training import loop
from s2s_cli.training.checkpoint import is_whole, load_checkpoint, save_checkpoint
from s2s_cli.training.state import TrainingState
from s2s_cli.training.step import TrainingStep, ValidationLoss

EXPORT_SAMPLES = 100

Events = Generator[PreparationEvent | TrainingEvent, None, None]


def train(
    run: Run,
    config: Config,
    *,
    threads: int,
    force: bool = False,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Events:
    """Trains `config` in `run`; a run that has begun goes on where it was saved.

    With `force`, also where settings were changed that the rest of the training depends on.
    """
    files = fingerprints(config)
    with run.lock():
        latest = yield from mend(run)
        config, changes = settle(run, config, files, latest, force=force)
        tokenizers = yield from prepare_tokenizers(run, config, threads)
        stores = prepare_stores(run, config, tokenizers, threads)
        lexicon = prepare_lexicon(run, stores[0], tokenizers, config.training.seed)
        yield DataReady(stores[0].counts, stores[1].counts if stores[1] else None)
        seq2seq = Seq2Seq(
            config.model,
            tokenizers.source.size,
            tokenizers.target.size,
            config.resolved_training.precision,
        )
        trainer = _Trainer(run, config, seq2seq, stores[0])
        if latest:
            trainer.go_on_from(latest)
        else:
            vectors = config.model.embedding.files
            yield from start_from_vectors(seq2seq, vectors, tokenizers.source, tokenizers.target)
        yield trainer.ready(changes)
        _keep_samples(run, stores[1] or stores[0])
        validate = None
        if stores[1]:
            translator = Translator.of_layers(
                seq2seq, tokenizers.source, tokenizers.target, config.decoding, lexicon
            )
            validate = _validation(run, config, seq2seq, translator, stores[1], stop_requested)
        yield from trainer.train(validate, stop_requested)


class _Trainer:
    """A training and what it keeps in its run."""

    def __init__(self, run: Run, config: Config, seq2seq: Seq2Seq, store: TokenStore):
        self._run, self._config, self._seq2seq, self._store = run, config, seq2seq, store
        self._training = config.resolved_training
        self._take_step = TrainingStep(seq2seq, self._training, tf.distribute.get_strategy())
        self._state = TrainingState(plan_key=_plan_key(config))

    def go_on_from(self, checkpoint: Path) -> None:
        """Puts weights, optimizer, state, and metrics where a checkpoint has them."""
        saved = load_checkpoint(checkpoint, self._seq2seq, self._take_step.optimizer)
        if saved.plan_key != self._state.plan_key:
            # Of another plan, the position says nothing: the epoch begins again.
            saved.plan_key, saved.index = self._state.plan_key, 0
        best = checkpoint
        if saved.best_step is not None:
            best = self._run.checkpoint(saved.best_step)
            if not is_whole(best):  # `mend` has said so
                best, saved.best, saved.best_step = checkpoint, None, None
        vars(self._state).update(vars(saved))
        restore_metrics(self._run, checkpoint)
        self._run.point("best", best)
        self._run.point("latest", checkpoint)

    def ready(self, changes: tuple[str, ...]) -> ModelReady:
        """What training begins with."""
        return ModelReady(
            run=self._run.root,
            parameters=self._seq2seq.training_model.count_params(),
            architecture=self._config.model.architecture,
            precision=self._training.precision,
            batch_tokens=self._training.batch_tokens,
            step=self._state.step,
            changes=changes,
        )

    def train(
        self, validate: loop.Validate | None, stop_requested: Callable[[], bool]
    ) -> Iterator[TrainingEvent]:
        """Trains, saves and records; yields what happens."""
        events = loop.train(
            self._take_step,
            self._store,
            _plan(self._store, self._config),
            self._training,
            self._state,
            validate=validate,
            stop_requested=stop_requested,
        )
        with Recorder(self._run, self._training.tensorboard) as record:
            for event in events:
                if isinstance(event, CheckpointDue):
                    record.flush()
                    self._save(event)
                if isinstance(event, SetBack):
                    self.go_on_from(self._run.checkpoint(event.to_step))
                    record.reopen()
                record(event)
                yield event

    def _save(self, event: CheckpointDue) -> None:
        """Saves the state, moves the pointers, and drops checkpoints that nothing points to."""
        run = self._run
        checkpoint = run.checkpoint(event.step)
        optimizer = self._take_step.optimizer
        save_checkpoint(checkpoint, self._seq2seq, optimizer, self._state, run.kept_files())
        if event.is_best:
            run.point("best", checkpoint)
        run.point("latest", checkpoint)
        kept = {
            *run.checkpoints()[-self._training.keep_checkpoints :],
            checkpoint,
            run.pointed("best"),
        }
        for old in run.checkpoints():
            if old not in kept:
                run.remove(old)


def _plan_key(config: Config) -> str:
    """What the plans of the epochs are made from, as a short text."""
    assert config.resolved is not None
    training = config.resolved_training
    made_from = {
        "data": settings_without_paths(config),
        "files": [file.sha256 for file in config.resolved.files],
        "batches": [training.seed, training.batch_tokens, training.batch_size],
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]


def _plan(store: TokenStore, config: Config) -> Callable[[int], Plan]:
    training = config.resolved_training
    assert training.batch_tokens != "auto"
    batch_tokens = training.batch_tokens
    weights = [corpus.mixing_weight for corpus in config.data.train]

    def plan(epoch: int) -> Plan:
        return plan_epoch(
            store,
            seed=training.seed,
            epoch=epoch,
            batch_tokens=batch_tokens,
            batch_size=training.batch_size,
            mixing_weights=[w for w in weights if w is not None] or None,
        )

    return plan


# Validation.


def _validation(
    run: Run,
    config: Config,
    seq2seq: Seq2Seq,
    translator: Translator,
    store: TokenStore,
    stop_requested: Callable[[], bool],
) -> loop.Validate:
    """The function that scores the model at a step on held-out pairs; a stop cuts it off."""
    sources, references = map(list, zip(*store.texts(), strict=True))
    measure = ValidationLoss(seq2seq)
    plan = plan_in_order(store, batch_size=config.decoding.batch_size)
    shown = range(
        0, len(sources), max(1, len(sources) // max(1, config.training.sample_translations))
    )

    def go_on(*_: object) -> None:
        if stop_requested():
            raise loop.StoppedError

    def watched(held_out: Iterator[Batch]) -> Iterator[Batch]:
        for batch in held_out:
            go_on()
            yield batch

    def validate(step: int) -> ValidationResult:
        metrics = measure(watched(batches(store, plan)))
        translations = [found.text for found in translator.translate(sources, go_on)]
        write_text(run.translations(step), "".join(f"{text}\n" for text in translations))
        scores = score_translations(translations, references, config.training.bleu_tokenizer)
        metrics.update({score.name: score.value for score in scores})
        samples = (Sample(sources[i], references[i], translations[i]) for i in shown)
        return ValidationResult(
            metrics=metrics,
            signatures={score.name: score.signature for score in scores},
            samples=tuple(itertools.islice(samples, config.training.sample_translations)),
        )

    return validate


# What a run keeps.


def _keep_samples(run: Run, store: TokenStore) -> None:
    """Keeps some source sentences, so that an export is proven without the corpora."""
    if not run.samples_file.is_file():
        sources = (source for source, _ in itertools.islice(store.texts(), EXPORT_SAMPLES))
        write_text(run.samples_file, "".join(f"{source}\n" for source in sources))
