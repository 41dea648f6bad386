"""The weights that are validated, translated with and exported, where training averages them."""

import numpy as np
import pytest
from conftest import train_in_process, write_config
from light_training import outcome, use_light_step
from step_cases import make_step, small_batch, small_model, weights_of

from s2s_cli.config.schema import Averaging
from s2s_cli.decoding.loading import load_model
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import RunError
from s2s_cli.evaluation.records import read_record
from s2s_cli.runs.checkpoint import read_inference_weights, read_weights
from s2s_cli.runs.run import Run
from s2s_cli.training.averaging import earlier_steps


def test_a_moving_average_follows_the_weights_and_skips_what_is_skipped(eagerly):
    seq2seq = small_model()
    averaging = {"method": "ema", "decay": 0.4}
    step = make_step(seq2seq, averaging=averaging, optimizer={"name": "sgd"})
    expected = weights_of(seq2seq)
    for number in range(1, 6):
        weight = np.inf if number == 4 else 1.0
        taken = step([small_batch(weight=weight)], number, 0.5)["is_finite"]
        assert taken == (number != 4)
        if taken:
            steps = number if number < 4 else number - 1
            decay = min(0.4, (1 + steps) / (10 + steps))
            for path, value in weights_of(seq2seq).items():
                expected[path] = decay * expected[path] + (1 - decay) * value
    for path, average in step.moving_averages.items():
        np.testing.assert_allclose(average.numpy(), expected[path], atol=1e-6)
        assert np.abs(average.numpy() - seq2seq.weights[path].numpy()).max() > 0


@pytest.mark.parametrize(
    ("step", "expected"),
    [(1, []), (10, []), (11, [10]), (20, [10]), (25, [20, 10]), (45, [40, 30]), (50, [40, 30])],
)
def test_checkpoints_are_averaged_with_the_latest_ones_at_multiples_of_the_interval(step, expected):
    settings = Averaging(method="checkpoints", checkpoints=3, interval=10)
    assert earlier_steps(settings, step) == expected
    assert earlier_steps(Averaging(checkpoints=3, interval=10), step) == []


@pytest.fixture
def averaged_run(tmp_path, settings, monkeypatch) -> Run:
    """A run whose best checkpoint is an average of three, by other averages than its neighbours."""
    use_light_step(monkeypatch)
    settings["training"].update(
        max_steps=13,
        validation_steps=6,
        checkpoint_steps=5,
        keep_checkpoints=1,
        averaging={"method": "checkpoints", "checkpoints": 3, "interval": 4},
        early_stopping={"metric": "loss"},
    )
    train_in_process(write_config(tmp_path / "c.yaml", settings), tmp_path / "run")
    return Run(tmp_path / "run")


@pytest.mark.slow
def test_the_mean_of_checkpoints_is_validated_saved_translated_with_and_exported(averaged_run):
    model = load_model(averaged_run, "12")
    folder, shapes = averaged_run.checkpoint(12), model.shapes
    # They are averaged again at the next step, so `keep_checkpoints: 1` does not remove them.
    weights = [read_weights(averaged_run.checkpoint(step), shapes) for step in (8, 12)]
    averaged = read_inference_weights(folder, shapes)
    fourth = {path: 3 * averaged[path] - sum(one[path] for one in weights) for path in shapes}
    changed = [path for path in shapes if (averaged[path] != weights[1][path]).any()]
    assert changed and not averaged_run.checkpoint(4).exists()
    for path, weight in model.weights.items():
        np.testing.assert_array_equal(weight.numpy(), averaged[path])
    # The light step pulls these weights at each step, so those of step 4 lie on the other side.
    assert all((fourth[path] != weights[0][path]).any() for path in changed)
    _, sentences = read_record(averaged_run.validation_translations(12))
    recorded = list(sentences)
    found = Translator.from_run(averaged_run, "12").translate([one["source"] for one in recorded])
    assert [one["log_probability"] for one in recorded] == [
        round(one.log_probability, 6) for one in found
    ]


@pytest.mark.slow
def test_averages_are_the_same_when_training_is_stopped_at_any_step(
    averaged_run, tmp_path, settings, monkeypatch
):
    config = write_config(tmp_path / "c.yaml", settings)
    for stop_after in (1, 4, 6):
        train_in_process(config, tmp_path / "pieces", stop_after=stop_after)
    train_in_process(config, tmp_path / "pieces")
    assert outcome(tmp_path / "pieces") == outcome(averaged_run.root)


@pytest.mark.slow
def test_averaging_that_begins_with_force_begins_at_the_weights(tmp_path, settings, monkeypatch):
    use_light_step(monkeypatch)
    settings["training"].update(max_steps=4, validation_steps=4)
    config = write_config(tmp_path / "c.yaml", settings)
    train_in_process(config, tmp_path / "run")
    overrides = ("training.averaging.method=ema", "training.max_steps=5")
    with pytest.raises(RunError, match=r'averaging\.method: "none" → "ema"'):
        train_in_process(config, tmp_path / "run", *overrides)
    train_in_process(config, tmp_path / "run", *overrides, force=True)
    run = Run(tmp_path / "run")
    shapes = load_model(run, "4").shapes
    # The light step does not move the averages.
    before = read_weights(run.checkpoint(4), shapes)
    averaged = read_inference_weights(run.checkpoint(5), shapes)
    assert all((before[path] == averaged[path]).all() for path in shapes)
