"""A run whose files are damaged resumes from what is whole, and ends as it would have ended."""

import shutil

import pytest
from conftest import tiny_settings, train_in_process, write_config
from light_training import damage, of_kind, outcome, use_light_step, use_light_validation

from s2s_cli.errors import RunError
from s2s_cli.runs.run import Run
from s2s_cli.training.events import CheckpointSaved, ModelReady, Repaired

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def light(monkeypatch):
    use_light_step(monkeypatch)
    use_light_validation(monkeypatch, lambda step: {"loss": 9 - step, "bleu": 3.0})


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    """A run of 12 steps with checkpoints of steps 4, 6, 8 and 12; the best is the last."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        use_light_step(patch)
        use_light_validation(patch, lambda step: {"loss": 9 - step, "bleu": 3.0})
        settings = tiny_settings(corpus)
        settings["training"]["keep_checkpoints"] = 4
        train_in_process(write_config(folder / "c.yaml", settings), folder / "run")
    return folder


@pytest.fixture
def run(finished, tmp_path) -> Run:
    """A copy that a test may damage."""
    return Run(shutil.copytree(finished / "run", tmp_path / "run"))


@pytest.fixture
def resume(finished, run):
    """Resumes the copy; its outcome must be that of the undisturbed run."""

    def train() -> list:
        events = train_in_process(finished / "c.yaml", run.root)
        assert outcome(run.root) == outcome(finished / "run")
        return events

    return train


FILES = [
    "model.safetensors",
    "optimizer.safetensors",
    "state.json",
    "checksums.json",
    "config.yaml",
    "metrics.jsonl",
]


@pytest.mark.parametrize("name", FILES)
def test_training_resumes_from_the_checkpoint_before_a_damaged_one(name, run, resume):
    damage(run.checkpoint(12) / name)
    events = resume()
    (repaired,) = of_kind(events, Repaired)
    named = f"step-00000012/{name}" if name != "checksums.json" else "step-00000012/"
    assert named in repaired.damage and "the checkpoint cannot be read: " in repaired.damage
    assert repaired.remedy == "resuming from step-00000008"
    assert of_kind(events, ModelReady)[0].step == 8


def test_the_steps_from_before_a_damaged_best_checkpoint_are_trained_again(run, finished):
    settings = ("training.early_stopping.metric=loss", "training.validation_steps=6")
    with pytest.MonkeyPatch.context() as patch:
        use_light_validation(patch, lambda step: {"loss": abs(step - 6.0), "bleu": 3.0})
        shutil.rmtree(run.root)
        train_in_process(finished / "c.yaml", run.root, *settings)
        assert run.best_step() == 6
        before = outcome(run.root)
        damage(run.checkpoint(6) / "model.safetensors")
        events = train_in_process(finished / "c.yaml", run.root, *settings)
    assert of_kind(events, ModelReady)[0].step == 4
    assert outcome(run.root) == before


def test_where_only_the_best_checkpoint_is_damaged_training_resumes_without_it(run, finished):
    for step in (4, 6, 12):
        shutil.rmtree(run.checkpoint(step))
    run.point("latest", run.checkpoint(8))  # its best is 6
    events = train_in_process(finished / "c.yaml", run.root)
    assert of_kind(events, ModelReady)[0].step == 8
    assert of_kind(events, CheckpointSaved)[-1].is_best
    assert run.best_step() == 12


def test_where_no_checkpoint_is_whole_all_are_named_and_nothing_is_touched(run, finished):
    for checkpoint in run.checkpoints():
        (checkpoint / "optimizer.safetensors").unlink()
    before = sorted(run.root.rglob("*"))
    with pytest.raises(RunError) as caught:
        train_in_process(finished / "c.yaml", run.root)
    for checkpoint in run.checkpoints():
        assert str(checkpoint / "optimizer.safetensors") in caught.value.message
    assert "restore one from a copy" in caught.value.hint
    assert sorted(run.root.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["config.yaml", "tokenizer/source.model", "tokenizer/target.vocab"]
)
@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_a_damaged_or_missing_file_is_restored_from_the_checkpoint(
    name, how, run, resume, finished
):
    shutil.rmtree(run.checkpoint(12))
    (damage if how == "damaged" else type(run.root).unlink)(run.root / name)
    events = resume()
    assert of_kind(events, Repaired) == [
        Repaired(f"{run.root / name}: it was edited or damaged", "restored from step-00000008")
    ]
    assert (run.root / name).read_bytes() == (finished / "run" / name).read_bytes()


def test_damaged_token_stores_and_a_damaged_lexicon_are_made_again(run, resume):
    shutil.rmtree(run.checkpoint(12))
    damage(run.store("train") / "target.bin")
    (run.store("validation") / "source.offsets.bin").unlink()
    damage(run.lexicon_file)
    resume()
    assert run.lexicon_file.is_file()


def test_a_replacement_that_was_cut_off_is_completed(run, resume):
    run.checkpoint(12).rename(run.checkpoint(12).with_name(".step-00000012.replaced"))
    (run.root / "checkpoints" / ".step-00000016.writing").mkdir()
    (run.root / "data" / ".train.writing").mkdir()
    assert of_kind(resume(), ModelReady)[0].step == 12
    assert not list(run.root.glob("*/.*"))


def test_a_state_of_another_kind_is_refused_with_its_file(run, finished):
    import json

    from s2s_cli.files import sha256

    for checkpoint in run.checkpoints():
        state = json.loads((checkpoint / "state.json").read_text())
        state["window"] = "none"
        (checkpoint / "state.json").write_text(json.dumps(state))
        sums = json.loads((checkpoint / "checksums.json").read_text())
        sums["state.json"] = sha256(checkpoint / "state.json")
        (checkpoint / "checksums.json").write_text(json.dumps(sums))
    with pytest.raises(RunError, match=r"step-00000012/state\.json: the checkpoint cannot be read"):
        train_in_process(finished / "c.yaml", run.root)


def test_translating_with_a_vocabulary_of_another_run_is_refused(run):
    from s2s_cli.decoding.translator import load_tokenizers

    config, checkpoint = run.config(), run.find_checkpoint("best")
    load_tokenizers(run, config, checkpoint)
    shutil.copy(run.tokenizer_file("target"), run.tokenizer_file("source"))
    with pytest.raises(RunError, match="tokenizer"):
        load_tokenizers(run, config, checkpoint)
