"""How cost grows with the corpus: `python -m benchmarks.scale '{"stage": …}'` prints JSON.

Each stage is a process of its own, so that its peak memory is its own: `tokenizer` is
SentencePiece alone, `store` builds a token store, `batch` opens it and makes the first batch of
an epoch, `plan` plans an epoch from lengths alone.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import machine

SIDES = ("source", "target")
CHUNK = 20_000


def make_corpus(folder: Path, pairs: int) -> None:
    """Writes `pairs` invented sentence pairs, 100,000 of them repeated, and learns a vocabulary."""
    from benchmarks.cases import captions
    from s2s_cli.config.schema import Tokenizer
    from s2s_cli.text.tokenizer import learn

    folder.mkdir(parents=True)
    distinct = list(captions(100_000))
    for side, sentences in zip(SIDES, zip(*distinct, strict=True), strict=True):
        lines = [sentence + "\n" for sentence in sentences]
        with open(folder / side, "w", encoding="utf-8") as file:
            file.writelines(itertools.islice(itertools.cycle(lines), pairs))
    config = Tokenizer.model_validate({"type": "bpe", "vocab_size": 8000})
    both = (sentence for pair in distinct for sentence in pair)
    learn(both, config, folder / "tokenizer.model", seed=1, threads=2)


def tokenizer(folder: Path, pairs: int, threads: int) -> float:
    """Seconds that SentencePiece takes for every sentence of both sides."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    seconds = 0.0
    for side in SIDES:
        with open(folder / side, encoding="utf-8") as file:
            while chunk := [line.rstrip("\n") for line in itertools.islice(file, CHUNK)]:
                started = time.perf_counter()
                processor.encode(chunk, num_threads=threads)
                seconds += time.perf_counter() - started
    return seconds


def store(folder: Path, pairs: int, threads: int) -> float:
    """Seconds from files to a finished token store."""
    from s2s_cli.config.schema import Files
    from s2s_cli.text.corpus import read_pairs
    from s2s_cli.text.filters import Filters
    from s2s_cli.text.store import build_store
    from s2s_cli.text.tokenizer import Tokenizer, Tokenizers

    loaded = Tokenizer.load(folder / "tokenizer.model", "bpe")
    started = time.perf_counter()
    files = Files(source=str(folder / "source"), target=str(folder / "target"))
    build_store(
        folder / "store",
        "benchmark",
        read_pairs(files),
        Tokenizers(loaded, loaded),
        filters=Filters(100),
        threads=threads,
    )
    return time.perf_counter() - started


def batch(folder: Path, pairs: int, threads: int) -> float:
    """Seconds from a store on disk to the first batch of an epoch."""
    from s2s_cli import runtime
    from s2s_cli.text.batches import batches
    from s2s_cli.text.plan import plan_epoch
    from s2s_cli.text.store import open_store

    runtime.start(threads)
    started = time.perf_counter()
    opened = open_store(folder / "store", "benchmark")
    assert opened is not None
    lengths = opened.source.lengths, opened.target.lengths
    plan = plan_epoch(*lengths, seed=1, epoch=0, batch_tokens=4096)
    first = next(batches(opened, plan))
    assert first["source_ids"].shape[0]
    return time.perf_counter() - started


def plan(folder: Path, pairs: int, threads: int) -> float:
    """Seconds for the plan of an epoch of `pairs` pairs with drawn lengths; needs no corpus."""
    from s2s_cli.text.plan import plan_epoch

    random = np.random.default_rng(1)
    lengths = [np.empty(pairs, np.uint16) for _ in SIDES]
    for array in lengths:
        for start in range(0, pairs, 1 << 20):
            drawn = random.normal(15, 5, min(1 << 20, pairs - start))
            array[start : start + len(drawn)] = np.clip(drawn, 1, 100)
    started = time.perf_counter()
    planned = plan_epoch(*lengths, seed=1, epoch=0, batch_tokens=4096)
    assert len(planned[0])
    return time.perf_counter() - started


if __name__ == "__main__":
    case = json.loads(sys.argv[1])
    stages = {"tokenizer": tokenizer, "store": store, "batch": batch, "plan": plan}
    stage = stages[case["stage"]]
    seconds = stage(Path(case["folder"]), case["pairs"], case["threads"] or 2)
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_mib": machine.peak_mib()}) + "\n")
