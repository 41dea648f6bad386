"""Prepares the data, trains or resumes, validates and saves; yields what happens.

Several workers run this together: the chief prepares, writes and saves, the others join it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from pydantic import TypeAdapter, ValidationError

from s2s_cli.config.schema import Config, ResolvedConfig
from s2s_cli.files import write_text
from s2s_cli.model.embeddings import load_vectors
from s2s_cli.model.family import VocabSizes
from s2s_cli.model.layer_factory import LayerFactory
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runs.checkpoint import (
    STATE,
    has_average,
    is_whole,
    read_inference_weights,
    read_optimizer,
    read_state,
    read_weights,
    save_checkpoint,
    unreadable,
)
from s2s_cli.runs.repair import repair_run, restore_metrics
from s2s_cli.runs.run import Run
from s2s_cli.runtime.workers import Workers
from s2s_cli.text.store import TokenStore
from s2s_cli.training import loop
from s2s_cli.training.averaging import InferenceWeights, earlier_steps
from s2s_cli.training.epochs import Epochs, plan_key
from s2s_cli.training.events import (
    EpochRestarted,
    ModelReady,
    PreparationEvent,
    PreparationProgress,
    RolledBack,
    SelectionReset,
    SubwordsSampled,
    TrainingEvent,
    VectorsMatched,
    WaitingForChief,
    WeightsInitialized,
)
from s2s_cli.training.initialization import InitialRun
from s2s_cli.training.joining import (
    Begun,
    announce,
    join,
    require_same_start,
    require_same_weights,
)
from s2s_cli.training.preparation import Prepared, prepare
from s2s_cli.training.recorder import Recorder
from s2s_cli.training.resolve import fingerprint_files, resolve_for_run
from s2s_cli.training.schedules import warnings_about
from s2s_cli.training.state import TrainingState
from s2s_cli.training.step import TrainingStep
from s2s_cli.training.validation import Validation, bleu_warnings, selection_key

# Held-out sentences that a run stores, so that an export is proven without the corpora.
EXPORT_SAMPLES = 100

Events = Generator[PreparationEvent | TrainingEvent, None, None]


def train(
    run: Run,
    config: Config,
    *,
    threads: int,
    force: bool = False,
    stop_requested: Callable[[], bool] = lambda: False,
    workers: Workers | None = None,
    local_cache: Path | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> Events:
    """Trains `config` in `run`; a run that has begun resumes where it was saved.

    With `force`, also where settings were changed that the rest of the training depends on. All
    `workers` call this with the same arguments, and share the run directory; those that are not
    the chief read token stores from copies in `local_cache`, where that is given. `strategy` is of
    the devices of this process (None: all GPUs, if there are any). Raises S2SError.
    """
    workers = workers or Workers()
    strategy = strategy or _strategy_of_devices(workers)
    require_same_start(workers, config)
    with run.lock() if workers.is_chief else nullcontext():
        if workers.is_chief:
            resolved, prepared, begun = yield from _begin(run, config, threads, force=force)
            announce(workers, begun, prepared)
        else:
            yield WaitingForChief()
            resolved, prepared, begun = join(workers, run, local_cache)
        with closing(Epochs(run, resolved, prepared, threads, workers)) as epochs:
            with strategy.scope():
                trainer = _Trainer(
                    run, resolved, prepared, epochs, stop_requested, workers, strategy
                )
            if begun.latest:
                yield from trainer.resume(begun.latest)
            else:
                yield from trainer.initialize()
            trainer.require_same_weights()
            yield from trainer.draw_epoch()
            yield trainer.ready(begun.changes)
            yield from trainer.train()


def _begin(
    run: Run, config: Config, threads: int, *, force: bool
) -> Generator[PreparationEvent | TrainingEvent, None, tuple[ResolvedConfig, Prepared, Begun]]:
    """Repairs the run, resolves its config and prepares its data."""
    files = fingerprint_files(config, resumes=run.has_begun)
    latest = yield from repair_run(run)
    resolution = resolve_for_run(run, config, files, latest, force=force)
    prepared = yield from prepare(run, resolution.config, threads)
    _write_samples(run, prepared.validation or prepared.train)
    return resolution.config, prepared, Begun(latest, resolution.changes)


def _strategy_of_devices(workers: Workers) -> tf.distribute.Strategy:
    """Over all GPUs of this process where it has several, else over its one device."""
    has_several = len(tf.config.list_logical_devices("GPU")) > 1
    if has_several and workers.count == 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


class _Trainer:
    """A training, and what it reads from its run and writes to it."""

    def __init__(
        self,
        run: Run,
        config: ResolvedConfig,
        prepared: Prepared,
        epochs: Epochs,
        stop_requested: Callable[[], bool],
        workers: Workers,
        strategy: tf.distribute.Strategy,
    ):
        self._run, self._config, self._prepared, self._epochs = run, config, prepared, epochs
        self._workers = workers
        self._seq2seq = Seq2Seq(
            config.model,
            VocabSizes(*prepared.tokenizers.vocab_sizes),
            LayerFactory.for_training(config.training.precision, config.training.seed),
        )
        self._take_step = TrainingStep(self._seq2seq, config.training, strategy, workers=workers)
        self._optimizer_variables = self._take_step.optimizer_variables()
        self._inference_weights = InferenceWeights(
            run,
            config.training.averaging,
            self._seq2seq.weights,
            self._take_step.moving_averages,
        )
        self._state = TrainingState(
            plan_key=plan_key(config, prepared.train),
            selection_key=selection_key(config, prepared.validation),
        )
        self._stop_requested = stop_requested

    def initialize(self) -> Iterator[WeightsInitialized | VectorsMatched]:
        """Takes the weights of another run and vectors from files, where training begins with any."""
        initial = InitialRun.of(self._config, self._run)
        if initial is not None:
            yield initial.load_into(self._seq2seq, self._prepared.tokenizers)
        yield from self._load_vectors()
        self._begin_averages(self._seq2seq.weights)

    def _load_vectors(self) -> Iterator[VectorsMatched]:
        """Reads initial values of the embeddings from files, where there are any."""
        layers = self._seq2seq.layers
        tables = layers.source_embedding, layers.target_embedding
        files, tokenizers = self._config.model.embedding.files, self._prepared.tokenizers
        for found in load_vectors(tables, files, tokenizers):
            yield VectorsMatched(found.path, found.matched, found.vocab_size, found.skipped)

    def resume(self, checkpoint: Path) -> Iterator[SelectionReset | EpochRestarted]:
        """Restores a checkpoint; reports what begins anew, as the config has changed since."""
        plan_key, key = self._state.plan_key, self._state.selection_key
        self._restore(checkpoint)
        yield from self._begin_anew(plan_key, key)

    def _roll_back(self) -> None:
        """Restores the checkpoint that was saved last, which may be of an earlier config."""
        plan_key, key = self._state.plan_key, self._state.selection_key
        self._restore(self._run.checkpoint(self._saved_step))
        for _ in self._begin_anew(plan_key, key):
            pass  # this was reported when the training resumed

    def _begin_anew(self, plan_key: str, key: str) -> Iterator[SelectionReset | EpochRestarted]:
        """Restarts the epoch and the selection where those of the state are of another key."""
        state = self._state
        if state.plan_key != plan_key:
            # A position in one plan means nothing in another.
            state.plan_key = plan_key
            if state.index:
                state.index = 0
                yield EpochRestarted(state.epoch + 1)
        if state.selection_key != key:
            before, after = state.selection_key.split()[0], key.split()[0]
            loop.Selection(self._config.training, state).reset(key)
            what = f"{before} → {after}" if before != after else f"another way to measure {after}"
            yield SelectionReset(what)

    def _restore(self, checkpoint: Path) -> None:
        """Puts weights, optimizer, state, metrics and pointers where a checkpoint has them."""
        self._seq2seq.load(read_weights(checkpoint, self._seq2seq.shapes))
        self._restore_averages(checkpoint)
        variables = self._optimizer_variables
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        values = read_optimizer(checkpoint, shapes)
        for name, variable in variables.items():
            variable.assign(values[name])
        try:
            saved = TypeAdapter(TrainingState).validate_python(read_state(checkpoint))
        except ValidationError as error:
            raise unreadable(checkpoint, STATE, str(error.errors()[0]["msg"])) from None
        # `repair_run` has reported what is not whole.
        if saved.best_step is not None and not is_whole(self._run.checkpoint(saved.best_step)):
            saved.best, saved.best_step = None, None
        selected = checkpoint
        if saved.selected_step is not None:
            selected = self._run.checkpoint(saved.selected_step)
            if not is_whole(selected):
                selected, saved.selected_step = checkpoint, None
        vars(self._state).update(vars(saved))
        if self._workers.is_chief:
            restore_metrics(self._run, checkpoint)
            self._run.point("best", selected)
            self._run.point("latest", checkpoint)

    def _restore_averages(self, checkpoint: Path) -> None:
        """Puts the moving averages where a checkpoint has them; without any, at the weights."""
        weights: Mapping[str, Any] = self._seq2seq.weights
        if self._take_step.moving_averages and has_average(checkpoint):
            weights = read_inference_weights(checkpoint, self._seq2seq.shapes)
        self._begin_averages(weights)

    def _begin_averages(self, weights: Mapping[str, Any]) -> None:
        """Makes the moving averages, where there are any, those of `weights` by path."""
        for path, average in self._take_step.moving_averages.items():
            average.assign(weights[path])

    def require_same_weights(self) -> None:
        """Raises RunError where a worker begins with other weights than the chief."""
        if self._workers.count > 1:
            require_same_weights(self._workers, self._seq2seq.weights)

    def draw_epoch(self) -> Iterator[PreparationProgress | SubwordsSampled]:
        """Draws the subwords of the epoch that training begins or resumes in, if they are sampled."""
        yield from self._epochs.draw(self._state.epoch)

    def ready(self, changes: tuple[str, ...]) -> ModelReady:
        """What training begins with."""
        training = self._config.training
        assert training.batch_tokens != "auto"
        return ModelReady(
            run=self._run.root,
            parameters=self._seq2seq.training_model.count_params(),
            architecture=self._config.model.architecture,
            precision=training.precision,
            batch_tokens=training.batch_tokens,
            step=self._state.step,
            changes=changes,
            warnings=(
                *warnings_about(training, self._prepared.train),
                *bleu_warnings(training, self._prepared.validation),
            ),
            workers=self._workers.count,
        )

    def train(self) -> Iterator[TrainingEvent]:
        """Trains, validates, saves and records; yields what happens."""
        run, config, validate = self._run, self._config, None
        store = self._prepared.validation
        if store is not None:
            validate = Validation(
                run,
                config,
                self._seq2seq,
                self._inference_weights.at,
                self._prepared,
                store,
                self._stop_requested,
                self._workers,
            )
        around = loop.Surroundings(
            plan=self._epochs.plan,
            read=self._epochs.read,
            validate=validate,
            save=self._save,
            restore=self._roll_back,
            stop_requested=self._stop_requested,
            on_any=self._workers.any,
        )
        self._saved_step = self._state.step
        events = loop.train(self._take_step, config.training, self._state, around)
        if not self._workers.is_chief:
            yield from events
            return
        with Recorder(run, config.training.tensorboard) as record:
            for event in events:
                if isinstance(event, RolledBack):
                    record.reopen()
                record(event)
                yield event

    def _save(self) -> None:
        """Saves the state, moves the pointers, and removes checkpoints that nothing needs."""
        run, state, averaging = self._run, self._state, self._config.training.averaging
        self._saved_step = state.step
        if not self._workers.is_chief:
            return
        checkpoint, averaged = run.checkpoint(state.step), None
        if averaging.method != "none":
            averaged = _numpy(self._inference_weights.at(state.step))
        save_checkpoint(
            checkpoint,
            weights=_numpy(self._seq2seq.weights),
            averaged=averaged,
            optimizer=_numpy(self._optimizer_variables),
            state=asdict(state),
            copied=run.copied_files(),
        )
        selected = checkpoint
        if state.selected_step is not None:
            selected = run.checkpoint(state.selected_step)
        run.point("best", selected)
        run.point("latest", checkpoint)
        needed = {*run.checkpoints()[-self._config.training.keep_checkpoints :], checkpoint}
        needed.add(selected)
        needed.update(map(run.checkpoint, earlier_steps(averaging, state.step + 1)))
        if state.best_step is not None:
            needed.add(run.checkpoint(state.best_step))
        for old in run.checkpoints():
            if old not in needed:
                run.remove(old)


def _numpy(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: keras.ops.convert_to_numpy(value) for name, value in variables.items()}


def _write_samples(run: Run, store: TokenStore) -> None:
    """Writes some source sentences into the run, so that an export is proven without the corpora."""
    if not run.samples_file.is_file():
        sources = (source for source, _ in itertools.islice(store.texts(), EXPORT_SAMPLES))
        write_text(run.samples_file, "".join(f"{source}\n" for source in sources))
