"""TensorFlow, started quietly and with the settings that must come first."""

from __future__ import annotations

import ctypes
import functools
import gc
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from s2s_cli.errors import S2SError

# How much faster bfloat16 must be, since it rounds.
LEAST_GAIN = 1.2

# Each holds a batch in memory.
MOST_CHAINS = 8

# Parameters of mallopt(3), from <malloc.h>.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3


def start(
    threads: int | None = None,
    *,
    chains: int | None = None,
    deterministic: bool = False,
    seed: int = 1,
) -> None:
    """Imports TensorFlow and Keras without their noise.

    `threads` bounds the processor's threads (None: all). So many `chains` of operations run
    side by side (None: one a thread, up to MOST_CHAINS), and share the threads: two batches,
    each on a thread of its own, are done sooner than one after the other, each on both.
    Whatever first makes a tensor initialises TensorFlow, after which none of this can be
    changed.
    """
    _keep_freed_memory()
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # 3 silences errors too, such as a product that oneDNN leaves to TensorFlow; what ends
    # a run is raised as an exception as well.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow takes oneDNN's products of itself only on processors with AVX-512; on
    # AVX2 they made a training step a fifth to a quarter shorter, and none longer.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with _native_stderr_silenced(), _no_collection():
        import keras
        import tensorflow as tf

        threads = threads or os.cpu_count() or 1
        chains = min(chains or MOST_CHAINS, threads)
        tf.config.threading.set_intra_op_parallelism_threads(threads // chains)
        tf.config.threading.set_inter_op_parallelism_threads(chains)
        tf.get_logger().setLevel("ERROR")
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        if deterministic:
            tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(seed)
        tf.constant(0)  # initialises the devices now, while their noise is silenced


def chains() -> int:
    """How many chains of operations run side by side."""
    import tensorflow as tf

    return tf.config.threading.get_inter_op_parallelism_threads() or 1


def optimize_graphs(wanted: bool) -> None:
    """Whether TensorFlow rewrites graphs that are called for the first time from now on."""
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not wanted})


def _keep_freed_memory() -> None:
    """Tells glibc to reuse large blocks instead of giving them back to the system.

    A step allocates and frees hundreds of megabytes; fetching their pages anew
    took a fifth of its time. Other C libraries have no such switch.
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(M_TOP_PAD, 256 << 20)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Imports make some hundred thousand objects that stay, and Python looks for garbage among
    them again and again, which is a sixth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """C++ libraries write to descriptor 2 before any setting of theirs is read."""
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(nowhere)
        os.close(saved)


def choose_precision(
    requested: Literal["auto", "float32", "bfloat16"],
) -> Literal["float32", "bfloat16"]:
    """What `auto` comes to: bfloat16 where the device multiplies it faster than float32."""
    if requested != "auto":
        return requested
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return "bfloat16" if details.get("compute_capability", (0, 0)) >= (8, 0) else "float32"
    if not {"avx512_bf16", "amx_bf16"} & processor_flags():
        return "float32"
    return "bfloat16" if _gain_of_bfloat16() > LEAST_GAIN else "float32"


def choose_decoding_precision(
    requested: Literal["auto", "float32", "bfloat16", "int8"],
) -> Literal["float32", "bfloat16", "int8"]:
    """What `auto` comes to: int8 where the processor has instructions for it, else as above.

    Raises S2SError where int8 is asked for and there are none.
    """
    if requested == "int8" and not has_int8():
        raise S2SError(
            "decoding.precision is int8, and there are no instructions for it here (VNNI).",
            "Give --precision auto, which takes what is fastest here, or float32.",
        )
    if requested == "int8" or (requested == "auto" and has_int8()):
        return "int8"
    return choose_precision(requested)


def has_int8() -> bool:
    """Whether there are products of 8 bits, with sums of 32: oneDNN's, by VNNI."""
    import tensorflow as tf

    return (
        bool({"avx512_vnni", "avx_vnni"} & processor_flags())
        and os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0"
        and not tf.config.list_physical_devices("GPU")
    )


@functools.cache
def _gain_of_bfloat16() -> float:
    """How much sooner a product is there in bfloat16, measured, in some 50 ms.

    Instructions for it say little: with AVX-512 alone, Zen 4 takes half the time of float32 and
    Sapphire Rapids twice that time.
    """
    import tensorflow as tf

    seconds: dict[str, float] = {}
    for dtype in ["float32", "bfloat16"] * 6:
        rows, matrix = tf.ones([256, 512], dtype), tf.ones([512, 2048], dtype)
        started = time.perf_counter()
        tf.matmul(rows, matrix)[0, 0].numpy()  # read back, so that it is over
        seconds[dtype] = min(time.perf_counter() - started, seconds.get(dtype, math.inf))
    return seconds["float32"] / seconds["bfloat16"]


@functools.cache
def processor_flags() -> frozenset[str]:
    """The instruction sets of the processor, as Linux names them; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.split())


def available_memory() -> int | None:
    """Bytes that this process may still take, as far as Linux tells; None elsewhere."""
    found = []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(line for line in lines if line.startswith("MemAvailable:"))
        found.append(1024 * int(free.split()[1]))
    with suppress(OSError, ValueError):  # "max" is no number
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text(encoding="ascii"))
        found.append(most - int((group / "memory.current").read_text(encoding="ascii")))
    return min(found, default=None)
