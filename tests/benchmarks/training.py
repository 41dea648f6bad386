"""Training tokens a second of one config: `python -m benchmarks.training '{…}'` prints JSON.

A process of its own each time, so that peak memory is its own and a peer can take turns.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from s2s_cli import runtime


def measure(model: dict[str, Any], training: dict[str, Any], data: Path, steps: int) -> dict:
    """Trains `steps` steps on the store in `data` and times all but the first few.

    The clock runs over whole steps as the training loop takes them: making the batch,
    the step, and reading back its sums.
    """
    import tensorflow as tf

    from benchmarks import machine
    from benchmarks.arithmetic import matrix_parameters
    from s2s_cli.model.seq2seq import Seq2Seq
    from s2s_cli.schema import Model, Training
    from s2s_cli.text.batches import batches, plan_epoch
    from s2s_cli.training.step import TrainingStep

    store, types = open_data(data)
    settings = Training.model_validate(training)
    precision = runtime.choose_precision(settings.precision)
    seq2seq = Seq2Seq(Model.model_validate(model), types, types, precision)
    take_step = TrainingStep(seq2seq, settings, tf.distribute.get_strategy())
    plan = plan_epoch(
        store,
        seed=1,
        epoch=0,
        batch_tokens=settings.batch_tokens,
        batch_size=settings.batch_size,
    )
    warm_up = max(10, steps // 5)
    seconds, source, target, cells = [], 0, 0, 0
    started = time.perf_counter()
    for step, batch in enumerate(batches(store, plan), start=1):
        take_step(batch, step, 1e-4)
        now = time.perf_counter()
        if step > warm_up:
            seconds.append(now - started)
            source += batch.source_tokens
            target += batch.target_tokens
            cells += batch.source_ids.size + batch.target_out_ids.size
        started = now
        if step == warm_up + steps:
            break
    operations = matrix_parameters(seq2seq).training(source, target)
    return {
        "precision": precision,
        "parameters": seq2seq.training_model.count_params(),
        "seconds": seconds,
        "source_tokens_per_second": source / sum(seconds),
        "target_tokens_per_second": target / sum(seconds),
        "gflops": operations / sum(seconds) / 1e9,
        "padding_share": 1 - (source + target) / cells,
        "peak_mib": machine.peak_mib(),
    }


def open_data(folder: Path) -> Any:
    """The token store of a benchmark, and how many types it has."""
    from s2s_cli.text.store import open_store

    store = open_store(folder / "store", "benchmark")
    assert store is not None, f"{folder} holds no benchmark data"
    return store, json.loads((folder / "types.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    runtime.start(order.pop("threads", None), chains=2)
    order["data"] = Path(order["data"])
    sys.stdout.write(json.dumps(measure(**order)) + "\n")
