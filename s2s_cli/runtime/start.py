"""Imports TensorFlow and Keras quietly, with the settings that must be made before first use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s2s_cli.runtime.cluster import Cluster
    from s2s_cli.runtime.workers import Workers

# Each inter-op thread of a translation holds a batch in memory.
MAX_INTER_OP_THREADS = 8


def start(
    threads: int | None = None,
    *,
    inter_op_threads: int | None = None,
    deterministic: bool = False,
    cluster: Cluster | None = None,
) -> Workers:
    """Imports TensorFlow and Keras without their messages and sets how many threads they use.

    `threads` bounds the processor's threads (None: all of them). `inter_op_threads` operations
    run at the same time (None: one a thread, up to MAX_INTER_OP_THREADS) and share the threads:
    two batches, each on a thread of its own, finish sooner than one after the other on both.
    TensorFlow accepts these settings only before the first tensor is made; where the host
    process has made one, its settings stay. With `cluster`, connects to all of its workers, and
    waits for them. Raises S2SError where that is not possible.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # 3 silences errors too, such as a product that oneDNN leaves to TensorFlow; what ends a
    # run is raised as an exception as well.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # By itself, TensorFlow uses oneDNN only on processors with AVX-512; with AVX2 it made a
    # training step a fifth to a quarter shorter, and none longer.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with native_stderr_silenced():
        import keras  # noqa: F401  (imported here while its messages are silenced)
        import tensorflow as tf

        threads = threads or os.cpu_count() or 1
        inter_op_threads = min(inter_op_threads or MAX_INTER_OP_THREADS, threads)
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads // inter_op_threads)
            tf.config.threading.set_inter_op_parallelism_threads(inter_op_threads)
            for gpu in tf.config.list_physical_devices("GPU"):
                tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            pass  # the host process has started TensorFlow already
        tf.get_logger().setLevel("ERROR")
        if deterministic:
            tf.config.experimental.enable_op_determinism()
        from s2s_cli.runtime.workers import Workers

        workers = Workers(cluster)
        tf.constant(0)  # initialises the devices now, while their messages are silenced
    return workers


def inter_op_threads() -> int:
    """How many operations TensorFlow runs at the same time."""
    import tensorflow as tf

    return tf.config.threading.get_inter_op_parallelism_threads() or 1


@contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """Redirects file descriptor 2: C++ libraries write there before they read any setting."""
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # stderr is closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(nowhere)
        os.close(saved)
