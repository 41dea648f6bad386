"""Training speed of one config: `python -m benchmarks.training '{…}'` prints JSON.

Each measurement is a process of its own, so that its peak memory is its own, and so that it
can alternate with other programs.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from s2s_cli.cli.process import reuse_freed_memory, start_tensorflow


def measure(model: dict[str, Any], training: dict[str, Any], data: Path, steps: int) -> dict:
    """Trains `steps` steps on the store in `data`, after some that are not timed.

    The clock runs over whole steps as the training loop takes them: making the batch, taking
    the step, and reading back its sums.
    """
    import tensorflow as tf

    from benchmarks import machine
    from benchmarks.cases import make_config, open_data, operations
    from s2s_cli import runtime
    from s2s_cli.model.family import VocabSizes
    from s2s_cli.model.layer_factory import LayerFactory
    from s2s_cli.model.seq2seq import Seq2Seq
    from s2s_cli.text.batches import batches
    from s2s_cli.text.plan import plan_epoch
    from s2s_cli.training.step import TrainingStep

    store, vocab_size = open_data(data)
    config = make_config(model, training)
    settings, sizes = config.training, VocabSizes(vocab_size, vocab_size)
    precision = runtime.resolve_training_precision(settings.precision)
    factory = LayerFactory.for_training(precision, settings.seed)
    seq2seq = Seq2Seq(config.model, sizes, factory)
    take_step = TrainingStep(seq2seq, settings, tf.distribute.get_strategy())
    plan = plan_epoch(
        store.source.lengths,
        store.target.lengths,
        seed=settings.seed,
        epoch=0,
        batch_tokens=settings.batch_tokens,
        batch_size=settings.batch_size,
    )
    warm_up = max(10, steps // 5)
    seconds: list[float] = []
    source = target = positions = 0
    started = time.perf_counter()
    for step, batch in enumerate(batches(store, plan), start=1):
        sums = take_step([batch], step, 1e-4)
        now = time.perf_counter()
        if step > warm_up:
            seconds.append(now - started)
            source += int(sums["source_tokens"])
            target += int(sums["target_tokens"])
            for name in ("source_ids", "target_out_ids"):
                positions += batch[name].shape.num_elements()
        started = now
        if step == warm_up + steps:
            break
    forward = operations(config.model, sizes, source, target)
    return {
        "precision": precision,
        "parameters": seq2seq.training_model.count_params(),
        "seconds": seconds,
        "source_tokens_per_second": source / sum(seconds),
        "target_tokens_per_second": target / sum(seconds),
        # The backward pass multiplies twice: for the inputs, and for the weights.
        "gflops": 3 * forward / sum(seconds) / 1e9,
        "padding_share": 1 - (source + target) / positions,
        "peak_mib": machine.peak_mib(),
    }


if __name__ == "__main__":
    case = json.loads(sys.argv[1])
    reuse_freed_memory()
    start_tensorflow(case.pop("threads", None), inter_op_threads=2)
    case["data"] = Path(case["data"])
    sys.stdout.write(json.dumps(measure(**case)) + "\n")
