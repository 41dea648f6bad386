"""A training that begins with the weights and the tokenizer of another run."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from light_training import of_kind, outcome

from s2s_cli.errors import ConfigError, RunError
from s2s_cli.files import sha256
from s2s_cli.runs.checkpoint import read_all_inference_weights
from s2s_cli.runs.run import Run
from s2s_cli.training.events import ModelReady, TokenizerLearned, WeightsInitialized

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("light")]


@pytest.fixture
def settings(settings, trained):
    del settings["tokenizer"]
    settings["training"].update(max_steps=1, initialize_from=str(trained))
    # The saved weights are then those that the training began with.
    settings["training"]["optimizer"]["learning_rate"] = 1e-30
    return settings


def weights_of(run: Path, checkpoint: str = "latest") -> dict[str, np.ndarray]:
    return read_all_inference_weights(Run(run).find_checkpoint(checkpoint))


def tokens_of(run: Path, side: str) -> list[str]:
    lines = Run(run).tokenizer_file(side).with_suffix(".vocab").read_text().splitlines()
    return [line.split("\t")[0] for line in lines]


# The light step changes these.
CHANGED = ("source_embedding/embeddings", "output/bias")


def test_weights_and_tokenizer_are_taken_and_all_else_begins_anew(train, tmp_path, trained):
    events = train()
    best = Run(trained).find_checkpoint("best")
    (taken,) = of_kind(events, WeightsInitialized)
    assert (taken.run, taken.step) == (str(trained), int(best.name[5:]))
    assert taken.taken == taken.weights > 10
    assert (taken.not_taken, taken.shared_tokens) == ((), None)
    assert of_kind(events, ModelReady)[0].step == 0 and not of_kind(events, TokenizerLearned)
    before, after = weights_of(trained, "best"), weights_of(tmp_path / "run")
    assert all(np.array_equal(after[path], before[path]) for path in before if path not in CHANGED)
    for side in ("source", "target"):
        ours, theirs = (Run(run).tokenizer_file(side) for run in (tmp_path / "run", trained))
        assert ours.read_bytes() == theirs.read_bytes()
    config = Run(tmp_path / "run").config()
    assert config.tokenizer == Run(trained).config().tokenizer
    (record,) = (f for f in config.resolved.files if f.key == "training.initialize_from.run")
    assert record.sha256 == sha256(Path(record.path)) == sha256(best / "model.safetensors")


def test_a_run_that_resumes_does_not_need_the_other_run(train, tmp_path, settings, trained):
    copy = shutil.copytree(trained, tmp_path / "first")
    settings["training"].update(initialize_from=str(copy), max_steps=4)
    train(name="whole")
    train(name="pieces", stop_after=2)
    shutil.rmtree(copy)
    assert not of_kind(train(name="pieces"), WeightsInitialized)
    assert outcome(tmp_path / "pieces") == outcome(tmp_path / "whole")
    with pytest.raises(RunError, match=r"initialize_from.*makes a new run"):
        train("training.initialize_from=null", name="pieces")


def test_shared_tokens_keep_their_vectors_with_another_tokenizer(
    train, tmp_path, settings, trained, corpus
):
    for kind in ("digits", "words"):  # the sentences without one digit and its word
        lines = (corpus / f"train.{kind}").read_text().splitlines()
        kept = [line for line in lines if not {"7", "seven"} & set(line.split())]
        (tmp_path / f"few.{kind}").write_text("\n".join([*kept, "x"]) + "\n")
    settings["data"]["train"] = {
        "source": str(tmp_path / "few.digits"),
        "target": str(tmp_path / "few.words"),
    }
    settings["tokenizer"] = {"type": "char", "vocab_size": 60, "shared": False}
    settings["training"]["initialize_from"] = {"run": str(trained), "tokenizer": False}
    (taken,) = of_kind(train(), WeightsInitialized)
    before, after = weights_of(trained, "best"), weights_of(tmp_path / "run")
    for side, path, axis in (
        ("target", "target_embedding/embeddings", 0),
        ("target", "output/kernel", 1),
    ):
        old, new = tokens_of(trained, side), tokens_of(tmp_path / "run", side)
        assert new != old
        for row, token in enumerate(new):
            now = after[path].take(row, axis)
            if token in old:
                assert np.array_equal(now, before[path].take(old.index(token), axis))
            else:
                assert token == "x" or path not in CHANGED
    counts = [
        (side, len({*tokens_of(trained, side)} & {*new}), len(new))
        for side in ("source", "target")
        for new in [tokens_of(tmp_path / "run", side)]
    ]
    assert list(taken.shared_tokens) == counts
    assert taken.taken == taken.weights


def test_what_has_another_shape_is_reported(train, tmp_path):
    (taken,) = of_kind(train("model.decoder.units=16"), WeightsInitialized)
    assert 0 < taken.taken == taken.weights - len(taken.not_taken)
    assert "output/kernel has shape (16, 20), there (24, 20)" in taken.not_taken


def test_settings_of_another_tokenizer_are_refused(train, settings):
    settings["tokenizer"] = {"type": "char", "vocab_size": 50}
    with pytest.raises(ConfigError, match=r"differs: vocab_size is 50 \(60 there\)"):
        train()


def test_another_family_and_a_missing_run_are_refused(train, trained, tmp_path):
    with pytest.raises(ConfigError, match="architecture lstm, and model"):
        train("model={architecture: transformer}")
    with pytest.raises(RunError, match="not a run directory"):
        train(f"training.initialize_from={tmp_path / 'none'}")
    with pytest.raises(RunError, match="there is no checkpoint `77`"):
        train(f"training.initialize_from={{run: {trained}, checkpoint: 77}}")


def test_a_setting_that_does_not_fit_the_tokenizer_that_is_taken_is_refused(train):
    with pytest.raises(ConfigError, match="subword_sampling needs tokenizer"):
        train("training.subword_sampling.source=0.1")
