"""What machine this is, and how fast its matrix products can be."""

from __future__ import annotations

import os
import platform
import re
import resource
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

PACKAGES = ("tensorflow", "keras", "numpy", "sentencepiece")
SIZE = 2048


def describe() -> dict[str, str]:
    """Processor, cores, system and versions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    known = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_bf16")
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": str(os.cpu_count()),
        "instructions": " ".join(name for name in known if name in flags),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def peak_mib() -> float:
    """The largest memory that this process has had, MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage counts the time before exec too, that of the parent process
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
        assert found
        return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def limits() -> dict[str, float]:
    """GFLOP/s of one large matrix product: the faster of TensorFlow's and NumPy's."""
    import tensorflow as tf

    from s2s_cli import runtime
    from s2s_cli.model.quantization import QuantizedProduct

    square = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)
    found = {"float32": _rate(lambda: square @ square)}
    for dtype in ("float32", "bfloat16"):
        matrix = tf.cast(square, dtype)
        # One value is read back, so that the product is finished when the clock is read.
        rate = _rate(lambda matrix=matrix: tf.matmul(matrix, matrix)[0, 0].numpy())
        found[dtype] = max(rate, found.get(dtype, 0.0))
    if runtime.has_int8():
        product = tf.function(QuantizedProduct(square))
        rows = tf.constant(np.clip(square, -1, 1))
        found["int8"] = _rate(lambda: product(rows)[0, 0].numpy())
    return found


def _rate(product: Callable[[], object]) -> float:
    seconds = []
    for _ in range(9):
        started = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - started)
    return 2 * SIZE**3 / statistics.median(seconds[2:]) / 1e9
