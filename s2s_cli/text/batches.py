"""The batches of a plan as tensors, made ahead of their use by tf.data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from s2s_cli.text.padding import source_ids, target_in_ids, target_out_ids
from s2s_cli.text.plan import IntArray, Plan
from s2s_cli.text.store import TokenStore
from s2s_cli.text.tokenizer import PAD

# What a model is trained and scored on: B sentences, S source and T target positions. Both sides
# have one special token more than their sentence; padding is on the right, with weight 0.
Batch = dict[str, Any]
BATCH_SPEC: Batch = {
    "source_ids": tf.TensorSpec((None, None), tf.int32),  # (B,S)
    "target_in_ids": tf.TensorSpec((None, None), tf.int32),  # (B,T)
    "target_out_ids": tf.TensorSpec((None, None), tf.int32),  # (B,T)
    "weights": tf.TensorSpec((None, None), tf.float32),  # (B,T)
}
PREFETCHED = 4


def batches(store: TokenStore, plan: Plan, start: int = 0) -> Iterator[Batch]:
    """The batches of a plan from number `start` on, as tensors of BATCH_SPEC."""

    def generate() -> Iterator[Batch]:
        for index in range(start, len(plan)):
            yield _batch(store, plan[index])

    dataset = tf.data.Dataset.from_generator(generate, output_signature=BATCH_SPEC)
    yield from dataset.prefetch(PREFETCHED)


def _batch(store: TokenStore, rows: IntArray) -> Batch:
    """The pairs of `rows` as arrays of BATCH_SPEC."""
    target = store.target.take(rows)
    predicted = target_out_ids(target)
    return {
        "source_ids": source_ids(store.source.take(rows)),
        "target_in_ids": target_in_ids(target),
        "target_out_ids": predicted,
        "weights": (predicted != PAD).astype(np.float32) * store.weights[rows][:, None],
    }
