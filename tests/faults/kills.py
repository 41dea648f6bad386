"""Trainings that are killed: by signals at random moments, and at each of their file operations."""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from faults.trial import Fork, Tally, forked

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# What changes the disk.
OPERATIONS = ("replace", "fsync", "mkdir", "unlink", "rmdir")
KILLED = 137


def at_random_moments(
    config: Path, folder: Path, expected: dict[str, bytes], kills: int, chooser: random.Random
) -> Tally:
    """Starts the program again and again, sends it a signal, and compares each finished run."""
    tally, number = Tally(), 0
    started = time.monotonic()
    _one_life(config, folder / "timed", Tally(), chooser, math.inf)
    longest = 1.2 * (time.monotonic() - started)
    while sum(tally.counts[kind.name] for kind in set(SIGNALS)) < kills:
        run = folder / f"killed-{number}"
        if _one_life(config, run, tally, chooser, longest):
            tally.compare(run, expected, run.name)
            shutil.rmtree(run)
            number += 1
    run = folder / f"killed-{number}"
    if run.exists():
        _one_life(config, run, tally, chooser, math.inf)
        tally.compare(run, expected, run.name)
    return tally


def _one_life(
    config: Path, run: Path, tally: Tally, chooser: random.Random, longest: float
) -> bool:
    """Whether the training ended before the signal came, within `longest` seconds."""
    kind = chooser.choice(SIGNALS)
    program = Fork.start(["train", str(config), "--run", str(run)])
    sent = 0.0
    if longest < math.inf and program.runs_for(chooser.uniform(0.0, longest)):
        os.kill(program.process, kind)
        sent = time.monotonic()
    code, stderr = program.end()
    if sent:
        tally.counts[kind.name] += 1
        if kind != signal.SIGKILL:
            tally.slowest_stop = max(tally.slowest_stop, time.monotonic() - sent)
    # A signal that comes before its handler is set ends the process by itself.
    allowed = {0, -kind} if kind == signal.SIGKILL else {0, 130, -kind}
    if "Traceback" in stderr or code not in allowed:
        tally.counts["traceback"] += 1
        tally.wrong.append(f"{kind.name}: exit code {code}: {stderr[-400:]!r}")
    return code == 0


def at_file_operations(config: Path, folder: Path, expected: dict[str, bytes], every: int) -> Tally:
    """Ends a training at its n-th change of the disk, for every `every`-th n; then it resumes."""
    tally, number = Tally(), 1
    while True:
        run = folder / f"operation-{number}"
        arguments = ["train", str(config), "--run", str(run)]
        code, stderr = forked(arguments, lambda number=number: end_at(number))
        tally.counts["ended"] += code == KILLED
        is_last = code == 0
        if not is_last:
            code, again = forked(arguments)
            stderr += again
        if code != 0 or "Traceback" in stderr:
            tally.counts["traceback" if "Traceback" in stderr else "lost"] += 1
            tally.wrong.append(f"operation {number}: exit code {code}: {stderr[-400:]}")
        else:
            tally.compare(run, expected, run.name)
        shutil.rmtree(run)
        if is_last:
            return tally
        number += every


def end_at(number: int) -> None:
    """Ends this process in place of its `number`-th change of the disk."""
    left = number

    def counted(operation: Callable) -> Callable:
        def run(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                os._exit(KILLED)
            return operation(*arguments, **options)

        return run

    for name in OPERATIONS:
        setattr(os, name, counted(getattr(os, name)))
