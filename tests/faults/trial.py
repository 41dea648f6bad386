"""One small training, the outcome of an undisturbed one, and how another compares."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from s2s_cli.runs.run import Run

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TIMES = {"seconds", "source_tokens_per_second", "target_tokens_per_second"}
STEPS = 40


@dataclass
class Tally:
    """How often each thing happened; `wrong` is what must not."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest_stop: float = 0.0

    def compare(self, run: Path, expected: dict[str, bytes], what: str) -> None:
        """Counts a run as the same as the undisturbed one, or as wrong with what differs."""
        found = contents(run)
        different = [
            name for name in {**expected, **found} if found.get(name) != expected.get(name)
        ]
        self.counts["different" if different else "same"] += 1
        if different:
            self.wrong.append(f"{what}: different: {', '.join(sorted(different)[:5])}")


def write_files(folder: Path) -> Path:
    """Writes a corpus of digits and their names, and a config; returns the config."""
    folder.mkdir(parents=True, exist_ok=True)
    chooser = random.Random(3)
    for name, size in (("train", 240), ("validation", 24)):
        rows = [[chooser.randrange(10) for _ in range(chooser.randint(1, 6))] for _ in range(size)]
        lines = (
            f"{' '.join(map(str, row))}\t{' '.join(WORDS[digit] for digit in row)}\n"
            for row in rows
        )
        (folder / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    settings = {
        "data": {"train": {"tsv": "train.tsv"}, "validation": {"tsv": "validation.tsv"}},
        "tokenizer": {"type": "char", "vocab_size": 60, "shared": False},
        "model": {
            "embedding": {"size": 8},
            "encoder": {"units": 12},
            "decoder": {"units": 24},
            "dropout": 0.2,
        },
        "training": {
            "max_steps": STEPS,
            "batch_size": 24,
            "precision": "float32",
            "optimizer": {"learning_rate": 0.01},
            "validation_steps": 8,
            "checkpoint_steps": 5,
            "log_steps": 3,
            "early_stopping": {"metric": "loss"},
        },
        "decoding": {"max_length": 20},
    }
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return config


def contents(run: Path) -> dict[str, bytes]:
    """All of a run that must not depend on what happened to it, by name."""
    opened = Run(run)
    found: dict[str, bytes] = {}
    for name in ("latest", "best"):
        pointed = opened.pointed(name)
        if pointed is None:
            continue
        found[name] = pointed.name.encode()
        for file in ("model.safetensors", "optimizer.safetensors"):
            found[f"{name}/{file}"] = (pointed / file).read_bytes()
    for path in sorted((run / "translations").glob("step-*.jsonl")):
        found[path.name] = path.read_bytes()
    lines = opened.metrics_file.read_text(encoding="utf-8").splitlines()
    figures = [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]
    found["metrics"] = json.dumps(figures).encode()
    return found


@dataclass
class Fork:
    """The program in a fork of this process, which has imported TensorFlow but not started it."""

    process: int
    stderr: int

    @classmethod
    def start(cls, arguments: list[str], before: Callable[[], None] = lambda: None) -> Fork:
        """Starts it; `before` is called in the fork."""
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(readable)
            os.dup2(writable, 2)
            sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", 0, closefd=False), write_through=True)
            os._exit(_run(arguments, before))
        os.close(writable)
        return cls(child, readable)

    def runs_for(self, seconds: float) -> bool:
        """Whether it still runs after so many seconds."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return False
            time.sleep(min(0.02, left))
        return True

    def end(self) -> tuple[int, str]:
        """Waits for its end; the exit code, and its text on stderr."""
        with os.fdopen(self.stderr, encoding="utf-8", errors="replace") as stderr:
            text = stderr.read()
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1]), text


def forked(arguments: list[str], before: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Runs the program in a fork to its end; the exit code, and its text on stderr."""
    return Fork.start(arguments, before).end()


def _run(arguments: list[str], before: Callable[[], None]) -> int:
    from s2s_cli.__main__ import run

    sys.argv = ["s2s", *arguments]
    try:
        before()
        run()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        with contextlib.suppress(Exception):
            traceback.print_exc()
        return 70
    return 0
