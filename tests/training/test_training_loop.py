"""The decisions of the training loop, on steps and validations that only return numbers."""

import copy
import math

import numpy as np
import pytest

from s2s_cli.config.schema import Training
from s2s_cli.errors import RunError
from s2s_cli.text.plan import plan_in_order
from s2s_cli.training import loop
from s2s_cli.training.events import (
    CheckpointSaved,
    Finished,
    Progress,
    RolledBack,
    StepDone,
    StepSkipped,
    Validated,
    ValidationResult,
)
from s2s_cli.training.state import TrainingState

BATCHES = 6
PLAN = plan_in_order(np.full(4 * BATCHES, 3), np.full(4 * BATCHES, 3), batch_size=4)
BATCH = {"source_ids": np.ones((4, 3)), "target_out_ids": np.ones((4, 5))}


class Scripted:
    """A training of BATCHES batches an epoch, what it saves, and the rates of its steps.

    `is_finite(step, rate)` says which steps are taken, `losses(step)` what a validation gives.
    """

    def __init__(
        self, is_finite=lambda step, rate: True, losses=None, stop=lambda step: False, **settings
    ):
        settings["schedule"] = {
            "name": "constant",
            "warmup_steps": 0,
            **settings.get("schedule", {}),
        }
        self.training = Training(**{"max_steps": 12, "checkpoint_steps": 4, **settings})
        self.state, self.saved = TrainingState(), {}
        self.rates: dict[int, list[float]] = {}
        self._is_finite, self._losses, self._stop = is_finite, losses, stop

    def take_step(self, batch, step, rate):
        self.rates.setdefault(step, []).append(rate)
        sums = {"loss": 1.0, "nll": 1.0, "correct": 0.0, "weight": 1.0}
        sums |= {"source_tokens": 12, "target_tokens": 20}
        return {**sums, "is_finite": float(self._is_finite(step, rate))}

    def validate(self, step):
        loss = self._losses(step)
        return ValidationResult({"loss": loss, "bleu": 0.0, "perplexity": 2.0})

    def save(self):
        self.saved[self.state.step] = copy.deepcopy(vars(self.state))

    def restore(self):
        vars(self.state).update(copy.deepcopy(self.saved[max(self.saved)]))

    def run(self) -> list:
        around = loop.Surroundings(
            plan=lambda epoch: PLAN,
            read=lambda plan, start: iter([BATCH] * (len(plan) - start)),
            validate=self.validate if self._losses else None,
            save=self.save,
            restore=self.restore,
            stop_requested=lambda: self._stop(self.state.step),
        )
        return list(loop.train(self.take_step, self.training, self.state, around))


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def steps_of(events, kind) -> list[int]:
    return [event.step for event in of_kind(events, kind)]


# Events and limits.


def test_events_come_in_the_order_in_which_things_happen():
    events = Scripted(losses=lambda step: 9 - step, validation_steps=6, log_steps=3).run()
    kinds = (Progress, Validated, CheckpointSaved)
    assert [(type(e).__name__, e.step) for e in events if isinstance(e, kinds)] == [
        ("Progress", 3),
        ("CheckpointSaved", 4),
        ("Progress", 6),
        ("Validated", 6),
        ("CheckpointSaved", 6),  # the best so far
        ("CheckpointSaved", 8),
        ("Progress", 9),
        ("Progress", 12),
        ("Validated", 12),
        ("CheckpointSaved", 12),
    ]
    assert [(e.step, e.epoch, e.index, e.batches) for e in of_kind(events, StepDone)] == [
        (step, 1 + (step - 1) // 6, 1 + (step - 1) % 6, 6) for step in range(1, 13)
    ]
    assert events[-1] == Finished(12, "12 steps are done", False, events[-1].seconds)


@pytest.mark.parametrize(
    ("limit", "steps", "reason"),
    [
        ({"max_steps": None, "epochs": 2}, 12, "2 epochs are done"),
        ({"max_steps": None, "max_minutes": 1e-12}, 0, "1e-12 minutes are over"),
        ({"max_steps": 5, "epochs": 2}, 5, "5 steps are done"),
    ],
)
def test_the_first_limit_that_is_reached_ends_the_training(limit, steps, reason):
    last = Scripted(**limit).run()[-1]
    assert (last.step, last.reason, last.interrupted) == (steps, reason, False)


def test_a_stop_saves_what_was_trained():
    training = Scripted(stop=lambda step: step == 5)
    events = training.run()
    assert events[-1] == Finished(5, "it was interrupted", True, events[-1].seconds)
    assert set(training.saved) == {4, 5} and training.state.index == 5


def test_the_last_step_of_an_epoch_is_reported_with_its_epoch():
    events = Scripted(losses=lambda step: 1.0, validation_steps=None, max_steps=13).run()
    assert [(e.step, e.epoch, e.in_sequence) for e in of_kind(events, Validated)] == [
        (6, 1, True),
        (12, 2, True),
        (13, 3, False),
    ]


def test_a_validation_that_was_stopped_is_repeated_when_the_training_resumes():
    def stopped(step):
        raise loop.StoppedError

    training = Scripted(losses=stopped, validation_steps=6)
    events = training.run()
    assert events[-1].interrupted and steps_of(events, Validated) == []
    assert training.state.owes_validation and set(training.saved) == {4, 6}
    training._losses = lambda step: 9.0 - step
    events = training.run()
    assert [(e.step, e.epoch, e.in_sequence) for e in of_kind(events, Validated)] == [
        (6, 1, True),
        (12, 2, True),
    ]


def test_a_final_validation_that_was_stopped_is_repeated_outside_of_the_sequence():
    def stopped(step):
        raise loop.StoppedError

    training = Scripted(losses=stopped, validation_steps=10, max_steps=5)
    assert training.run()[-1].interrupted
    training._losses = lambda step: 1.0
    (validated,) = of_kind(training.run(), Validated)
    assert (validated.step, validated.in_sequence, validated.is_best) == (5, False, True)
    assert training.state.best is None and training.state.selected_step == 5


# Early stopping and plateau.


def test_training_stops_when_validations_bring_nothing_better():
    stopping = {"metric": "loss", "patience": 3}
    scripted = Scripted(
        losses=lambda step: 1.0, validation_steps=2, max_steps=50, early_stopping=stopping
    )
    last = scripted.run()[-1]
    assert (last.step, last.reason) == (8, "3 validations brought no better loss")
    # A run that has stopped so does not begin again.
    assert steps_of(scripted.run(), StepDone) == []


def test_between_validations_of_equal_score_the_lower_loss_is_better():
    # BLEU stays at 0 for a model that has learned nothing yet.
    stopping = {"metric": "bleu", "patience": 2}
    events = Scripted(
        losses=lambda step: 9 - step, validation_steps=2, early_stopping=stopping
    ).run()
    assert all(event.is_best for event in of_kind(events, Validated))
    assert events[-1].step == 12


def test_plateau_lowers_the_rate_after_validations_without_a_lower_loss():
    schedule = {"name": "plateau", "factor": 0.5, "patience": 2, "minimum": 0.2}
    scripted = Scripted(
        losses=lambda step: 1.0,
        validation_steps=1,
        schedule=schedule,
        optimizer={"learning_rate": 1.0},
        early_stopping={"patience": None},
    )
    scripted.run()
    rates = [scripted.rates[step][0] for step in range(1, 13)]
    assert rates == [1.0] * 3 + [0.5] * 2 + [0.25] * 2 + [0.2] * 5


@pytest.mark.parametrize("first", [math.nan, math.inf])
def test_a_first_loss_that_is_not_finite_freezes_neither_plateau_nor_selection(first):
    schedule = {"name": "plateau", "patience": 2}
    scripted = Scripted(
        losses=lambda step: first if step <= 2 else 9 - step / 4,
        validation_steps=2,
        schedule=schedule,
        early_stopping={"metric": "loss"},
    )
    best = [event.is_best for event in of_kind(scripted.run(), Validated)]
    assert best == [False, True, True, True, True, True]
    assert (scripted.state.plateau_loss, scripted.state.plateau_scale) == (6.0, 1.0)


# Steps that are not finite.


def test_steps_that_are_not_finite_are_skipped_and_counted():
    ruined = (3, 6, 7)
    events = Scripted(lambda step, rate: step not in ruined, log_steps=12).run()
    assert [(e.step, e.in_a_row) for e in of_kind(events, StepSkipped)] == [(3, 1), (6, 1), (7, 2)]
    (progress,) = of_kind(events, Progress)
    assert (progress.skipped, progress.loss) == (3, 1.0)
    assert events[-1].reason == "12 steps are done"


def test_nothing_is_saved_after_a_step_that_was_skipped():
    events = Scripted(lambda step, rate: step not in (4, 8), max_skipped_steps=2).run()
    assert steps_of(events, CheckpointSaved) == [12]


def test_what_a_validation_finds_the_best_is_saved_even_after_a_step_that_was_skipped():
    training = Scripted(
        lambda step, rate: step != 6,
        losses=lambda step: float(step),
        validation_steps=6,
        early_stopping={"metric": "loss"},
    )
    events = training.run()
    assert [event.is_best for event in of_kind(events, Validated)] == [True, False]
    # Otherwise the best checkpoint would be one that does not exist.
    assert [(e.step, e.is_best) for e in of_kind(events, CheckpointSaved)] == [
        (4, False),
        (6, True),
        (8, False),
        (12, False),
    ]
    assert training.state.selected_step == 6


def test_training_rolls_back_at_a_lower_rate_where_no_step_is_finite_any_more():
    scripted = Scripted(lambda step, rate: step <= 5 or rate <= 2e-4, max_skipped_steps=2)
    events = scripted.run()
    assert of_kind(events, RolledBack) == [RolledBack(8, 4, 0.5), RolledBack(8, 4, 0.25)]
    assert scripted.rates[6] == [5e-4, 2.5e-4, 1.25e-4]
    assert events[-1].reason == "12 steps are done"


@pytest.mark.parametrize(
    ("first", "steps", "place"),
    [
        (1, 3, "batch 3 of epoch 1"),
        (6, 8, "batch 2 of epoch 2"),
        (10, 12, "the last batch of epoch 2"),
    ],
)
def test_what_stays_other_than_finite_ends_with_an_error_that_names_the_batch(first, steps, place):
    with pytest.raises(RunError) as caught:
        Scripted(lambda step, rate: step < first, max_skipped_steps=2, max_steps=20).run()
    assert caught.value.message == (
        f"the loss or its gradient is not finite, in 3 steps in a row up to step {steps} ({place},"
        " 4 pairs of up to 3 source and 5 target tokens)."
    )
    assert "learning_rate" in caught.value.hint


def test_a_rollback_keeps_the_time_that_was_spent():
    scripted = Scripted(lambda step, rate: step <= 5 or rate <= 4e-4, max_skipped_steps=2)
    events = scripted.run()
    seconds = [event.seconds for event in of_kind(events, StepDone)]
    assert seconds == sorted(seconds)


# Memory.


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"batch_size": 4}, "Lower training.batch_size (4) or data.max_length"),
        ({"batch_tokens": 512}, "Lower training.batch_tokens (512) or data.max_length"),
    ],
)
def test_a_step_for_which_memory_is_too_short_names_the_batch_and_the_setting(settings, hint):
    def fail(step, rate):
        raise MemoryError

    with pytest.raises(RunError) as caught:
        Scripted(fail, **settings).run()
    assert caught.value.message == (
        "memory is too short for step 1: 4 pairs of up to 3 source and 5 target tokens."
    )
    assert caught.value.hint.startswith(hint)


def test_a_validation_for_which_memory_is_too_short_names_the_settings():
    def fail(step):
        raise MemoryError

    with pytest.raises(RunError) as caught:
        Scripted(losses=fail, validation_steps=2).run()
    assert caught.value.message == "memory is too short for the validation at step 2."
    assert "decoding.batch_size" in caught.value.hint
