"""The processes that train one model together, and the sums and messages that they exchange.

TensorFlow's collective runtime carries both: each worker is a server that the others reach, and
the chief watches the heartbeats of all. Every worker must call the same functions in the same order.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from s2s_cli.errors import S2SError
from s2s_cli.runtime.cluster import Cluster, worker_name

# What TensorFlow raises where another worker is gone, silent or restarted.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


class WorkerLostError(S2SError):
    """Another worker has ended or does not answer."""


class Workers:
    """The workers of a training; `Workers()` is one that is alone.

    Weights are not shared: all begin with the same ones and take the same steps with the same
    summed gradients.
    """

    def __init__(self, cluster: Cluster | None = None):
        """Connects to all others of the cluster, and waits for them; no tensor may exist before.

        Raises S2SError where this process cannot listen at its address.
        """
        self.cluster = cluster
        self.count = len(cluster.addresses) if cluster else 1
        self.index = cluster.index if cluster else 0
        self._strategy = _connect(cluster) if cluster else None
        self._sum_of_words = tf.function(
            self.summed, input_signature=[tf.TensorSpec((None,), tf.int32)], autograph=False
        )

    @property
    def is_chief(self) -> bool:
        """Whether this is the worker that writes."""
        return self.index == 0

    def summed(self, values: tf.Tensor) -> tf.Tensor:
        """The sum over all workers of a tensor of one shape, in a graph; the same bits on each."""
        if self._strategy is None:
            return values

        def all_reduce(own: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            # The copy is on the device of this worker; an argument may be on none.
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(own))

        found = self._strategy.run(all_reduce, args=(values,))
        return self._strategy.experimental_local_results(found)[0]

    def summed_all(self, tensors: Sequence[tf.Tensor], dtype: Any = tf.float32) -> list[tf.Tensor]:
        """The sums of several float32 tensors, as one message in another dtype, in a graph."""
        if self._strategy is None:
            return list(tensors)
        flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)
        total = tf.cast(self.summed(tf.cast(flat, dtype)), tf.float32)
        parts = tf.split(total, [tf.size(tensor) for tensor in tensors], num=len(tensors))
        return [
            tf.reshape(part, tf.shape(tensor)) for part, tensor in zip(parts, tensors, strict=True)
        ]

    def gather(self, content: bytes = b"") -> list[bytes]:
        """What each worker gives, by its number; returns when all have given something.

        Raises WorkerLostError.
        """
        if self._strategy is None:
            return [content]
        with self.watched():
            sizes = np.zeros(self.count, np.int32)
            sizes[self.index] = len(content)
            sizes = self._sum_of_words(sizes).numpy()
            longest = -(-int(sizes.max()) // 4)
            if not longest:
                return [b""] * self.count
            words = np.zeros((self.count, longest), np.int32)
            words[self.index] = np.frombuffer(content.ljust(4 * longest, b"\0"), np.int32)
            rows = self._sum_of_words(words.reshape(-1)).numpy().reshape(self.count, longest)
        return [row.tobytes()[:size] for row, size in zip(rows, sizes, strict=True)]

    def any(self, own: bool) -> bool:
        """Whether it is so on any worker."""
        return any(map(bool, self.gather(b"1" if own else b"")))

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Raises WorkerLostError where TensorFlow reports that another worker is lost."""
        try:
            yield
        except _LOST as error:
            is_message = "ollective" in str(error) or "CoordinationService" in str(error)
            if self.cluster is None or not is_message:
                raise
            raise _lost(error, self.cluster) from None


def _connect(cluster: Cluster) -> tf.distribute.Strategy:
    gpus = tf.config.list_physical_devices("GPU")
    if len(gpus) > 1:  # one worker, one device: a second one is for another worker
        tf.config.set_visible_devices(gpus[0], "GPU")
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.index,
        rpc_layer="grpc",
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except tf.errors.OpError as error:
        own = cluster.addresses[cluster.index]
        if _lost_index(str(error)) not in (None, cluster.index):
            raise _lost(error, cluster) from None
        raise S2SError(
            f"{cluster.name} cannot start: TensorFlow cannot listen at {own}, or reach the others.",
            "Check that the name is one of this machine and that no other process has the port;"
            " another training may still be ending.",
        ) from None


def _lost(error: tf.errors.OpError, cluster: Cluster) -> WorkerLostError:
    index = _lost_index(str(error))
    if index is None or index == cluster.index:
        who = "another worker"
    else:
        who = worker_name(index, cluster.addresses)
    return WorkerLostError(
        f"{who} has ended or does not answer, so this one ends too.",
        "Its log says why. The same command on all workers resumes from the last checkpoint.",
    )


def _lost_index(message: str) -> int | None:
    """The worker that an error of a collective operation is about; the chief keeps the heartbeats."""
    for pattern in (
        r"unhealthy[^/]*/job:worker/replica:0/task:(\d+)",
        r"remote target /job:worker/replica:0/task:(\d+)",
        r"/job:worker/(?:replica:0/)?task:(\d+)",
    ):
        found = re.search(pattern, message)
        if found:
            return int(found[1])
    return 0 if "CoordinationService" in message else None
