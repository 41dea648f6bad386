"""TensorFlow started quietly; what this machine has; which precision is fast here."""

from s2s_cli.runtime.hardware import available_memory, processor_flags
from s2s_cli.runtime.precision import (
    has_int8,
    resolve_decoding_precision,
    resolve_training_precision,
)
from s2s_cli.runtime.start import inter_op_threads, start

__all__ = [
    "available_memory",
    "has_int8",
    "inter_op_threads",
    "processor_flags",
    "resolve_decoding_precision",
    "resolve_training_precision",
    "start",
]
