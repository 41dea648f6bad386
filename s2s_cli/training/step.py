"""One compiled training step: gradient, all-reduce, clip, apply."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from s2s_cli.errors import ConfigError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.schema import Training
from s2s_cli.text.batches import Batch
from s2s_cli.training.objective import cross_entropy

# Distance in seed space between steps; no layer draws as often in one.
DRAWS_PER_STEP = 1 << 20
# More would leave too few rows to a product.
PARTS = 2

IDS = tf.TensorSpec((None, None), tf.int32)
BATCH = {
    "source_ids": IDS,
    "target_in_ids": IDS,
    "target_out_ids": IDS,
    "weights": tf.TensorSpec((None, None), tf.float32),
}
SCALAR = tf.TensorSpec((), tf.float32)
STEP = tf.TensorSpec((), tf.int64)


class TrainingStep:
    """The step over all replicas of a strategy; made within its scope.

    Replicas scale their loss by the weight of the global batch and their
    gradients are summed before they are clipped, so that N replicas take the
    step that one would take. The command line trains on one so far.
    """

    def __init__(self, seq2seq: Seq2Seq, training: Training, strategy: tf.distribute.Strategy):
        self._seq2seq, self._training, self._strategy = seq2seq, training, strategy
        self._model = seq2seq.training_model
        self._seeds = [v for v in self._model.non_trainable_variables if "seed" in v.path]
        self.optimizer = make_optimizer(training)
        self.optimizer.build(self._model.trainable_variables)
        self._replicas = strategy.num_replicas_in_sync
        # One replica has a signature of one trace; a distributed batch has no
        # spec before it exists, so several replicas relax theirs as they go.
        signature = [BATCH, SCALAR, STEP] if self._replicas == 1 else None
        # An optimizer is a dozen operations a weight, each a pass over memory; compiled
        # they are one. A distributed update has operations that cannot be compiled, and
        # the norm takes four times as long where it is.
        self._apply = self._move
        if not tf.distribute.has_strategy() and not tf.config.list_logical_devices("GPU"):
            self._apply = tf.function(self._move, jit_compile=True, autograph=False)
        self._compiled = tf.function(
            self._run,
            input_signature=signature,
            reduce_retracing=signature is None,
            autograph=False,  # rewriting functions that hold no Python loop takes seconds
        )

    def __call__(self, batch: Batch, step: int, learning_rate: float) -> dict[str, float]:
        """Takes step `step` and returns the sums of `cross_entropy` over the global batch.

        `is_finite` is 0 where the loss or the gradient was not finite; the step is then
        not taken. Raises MemoryError.
        """
        self.optimizer.learning_rate = learning_rate
        weight = tf.constant(max(float(batch.weights.sum()), 1e-9), tf.float32)
        try:
            sums = self._compiled(self._dealt(batch), weight, tf.constant(step, tf.int64))
        except tf.errors.ResourceExhaustedError:
            raise MemoryError from None
        return {name: float(value) for name, value in sums.items()}

    def _dealt(self, batch: Batch) -> Any:
        """The batch as tensors; for several replicas, every n-th row to each."""
        arrays = batch.arrays()
        if self._replicas == 1:
            return {name: tf.constant(array) for name, array in arrays.items()}

        def share(context: Any) -> dict[str, tf.Tensor]:
            rows = slice(context.replica_id_in_sync_group, None, self._replicas)
            return {name: tf.constant(array[rows]) for name, array in arrays.items()}

        return self._strategy.experimental_distribute_values_from_function(share)

    def _run(self, batch: Any, weight: tf.Tensor, step: tf.Tensor) -> dict[str, tf.Tensor]:
        sums = self._strategy.run(self._on_replica, args=(batch, weight, step))
        return {
            name: self._strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
            for name, value in sums.items()
        }

    def _on_replica(self, batch: Any, weight: tf.Tensor, step: tf.Tensor) -> dict[str, tf.Tensor]:
        replica = tf.distribute.get_replica_context()
        self._seed_draws(step, replica.replica_id_in_sync_group)
        # Read once, so that parts of a batch share what is made of a weight. Seeds move on in
        # this scope alone; the next step sets them anyway.
        variables = self._model.trainable_variables
        weights = [tf.convert_to_tensor(variable.value) for variable in variables]
        given = keras.StatelessScope(list(zip(variables, weights, strict=True)))
        with tf.GradientTape() as tape, given:
            tape.watch(weights)
            sums = cross_entropy(
                self._seq2seq,
                batch,
                label_smoothing=self._training.label_smoothing,
                training=True,
                parts=_parts() if self._replicas == 1 else 1,
            )
            loss = sums["loss"] / weight
        # Dense: the norm of an IndexedSlices counts a repeated row wrongly.
        gradients = [
            tf.zeros_like(value) if gradient is None else tf.convert_to_tensor(gradient)
            for gradient, value in zip(tape.gradient(loss, weights), weights, strict=True)
        ]
        if self._replicas > 1:
            gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        is_finite = self._clip_and_apply(gradients, loss)
        return {**sums, "is_finite": tf.cast(is_finite, tf.float32) / self._replicas}

    def _clip_and_apply(self, gradients: list[tf.Tensor], loss: tf.Tensor) -> tf.Tensor:
        """Moves the weights by the summed gradients, if these and the loss are finite; whether they are."""
        norm = tf.linalg.global_norm(gradients)
        is_finite = tf.math.is_finite(norm + loss)
        # Keras sums over the replicas once more; every one holds the sum already.
        scale = tf.constant(1 / self._replicas)
        if self._training.optimizer.clip_norm is not None:
            scale *= tf.minimum(self._training.optimizer.clip_norm / norm, 1.0)

        def apply() -> tf.Tensor:
            self._apply(gradients, scale)
            return is_finite

        # Keras cannot update several replicas under a condition; weights that are lost
        # there are read again from the last checkpoint.
        return apply() if self._replicas > 1 else tf.cond(is_finite, apply, lambda: is_finite)

    def _move(self, gradients: list[tf.Tensor], scale: tf.Tensor) -> None:
        """Moves the weights by the gradients, scaled."""
        gradients = [gradient * scale for gradient in gradients]
        self.optimizer.apply(gradients, self._model.trainable_variables)

    def _seed_draws(self, step: tf.Tensor, replica: Any) -> None:
        """Makes every random draw a function of (seed, step, what draws, replica)."""
        replica = tf.cast(replica, tf.int64)
        for index, state in enumerate(self._seeds):
            stream = (self._training.seed * 1009 + index) * 4099
            seed = tf.stack([stream + replica, step * DRAWS_PER_STEP])
            state.assign(tf.cast(seed, state.dtype))


def _parts() -> int:
    """How many parts of a batch are computed side by side.

    The same on every processor, since each part draws its own dropout.
    """
    return 1 if tf.config.list_physical_devices("GPU") else PARTS


def make_optimizer(training: Training) -> keras.optimizers.Optimizer:
    """The Keras optimizer of the config; clipping is not its business."""
    optimizer = training.optimizer
    config = {"learning_rate": optimizer.learning_rate, **optimizer.arguments}
    try:
        return keras.optimizers.get({"class_name": optimizer.name, "config": config})
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"training.optimizer.arguments: Keras does not make {optimizer.name} from"
            f" {optimizer.arguments}: {error}.",
            "Give arguments that Keras documents for this optimizer.",
        ) from None


class ValidationLoss:
    """Loss, perplexity and token accuracy of held-out batches, without smoothing."""

    def __init__(self, seq2seq: Seq2Seq):
        def sums(batch: Any) -> dict[str, tf.Tensor]:
            return cross_entropy(
                seq2seq, batch, label_smoothing=0.0, training=False, parts=_parts()
            )

        self._compiled = tf.function(sums, input_signature=[BATCH], autograph=False)

    def __call__(self, batches: Iterable[Batch]) -> dict[str, float]:
        """`loss` in nats a token, `perplexity`, and `token_accuracy` in 0..1. Raises MemoryError."""
        totals = {"loss": 0.0, "correct": 0.0, "weight": 0.0}
        for batch in batches:
            arrays = {name: tf.constant(array) for name, array in batch.arrays().items()}
            try:
                sums = self._compiled(arrays)
            except tf.errors.ResourceExhaustedError:
                raise MemoryError from None
            for name in totals:
                totals[name] += float(sums[name])
        return means(totals["loss"], totals["correct"], totals["weight"])


def means(loss: float, correct: float, weight: float) -> dict[str, float]:
    """Sums over tokens as means a token."""
    loss = loss / max(weight, 1e-9)
    return {
        "loss": loss,
        "perplexity": float(np.exp(min(loss, 700.0))),
        "token_accuracy": correct / max(weight, 1e-9),
    }
