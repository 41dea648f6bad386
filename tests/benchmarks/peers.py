"""Other programs with a model of the same shape, each run as its authors would run it.

`folder` is prepared beforehand: OpenNMT-py with its corpus and its checkpoint, and a PyTorch that
runs the reference step.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from pathlib import Path


def opennmt_training(folder: Path, config: str, steps: int) -> dict[str, float]:
    """Target tokens a second, as the program reports them; its first report is left out.

    It trains on the corpus that it was prepared with, which must be ours.
    """
    command = ["venv/bin/onmt_train", "-config", config, "-train_steps", str(steps)]
    command += ["-valid_steps", str(10 * steps), "-save_checkpoint_steps", str(10 * steps)]
    command += ["-save_model", "benchmark"]
    return _reported(_run(command, folder), r"/\s*(\d+) tok/s")


def eole_training(script: Path, folder: Path, steps: int) -> dict[str, float]:
    """Target tokens a second that Eole reports; `script` sets it up in `folder` and trains."""
    printed = _run(["bash", str(script.absolute()), str(folder.absolute()), str(steps)], Path.cwd())
    return _reported(printed, r"/\s*(\d+) tok/s")


def marian_training(
    script: Path, python: Path, folder: Path, kind: str, updates: int
) -> dict[str, float]:
    """Target words a second that Marian reports; `script` trains with its Python package."""
    for earlier in folder.glob(f"marian-{kind}.npz*"):  # it would continue that training
        earlier.unlink()
    command = [str(python), str(script.absolute()), str(folder.absolute()), kind, str(updates)]
    return _reported(_run(command, Path.cwd()), r"([\d.]+) words/s")


def _reported(printed: str, rate: str) -> dict[str, float]:
    """The median of the rates that were printed, without the first, which counts the start."""
    rates = [float(found) for found in re.findall(rate, printed)]
    assert len(rates) > 1, printed[-2000:]
    return {"target_tokens_per_second": statistics.median(rates[1:])}


def opennmt_decoding(
    folder: Path, checkpoint: str, source: Path, beam_size: int
) -> dict[str, float]:
    """Sentences a second of `source`, which is tokenised, in the time that the program reports.

    That leaves out start-up, and turning text into tokens and back.
    """
    command = ["venv/bin/onmt_translate", "-model", checkpoint, "-src", str(source.absolute())]
    command += ["-output", "benchmark.out", "-beam_size", str(beam_size), "-batch_size", "100"]
    command += ["-max_length", "60", "-report_time"]
    printed = _run(command, folder)
    found = re.search(r"Total translation time \(s\): ([\d.]+)", printed)
    assert found, printed[-2000:]
    with open(source, encoding="utf-8") as lines:
        return {"sentences_per_second": sum(1 for _ in lines) / float(found[1])}


def torch_training(script: Path, python: Path, units: int, batch: int, precision: str) -> dict:
    """Target tokens a second of the PyTorch reference step, at another size."""
    program = re.sub(
        r"^TYPES, EMBED, UNITS, BATCH, LENGTH = .*$",
        f"TYPES, EMBED, UNITS, BATCH, LENGTH = 8000, 256, {units}, {batch}, 16",
        script.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    printed = _run([str(python), "-c", program, precision], Path.cwd())
    found = re.search(r"(\d+) target tokens/s", printed)
    assert found, printed
    return {"target_tokens_per_second": float(found[1])}


def tutorial_decoding(script: Path) -> dict[str, float]:
    """Sentences a second of a loop that calls `predict` for each token, as in the tutorials."""
    printed = _run([sys.executable, str(script.absolute())], Path.cwd())
    found = re.search(r"([\d.]+) sentences/s", printed)
    assert found, printed
    return {"single_sentences_per_second": float(found[1])}


def _run(command: list[str], folder: Path) -> str:
    """What a program prints on both streams."""
    # OpenNMT-py's checkpoint is a pickle, which PyTorch refuses unless it is allowed.
    environment = {**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    process = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout[-3000:]
    return process.stdout
