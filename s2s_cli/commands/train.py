"""`s2s train`: prepares the data, trains or resumes, saves; yields what happens."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator

import tensorflow as tf

from s2s_cli.commands.prepare import (
    Tokenizers,
    prepare_lexicon,
    prepare_stores,
    prepare_tokenizers,
)
from s2s_cli.commands.recorder import Recorder, cut_back_metrics
from s2s_cli.commands.settle import fingerprints, settle
from s2s_cli.decoding.translator import Translator
from s2s_cli.evaluation import score_translations
from s2s_cli.events import (
    CheckpointDue,
    DataReady,
    ModelReady,
    PreparationEvent,
    Sample,
    TrainingEvent,
    ValidationResult,
)
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.model.vectors import start_from_vectors
from s2s_cli.run import Run, write_text
from s2s_cli.schema import Config
from s2s_cli.text.batches import Plan, batches, plan_epoch, plan_in_order
from s2s_cli.text.lexicon import Lexicon
from s2s_cli.text.store import TokenStore
from s2s_cli.training import loop
from s2s_cli.training.checkpoint import load_checkpoint, save_checkpoint
from s2s_cli.training.step import TrainingStep, ValidationLoss

EXPORT_SAMPLES = 100


def train(
    run: Run, config: Config, *, threads: int, stop_requested: Callable[[], bool] = lambda: False
) -> Iterator[PreparationEvent | TrainingEvent]:
    """Trains `config` in `run`; a run that has begun goes on where it was saved."""
    files = fingerprints(config)
    config, changes = settle(run, config, files)
    tokenizers = yield from prepare_tokenizers(run, config, threads)
    stores = prepare_stores(run, config, tokenizers, threads)
    lexicon = prepare_lexicon(run, stores[0], tokenizers, config.training.seed)
    yield DataReady(stores[0].counts, stores[1].counts if stores[1] else None)
    training = config.resolved_training
    seq2seq = Seq2Seq(
        config.model, tokenizers.source.size, tokenizers.target.size, training.precision
    )
    take_step = TrainingStep(seq2seq, training, tf.distribute.get_strategy())
    latest = run.newest_checkpoint()
    if latest:
        state = load_checkpoint(latest, seq2seq, take_step.optimizer)
    else:
        state = loop.TrainingState()
        vectors = config.model.embedding.files
        yield from start_from_vectors(seq2seq, vectors, tokenizers.source, tokenizers.target)
    cut_back_metrics(run, state.step)
    yield ModelReady(
        run=run.root,
        parameters=seq2seq.training_model.count_params(),
        architecture=config.model.architecture,
        precision=training.precision,
        step=state.step,
        changes=changes,
    )
    _keep_samples(run, stores[1] or stores[0])
    validate = (
        _validation(run, config, seq2seq, tokenizers, lexicon, stores[1]) if stores[1] else None
    )
    events = loop.train(
        take_step,
        stores[0],
        _plan(stores[0], config),
        training,
        state,
        validate=validate,
        stop_requested=stop_requested,
    )
    with Recorder(run, config.training.tensorboard) as record:
        for event in events:
            if isinstance(event, CheckpointDue):
                _save(run, config, seq2seq, take_step, state, event)
            record(event)
            yield event


def _plan(store: TokenStore, config: Config) -> Callable[[int], Plan]:
    training = config.training
    weights = [corpus.mixing_weight for corpus in config.data.train]

    def plan(epoch: int) -> Plan:
        return plan_epoch(
            store,
            seed=training.seed,
            epoch=epoch,
            batch_tokens=training.batch_tokens,
            batch_size=training.batch_size,
            mixing_weights=[w for w in weights if w is not None] or None,
        )

    return plan


# Validation.


def _validation(
    run: Run,
    config: Config,
    seq2seq: Seq2Seq,
    tokenizers: Tokenizers,
    lexicon: Lexicon,
    store: TokenStore,
) -> loop.Validate:
    """The function that scores the model at a step on held-out pairs."""
    sources, references = map(list, zip(*store.texts(), strict=True))
    measure = ValidationLoss(seq2seq)
    plan = plan_in_order(store, batch_size=config.decoding.batch_size)
    translator = Translator(seq2seq, tokenizers.source, tokenizers.target, config.decoding, lexicon)
    shown = range(
        0, len(sources), max(1, len(sources) // max(1, config.training.sample_translations))
    )

    def validate(step: int) -> ValidationResult:
        metrics = measure(batches(store, plan))
        translations = [translation.text for translation in translator.translate(sources)]
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


def _save(
    run: Run,
    config: Config,
    seq2seq: Seq2Seq,
    take_step: TrainingStep,
    state: loop.TrainingState,
    event: CheckpointDue,
) -> None:
    """Saves the state, moves the pointers, and drops checkpoints that nothing points to."""
    checkpoint = run.checkpoint(event.step)
    save_checkpoint(checkpoint, seq2seq, take_step.optimizer, state)
    run.point("latest", checkpoint)
    if event.is_best:
        run.point("best", checkpoint)
    kept = {
        *run.checkpoints()[-config.training.keep_checkpoints :],
        checkpoint,
        run.pointed("best"),
    }
    for old in run.checkpoints():
        if old not in kept:
            shutil.rmtree(old)
