"""One compiled training step: gradient, all-reduce, clip, apply."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from s2s_cli.config.schema import Training
from s2s_cli.model.dropout import DropoutDraws
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.runtime.workers import Workers
from s2s_cli.text.batches import BATCH_SPEC, Batch
from s2s_cli.training.objective import Sums, cross_entropy, training_objective
from s2s_cli.training.optimizer import make_optimizer, name_variables

# A batch is computed in so many parts at the same time: most operations of a recurrence are too
# small to be shared by threads, and those of a Transformer that are no products pass over memory
# once each. More parts would leave too few rows to a product.
SUB_BATCHES = 2

# How many forward passes of a batch draw dropout, by `training.consistency.method`.
FORWARD_PASSES = {"none": 1, "r_drop": 2, "simcut": 2}

SCALAR = tf.TensorSpec((), tf.float32)
STEP = tf.TensorSpec((), tf.int64)


class TrainingStep:
    """The step over all replicas of a strategy, or over all workers; made within the scope.

    Replicas are devices of this process, workers are processes of one device. Each takes contiguous
    rows of the batch, scales its loss by the weight of the whole batch, and their gradients are summed
    before these are clipped, so that all of them take the step that one would take. Several
    batches are one large one, whose parts are computed one after the other. `sub_batches` is for
    tests.
    """

    def __init__(
        self,
        seq2seq: Seq2Seq,
        training: Training,
        strategy: tf.distribute.Strategy,
        *,
        workers: Workers | None = None,
        sub_batches: int | None = None,
    ):
        self._seq2seq, self._training, self._strategy = seq2seq, training, strategy
        self._workers = workers or Workers()
        self._weights = seq2seq.training_model.trainable_variables
        self.optimizer = make_optimizer(training.optimizer)
        self.optimizer.build(self._weights)
        self.moving_averages: dict[str, keras.Variable] = {}
        """The moving average of each trained weight, by its path, where there is one."""
        if training.averaging.method == "ema":
            self.moving_averages = {
                weight.path: keras.Variable(weight.numpy(), trainable=False, aggregation="mean")
                for weight in self._weights
            }
        # Not Keras's variables, whose `assign_add` is an addition: TensorFlow would join it with
        # other additions, in an order that is not the same in every graph.
        self._gradient_sums: list[tf.Variable] = []
        if training.batches_per_step > 1:
            mean = tf.VariableAggregation.MEAN
            self._gradient_sums = [
                tf.Variable(tf.zeros(weight.shape), trainable=False, aggregation=mean)
                for weight in self._weights
            ]
        self._replicas = strategy.num_replicas_in_sync
        assert self._replicas == 1 or self._workers.count == 1, "a worker has one device"
        has_gpu = bool(tf.config.list_physical_devices("GPU"))
        default = 1 if has_gpu or self._replicas > 1 else SUB_BATCHES
        self._sub_batches = sub_batches or default
        # An optimizer is a dozen operations a weight, each of which reads and writes memory;
        # compiled they are one. The update of several replicas cannot be compiled.
        self._update = self._apply_optimizer
        if self._replicas == 1 and not has_gpu:
            self._update = tf.function(self._apply_optimizer, jit_compile=True, autograph=False)
        # A batch that is distributed over replicas has no spec before it exists.
        signature = [(BATCH_SPEC, STEP), SCALAR, STEP, STEP] if self._replicas == 1 else None
        graph = functools.partial(
            tf.function,
            reduce_retracing=signature is None,
            autograph=False,  # rewriting functions that hold no Python loop takes seconds
        )
        self._whole_step = graph(self._step_of_one_batch, input_signature=signature)
        self._add_gradients = graph(self._with_gradients_added, input_signature=signature)
        self._take_sums = graph(self._step_of_sums, input_signature=[SCALAR])

    def __call__(
        self, batches: Sequence[Batch], step: int, learning_rate: float
    ) -> dict[str, float]:
        """Takes step `step` and returns the sums of `cross_entropy` over the global batch, which is
        all of `batches` together.

        `is_finite` is 0 where the loss or the gradient was not finite; the step is then
        skipped, on all replicas and workers. Raises MemoryError, and WorkerLostError.
        """
        self.optimizer.learning_rate = learning_rate
        weight = tf.maximum(tf.add_n([tf.reduce_sum(batch["weights"]) for batch in batches]), 1e-9)
        number = tf.constant(step, tf.int64)
        passes = FORWARD_PASSES[self._training.consistency.method]
        compute = self._add_gradients if self._gradient_sums else self._whole_step
        totals: dict[str, float] = {}
        try:
            with self._workers.watched():
                for index, batch in enumerate(batches):
                    first_pass = tf.constant(index * passes, tf.int64)
                    sums = compute(self._distributed(batch), weight, number, first_pass)
                    for name, value in sums.items():
                        totals[name] = totals.get(name, 0.0) + float(value)
                if self._gradient_sums:
                    totals["is_finite"] = float(self._take_sums(tf.constant(totals["loss"])))
        except tf.errors.ResourceExhaustedError:
            raise MemoryError from None
        return totals

    def optimizer_variables(self) -> dict[str, keras.Variable]:
        """The variables of the optimizer by stable names."""
        return name_variables(self.optimizer, self._weights)

    def _distributed(self, batch: Batch) -> Any:
        """The rows of each replica, or of this worker, and the number of their first row."""
        if self._replicas == 1:
            return _rows(batch, self._workers.index, self._workers.count)
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: _rows(batch, context.replica_id_in_sync_group, self._replicas)
        )

    def _step_of_one_batch(
        self, rows: Any, weight: tf.Tensor, step: tf.Tensor, first_pass: tf.Tensor
    ) -> Sums:
        arguments = (rows, weight, step, first_pass)
        gradients, sums = self._strategy.run(self._gradients, args=arguments)
        gradients, sums = self._over_workers(gradients), self._summed(sums)
        return {**sums, "is_finite": self._update_if_finite(gradients, sums["loss"])}

    def _with_gradients_added(
        self, rows: Any, weight: tf.Tensor, step: tf.Tensor, first_pass: tf.Tensor
    ) -> Sums:
        """Adds the gradients of one of several batches to those of the batches before it."""

        def add(*arguments: Any) -> Sums:
            gradients, sums = self._gradients(*arguments)
            for total, gradient in zip(self._gradient_sums, gradients, strict=True):
                total.assign_add(gradient)
            return sums

        return self._summed(self._strategy.run(add, args=(rows, weight, step, first_pass)))

    def _step_of_sums(self, loss: tf.Tensor) -> tf.Tensor:
        """Takes the step of all batches whose gradients were added, and begins new sums."""

        def take() -> list[tf.Tensor]:
            gradients = [tf.identity(total) for total in self._gradient_sums]
            with tf.control_dependencies(gradients):
                for total in self._gradient_sums:
                    total.assign(tf.zeros_like(total))
            return gradients

        return self._update_if_finite(self._over_workers(self._strategy.run(take)), loss)

    def _over_workers(self, gradients: Any) -> Any:
        return self._workers.summed_all(gradients, self._training.reduce_precision)

    def _summed(self, sums: Sums) -> Sums:
        """Over all replicas and workers."""
        found = [
            self._strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
            for value in sums.values()
        ]
        return dict(zip(sums, self._workers.summed_all(found), strict=True))

    def _update_if_finite(self, gradients: Any, loss: tf.Tensor) -> tf.Tensor:
        """Clips the reduced gradients and updates the weights; returns 0 where that was skipped."""
        norm = self._strategy.run(tf.linalg.global_norm, args=(gradients,))
        # The reduced gradients, and so their norm, are the same on all replicas.
        norm = self._strategy.experimental_local_results(norm)[0]
        scale = tf.constant(1 / self._replicas)  # Keras sums over the replicas once more
        if self._training.optimizer.clip_norm is not None:
            scale *= tf.minimum(self._training.optimizer.clip_norm / norm, 1.0)

        def update() -> tf.Tensor:
            self._strategy.run(self._update, args=(gradients, scale))
            return tf.constant(1.0)

        return tf.cond(tf.math.is_finite(norm + loss), update, lambda: tf.constant(0.0))

    def _gradients(
        self,
        rows: tuple[Batch, tf.Tensor],
        weight: tf.Tensor,
        step: tf.Tensor,
        first_pass: tf.Tensor,
    ) -> tuple[list[tf.Tensor], Sums]:
        """The gradients, summed over the replicas, and this replica's sums."""
        batch, first_row = rows
        # Read once, so that sub-batches share what is computed from a weight.
        weights = [tf.convert_to_tensor(variable.value) for variable in self._weights]
        scope = keras.StatelessScope(list(zip(self._weights, weights, strict=True)))
        with tf.GradientTape() as tape, scope:
            tape.watch(weights)
            sums = self._sums(batch, step, first_row, first_pass)
            loss = sums["loss"] / weight
        # Dense: the norm of an IndexedSlices counts a repeated row wrongly.
        gradients = [
            tf.zeros_like(value) if gradient is None else tf.convert_to_tensor(gradient)
            for gradient, value in zip(tape.gradient(loss, weights), weights, strict=True)
        ]
        if self._replicas > 1:
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        return gradients, sums

    def _sums(
        self, batch: Batch, step: tf.Tensor, first_row: tf.Tensor, first_pass: tf.Tensor
    ) -> Sums:
        """The sums over all sub-batches."""
        found = []
        for index in range(self._sub_batches):
            part, offset = _rows(batch, index, self._sub_batches)
            draws = DropoutDraws(self._training.seed, step, first_row + offset, first_pass)
            found.append(training_objective(self._seq2seq.layers, part, self._training, draws))
        return _added(found)

    def _apply_optimizer(self, gradients: list[tf.Tensor], scale: tf.Tensor) -> None:
        """Updates the weights with the gradients, scaled, and then their moving averages."""
        self.optimizer.apply([gradient * scale for gradient in gradients], self._weights)
        if self.moving_averages:
            step = tf.cast(self.optimizer.iterations.value, tf.float32)
            decay = tf.minimum(self._training.averaging.decay, (1 + step) / (10 + step))
            for average, weight in zip(self.moving_averages.values(), self._weights, strict=True):
                average.assign_add((1 - decay) * (weight.value - average.value))


def _rows(batch: Batch, index: Any, parts: int) -> tuple[Batch, tf.Tensor]:
    """Part `index` of `parts` contiguous parts of a batch, and the number of its first row.

    All parts have the same number of rows, but the last ones may have fewer or none.
    """
    if parts == 1:
        return batch, tf.constant(0, tf.int64)
    rows = tf.shape(batch["weights"], tf.int64)[0]
    size = -(-rows // parts)
    first = tf.minimum(tf.cast(index, tf.int64) * size, rows)
    return {name: value[first : first + size] for name, value in batch.items()}, first


def _added(sums: list[Sums]) -> Sums:
    return {name: tf.add_n([part[name] for part in sums]) for name in sums[0]}


# Of a batch: the negative log likelihood, correct tokens and their weight, each summed over tokens.
BatchSums = tuple[float, ...]


class ValidationLoss:
    """The sums over held-out batches that the loss is made of, without smoothing and dropout."""

    def __init__(self, seq2seq: Seq2Seq):
        parts = 1 if tf.config.list_physical_devices("GPU") else SUB_BATCHES
        variables = seq2seq.weights
        self._paths = tuple(variables)

        def sums(batch: Batch, values: Sequence[tf.Tensor]) -> Sums:
            with keras.StatelessScope(list(zip(variables.values(), values, strict=True))):
                layers = seq2seq.layers.for_training(None)
                rows = (_rows(batch, index, parts)[0] for index in range(parts))
                return _added([cross_entropy(layers, part, label_smoothing=0.0) for part in rows])

        specs = [tf.TensorSpec(weight.shape, weight.dtype) for weight in variables.values()]
        self._compiled = tf.function(sums, input_signature=[BATCH_SPEC, specs], autograph=False)

    def __call__(self, batches: Iterable[Batch], weights: Mapping[str, Any]) -> list[BatchSums]:
        """The sums of each batch, with weights by path. Raises MemoryError."""
        values = [tf.convert_to_tensor(weights[path]) for path in self._paths]
        found = []
        for batch in batches:
            try:
                sums = self._compiled(batch, values)
            except tf.errors.ResourceExhaustedError:
                raise MemoryError from None
            found.append(tuple(float(sums[name]) for name in ("nll", "correct", "weight")))
        return found


def total_means(sums: Iterable[BatchSums]) -> dict[str, float]:
    """`loss` in nats a token, `perplexity`, and `token_accuracy` in 0..1, of all batches."""
    nll = correct = weight = 0.0
    for one in sums:
        nll, correct, weight = nll + one[0], correct + one[1], weight + one[2]
    return means(nll, correct, weight)


def means(loss: float, correct: float, weight: float) -> dict[str, float]:
    """Sums over tokens as means a token."""
    loss = loss / max(weight, 1e-9)
    return {
        "loss": loss,
        "perplexity": float(np.exp(min(loss, 700.0))),
        "token_accuracy": correct / max(weight, 1e-9),
    }
