"""What a training is worth after something went wrong: a stop, damage, another setting, bad numbers."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import train_in_process, write_config
from test_training import final_weights

from s2s_cli.errors import RunError
from s2s_cli.events import (
    CheckpointDue,
    Finished,
    Mended,
    ModelReady,
    SetBack,
    StepDone,
    StepSkipped,
)
from s2s_cli.run import Run
from s2s_cli.schema import Training
from s2s_cli.text.batches import Plan, plan_in_order
from s2s_cli.training import loop

TIMES = {"seconds", "source_tokens_per_second", "target_tokens_per_second"}


def metrics(run: Path) -> list[dict]:
    """What a run has recorded, times aside."""
    lines = Run(run).metrics_file.read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]


def everything(run: Path) -> tuple:
    """All of a run that must not depend on what happened on the way."""
    translations = {
        path.name: path.read_bytes() for path in sorted((run / "translations").iterdir())
    }
    best = Run(run).find_checkpoint("best").name
    return final_weights(run), metrics(run), translations, best


@pytest.fixture(scope="module")
def undisturbed(trained):
    return everything(trained)


@pytest.fixture
def config(tmp_path, settings):
    return write_config(tmp_path / "c.yaml", settings)


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("stop_after", [1, 6, 7, 12])
def test_a_stop_after_any_step_changes_nothing(stop_after, tmp_path, config, undisturbed):
    train_in_process(config, tmp_path / "run", stop_after=stop_after)
    train_in_process(config, tmp_path / "run")
    assert everything(tmp_path / "run") == undisturbed


@pytest.mark.parametrize("step", [6, 12])
def test_a_validation_that_was_cut_off_is_done_when_training_goes_on(
    step, tmp_path, config, undisturbed, monkeypatch
):
    from s2s_cli.commands import train as command

    validation = command._validation

    def cut_off(*arguments):
        validate = validation(*arguments)

        def cut_off_validate(at):
            if at == step:
                raise loop.StoppedError
            return validate(at)

        return cut_off_validate

    with monkeypatch.context() as patched:
        patched.setattr(command, "_validation", cut_off)
        events = train_in_process(config, tmp_path / "run")
        assert events[-1] == Finished(step, "it was interrupted", True, events[-1].seconds)
    train_in_process(config, tmp_path / "run")
    assert everything(tmp_path / "run") == undisturbed


def test_a_stop_is_heard_within_a_validation(tmp_path, config):
    events = train_in_process(config, tmp_path / "run", stop_after=6)
    assert not [event for event in events if type(event).__name__ == "Validated"]


def test_a_training_that_was_killed_between_two_checkpoints_repeats_no_line(
    tmp_path, config, undisturbed
):
    events = train_in_process(config, tmp_path / "run", stop_after=4)
    with open(Run(tmp_path / "run").metrics_file, "a") as file:
        file.write('{"event": "progress", "step": 6}\n{"event": "prog')
    assert of_kind(events, CheckpointDue)[-1].step == 4
    train_in_process(config, tmp_path / "run")
    train_in_process(config, tmp_path / "run")
    assert everything(tmp_path / "run") == undisturbed


CHECKPOINT_FILES = ["model.weights.h5", "optimizer.npz", "state.json", "checksums.json"]


@pytest.mark.parametrize("name", [*CHECKPOINT_FILES, "config.yaml", "metrics.jsonl"])
def test_for_a_damaged_checkpoint_the_one_before_it_is_taken(
    name, trained, undisturbed, config, tmp_path
):
    run = Run(shutil.copytree(trained, tmp_path / "run"))
    damage(run.find_checkpoint("latest") / name)
    events = train_in_process(config, run.root)
    (mended,) = of_kind(events, Mended)
    named = f"step-00000012/{name}" if name != "checksums.json" else "step-00000012/"
    assert named in mended.damage and "the checkpoint cannot be read: " in mended.damage
    assert mended.remedy.startswith("going on from step-0000000")
    assert of_kind(events, ModelReady)[0].step < 12
    assert everything(run.root) == undisturbed


def test_where_the_best_checkpoint_is_damaged_the_steps_to_it_are_taken_again(
    tmp_path, settings, config
):
    settings["training"]["early_stopping"] = {"metric": "loss"}
    config = write_config(tmp_path / "c.yaml", settings)
    train_in_process(config, tmp_path / "run")
    before = everything(tmp_path / "run")
    run = Run(tmp_path / "run")
    assert run.best_step() == 12
    damage(run.find_checkpoint("best") / "model.weights.h5")
    train_in_process(config, run.root)
    assert everything(run.root) == before


def test_where_no_checkpoint_is_whole_all_are_named_and_nothing_is_touched(
    trained, config, tmp_path
):
    run = Run(shutil.copytree(trained, tmp_path / "run"))
    for checkpoint in run.checkpoints():
        (checkpoint / "optimizer.npz").unlink()
    with pytest.raises(RunError) as caught:
        train_in_process(config, run.root)
    for checkpoint in run.checkpoints():
        assert str(checkpoint / "optimizer.npz") in caught.value.message
    assert "bring one back from a copy" in caught.value.hint


@pytest.mark.parametrize(
    "name", ["config.yaml", "tokenizer/source.model", "tokenizer/target.vocab"]
)
@pytest.mark.parametrize("how", [damage, Path.unlink])
def test_a_damaged_or_missing_file_of_a_run_is_restored_from_its_checkpoint(
    name, how, trained, undisturbed, config, tmp_path
):
    run = Run(shutil.copytree(trained, tmp_path / "run"))
    shutil.rmtree(run.checkpoint(12))
    how(run.root / name)
    events = train_in_process(config, run.root)
    assert [mended.damage for mended in of_kind(events, Mended)] == [
        f"{run.root / name}: it was changed or damaged"
    ]
    assert (run.root / name).read_bytes() == (trained / name).read_bytes()
    assert everything(run.root) == undisturbed


def test_a_damaged_token_store_is_made_again(trained, undisturbed, config, tmp_path):
    run = Run(shutil.copytree(trained, tmp_path / "run"))
    shutil.rmtree(run.checkpoint(12))
    damage(run.store("train") / "target.bin")
    (run.store("validation") / "source.offsets.bin").unlink()
    train_in_process(config, run.root)
    assert everything(run.root) == undisturbed


def test_what_a_cut_off_write_has_left_is_put_right(trained, undisturbed, config, tmp_path):
    run = Run(shutil.copytree(trained, tmp_path / "run"))
    run.checkpoint(12).rename(run.checkpoint(12).with_name(".step-00000012.replaced"))
    (run.root / "checkpoints" / ".step-00000016.writing").mkdir()
    (run.root / "data" / ".train.writing").mkdir()
    events = train_in_process(config, run.root)
    assert of_kind(events, ModelReady)[0].step == 12
    assert not list(run.root.glob("*/.*")) and everything(run.root) == undisturbed


def test_translating_with_a_vocabulary_of_another_run_is_refused(trained, tmp_path):
    from s2s_cli.decoding.translator import Translator

    run = Run(shutil.copytree(trained, tmp_path / "run"))
    shutil.copy(run.tokenizer_file("target", False), run.tokenizer_file("source", False))
    with pytest.raises(RunError, match="the tokenizer is not the one of the checkpoint"):
        Translator.from_run(run)


@pytest.mark.parametrize("name", ["notes.txt", "config.yaml"])
def test_a_directory_of_something_else_is_left_alone(name, tmp_path, config):
    (tmp_path / "mine" / "data" / ".git.writing").mkdir(parents=True)
    (tmp_path / "mine" / name).write_text("data: {}\n")
    before = sorted((tmp_path / "mine").rglob("*"))
    with pytest.raises(RunError, match="there is something else here than a run directory"):
        train_in_process(config, tmp_path / "mine")
    assert sorted((tmp_path / "mine").rglob("*")) == before


HOLDER = "import sys; from pathlib import Path; from s2s_cli.run import Run\n"
HOLDER += "with Run(Path(sys.argv[1])).lock(): print('locked', flush=True); sys.stdin.read()"


def test_a_second_training_in_one_directory_is_refused(trained, config, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    command = [sys.executable, "-c", HOLDER, str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(RunError, match="another process is training in this directory"):
            train_in_process(config, run)
        holder.kill()
    train_in_process(config, run)


def test_changed_settings_are_told_with_what_they_need(trained, config):
    changes = ("model.decoder.units=16", "training.label_smoothing=0.2", "training.max_steps=14")
    with pytest.raises(RunError) as caught:
        train_in_process(config, trained, *changes)
    assert caught.value.message.splitlines()[1:] == [
        "  model.decoder.units: 24 → 16  (makes a new run)",
        "  training.max_steps: 12 → 14  (safe)",
        "  training.label_smoothing: 0.1 → 0.2  (needs --force)",
    ]
    assert "--force" not in caught.value.hint
    with pytest.raises(RunError) as caught:
        train_in_process(config, trained, *changes[1:])
    assert caught.value.hint.startswith("Give --force to go on with them.")


def test_a_forced_change_is_kept_in_the_config_and_begins_the_epoch_again(
    trained, config, tmp_path
):
    run = Run(shutil.copytree(trained, tmp_path / "run"))
    changes = ("training.batch_size=12", "training.max_steps=14")
    events = train_in_process(config, run.root, *changes, force=True)
    assert of_kind(events, StepDone)[0].index == 1
    assert run.config().resolved.forced == ["step 12: training.batch_size: 24 → 12"]
    stopped = Run(shutil.copytree(trained, tmp_path / "stopped"))
    train_in_process(config, stopped.root, *changes, force=True, stop_after=1)
    train_in_process(config, stopped.root, *changes)
    assert final_weights(stopped.root) == final_weights(run.root)


# Numbers that are not finite, with no model.


class ScriptedStep:
    """Takes every step but those it is told to find not finite."""

    def __init__(self, ruined):
        self.ruined, self.rates = ruined, {}

    def __call__(self, batch, step, rate):
        self.rates.setdefault(step, []).append(rate)
        sums = {"loss": 1.0, "nll": 1.0, "correct": 0.0, "weight": 1.0}
        return {**sums, "is_finite": float(not self.ruined(step, rate))}


def scripted(ruined, trained, **settings):
    """The events of a training of 12 steps; a set-back restores what was saved last."""
    from s2s_cli.text.store import _mapped

    folder = Run(trained).store("validation")
    store = _mapped(folder, json.loads((folder / "store.json").read_text()))
    plan = plan_in_order(store, batch_size=4)
    training = Training(max_steps=12, checkpoint_steps=4, max_skipped_steps=2, **settings)
    state, saved, events = loop.TrainingState(), {}, []
    step = ScriptedStep(ruined)
    order = Plan(plan.order, plan.starts)
    for event in loop.train(step, store, lambda epoch: order, training, state, validate=None):
        events.append(event)
        if isinstance(event, CheckpointDue):
            saved = dict(vars(state))
        if isinstance(event, SetBack):
            vars(state).update(saved)
    return events, step


def test_a_few_steps_that_are_not_finite_are_skipped_and_counted(trained):
    events, _ = scripted(lambda step, _: step in (3, 6, 7), trained, log_steps=12)
    assert [(e.step, e.in_a_row) for e in of_kind(events, StepSkipped)] == [(3, 1), (6, 1), (7, 2)]
    (progress,) = (event for event in events if type(event).__name__ == "Progress")
    assert (progress.skipped, progress.loss) == (3, 1.0)
    assert events[-1].reason == "12 steps are done"


def test_what_was_saved_while_steps_were_skipped_is_nothing_to_go_back_to(trained):
    events, _ = scripted(lambda step, _: step in (4, 8), trained)
    assert [event.step for event in of_kind(events, CheckpointDue)] == [12]


def test_where_nothing_is_finite_any_more_training_goes_back_at_a_lower_rate(trained):
    events, step = scripted(lambda step, rate: step > 5 and rate > 2e-4, trained)
    assert of_kind(events, SetBack) == [SetBack(8, 4, 0.5), SetBack(8, 4, 0.25)]
    assert step.rates[6] == [5e-4, 2.5e-4, 1.25e-4]
    assert events[-1].reason == "12 steps are done"


@pytest.mark.parametrize(("first", "steps"), [(1, 3), (6, 8)])
def test_what_stays_other_than_finite_ends_with_the_batch_named(first, steps, trained):
    with pytest.raises(RunError) as caught:
        scripted(lambda step, _: step >= first, trained)
    assert f"not finite, in 3 steps in a row up to step {steps} (batch" in caught.value.message
    assert "of epoch" in caught.value.message and "learning_rate" in caught.value.hint
