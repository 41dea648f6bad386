"""The run directory: its config, its pointers, its lock, and what else it does not touch."""

import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import CONSTANT, tiny_settings, train_in_process, write_config

from s2s_cli.config.load import load_config
from s2s_cli.config.resolved import requested_settings, resolve_config
from s2s_cli.config.schema import Resolved
from s2s_cli.errors import RunError
from s2s_cli.runs.run import Run


def make_resolved(settings, tmp_path, **chosen):
    config = load_config(write_config(tmp_path / "c.yaml", settings))
    files = [{"key": "data.train.0.source", "path": "/a", "sha256": "0"}]
    resolved = Resolved(files=files, versions={"keras": "3"}, plan_version=2)
    return config, resolve_config(config, {**CONSTANT, **chosen}, resolved)


@pytest.fixture
def run(tmp_path) -> Run:
    """A run with two checkpoints, which are empty."""
    run = Run(tmp_path / "run")
    for step in (4, 12):
        run.checkpoint(step).mkdir(parents=True)
    run.point("best", run.checkpoint(4))
    run.point("latest", run.checkpoint(12))
    return run


# The config.


def test_the_config_of_a_run_is_read_back_as_it_was_written(tmp_path, settings):
    settings["training"]["precision"] = "auto"
    settings["training"]["schedule"] = {"name": "cosine"}
    config, resolved = make_resolved(
        settings,
        tmp_path,
        **{
            "training.precision": "bfloat16",
            "training.schedule.name": "cosine",
            "training.schedule.decay_steps": 12,
            "decoding.precision": "float32",
            "decoding.max_source_length": 100,
        },
    )
    run = Run(tmp_path / "run")
    run.create(resolved)
    assert run.config() == resolved
    written = yaml.safe_load(run.config_file.read_text())
    assert next(iter(written)) == "format" and written["format"] == 3
    assert written["resolved"] == {
        "requested": {
            "training.precision": "auto",
            "training.schedule.warmup_steps": None,
            "training.schedule.decay_steps": None,
            "decoding.max_source_length": None,
        },
        "files": [{"key": "data.train.0.source", "path": "/a", "sha256": "0"}],
        "versions": {"keras": "3"},
        "held_out_below": None,
        "plan_version": 2,
        "forced": [],
    }
    assert run.config().training.precision == "bfloat16"
    assert requested_settings(run.config()) == requested_settings(config)


def test_a_trained_run_names_the_files_and_versions_that_it_was_trained_with(trained):
    import keras

    config = Run(trained).config()
    assert [file.key for file in config.resolved.files] == [
        "data.train.0.source",
        "data.train.0.target",
        "data.validation.source",
        "data.validation.target",
    ]
    assert config.resolved.versions["keras"] == keras.__version__
    assert config.resolved.requested == {
        "training.schedule.name": "auto",
        "training.schedule.warmup_steps": None,
        "decoding.max_source_length": None,
    }
    assert config.decoding.max_source_length == config.data.max_length == 100


def test_an_edited_config_is_refused(tmp_path, settings):
    _, resolved = make_resolved(settings, tmp_path)
    run = Run(tmp_path / "run")
    run.create(resolved)
    text = run.config_file.read_text()
    run.config_file.write_text(text.replace("dropout: 0.2", "dropout: 0.3"))
    with pytest.raises(RunError, match="it was edited or damaged") as caught:
        run.config()
    assert caught.value.hint.startswith("`s2s train` on this run restores it")


@pytest.mark.parametrize(
    ("line", "found"),
    [("", "1 of an earlier"), ("format: 2\n", "2 of an earlier"), ("format: 4\n", "4 of a later")],
)
def test_a_run_of_another_format_is_refused_with_one_sentence(tmp_path, settings, line, found):
    _, resolved = make_resolved(settings, tmp_path)
    run = Run(tmp_path / "run")
    run.create(resolved)
    text = run.config_file.read_text()
    run.config_file.write_text(text.replace("format: 3\n", line))
    with pytest.raises(RunError) as caught:
        run.config()
    assert caught.value.message == (
        f"{run.config_file}: this run has format {found} version of s2s; this version reads"
        " format 3."
    )


def test_a_directory_without_a_config_is_no_run(tmp_path):
    with pytest.raises(RunError, match="this is not a run directory"):
        Run(tmp_path).config()


def test_a_run_that_is_made_anew_forgets_the_vocabularies_of_an_earlier_start(tmp_path, settings):
    _, resolved = make_resolved(settings, tmp_path)
    run = Run(tmp_path / "run")
    run.create(resolved)
    (run.tokenizer_folder / "source.model").write_text("learned from an earlier corpus")
    run.samples_file.write_text("a sentence\n")
    run.create(resolved)
    assert not list(run.tokenizer_folder.iterdir()) and not run.samples_file.exists()


# Checkpoints and pointers.


def test_checkpoints_are_found_by_name_and_by_step(run):
    assert run.find_checkpoint("best") == run.find_checkpoint("4") == run.checkpoint(4)
    assert run.find_checkpoint("latest") == run.find_checkpoint("0012") == run.checkpoint(12)
    assert run.best_step() == 4
    assert run.checkpoints() == [run.checkpoint(4), run.checkpoint(12)]
    assert run.newest_checkpoints() == [run.checkpoint(12), run.checkpoint(4)]


@pytest.mark.parametrize("name", ["5", "99999999999", "worst", "step-00000004", "-1", "../x", ""])
def test_a_checkpoint_that_does_not_exist_is_an_error(run, name):
    with pytest.raises(RunError) as caught:
        run.find_checkpoint(name)
    assert "4, 12" in caught.value.hint or "it must be best, latest or a step" in (
        caught.value.message
    )


@pytest.mark.parametrize("content", [b"", b"\xff", b"../../etc\n", b"step-00000005\n", b"step-4"])
def test_a_damaged_pointer_names_no_checkpoint(run, content):
    (run.root / "checkpoints" / "latest").write_bytes(content)
    assert run.pointed("latest") is None
    assert run.newest_checkpoints() == [run.checkpoint(12), run.checkpoint(4)]


# The lock, and foreign directories.

HOLDER = "import sys; from pathlib import Path; from s2s_cli.runs.run import Run\n"
HOLDER += "with Run(Path(sys.argv[1])).lock(): print('locked', flush=True); sys.stdin.read()"


def test_a_second_training_in_one_directory_is_refused(run):
    command = [sys.executable, "-c", HOLDER, str(run.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"locked\n"
        with (
            pytest.raises(RunError, match="another process is training in this directory"),
            run.lock(),
        ):
            pass
        holder.kill()
    with run.lock():
        pass


@pytest.mark.parametrize("name", ["notes.txt", "config.yaml"])
def test_a_directory_of_something_else_is_left_alone(name, tmp_path, corpus):
    (tmp_path / "mine" / "data" / ".git.writing").mkdir(parents=True)
    (tmp_path / "mine" / name).write_text("data: {}\n")
    before = sorted((tmp_path / "mine").rglob("*"))
    config = write_config(tmp_path / "c.yaml", tiny_settings(corpus))
    with pytest.raises(RunError, match="this directory holds something else than a run"):
        train_in_process(config, tmp_path / "mine")
    assert sorted((tmp_path / "mine").rglob("*")) == before


def test_a_directory_that_cannot_be_made_names_the_reason(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(RunError, match="cannot be written: "),
        Run(tmp_path / "file" / "run").lock(),
    ):
        pass


def test_what_was_being_written_when_a_training_was_killed_is_removed(run):
    run.checkpoint(12).rename(run.checkpoint(12).with_name(".step-00000012.replaced"))
    for left in ("checkpoints/.step-00000016.writing", "data/.train.writing", "checkpoints/.mine"):
        (run.root / left).mkdir(parents=True)
    shutil.copytree(run.checkpoint(4), run.root / "checkpoints" / ".step-00000004.removed")
    with run.lock():
        assert run.checkpoints() == [run.checkpoint(4), run.checkpoint(12)]
    hidden = [path.name for path in run.root.glob("*/.*")]
    assert hidden == [".mine"]
