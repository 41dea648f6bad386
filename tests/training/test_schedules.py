"""The learning rate of a step."""

from types import SimpleNamespace

import pytest

from s2s_cli.config.schema import Training
from s2s_cli.config.schema.config import config_type
from s2s_cli.training.resolve import choose
from s2s_cli.training.schedules import learning_rate, warnings_about


class Store:
    """Forty pairs of five source and six target tokens, as far as a schedule sees them."""

    source, target = SimpleNamespace(values=[0] * 200), SimpleNamespace(values=[0] * 240)

    def __len__(self) -> int:
        return 40


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        ({"max_steps": 9, "batch_size": 1}, 9),
        ({"epochs": 3, "batch_size": 16}, 9),
        ({"epochs": 3, "batch_tokens": 100}, 9),
        ({"epochs": 3, "max_steps": 9, "batch_size": 1}, 9),
    ],
)
def test_a_warm_up_that_outlasts_the_training_is_warned_of(limits, steps):
    for warmup in (steps - 1, steps):
        schedule = {"name": "inverse_sqrt", "warmup_steps": warmup}
        training = Training(schedule=schedule, **limits)
        found = warnings_about(training, Store())
        assert found == (
            ()
            if warmup < steps
            else (
                "the warm-up of 9 steps does not end before the training, which takes some 9: the"
                " learning rate stays below 0.0005; lower training.schedule.warmup_steps, or train"
                " longer",
            )
        )


def test_the_length_of_a_training_limited_by_time_alone_is_not_known():
    training = Training(max_minutes=1, schedule={"name": "constant", "warmup_steps": 10**6})
    assert warnings_about(training, Store()) == ()


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"name": "constant"}, {1: 1.0, 50: 1.0}),
        ({"name": "constant", "warmup_steps": 4}, {1: 0.25, 4: 1.0, 9: 1.0}),
        ({"name": "inverse_sqrt", "warmup_steps": 4}, {2: 0.5, 4: 1.0, 16: 0.5}),
        ({"name": "cosine", "decay_steps": 100, "minimum": 0.2}, {50: 0.6, 100: 0.2, 500: 0.2}),
        ({"name": "plateau"}, {3: 0.25}),
        ({"name": "plateau", "minimum": 0.5}, {3: 0.5}),
    ],
)
def test_the_rate_of_each_schedule(schedule, expected):
    training = Training(schedule={"warmup_steps": 0, **schedule}, optimizer={"learning_rate": 1.0})
    for step, rate in expected.items():
        assert learning_rate(training, step, plateau_scale=0.25) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("architecture", "schedule", "max_steps", "expected"),
    [
        ("lstm", {}, None, ("constant", 0)),
        ("lstm", {"warmup_steps": 30}, None, ("constant", 30)),
        ("transformer", {}, None, ("inverse_sqrt", 2000)),
        ("transformer", {}, 100_000, ("inverse_sqrt", 2000)),
        ("transformer", {}, 8000, ("inverse_sqrt", 1000)),
        ("transformer", {}, 3, ("inverse_sqrt", 1)),
        ("transformer", {"warmup_steps": 30}, None, ("inverse_sqrt", 30)),
        ("transformer", {"name": "constant"}, None, ("constant", 0)),
        ("lstm", {"name": "inverse_sqrt"}, 800, ("inverse_sqrt", 100)),
        ("transformer", {"name": "plateau"}, None, ("plateau", 0)),
    ],
)
def test_auto_chooses_the_schedule_of_the_architecture(architecture, schedule, max_steps, expected):
    """And what a config says is left as it is."""
    config = config_type().model_validate(
        {
            "data": {"train": [{"tsv": "a.tsv"}], "validation": {"tsv": "b.tsv"}},
            "model": {"architecture": architecture},
            "training": {"schedule": schedule, "max_steps": max_steps, "bleu_tokenizer": "13a"},
        }
    )
    chosen = choose(config)
    found = tuple(chosen[f"training.schedule.{name}"] for name in ("name", "warmup_steps"))
    assert found == expected
