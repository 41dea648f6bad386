"""Where memory is short, the message names the setting to lower; `auto` finds a size that fits."""

import pytest
import tensorflow as tf
from conftest import train_in_process, write_config

from s2s_cli import runtime
from s2s_cli.commands.translate import Layout, Oddities, translate_lines
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import RunError, S2SError
from s2s_cli.run import Run
from s2s_cli.schema import Config
from s2s_cli.training.memory import bytes_a_token, fitting_batch_tokens
from s2s_cli.training.step import TrainingStep


def config(**training) -> Config:
    return Config.model_validate({"data": {"train": {"tsv": "a"}}, "training": training})


def refuse(*_):
    raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


def test_a_step_that_takes_too_much_names_the_batch_and_the_setting(
    settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(TrainingStep, "_run", refuse)
    with pytest.raises(RunError) as caught:
        train_in_process(write_config(tmp_path / "tiny.yaml", settings), tmp_path / "run")
    assert caught.value.message.startswith("memory is too short for step 1: 24 pairs of up to ")
    assert caught.value.hint.startswith("Lower training.batch_size (24) or data.max_length")


def test_a_search_that_takes_too_much_names_its_settings(trained):
    translator = Translator.from_run(Run(trained))
    translator._search = refuse
    with pytest.raises(S2SError) as caught:
        list(translate_lines(translator, ["1 2"], Layout(), Oddities()))
    assert caught.value.message == (
        "memory is too short to translate 128 sentences at once, each of up to 100 pieces."
    )
    assert caught.value.hint == "Lower --batch-size, --beam-size or --max-source-length."


def test_batch_tokens_are_halved_until_a_step_takes_half_of_what_is_free():
    asked = config(batch_tokens="auto")
    step = 4096 * bytes_a_token(asked)
    assert fitting_batch_tokens(asked, None) == 4096
    assert fitting_batch_tokens(asked, 2 * step) == 4096
    assert fitting_batch_tokens(asked, 2 * step - 1) == 2048
    assert fitting_batch_tokens(asked, step // 3) == 512
    assert fitting_batch_tokens(asked, 1) == 256


def test_auto_is_resolved_once_and_is_no_change_on_resuming(settings, tmp_path, monkeypatch):
    settings["training"].update(batch_size=None, batch_tokens="auto", max_steps=4)
    path = write_config(tmp_path / "tiny.yaml", settings)
    monkeypatch.setattr(runtime, "available_memory", lambda: 15_000_000)
    train_in_process(path, tmp_path / "run")
    kept = Run(tmp_path / "run").config()
    assert kept.training.batch_tokens == "auto" and kept.resolved_training.batch_tokens == 1024
    monkeypatch.setattr(runtime, "available_memory", lambda: None)
    train_in_process(path, tmp_path / "run", "training.max_steps=6")
    assert Run(tmp_path / "run").config().resolved_training.batch_tokens == 1024


def test_linux_tells_how_much_is_free():
    assert runtime.available_memory() is None or runtime.available_memory() > 1 << 20
