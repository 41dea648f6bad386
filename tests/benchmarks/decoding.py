"""Sentences a second of a run: `python -m benchmarks.decoding '{…}'` prints JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from s2s_cli import runtime

SINGLE_SENTENCES = 100


def measure(run: str, source: str, decoding: dict[str, Any]) -> dict:
    """Translates the lines of `source` in batches, then some of them one by one.

    Start-up and the first trace are outside of the clock, turning text into pieces and
    back is inside. The first pass is told apart from the median of three that follow: it
    takes pages of memory and makes products for shapes that are new. Operations are those
    of the rows that were alive: a row of the beam for each position of each hypothesis that
    is left at the end.
    """
    from benchmarks import machine
    from benchmarks.arithmetic import matrix_parameters
    from s2s_cli.config import override_decoding
    from s2s_cli.decoding.translator import Translator, load_model
    from s2s_cli.run import Run
    from s2s_cli.text.corpus import read_lines

    directory = Run(Path(run))
    chosen = override_decoding(directory.config(), **{"batch_size": 128, **decoding})
    translator = Translator.from_run(directory, decoding=chosen)
    lines = list(read_lines(source))
    translator.translate(lines[:: max(1, len(lines) // 50)])
    passes = []
    for _ in range(4):
        started = time.perf_counter()
        translator.translate(lines)
        passes.append(time.perf_counter() - started)
    seconds = statistics.median(passes[1:])
    # Another one that gives all rows back, which takes longer, counts them.
    every = chosen.model_copy(update={"n_best": chosen.beam_size})
    translations = Translator.from_run(directory, decoding=every).n_best(lines)
    source_tokens = sum(len(found[0].source_tokens) + 1 for found in translations)
    target_tokens = sum(len(t.tokens) + 1 for found in translations for t in found)
    parameters = matrix_parameters(load_model(directory, directory.config(), "best")[0])
    operations = parameters.decoding(source_tokens, target_tokens)
    latencies = []
    for line in lines[:SINGLE_SENTENCES]:
        started = time.perf_counter()
        translator.translate([line])
        latencies.append(1e3 * (time.perf_counter() - started))
    return {
        "precision": runtime.choose_decoding_precision(chosen.precision),
        "sentences_per_second": len(lines) / seconds,
        "first_pass_sentences_per_second": len(lines) / passes[0],
        "gflops": operations / seconds / 1e9,
        "single_sentences_per_second": 1e3 / float(np.mean(latencies)),
        "single_p50_ms": float(np.percentile(latencies, 50)),
        "single_p99_ms": float(np.percentile(latencies, 99)),
        "peak_mib": machine.peak_mib(),
    }


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    runtime.start(order.pop("threads", None))
    sys.stdout.write(json.dumps(measure(**order)) + "\n")
