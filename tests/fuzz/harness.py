"""Runs one target on mutated inputs until a limit, or until an unexpected exception."""

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

# In memory if possible: writing a file to disk for each input would take most of the time.
MEMORY = Path("/dev/shm")


def scratch() -> Path:
    """An empty folder that a target may write to."""
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None))


def fuzz(target: Callable[[bytes], None], seeds: Iterable[bytes], expected: tuple) -> None:
    """Calls `target` with mutations of `seeds`, --inputs times or for --seconds.

    Exceptions of the types `expected` are counted. Any other exception ends the process, and
    libFuzzer writes the input that caused it.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=1800)
    arguments = parser.parse_args()
    corpus = scratch()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)
    outcomes: Counter[str] = Counter()
    started = time.monotonic()

    def run(data: bytes) -> None:
        try:
            target(data)
            outcomes["accepted"] += 1
        except expected as error:
            outcomes[type(error).__name__] += 1
        count = sum(outcomes.values())
        if count % 50_000 == 0 or count in (arguments.inputs, 1000):
            print(
                f"{count:,} inputs, {time.monotonic() - started:.0f} s: {dict(outcomes)}",
                flush=True,
            )

    options = [f"-runs={arguments.inputs}", f"-max_total_time={arguments.seconds}", "-max_len=4096"]
    options += ["-timeout=20", "-rss_limit_mb=3000", "-print_final_stats=1"]
    try:
        atheris.Setup(
            [sys.argv[0], *options, f"-artifact_prefix={tempfile.gettempdir()}/", str(corpus)], run
        )
        atheris.Fuzz()
    finally:
        shutil.rmtree(corpus, ignore_errors=True)
