"""A tiny corpus, a tiny config, and one tiny trained run that tests share."""

from __future__ import annotations

import copy
import io
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import filelock
import pytest
import yaml

os.environ["CUDA_VISIBLE_DEVICES"] = ""

from s2s_cli import runtime

# Modules beside the tests of models that other tests use too, such as a second family of models.
sys.path.append(str(Path(__file__).parent / "model"))

# Search graphs are cached there, and not in the cache of whoever runs the tests.
CACHE = tempfile.TemporaryDirectory(prefix="s2s-tests-")
os.environ.setdefault("XDG_CACHE_HOME", CACHE.name)

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def pytest_configure(config: pytest.Config) -> None:
    """Starts TensorFlow, but not in the process that only distributes tests to others."""
    is_worker = hasattr(config, "workerinput")
    if is_worker or not config.getoption("numprocesses", None):
        runtime.start(2)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first of the parallel test processes makes, and the others use."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / name, root / f"{name}.done"
    with filelock.FileLock(root / f"{name}.lock"):
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parallel files: digits, and the words for them."""
    return made_once(tmp_path_factory, "corpus", _write_corpus)


def _write_corpus(folder: Path) -> None:
    chooser = random.Random(3)
    for name, size in (("train", 240), ("validation", 24)):
        numbers = [
            [chooser.randrange(10) for _ in range(chooser.randint(1, 6))] for _ in range(size)
        ]
        sources = "".join(" ".join(map(str, number)) + "\n" for number in numbers)
        targets = "".join(" ".join(DIGITS[i] for i in number) + "\n" for number in numbers)
        (folder / f"{name}.digits").write_text(sources)
        (folder / f"{name}.words").write_text(targets)


# One for each family of models, with the settings of a tiny one.
MODELS = {
    "lstm": {"embedding": {"size": 8}, "encoder": {"units": 12}, "decoder": {"units": 24}},
    "transformer": {
        "embedding": {"size": 16, "tied": True},
        "heads": 2,
        "feed_forward": 24,
        "encoder": {"layers": 1},
        "decoder": {"layers": 1},
        "attention_dropout": 0.1,
    },
}


# The schedule that `auto` chooses for the tiny LSTM, by dotted key.
CONSTANT = {"training.schedule.name": "constant", "training.schedule.warmup_steps": 0}


def tiny_settings(corpus: Path, architecture: str = "lstm") -> dict:
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
            "architecture": architecture,
            **copy.deepcopy(MODELS[architecture]),
            "dropout": 0.2,
        },
        "training": {
            "max_steps": 12,
            "batch_size": 24,
            "bleu_tokenizer": "13a",
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
def trained_as(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns the run directory of a finished training of an architecture, which is made once.

    No test may change it.
    """

    def run_of(architecture: str) -> Path:
        def train(folder: Path) -> None:
            config = write_config(folder / "tiny.yaml", tiny_settings(corpus, architecture))
            train_in_process(config, folder / "run")

        return made_once(tmp_path_factory, f"trained-{architecture}", train) / "run"

    return run_of


@pytest.fixture(scope="session")
def trained(trained_as: Callable[[str], Path]) -> Path:
    """The run directory of a finished training; no test may change it."""
    return trained_as("lstm")


@pytest.fixture(scope="session")
def artefacts_of(
    trained_as: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Path]]:
    """Returns the proven export of an architecture in each possible format, which is made once.

    No test may change one.
    """
    from s2s_cli.export.export import export
    from s2s_cli.export.formats import FORMATS
    from s2s_cli.runs.run import Run

    def artefacts(architecture: str) -> dict[str, Path]:
        run = Run(trained_as(architecture))
        possible = [name for name, one in FORMATS.items() if one.refuse(run.config()) is None]

        def make(folder: Path) -> None:
            for name in possible:
                output, proof = export(run, name, folder / name)
                assert output == folder / name and proof.ties == 0
            assert not list(folder.glob(".*"))

        folder = made_once(tmp_path_factory, f"artefacts-of-{architecture}", make)
        return {name: folder / name for name in possible}

    return artefacts


@pytest.fixture(scope="session")
def artefacts(artefacts_of: Callable[[str], dict[str, Path]]) -> dict[str, Path]:
    """Artefacts of the shared run; no test may change one."""
    return artefacts_of("lstm")


@pytest.fixture
def light(monkeypatch):
    """Trainings of this process take steps that are not compiled; see `light_training`."""
    from light_training import use_light_step, use_light_validation

    use_light_step(monkeypatch)
    use_light_validation(monkeypatch)


@pytest.fixture
def train(tmp_path: Path, settings: dict) -> Callable[..., list]:
    """Trains `settings`, as they are at the call, in a run of `tmp_path`."""

    def run(*overrides: str, name: str = "run", **options) -> list:
        config = write_config(tmp_path / "c.yaml", settings)
        return train_in_process(config, tmp_path / name, *overrides, **options)

    return run


@pytest.fixture
def eagerly():
    """Runs compiled functions operation by operation, which is quicker than to compile them."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def train_in_process(
    config: Path,
    run: Path,
    *overrides: str,
    stop_after: int | None = None,
    force: bool = False,
    families: tuple | None = None,
    on_event: Callable[[object], None] = lambda event: None,
) -> list:
    """All events of a training in this process, which is stopped after `stop_after` steps."""
    from s2s_cli.config.load import load_config
    from s2s_cli.config.schema import FAMILIES
    from s2s_cli.runs.run import Run
    from s2s_cli.training.events import StepDone
    from s2s_cli.training.run import train

    families = families or FAMILIES
    loaded = load_config(config, overrides, families)
    events: list = []

    def stop_requested() -> bool:
        steps = sum(isinstance(event, StepDone) for event in events)
        return stop_after is not None and steps >= stop_after

    for event in train(
        Run(run, families), loaded, threads=2, force=force, stop_requested=stop_requested
    ):
        events.append(event)
        on_event(event)
    return events


def s2s(*arguments: object, stdin: str | bytes = "", cwd: Path | None = None):
    """Runs the command line in a new process, with pipes for input and output."""
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


def s2s_here(*arguments: object, stdin: str | bytes = "") -> SimpleNamespace:
    """Runs the command line in this process, which takes a tenth of the time of a new one."""
    from s2s_cli.cli.app import main

    given = stdin if isinstance(stdin, bytes) else stdin.encode()
    names, before = ("stdin", "stdout", "stderr"), (sys.stdin, sys.stdout, sys.stderr)
    buffers = [io.BufferedReader(io.BytesIO(given)), io.BytesIO(), io.BytesIO()]
    streams = [io.TextIOWrapper(buffer, encoding="utf-8") for buffer in buffers]
    for name, stream in zip(names, streams, strict=True):
        setattr(sys, name, stream)
    try:
        code = main([str(argument) for argument in arguments])
        for stream in streams[1:]:
            stream.flush()
    finally:
        for name, stream in zip(names, before, strict=True):
            setattr(sys, name, stream)
    out, err = (buffer.getvalue() for buffer in buffers[1:])
    return SimpleNamespace(
        returncode=code, stdout=out, stderr=err, out=out.decode(), err=err.decode()
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test that needs the trained run as slow; others that train mark themselves."""
    for item in items:
        if "trained_as" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
