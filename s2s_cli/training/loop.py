"""`train`: a generator of events around one compiled step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator

from s2s_cli.errors import RunError
from s2s_cli.events import (
    CheckpointDue,
    Finished,
    Progress,
    SetBack,
    StepDone,
    StepSkipped,
    TrainingEvent,
    Validated,
    ValidationResult,
)
from s2s_cli.schema import Training
from s2s_cli.text.batches import Batch, Plan, batches
from s2s_cli.text.store import TokenStore
from s2s_cli.training.schedules import learning_rate
from s2s_cli.training.state import TrainingState, Window
from s2s_cli.training.step import TrainingStep, means

LOWER_IS_BETTER = ("loss", "perplexity")
# What the learning rate is multiplied by when training goes back, and how often it may.
SET_BACK_FACTOR = 0.5
MOST_SET_BACKS = 3


class StoppedError(Exception):
    """A stop was asked for; what was under way counts for nothing."""


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

    `plan(epoch)` gives the batches of an epoch; `validate(step)` may raise StoppedError.
    Whenever an event is yielded, `state` and the weights belong together, so the caller
    may save both. Before it goes on from SetBack, the caller puts the last saved
    weights, optimizer and state in place. Raises RunError where the loss stays other
    than finite.
    """
    session = _Session(training, state, validate)
    try:
        yield from session.owed()
        reason = session.limit()
        while reason is None:
            epoch_plan = plan(state.epoch)
            for batch in batches(store, epoch_plan, state.index):
                yield from session.step(take_step, batch, len(epoch_plan))
                if session.has_diverged():
                    yield from session.set_back(batch)
                    break
                reason = session.limit()
                yield from session.validate_and_save()
                reason = reason or session.patience_is_over()
                if reason:
                    break
                if stop_requested():
                    raise StoppedError
        if state.step > 0:
            yield from session.finish()
    except StoppedError:
        yield from session.save()
        yield Finished(state.step, "it was interrupted", True, session.clock())
        return
    yield Finished(state.step, reason, False, session.clock())


class _Session:
    """The decisions of `train`, over one state."""

    def __init__(self, training: Training, state: TrainingState, validate: Validate | None):
        self._training, self._state, self._validate = training, state, validate
        self._tick = time.monotonic()
        # The epoch of the last step: at its end, the position is in the next one already.
        self._epoch = state.epoch - (1 if state.index == 0 and state.step > 0 else 0)
        self._saved_step = state.step

    def clock(self) -> float:
        """Seconds of training so far, over all sessions."""
        now = time.monotonic()
        self._state.seconds += now - self._tick
        self._tick = now
        return self._state.seconds

    def owed(self) -> Generator[TrainingEvent, None, None]:
        """The validation of the step that training goes on from, where a stop cut it off."""
        state = self._state
        if state.step > 0 and self._is_validation_due() and state.validated_step != state.step:
            yield from self.validate_and_save()

    def step(
        self, take_step: TrainingStep, batch: Batch, batches_in_epoch: int
    ) -> Iterator[TrainingEvent]:
        """Takes one step and moves the position on."""
        state, window, started = self._state, self._state.window, time.monotonic()
        state.step += 1
        try:
            sums = take_step(batch, state.step, self._learning_rate())
        except MemoryError:
            raise self._short_of_memory(batch) from None
        is_taken = sums.pop("is_finite") == 1
        index = state.index
        # What is told of this step is told of its epoch, though the position moves on.
        self._epoch = state.epoch
        state.index += 1
        if state.index == batches_in_epoch:
            state.epoch, state.index = state.epoch + 1, 0
        if is_taken:
            state.skipped_in_a_row = 0
            for name, value in sums.items():
                setattr(window, name, getattr(window, name) + value)
            window.source_tokens += batch.source_tokens
            window.target_tokens += batch.target_tokens
            window.steps += 1
        else:
            state.skipped_in_a_row += 1
            window.skipped += 1
            yield StepSkipped(state.step, self._epoch + 1, index + 1, state.skipped_in_a_row)
        window.seconds += time.monotonic() - started
        yield StepDone(state.step, self._epoch + 1, index + 1, batches_in_epoch, self.clock())
        if window.steps + window.skipped >= self._training.log_steps:
            yield self.progress()

    def _short_of_memory(self, batch: Batch) -> RunError:
        setting = "batch_tokens" if self._training.batch_size is None else "batch_size"
        return RunError(
            f"memory is too short for step {self._state.step}: {_size(batch)}.",
            f"Lower training.{setting} ({getattr(self._training, setting)}) or data.max_length; with"
            " --force, the same command then goes on from the last checkpoint.",
        )

    def has_diverged(self) -> bool:
        """Whether too many steps in a row were skipped."""
        return self._state.skipped_in_a_row > self._training.max_skipped_steps

    def set_back(self, batch: Batch) -> Iterator[TrainingEvent]:
        """Back to what was saved last, with a lower learning rate; RunError where that is over."""
        state = self._state
        place = f"batch {state.index or 'last'} of epoch {self._epoch + 1}"
        if self._saved_step == 0 or state.set_backs == MOST_SET_BACKS:
            raise RunError(
                f"the loss or its gradient is not finite, in {state.skipped_in_a_row} steps in a"
                f" row up to step {state.step} ({place}, {_size(batch)}).",
                "Lower training.optimizer.learning_rate or clip_norm, or raise schedule.warmup_steps,"
                " and train in another directory.",
            )
        set_backs, scale = state.set_backs + 1, state.rate_scale * SET_BACK_FACTOR
        seconds = self.clock()
        yield SetBack(state.step, self._saved_step, scale)
        state.set_backs, state.rate_scale, state.seconds = set_backs, scale, seconds

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
            skipped=window.skipped,
            seconds=self.clock(),
        )

    def validate_and_save(self) -> Iterator[TrainingEvent]:
        """What is due after a step."""
        is_best = False
        if self._is_validation_due():
            is_best = yield from self._validated()
        if is_best or self._state.step % self._training.checkpoint_steps == 0:
            yield from self._saved(is_best)

    def _is_validation_due(self) -> bool:
        every = self._training.validation_steps
        if self._validate is None:
            return False
        return self._state.index == 0 if every is None else self._state.step % every == 0

    def save(self) -> Iterator[TrainingEvent]:
        """The state is saved, where it is not yet."""
        if self._saved_step != self._state.step:
            yield from self._saved(is_best=False)

    def _saved(self, is_best: bool) -> Iterator[TrainingEvent]:
        # Weights after which no loss was finite are nothing to go back to.
        if self._state.skipped_in_a_row == 0:
            if self._validate is None:
                is_best, self._state.best_step = True, self._state.step
            self._saved_step = self._state.step
            yield CheckpointDue(self._state.step, is_best)

    def finish(self) -> Iterator[TrainingEvent]:
        """The last weights are scored and saved, however the limit fell.

        A validation between the intervals counts for nothing but the best
        checkpoint, so a training that goes on later does not depend on it.
        """
        if self._validate and self._state.validated_step != self._state.step:
            is_best = yield from self._validated(between_intervals=True)
            yield from self._saved(is_best)
        else:
            yield from self.save()

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
        state = self._state
        rate = learning_rate(self._training, max(1, state.step), state.plateau_scale)
        return rate * state.rate_scale

    def _validated(
        self, *, between_intervals: bool = False
    ) -> Generator[TrainingEvent, None, bool]:
        """Scores the model; returns whether it is the best so far."""
        assert self._validate is not None
        state = self._state
        try:
            result = self._validate(state.step)
        except MemoryError:
            raise RunError(
                f"memory is too short for the validation at step {state.step}.",
                "Lower decoding.batch_size or decoding.beam_size; the same command then goes on from"
                " the last checkpoint.",
            ) from None
        cost = self._cost(result.metrics)
        is_best = math.isfinite(sum(cost)) and (state.best is None or cost < state.best)
        if is_best:
            state.best, state.best_step = cost, state.step
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


def _size(batch: Batch) -> str:
    sides = batch.source_ids.shape[1], batch.target_out_ids.shape[1]
    return f"{len(batch.source_ids)} pairs of up to {sides[0]} source and {sides[1]} target pieces"
