"""Runs one target on mutated inputs until there were enough, or an exception that is no message."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("Fuzzing needs atheris (Linux, macOS): pip install -e '.[fuzz]'")

# In memory where there is such a folder: a file for each input would be most of the time.
MEMORY = Path("/dev/shm")


def scratch() -> Path:
    """An empty folder for what a target writes."""
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None))


def fuzz(target: Callable[[bytes], None], seeds: Iterable[bytes], expected: tuple) -> None:
    """Calls `target` until --inputs or --seconds are over; exceptions of `expected` are its answers.

    Any other exception ends the process with the input that caused it, as libFuzzer does.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=1800)
    asked = parser.parse_args()
    corpus = scratch()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)
    answers: Counter[str] = Counter()
    started = time.monotonic()

    def once(data: bytes) -> None:
        try:
            target(data)
            answers["accepted"] += 1
        except expected as error:
            answers[type(error).__name__] += 1
        count = sum(answers.values())
        if count % 50_000 == 0 or count in (asked.inputs, 1000):
            print(
                f"{count:,} inputs, {time.monotonic() - started:.0f} s: {dict(answers)}", flush=True
            )

    options = [f"-runs={asked.inputs}", f"-max_total_time={asked.seconds}", "-max_len=4096"]
    options += ["-timeout=20", "-rss_limit_mb=3000", "-print_final_stats=1"]
    try:
        atheris.Setup(
            [sys.argv[0], *options, f"-artifact_prefix={tempfile.gettempdir()}/", str(corpus)], once
        )
        atheris.Fuzz()
    finally:
        shutil.rmtree(corpus, ignore_errors=True)
