"""Trainings whose subwords are drawn anew in each epoch."""

import shutil
from pathlib import Path

import pytest
from conftest import write_config
from light_training import of_kind, outcome, saved_arrays

from s2s_cli.config.load import load_config
from s2s_cli.errors import ConfigError, RunError
from s2s_cli.runs.run import Run
from s2s_cli.training.events import EpochRestarted, ModelReady, SubwordsSampled

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("light")]


@pytest.fixture
def settings(settings):
    """Epochs of 10 steps, of which 25 are taken."""
    settings["tokenizer"] = {"type": "bpe", "vocab_size": 40}
    settings["training"].update(
        subword_sampling={"source": 0.2, "target": 0.2}, max_steps=25, checkpoint_steps=5
    )
    return settings


def stores(run: Path) -> dict[str, dict[str, bytes]]:
    """The files of the ids that are stored for epochs."""
    return {
        folder.name: {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in Run(run).epoch_stores()
    }


def test_a_training_interrupted_in_an_epoch_draws_the_same_ids_and_ends_with_the_same_bits(
    train, tmp_path
):
    (sampled,) = of_kind(train(name="whole"), SubwordsSampled)
    assert sampled.tokens > sampled.plain_tokens and sampled.unchanged == 0
    train(name="pieces", stop_after=13)
    before = stores(tmp_path / "pieces")["train-epoch-2"]
    shutil.rmtree(tmp_path / "pieces" / "data")
    drawn = []

    def note(event):
        if isinstance(event, ModelReady):
            drawn.append(stores(tmp_path / "pieces"))

    events = train(name="pieces", on_event=note)
    assert of_kind(events, ModelReady)[0].step == 13 and not of_kind(events, EpochRestarted)
    assert drawn == [{"train-epoch-2": before}]
    assert outcome(tmp_path / "pieces") == outcome(tmp_path / "whole")


def test_the_stores_of_past_epochs_are_removed(train, tmp_path):
    train("training.max_steps=null", "training.epochs=3")
    assert list(stores(tmp_path / "run")) == ["train-epoch-3"]
    train("training.epochs=4", "training.subword_sampling={}", force=True)
    assert stores(tmp_path / "run") == {}


def test_the_plain_ids_are_stored_as_without_sampling_and_others_are_trained_on(train, tmp_path):
    for name, override in (("plain", "{}"), ("sampled", "{source: 0.2, target: 0.2}")):
        train(f"training.subword_sampling={override}", "training.max_steps=1", name=name)
    runs = tmp_path / "sampled", tmp_path / "plain"
    first, second = ((run / "data" / "train" / "source.bin").read_bytes() for run in runs)
    assert first == second
    assert saved_arrays(runs[0]) != saved_arrays(runs[1])


def test_another_sampling_restarts_the_epoch_and_needs_force(train):
    train(stop_after=13)
    with pytest.raises(RunError, match=r"subword_sampling\.target: 0\.2 → null  \(needs --force"):
        train("training.subword_sampling.target=null")
    events = train("training.subword_sampling.target=null", force=True, stop_after=1)
    assert of_kind(events, EpochRestarted) == [EpochRestarted(2)]


@pytest.mark.parametrize("type_", ["word", "char"])
def test_tokens_that_are_cut_in_one_way_only_are_refused(settings, tmp_path, type_):
    settings["tokenizer"]["type"] = type_
    with pytest.raises(ConfigError, match="subword_sampling needs tokenizer"):
        load_config(write_config(tmp_path / "c.yaml", settings))
