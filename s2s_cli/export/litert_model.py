"""Format `litert`: a greedy search of one sentence, for LiteRT (which was TensorFlow Lite)."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from s2s_cli.config.schema import ResolvedConfig
from s2s_cli.export.serving import serving_function
from s2s_cli.model.seq2seq import Seq2Seq


class LiteRTModel:
    """Writes model.tflite, of LiteRT's own operations alone.

    Its signature `serve` is that of `serving_function` for one sentence (1,S) of up to
    max_source_length tokens and `</s>`, S - 1 = max_source_length, with 0 on the right.
    """

    name = "litert"
    packages = ("ai-edge-litert", "numpy")
    writer_packages = ()
    extra = "litert"
    runner = "litert_runner.py"
    follows = frozenset({"length_penalty", "min_length", "unknown"})
    precisions = ("float32", "int8")
    has_same_beam = True

    def refuse(self, config: ResolvedConfig) -> str | None:
        """Refuses no run."""
        return None

    def write(
        self, folder: Path, seq2seq: Seq2Seq, config: ResolvedConfig, precision: str
    ) -> Sequence[str]:
        """Writes the model; nothing is left out."""
        search = serving_function(seq2seq, config)
        # LiteRT has no variables that a loop can read.
        weights = [(weight, np.asarray(weight.value)) for weight in seq2seq.weights.values()]

        def serve(source_ids: tf.Tensor) -> dict[str, tf.Tensor]:
            constants = [(weight, tf.constant(value)) for weight, value in weights]
            with keras.StatelessScope(constants):
                return search(source_ids)

        longest = config.decoding.max_source_length
        assert longest is not None  # resolved
        signature = [tf.TensorSpec((1, longest + 1), tf.int32, name="source_ids")]
        graph = tf.function(serve, input_signature=signature, autograph=False)
        with tempfile.TemporaryDirectory(prefix="s2s-litert-") as scratch, _quiet():
            content = _converted(graph, scratch, precision)
        (folder / "model.tflite").write_bytes(content)
        return ()


def _converted(graph: Any, scratch: str, precision: str) -> bytes:
    """A function as a LiteRT model, by way of a SavedModel in a folder."""
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(tf.Module(), scratch, signatures={"serve": graph}, options=options)
    converter = tf.lite.TFLiteConverter.from_saved_model(scratch)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    content: bytes = converter.convert()
    return content


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of TensorFlow to its own authors, and that nobody could train the model."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
