"""A tiny corpus, a tiny config, and one tiny trained run that tests share."""

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

os.environ["CUDA_VISIBLE_DEVICES"] = ""

from s2s_cli import runtime

# A test that lays out its own devices must be the first to start TensorFlow.
if "S2S_TESTS_LEAVE_TENSORFLOW_ALONE" not in os.environ:
    runtime.start(2)

# Searches are kept there, and not among those of whoever runs the tests.
CACHE = tempfile.TemporaryDirectory(prefix="s2s-tests-")
os.environ.setdefault("XDG_CACHE_HOME", CACHE.name)

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parallel files: digits, and the words for them."""
    folder = tmp_path_factory.mktemp("corpus")
    chooser = random.Random(3)
    for name, size in (("train", 240), ("validation", 24)):
        numbers = [
            [chooser.randrange(10) for _ in range(chooser.randint(1, 6))] for _ in range(size)
        ]
        sources = "".join(" ".join(map(str, number)) + "\n" for number in numbers)
        targets = "".join(" ".join(DIGITS[i] for i in number) + "\n" for number in numbers)
        (folder / f"{name}.digits").write_text(sources)
        (folder / f"{name}.words").write_text(targets)
    return folder


def tiny_settings(corpus: Path) -> dict:
    """A config that trains in seconds."""
    return {
        "data": {
            "train": {
                "source": str(corpus / "train.digits"),
                "target": str(corpus / "train.words"),
            },
            "validation": {
                "source": str(corpus / "validation.digits"),
                "target": str(corpus / "validation.words"),
            },
        },
        "tokenizer": {"type": "char", "vocab_size": 60, "shared": False},
        "model": {
            "architecture": "lstm",
            "embedding": {"size": 8},
            "encoder": {"units": 12},
            "decoder": {"units": 24},
            "dropout": 0.2,
        },
        "training": {
            "max_steps": 12,
            "batch_size": 24,
            "precision": "float32",
            "optimizer": {"learning_rate": 0.01},
            "validation_steps": 6,
            "checkpoint_steps": 4,
            "log_steps": 3,
        },
        "decoding": {"max_length": 20},
    }


def write_config(path: Path, settings: dict) -> Path:
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture
def settings(corpus: Path) -> dict:
    return tiny_settings(corpus)


@pytest.fixture(scope="session")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a training that is done."""
    folder = tmp_path_factory.mktemp("trained")
    config = write_config(folder / "tiny.yaml", tiny_settings(corpus))
    train_in_process(config, folder / "run")
    return folder / "run"


def train_in_process(
    config: Path, run: Path, *overrides: str, stop_after: int | None = None, force: bool = False
):
    """All events of a training in this process; stops in order after a number of steps."""
    import keras

    from s2s_cli.commands.train import train
    from s2s_cli.config import load_config
    from s2s_cli.events import StepDone
    from s2s_cli.run import Run

    loaded = load_config(config, overrides)
    keras.utils.set_random_seed(loaded.training.seed)
    events = []

    def stop_requested() -> bool:
        steps = sum(isinstance(event, StepDone) for event in events)
        return stop_after is not None and steps >= stop_after

    for event in train(Run(run), loaded, threads=2, force=force, stop_requested=stop_requested):
        events.append(event)
    return events


def s2s(*arguments: object, stdin: str | bytes = "", cwd: Path | None = None):
    """Runs the program as a person does: a new process, piped."""
    given = stdin if isinstance(stdin, bytes) else stdin.encode()
    process = subprocess.run(
        [sys.executable, "-m", "s2s_cli", *map(str, arguments)],
        input=given,
        capture_output=True,
        check=False,
        cwd=cwd,
    )
    process.out, process.err = process.stdout.decode(), process.stderr.decode()
    return process
