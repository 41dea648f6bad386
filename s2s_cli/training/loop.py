"""The training loop: a generator of events around one compiled step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

from s2s_cli.config.schema import Training
from s2s_cli.errors import RunError
from s2s_cli.runtime.workers import WorkerLostError
from s2s_cli.text.batches import Batch
from s2s_cli.text.chunks import chunks
from s2s_cli.text.plan import Plan
from s2s_cli.training.events import (
    CheckpointSaved,
    Finished,
    Progress,
    RolledBack,
    StepDone,
    StepSkipped,
    TrainingEvent,
    Validated,
    ValidationResult,
)
from s2s_cli.training.schedules import learning_rate
from s2s_cli.training.state import TrainingState, Window
from s2s_cli.training.step import means

LOWER_IS_BETTER = ("loss", "perplexity")
# What the learning rate is multiplied by at a rollback, and how many rollbacks there may be.
ROLLBACK_LR_FACTOR = 0.5
MAX_ROLLBACKS = 3

TakeStep = Callable[[Sequence[Batch], int, float], dict[str, float]]


class StoppedError(Exception):
    """A stop was requested; what was in progress is discarded."""


@dataclass(frozen=True)
class Surroundings:
    """What the loop is given beside the step.

    plan(epoch) gives the batches of an epoch, and read(plan, start) reads them from `start` on.
    validate(step) scores the model; it may raise StoppedError. save() writes the state, the
    weights and the optimizer, and makes `best` name the checkpoint of `state.selected_step`;
    restore() puts back what was saved last. on_any(own) is whether something is so on any worker.
    """

    plan: Callable[[int], Plan]
    read: Callable[[Plan, int], Iterator[Batch]]
    validate: Callable[[int], ValidationResult] | None
    save: Callable[[], None]
    restore: Callable[[], None]
    stop_requested: Callable[[], bool] = lambda: False
    on_any: Callable[[bool], bool] = bool


def train(
    take_step: TakeStep, training: Training, state: TrainingState, around: Surroundings
) -> Iterator[TrainingEvent]:
    """Trains from `state` on until a limit is reached, and keeps `state` up to date.

    Events report what has happened; nothing has to be done about them. Raises RunError where
    the loss stays other than finite, or memory is too short; and WorkerLostError, with what was
    reached saved.
    """
    session = _Session(training, state, around)
    try:
        yield from session.owed_validation()
        reason = session.limit()
        if reason is None:
            session.forget_final_validation()
        while reason is None:
            plan = around.plan(state.epoch)
            for batches in chunks(around.read(plan, state.index), training.batches_per_step):
                yield from session.step(take_step, batches, len(plan))
                if session.has_diverged():
                    yield from session.roll_back(batches)
                    break
                reason = session.limit()
                yield from session.validate_and_save()
                reason = reason or session.patience_ended()
                if reason:
                    break
                if around.on_any(around.stop_requested()):
                    raise StoppedError
        if state.step > 0:
            yield from session.finish()
    except WorkerLostError:
        yield from session.save_if_unsaved()
        raise
    except StoppedError:
        yield from session.save_if_unsaved()
        yield Finished(state.step, "it was interrupted", True, session.clock())
        return
    yield Finished(state.step, reason, False, session.clock())


class Selection:
    """Which validation is the best, when training ends for lack of a better one, and plateau.

    A cost is compared: the metric (negated where more is better), and between equals the loss.
    """

    def __init__(self, training: Training, state: TrainingState):
        self._training, self._state = training, state

    def judge(self, metrics: dict[str, float], *, in_sequence: bool) -> bool:
        """Takes a validation into account; returns whether it is the best so far.

        A final validation between two intervals is not part of the sequence: it may be selected
        as the best checkpoint, but changes neither what later ones are compared with, nor
        patience, nor plateau. So a training with interruptions decides as one without.
        """
        state, cost = self._state, self._cost(metrics)
        is_best = math.isfinite(sum(cost)) and (state.best is None or cost < tuple(state.best))
        if is_best:
            state.selected_step = state.step
        if in_sequence:
            if is_best:
                state.best, state.best_step = cost, state.step
            waited = state.validations_without_better
            state.validations_without_better = 0 if is_best else waited + 1
            self._watch_plateau(metrics["loss"])
        return is_best

    def reset(self, key: str) -> None:
        """Begins anew, as costs of another kind are compared from now on."""
        state = self._state
        state.selection_key, state.best, state.best_step = key, None, None
        state.validations_without_better = 0
        state.plateau_loss, state.plateau_validations = None, 0

    def _cost(self, metrics: dict[str, float]) -> tuple[float, float]:
        metric = self._training.early_stopping.metric
        sign = 1.0 if metric in LOWER_IS_BETTER else -1.0
        return sign * metrics[metric], metrics["loss"]

    def _watch_plateau(self, loss: float) -> None:
        state, schedule = self._state, self._training.schedule
        if math.isfinite(loss) and (state.plateau_loss is None or loss < state.plateau_loss):
            state.plateau_loss, state.plateau_validations = loss, 0
            return
        state.plateau_validations += 1
        if state.plateau_validations >= schedule.patience:
            state.plateau_scale *= schedule.factor
            state.plateau_validations = 0


class _Session:
    """The decisions of `train`, over one state."""

    def __init__(self, training: Training, state: TrainingState, around: Surroundings):
        self._training, self._state, self._around = training, state, around
        self._selection = Selection(training, state)
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

    def owed_validation(self) -> Generator[TrainingEvent, None, None]:
        """The validation that was due when the training was stopped."""
        if self._state.owes_validation and self._around.validate is not None:
            yield from self.validate_and_save()

    def forget_final_validation(self) -> None:
        """Training goes on: the best checkpoint is again that of the intervals, if there is one."""
        if self._state.best_step is not None:
            self._state.selected_step = self._state.best_step

    def step(
        self, take_step: TakeStep, batches: Sequence[Batch], batches_in_epoch: int
    ) -> Iterator[TrainingEvent]:
        """Takes one step and moves the position on."""
        state, window, started = self._state, self._state.window, time.monotonic()
        state.step += 1
        try:
            sums = take_step(batches, state.step, self._learning_rate())
        except MemoryError:
            raise self._out_of_memory(batches) from None
        except WorkerLostError:
            state.step -= 1  # it was not taken
            raise
        # Events of this step name its epoch and last batch, though the position moves on.
        self._epoch, index = state.epoch, state.index + len(batches)
        state.index = index
        if state.index == batches_in_epoch:
            state.epoch, state.index = state.epoch + 1, 0
        state.owes_validation = self._is_validation_due()
        if sums.pop("is_finite") == 1:
            state.skipped_in_a_row = 0
            for name, value in sums.items():
                setattr(window, name, getattr(window, name) + type(getattr(window, name))(value))
            window.steps += 1
        else:
            state.skipped_in_a_row += 1
            window.skipped += 1
            yield StepSkipped(state.step, self._epoch + 1, index, state.skipped_in_a_row)
        window.seconds += time.monotonic() - started
        yield StepDone(state.step, self._epoch + 1, index, batches_in_epoch, self.clock())
        if state.step % self._training.log_steps == 0:
            yield self.progress()

    def _out_of_memory(self, batches: Sequence[Batch]) -> RunError:
        setting = "batch_tokens" if self._training.batch_size is None else "batch_size"
        return RunError(
            f"memory is too short for step {self._state.step}: {_size(batches)}.",
            f"Lower training.{setting} ({getattr(self._training, setting)}) or data.max_length; with"
            " --force, the same command then resumes from the last checkpoint.",
        )

    def has_diverged(self) -> bool:
        """Whether too many steps in a row were skipped."""
        return self._state.skipped_in_a_row > self._training.max_skipped_steps

    def roll_back(self, batches: Sequence[Batch]) -> Iterator[TrainingEvent]:
        """Restores what was saved last, with a lower learning rate; RunError at one too many."""
        state = self._state
        if self._saved_step == 0 or state.rollbacks == MAX_ROLLBACKS:
            batch_name = f"batch {state.index}" if state.index else "the last batch"
            place = f"{batch_name} of epoch {self._epoch + 1}"
            raise RunError(
                f"the loss or its gradient is not finite, in {state.skipped_in_a_row} steps in a"
                f" row up to step {state.step} ({place}, {_size(batches)}).",
                "Lower training.optimizer.learning_rate or clip_norm, or raise"
                " training.schedule.warmup_steps, and train in another directory.",
            )
        step, rollbacks, scale = state.step, state.rollbacks + 1, state.lr_scale
        seconds = self.clock()
        self._around.restore()
        state.rollbacks, state.lr_scale = rollbacks, scale * ROLLBACK_LR_FACTOR
        state.seconds = seconds
        yield RolledBack(step, state.step, state.lr_scale)

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
        if self._state.owes_validation:
            is_best = yield from self._validated(in_sequence=True)
        if is_best or self._is_saving_due():
            yield from self._saved()

    def _is_saving_due(self) -> bool:
        step, averaging = self._state.step, self._training.averaging
        is_averaged = averaging.method == "checkpoints" and step % averaging.interval == 0
        return is_averaged or step % self._training.checkpoint_steps == 0

    def _is_validation_due(self) -> bool:
        every = self._training.validation_steps
        if self._around.validate is None:
            return False
        return self._state.index == 0 if every is None else self._state.step % every == 0

    def save_if_unsaved(self) -> Iterator[TrainingEvent]:
        """Saves the state, where it is not saved yet."""
        if self._saved_step != self._state.step:
            yield from self._saved()

    def _saved(self) -> Iterator[TrainingEvent]:
        state = self._state
        # There is no point in restoring weights after which no loss was finite, unless a
        # validation has just found them the best.
        if state.skipped_in_a_row and state.selected_step != state.step:
            return
        if self._around.validate is None:
            state.selected_step = state.step
        self._around.save()
        self._saved_step = state.step
        yield CheckpointSaved(state.step, state.selected_step == state.step)

    def finish(self) -> Iterator[TrainingEvent]:
        """Scores and saves the last weights, also between two validations."""
        state = self._state
        if self._around.validate is None or state.validated_step == state.step:
            yield from self.save_if_unsaved()
            return
        yield from self._validated(in_sequence=False)
        yield from self._saved()

    def limit(self) -> str | None:
        """The limit that is reached, as a clause."""
        training, state = self._training, self._state
        if training.epochs is not None and state.epoch >= training.epochs:
            return f"{training.epochs} epochs are done"
        if training.max_steps is not None and state.step >= training.max_steps:
            return f"{training.max_steps} steps are done"
        if training.max_minutes is not None and self._around.on_any(
            self.clock() >= 60 * training.max_minutes
        ):
            return f"{training.max_minutes:g} minutes are over"
        return self.patience_ended()

    def patience_ended(self) -> str | None:
        """Early stopping, as a clause."""
        stopping, state = self._training.early_stopping, self._state
        if stopping.patience is None or state.validations_without_better < stopping.patience:
            return None
        return f"{stopping.patience} validations brought no better {stopping.metric}"

    def _learning_rate(self) -> float:
        state = self._state
        rate = learning_rate(self._training, max(1, state.step), state.plateau_scale)
        return rate * state.lr_scale

    def _validated(self, *, in_sequence: bool) -> Generator[TrainingEvent, None, bool]:
        """Scores the model; returns whether it is the best so far."""
        assert self._around.validate is not None
        state = self._state
        try:
            result = self._around.validate(state.step)
        except MemoryError:
            raise RunError(
                f"memory is too short for the validation at step {state.step}.",
                "Lower decoding.batch_size or decoding.beam_size; the same command then resumes from"
                " the last checkpoint.",
            ) from None
        is_best = self._selection.judge(result.metrics, in_sequence=in_sequence)
        state.validated_step, state.owes_validation = state.step, False
        yield Validated(state.step, self._epoch + 1, result, is_best, in_sequence, self.clock())
        return is_best


def _size(batches: Sequence[Batch]) -> str:
    """The shape of a step's batch, or of the largest of several."""
    batch = max(batches, key=lambda batch: math.prod(batch["target_out_ids"].shape))
    source, target = (tuple(batch[name].shape) for name in ("source_ids", "target_out_ids"))
    return f"{source[0]} pairs of up to {source[1]} source and {target[1]} target tokens"
