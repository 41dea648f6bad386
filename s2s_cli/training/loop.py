"""`train`: a generator of events around one compiled step."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from s2s_cli.events import (
    CheckpointDue,
    Finished,
    Progress,
    StepDone,
    TrainingEvent,
    Validated,
    ValidationResult,
)
from s2s_cli.schema import Training
from s2s_cli.text.batches import Batch, Plan, batches
from s2s_cli.text.store import TokenStore
from s2s_cli.training.schedules import learning_rate
from s2s_cli.training.step import TrainingStep, means

LOWER_IS_BETTER = ("loss", "perplexity")


@dataclass
class Window:
    """Sums since the last line of the log."""

    loss: float = 0.0
    nll: float = 0.0
    correct: float = 0.0
    weight: float = 0.0
    source_tokens: int = 0
    target_tokens: int = 0
    seconds: float = 0.0
    steps: int = 0


@dataclass
class TrainingState:
    """Where a training stands, beside its weights and its optimizer.

    (epoch, index) is the next batch; `seconds` counts all sessions.
    """

    step: int = 0
    epoch: int = 0
    index: int = 0
    seconds: float = 0.0
    best: tuple[float, float] | None = None
    validated_step: int = 0
    validations_without_better: int = 0
    plateau_loss: float | None = None
    plateau_validations: int = 0
    plateau_scale: float = 1.0
    window: Window = field(default_factory=Window)


Validate = Callable[[int], ValidationResult]


def train(
    take_step: TrainingStep,
    store: TokenStore,
    plan: Callable[[int], Plan],
    training: Training,
    state: TrainingState,
    *,
    validate: Validate | None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Iterator[TrainingEvent]:
    """Trains from `state` on until a limit is reached, and keeps `state` up to date.

    `plan(epoch)` gives the batches of an epoch. Whenever an event is yielded,
    `state` and the weights belong together, so the caller may save both.
    """
    session = _Session(training, state, validate)
    reason = session.limit()
    while reason is None:
        epoch_plan = plan(state.epoch)
        for batch in batches(store, epoch_plan, state.index):
            yield session.step(take_step, batch, len(epoch_plan))
            if state.window.steps >= training.log_steps:
                yield session.progress()
            reason = session.limit()
            saved = yield from session.validate_and_save()
            reason = reason or session.patience_is_over()
            if stop_requested():
                if not saved:
                    yield CheckpointDue(state.step, is_best=validate is None)
                yield Finished(state.step, "it was interrupted", True, session.clock())
                return
            if reason:
                break
    if state.step > 0:
        yield from session.finish()
    yield Finished(state.step, reason, False, session.clock())


class _Session:
    """The decisions of `train`, over one state."""

    def __init__(self, training: Training, state: TrainingState, validate: Validate | None):
        self._training, self._state, self._validate = training, state, validate
        self._tick = time.monotonic()
        self._epoch = state.epoch
        self._saved_step = state.step

    def clock(self) -> float:
        """Seconds of training so far, over all sessions."""
        now = time.monotonic()
        self._state.seconds += now - self._tick
        self._tick = now
        return self._state.seconds

    def step(self, take_step: TrainingStep, batch: Batch, batches_in_epoch: int) -> StepDone:
        """Takes one step and moves the position on."""
        state, started = self._state, time.monotonic()
        state.step += 1
        sums = take_step(batch, state.step, self._learning_rate())
        window = state.window
        for name, value in sums.items():
            setattr(window, name, getattr(window, name) + value)
        window.source_tokens += batch.source_tokens
        window.target_tokens += batch.target_tokens
        window.seconds += time.monotonic() - started
        window.steps += 1
        index = state.index
        # What is told of this step is told of its epoch, though the position moves on.
        self._epoch = state.epoch
        state.index += 1
        if state.index == batches_in_epoch:
            state.epoch, state.index = state.epoch + 1, 0
        return StepDone(state.step, self._epoch + 1, index + 1, batches_in_epoch, self.clock())

    def progress(self) -> Progress:
        """Sums up the window and opens a new one."""
        state, window = self._state, self._state.window
        seconds = max(window.seconds, 1e-9)
        metrics = means(window.nll, window.correct, window.weight)
        state.window = Window()
        return Progress(
            step=state.step,
            epoch=self._epoch + 1,
            loss=window.loss / max(window.weight, 1e-9),
            perplexity=metrics["perplexity"],
            token_accuracy=metrics["token_accuracy"],
            learning_rate=self._learning_rate(),
            source_tokens_per_second=window.source_tokens / seconds,
            target_tokens_per_second=window.target_tokens / seconds,
            seconds=self.clock(),
        )

    def validate_and_save(self) -> Generator[TrainingEvent, None, bool]:
        """What is due after a step; returns whether a checkpoint was."""
        training, state = self._training, self._state
        at_end_of_epoch = training.validation_steps is None and state.index == 0
        every = training.validation_steps
        at_step = every is not None and state.step % every == 0
        is_best = False
        if self._validate and (at_end_of_epoch or at_step):
            is_best = yield from self._validated()
        due = is_best or state.step % training.checkpoint_steps == 0
        if due:
            self._saved_step = state.step
            yield CheckpointDue(state.step, is_best or self._validate is None)
        return due

    def finish(self) -> Iterator[TrainingEvent]:
        """The last weights are scored and saved, however the limit fell.

        A validation between the intervals counts for nothing but the best
        checkpoint, so a training that goes on later does not depend on it.
        """
        is_best = self._validate is None
        if self._validate and self._state.validated_step != self._state.step:
            is_best = yield from self._validated(between_intervals=True)
        if is_best or self._saved_step != self._state.step:
            yield CheckpointDue(self._state.step, is_best)

    def limit(self) -> str | None:
        """The limit that is reached, as a clause."""
        training, state = self._training, self._state
        if training.epochs is not None and state.epoch >= training.epochs:
            return f"{training.epochs} epochs are done"
        if training.max_steps is not None and state.step >= training.max_steps:
            return f"{training.max_steps} steps are done"
        if training.max_minutes is not None and self.clock() >= 60 * training.max_minutes:
            return f"{training.max_minutes:g} minutes are over"
        return self.patience_is_over()

    def patience_is_over(self) -> str | None:
        """Early stopping, as a clause."""
        stopping, state = self._training.early_stopping, self._state
        if stopping.patience is None or state.validations_without_better < stopping.patience:
            return None
        return f"{stopping.patience} validations brought no better {stopping.metric}"

    def _learning_rate(self) -> float:
        return learning_rate(self._training, max(1, self._state.step), self._state.plateau_scale)

    def _validated(
        self, *, between_intervals: bool = False
    ) -> Generator[TrainingEvent, None, bool]:
        """Scores the model; returns whether it is the best so far."""
        assert self._validate is not None
        state = self._state
        result = self._validate(state.step)
        cost = self._cost(result.metrics)
        is_best = state.best is None or cost < tuple(state.best)
        if is_best:
            state.best = cost
        if not between_intervals:
            patience = state.validations_without_better
            state.validations_without_better = 0 if is_best else patience + 1
            self._watch_plateau(result.metrics["loss"])
        state.validated_step = state.step
        yield Validated(state.step, self._epoch + 1, result, is_best, self.clock())
        return is_best

    def _cost(self, metrics: dict[str, float]) -> tuple[float, float]:
        """What the best validation has the least of: the metric, and between equals the loss."""
        metric = self._training.early_stopping.metric
        sign = 1.0 if metric in LOWER_IS_BETTER else -1.0
        return sign * metrics[metric], metrics["loss"]

    def _watch_plateau(self, loss: float) -> None:
        state, schedule = self._state, self._training.schedule
        if state.plateau_loss is None or loss < state.plateau_loss:
            state.plateau_loss, state.plateau_validations = loss, 0
            return
        state.plateau_validations += 1
        if state.plateau_validations >= schedule.patience:
            state.plateau_scale *= schedule.factor
            state.plateau_validations = 0
