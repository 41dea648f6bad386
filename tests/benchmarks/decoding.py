"""Translation speed of a run: `python -m benchmarks.decoding '{…}'` prints JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from s2s_cli.cli.process import reuse_freed_memory, start_tensorflow

SINGLE_SENTENCES = 100
PASSES = 4


def measure(run: str, source: str, decoding: dict[str, Any]) -> dict:
    """Translates the lines of `source` in batches, then some of them one by one.

    Start-up and tracing are not timed; turning text into tokens and back is. The first pass is
    reported apart from the median of the three that follow it: it allocates memory, and oneDNN
    prepares products for shapes that are new. Operations are those of the hypotheses that are
    left at the end, as those of rows that dropped out of the beam are not known.
    """
    from benchmarks import machine
    from benchmarks.cases import operations
    from s2s_cli.config.load import override_decoding
    from s2s_cli.decoding.translator import Translator, load_tokenizers
    from s2s_cli.model.family import VocabSizes
    from s2s_cli.runs.run import Run
    from s2s_cli.text.lines import read_lines

    directory = Run(Path(run))
    config = directory.config()
    settings = override_decoding(config, **{"batch_size": 128, **decoding})
    translator = Translator.from_run(directory, decoding=settings)
    lines = list(read_lines(source))
    translator.translate(lines[:: max(1, len(lines) // 50)])
    passes = []
    for _ in range(PASSES):
        started = time.perf_counter()
        translator.translate(lines)
        passes.append(time.perf_counter() - started)
    seconds = statistics.median(passes[1:])
    latencies = []
    for line in lines[:SINGLE_SENTENCES]:
        started = time.perf_counter()
        translator.translate([line])
        latencies.append(1e3 * (time.perf_counter() - started))
    # Returning all hypotheses takes longer, so this one only counts their tokens.
    every = settings.model_copy(update={"n_best": settings.beam_size})
    translations = Translator.from_run(directory, decoding=every).n_best(lines)
    source_tokens = sum(len(found[0].source_tokens) + 1 for found in translations)
    target_tokens = sum(len(t.tokens) + 1 for found in translations for t in found)
    tokenizers = load_tokenizers(directory, config, directory.find_checkpoint())
    sizes = VocabSizes(*tokenizers.vocab_sizes)
    forward = operations(config.model, sizes, source_tokens, target_tokens)
    return {
        "precision": translator.decoding.precision,
        "sentences_per_second": len(lines) / seconds,
        "first_pass_sentences_per_second": len(lines) / passes[0],
        "gflops": forward / seconds / 1e9,
        "single_sentences_per_second": 1e3 / float(np.mean(latencies)),
        "single_p50_ms": float(np.percentile(latencies, 50)),
        "single_p99_ms": float(np.percentile(latencies, 99)),
        "peak_mib": machine.peak_mib(),
    }


if __name__ == "__main__":
    case = json.loads(sys.argv[1])
    reuse_freed_memory()
    start_tensorflow(case.pop("threads", None))
    sys.stdout.write(json.dumps(measure(**case)) + "\n")
