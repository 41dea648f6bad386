"""Which precision products are computed in: what the user asked for, or the fastest one here."""

from __future__ import annotations

import functools
import math
import os
import time
from typing import Literal

from s2s_cli.errors import S2SError
from s2s_cli.runtime.hardware import processor_flags

# bfloat16 rounds, so `auto` takes it only where it is at least this many times as fast.
MIN_SPEEDUP = 1.2


def resolve_training_precision(
    requested: Literal["auto", "float32", "bfloat16"],
) -> Literal["float32", "bfloat16"]:
    """Resolves `auto`: bfloat16 where the device multiplies it faster than float32."""
    if requested != "auto":
        return requested
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return "bfloat16" if details.get("compute_capability", (0, 0)) >= (8, 0) else "float32"
    if not {"avx512_bf16", "amx_bf16"} & processor_flags():
        return "float32"
    return "bfloat16" if _bfloat16_speedup() > MIN_SPEEDUP else "float32"


def resolve_decoding_precision(
    requested: Literal["auto", "float32", "bfloat16", "int8"],
) -> Literal["float32", "bfloat16", "int8"]:
    """Resolves `auto`: int8 where the processor has instructions for it, else as in training.

    Raises S2SError where int8 is requested and the processor lacks the instructions.
    """
    if requested == "int8" and not has_int8():
        raise S2SError(
            "decoding.precision is int8, but this processor has no 8-bit instructions (VNNI).",
            "Give --precision auto, which takes the fastest precision here, or float32.",
        )
    if requested == "int8" or (requested == "auto" and has_int8()):
        return "int8"
    return resolve_training_precision(requested)


def has_int8() -> bool:
    """Whether 8-bit products with 32-bit sums are fast here: oneDNN computes them with VNNI."""
    import tensorflow as tf

    return (
        bool({"avx512_vnni", "avx_vnni"} & processor_flags())
        and os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0"
        and not tf.config.list_physical_devices("GPU")
    )


@functools.cache
def _bfloat16_speedup() -> float:
    """How many times as fast a matrix product is in bfloat16, measured in some 50 ms.

    The instruction set alone does not tell: with AVX-512 only, Zen 4 takes half the time of
    float32 and Sapphire Rapids twice that time.
    """
    import tensorflow as tf

    seconds: dict[str, float] = {}
    for dtype in ["float32", "bfloat16"] * 6:
        rows, matrix = tf.ones([256, 512], dtype), tf.ones([512, 2048], dtype)
        started = time.perf_counter()
        tf.matmul(rows, matrix)[0, 0].numpy()  # reading a value back waits for the product
        seconds[dtype] = min(time.perf_counter() - started, seconds.get(dtype, math.inf))
    return seconds["float32"] / seconds["bfloat16"]
