"""Small batches and models on which the tests of training take steps."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from model_cases import make_model, model_settings

from s2s_cli.config.schema import Training
from s2s_cli.model.family import VocabSizes
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.batches import Batch
from s2s_cli.training.step import TrainingStep

SIZES = VocabSizes(13, 13)


def small_model(**changes) -> Seq2Seq:
    """A model without dropout, with one layer a side, where `changes` do not say otherwise."""
    small = {"dropout": 0.0, "encoder__layers": 1, "decoder__layers": 1}
    return make_model(model_settings(**{**small, **changes}), SIZES, seed=5)


def small_batch(rows: int = 5, *, weight: float = 1.0) -> Batch:
    """A batch with padding and unequal weights, all of which are multiplied by `weight`."""
    random = np.random.default_rng(2)
    source = random.integers(4, SIZES.source, (rows, 5), np.int32)
    target = random.integers(4, SIZES.target, (rows, 4), np.int32)
    source[1:3, 3:], target[1:3, 2:] = 0, 0
    target_in = np.pad(target, ((0, 0), (1, 0)), constant_values=2)[:, :-1]
    weights = np.where(target != 0, np.resize([1, 2, 1, 0.5, 1], rows)[:, None] * weight, 0)
    return {
        "source_ids": tf.constant(source),
        "target_in_ids": tf.constant(target_in),
        "target_out_ids": tf.constant(target),
        "weights": tf.constant(weights.astype(np.float32)),
    }


def make_step(seq2seq: Seq2Seq, *, sub_batches: int | None = None, **training) -> TrainingStep:
    """The training step of a model on one device."""
    strategy = tf.distribute.get_strategy()
    return TrainingStep(seq2seq, Training(**training), strategy, sub_batches=sub_batches)


def weights_of(seq2seq: Seq2Seq) -> dict[str, np.ndarray]:
    return {path: keras.ops.convert_to_numpy(value) for path, value in seq2seq.weights.items()}


def largest_difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The largest difference between values of the same name."""
    assert one.keys() == other.keys()
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)
