"""How cost grows with the corpus: `python -m benchmarks.scale '{"stage": …}'` prints JSON.

Stages are processes of their own, so that each has its own peak of memory: `pieces` is
SentencePiece alone, `store` the building of a token store, `batch` all that stands
between a store and the first batch of an epoch.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path

from benchmarks import machine

SIDES = ("source", "target")
CHUNK = 20_000


def make_corpus(folder: Path, pairs: int) -> None:
    """Writes `pairs` sentence pairs, invented ones over and over, and learns their pieces."""
    from benchmarks.cases import captions
    from s2s_cli.schema import Tokenizer
    from s2s_cli.text.tokenizer import learn

    folder.mkdir(parents=True)
    distinct = list(captions(100_000))
    for side, sentences in zip(SIDES, zip(*distinct, strict=True), strict=True):
        lines = [sentence + "\n" for sentence in sentences]
        with open(folder / side, "w", encoding="utf-8") as file:
            file.writelines(itertools.islice(itertools.cycle(lines), pairs))
    config = Tokenizer.model_validate({"type": "bpe", "vocab_size": 8000})
    both = (sentence for pair in distinct for sentence in pair)
    learn(both, config, folder / "pieces.model", seed=1, threads=2)


def pieces(folder: Path, threads: int) -> float:
    """Seconds that SentencePiece takes for every sentence of both sides."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "pieces.model"))
    seconds = 0.0
    for side in SIDES:
        with open(folder / side, encoding="utf-8") as file:
            while chunk := [line.rstrip("\n") for line in itertools.islice(file, CHUNK)]:
                started = time.perf_counter()
                processor.encode(chunk, num_threads=threads)
                seconds += time.perf_counter() - started
    return seconds


def store(folder: Path, threads: int) -> float:
    """Seconds from files to a finished token store."""
    from s2s_cli.schema import Files
    from s2s_cli.text.corpus import read_pairs
    from s2s_cli.text.filters import Limits
    from s2s_cli.text.store import build_store
    from s2s_cli.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(folder / "pieces.model", "bpe")
    started = time.perf_counter()
    files = Files(source=str(folder / "source"), target=str(folder / "target"))
    build_store(
        folder / "store",
        "benchmark",
        read_pairs(files),
        tokenizer,
        tokenizer,
        limits=Limits(100),
        threads=threads,
    )
    return time.perf_counter() - started


def batch(folder: Path, threads: int) -> float:
    """Seconds from a store on disk to the first batch of an epoch."""
    from s2s_cli import runtime
    from s2s_cli.text.batches import batches, plan_epoch
    from s2s_cli.text.store import open_store

    runtime.start(threads)
    started = time.perf_counter()
    opened = open_store(folder / "store", "benchmark")
    assert opened is not None
    first = next(batches(opened, plan_epoch(opened, seed=1, epoch=0, batch_tokens=4096)))
    assert first.source_tokens
    return time.perf_counter() - started


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    stages = {"pieces": pieces, "store": store, "batch": batch}
    seconds = stages[order["stage"]](Path(order["folder"]), order["threads"] or 2)
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_mib": machine.peak_mib()}) + "\n")
