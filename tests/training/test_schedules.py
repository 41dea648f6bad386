"""The learning rate of a step."""

import pytest

from s2s_cli.config.schema import Training
from s2s_cli.training.schedules import learning_rate


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
    training = Training(schedule=schedule, optimizer={"learning_rate": 1.0})
    for step, rate in expected.items():
        assert learning_rate(training, step, plateau_scale=0.25) == pytest.approx(rate)
