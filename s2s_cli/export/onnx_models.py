"""Format `onnx`: ONNX graphs, one with the search inside, and the encoder and the decoder step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from s2s_cli.config.schema import ResolvedConfig
from s2s_cli.export.format import SEARCH_SETTINGS
from s2s_cli.export.onnx_order import put_in_order
from s2s_cli.export.serving import (
    SOURCE_IDS,
    encoder_function,
    serving_function,
    step_function,
)
from s2s_cli.model.seq2seq import Seq2Seq

# The newest one that tf2onnx writes, which onnxruntime has had since 1.14 (2023).
OPSET = 18
# Smaller weights, such as biases, stay in float32.
QUANTIZED_SIZE = 256


class OnnxModels:
    """Writes search.onnx, encoder.onnx and decoder.onnx.

    search.onnx is `serving_function`, the other two `encoder_function` and `step_function`.
    """

    name = "onnx"
    packages = ("onnxruntime", "numpy")
    writer_packages = ("tf2onnx", "onnx")
    extra = "onnx"
    runner = "onnx_runner.py"
    follows = frozenset(SEARCH_SETTINGS) - {"sampling"}
    precisions = ("float32", "int8")
    has_same_beam = True

    def refuse(self, config: ResolvedConfig) -> str | None:
        """Refuses no run."""
        return None

    def write(
        self, folder: Path, seq2seq: Seq2Seq, config: ResolvedConfig, precision: str
    ) -> Sequence[str]:
        """Writes the graphs; nothing is left out."""
        step, step_inputs = step_function(seq2seq)
        for name, function, inputs in (
            ("search", serving_function(seq2seq, config), [SOURCE_IDS]),
            ("encoder", encoder_function(seq2seq), [SOURCE_IDS]),
            ("decoder", step, step_inputs),
        ):
            model = _converted(name, function, inputs)
            if precision == "int8":
                quantize_weights(model.graph)
            _save(model, folder / f"{name}.onnx")
        return ()


def _converted(name: str, function: Callable[..., Any], inputs: Sequence[tf.TensorSpec]) -> Any:
    """A function of tensors, with outputs by name, as an ONNX model."""
    import tf2onnx

    graph = tf.function(function, input_signature=inputs, autograph=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy and protobuf, to the authors of tf2onnx
        model, _ = tf2onnx.convert.from_function(
            graph,
            input_signature=inputs,
            opset=OPSET,
            custom_op_handlers={"SelectV2": (_as_where, [])},
        )
    put_in_order(model.graph)
    model.graph.name = name
    for one in (*model.graph.input, *model.graph.output):
        one.type.tensor_type.shape.dim[0].dim_param = "sentences"
    return model


def _as_where(context: Any, node: Any, name: str, arguments: Any) -> None:
    """Converts `tf.where` to Where. tf2onnx makes it a sum of two products, which is NaN where the
    value that is not taken is infinite."""
    node.type, node.domain = "Where", ""


def quantize_weights(graph: Any) -> None:
    """Stores the weights of a graph, and of the graphs inside its nodes, as int8, each row or column
    with a float32 scale.

    They are multiplied out when a search begins, so products are those of float32. onnxruntime's own
    `quantize_dynamic` does not find the weights of loops, which are most of them.
    """
    from onnx import helper, numpy_helper

    nodes, kept = [], []
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                quantize_weights(attribute.g)
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.ndim != 2 or values.size < QUANTIZED_SIZE:
            kept.append(tensor)
            continue
        axis, integers, scales = quantized(values)
        names = [f"{tensor.name}/int8", f"{tensor.name}/scale"]
        kept += [
            numpy_helper.from_array(array, name)
            for array, name in zip((integers, scales), names, strict=True)
        ]
        nodes.append(helper.make_node("DequantizeLinear", names, [tensor.name], axis=axis))
    rest = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend([*nodes, *rest])


def quantized(
    values: np.ndarray[Any, Any],
) -> tuple[int, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Values (R,C) → axis, int8 (R,C), scales (R,) for axis 0 or (C,) for 1: the values are the
    integers × their scale, with the axis for which the error is smaller."""
    found = []
    for axis in (0, 1):
        scales = np.maximum(np.abs(values).max(axis=1 - axis), 1e-30) / 127
        spread = np.expand_dims(scales, 1 - axis)
        integers = np.round(values / spread)
        error = float(np.square(integers * spread - values).sum())
        found.append((error, axis, integers.astype(np.int8), scales.astype(np.float32)))
    return min(found, key=lambda one: one[0])[1:]


def _save(model: Any, path: Path) -> None:
    """Writes a model that onnx accepts."""
    import onnx

    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
