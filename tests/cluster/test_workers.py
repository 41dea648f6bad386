"""Several workers take the steps of one, lose one of them, and resume as another number."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import tiny_settings, train_in_process, write_config
from safetensors.numpy import load_file

from s2s_cli.runs.run import Run

pytestmark = pytest.mark.slow

DIES = Path(__file__).with_name("worker_that_dies.py")


def free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses


def started(commands: list[list[object]]) -> list[subprocess.Popen]:
    """A process for each worker of one training."""
    addresses, processes = free_addresses(len(commands)), []
    for index, command in enumerate(commands):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        processes.append(
            subprocess.Popen(
                [sys.executable, *map(str, command)],
                env={**os.environ, "TF_CONFIG": config},
                stderr=subprocess.PIPE,
                encoding="utf-8",
            )
        )
    return processes


def ended(processes: list[subprocess.Popen]) -> list[tuple[int, str]]:
    """The exit code of each, and what it wrote."""
    written = [process.communicate(timeout=300)[1] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, written, strict=True)]


def training(config: Path, run: Path, *options: object) -> list[object]:
    return ["-m", "s2s_cli", "train", config, "--run", run, "--threads", 1, *options]


def largest_difference(one: Path, other: Path) -> float:
    """Between the weights and optimizers of the latest checkpoints of two runs."""
    folders = [Run(run).find_checkpoint("latest") for run in (one, other)]
    assert folders[0].name == folders[1].name
    differences = []
    for name in ("model.safetensors", "optimizer.safetensors"):
        first, second = (load_file(folder / name) for folder in folders)
        assert first.keys() == second.keys()
        differences += [float(np.abs(first[key] - second[key]).max()) for key in first]
    return max(differences)


def metrics_without_times(run: Path) -> list[dict]:
    rows = map(json.loads, Run(run).metrics_file.read_text().splitlines())
    kept = ("step", "loss", "bleu", "chrf", "token_accuracy", "in_sequence")
    return [{name: row[name] for name in kept if name in row} for row in rows]


def test_workers_take_the_steps_of_one_and_resume_after_one_was_killed(trained, corpus, tmp_path):
    config, run = write_config(tmp_path / "tiny.yaml", tiny_settings(corpus)), tmp_path / "run"
    (chief, said), (killed, _) = ended(started([training(config, run), [DIES, config, run, 7]]))
    assert (chief, killed) == (1, -signal.SIGKILL)
    assert "workers           2, which share each batch by rows" in said
    *_, error, hint = said.splitlines()
    assert re.fullmatch(
        r"error: worker 1 \(127\.0\.0\.1:\d+\) has ended or does not answer, so this one ends too\.",
        error,
    )
    assert hint == (
        "hint: Its log says why. The same command on all workers resumes from the last checkpoint."
    )
    # Nothing was lost, and one process goes on with what two have begun.
    assert Run(run).find_checkpoint("latest").name == "step-00000007"
    log = Run(run).worker_log(0).read_text()
    assert "error: worker 1 (127.0.0.1" in log
    train_in_process(config, run)
    assert largest_difference(run, trained) < 1e-6
    for found, expected in zip(
        metrics_without_times(run), metrics_without_times(trained), strict=True
    ):
        assert found == pytest.approx(expected, rel=1e-5)


def test_a_worker_with_another_config_is_named_by_all(corpus, tmp_path):
    settings = tiny_settings(corpus)
    config = write_config(tmp_path / "one.yaml", settings)
    settings["training"]["seed"] = 2
    other = write_config(tmp_path / "other.yaml", settings)
    run = tmp_path / "run"
    for code, said in ended(started([training(config, run), training(other, run)])):
        assert code == 1
        assert re.search(r"error: worker 1 \(.*\) differs from the chief in its config file:", said)
    assert not run.exists()


def test_a_run_directory_that_is_not_shared_is_named(corpus, tmp_path):
    config = write_config(tmp_path / "tiny.yaml", tiny_settings(corpus))
    commands = [training(config, tmp_path / name) for name in ("run", "elsewhere")]
    for code, said in ended(started(commands)):
        assert code == 1
        assert "differs from the chief in its run directory: " in said
        assert f"{tmp_path / 'elsewhere'}: this is not a run directory" in said


def test_ray_starts_workers_and_shows_what_the_chief_says(trained, corpus, tmp_path):
    config, run = write_config(tmp_path / "tiny.yaml", tiny_settings(corpus)), tmp_path / "run"
    # One: several are tested above, and take minutes on two processors.
    command = training(config, run, "--workers", 1)
    process = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, encoding="utf-8", check=False
    )
    assert process.returncode == 0, process.stderr
    assert "starting 1 worker through Ray, 1 thread each" in process.stderr
    assert "training finished at step 12" in process.stderr
    assert largest_difference(run, trained) < 1e-6
    assert yaml.safe_load(Run(run).config_file.read_text())["training"]["max_steps"] == 12


TWO_DEVICES = """
import sys
from pathlib import Path
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from s2s_cli.config.load import load_config
from s2s_cli.runs.run import Run
from s2s_cli.training.events import StepDone
from s2s_cli.training.run import train

config, run = load_config(Path(sys.argv[1])), Run(Path(sys.argv[2]))
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
steps = []
for _ in range(2):
    for event in train(
        run, config, threads=1, strategy=strategy, stop_requested=lambda: len(steps) == 7
    ):
        steps += [event.step] if isinstance(event, StepDone) else []
assert steps == list(range(1, 13)), steps
"""


def test_two_devices_of_one_process_train_and_resume_as_one_does(trained, corpus, tmp_path):
    config, run = write_config(tmp_path / "tiny.yaml", tiny_settings(corpus)), tmp_path / "run"
    command = [sys.executable, "-c", TWO_DEVICES, str(config), str(run)]
    process = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert process.returncode == 0, process.stderr[-3000:]
    assert largest_difference(run, trained) < 1e-6
