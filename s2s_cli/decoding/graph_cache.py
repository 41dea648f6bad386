"""Traced search graphs, cached in a folder of the user between processes.

Making the layers and tracing the search takes longer than translating a sentence. The result, a
graph of operations with the weights as inputs, depends on neither corpus nor weights; so it is
cached where the next process finds it and runs it with the weights of its checkpoint. The
folder may be deleted at any time.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import itertools
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import platformdirs
import tensorflow as tf

from s2s_cli.files import write_bytes
from s2s_cli.runtime.hardware import processor_flags

_Function = Callable[..., list[tf.Tensor]]

# The graphs that were used longest ago are removed beyond this number.
MAX_CACHED = 32


@dataclass(frozen=True)
class SearchGraph:
    """A traced graph, and the names of the tensors that go in and come out.

    The first inputs are the weights; `shapes` has the shape of each by its path in the model.
    """

    graph: bytes
    inputs: list[str]
    outputs: list[str]
    shapes: dict[str, list[int]]
    dtype: str
    arguments: list[tuple[list[int | None], str]]
    """Shape and dtype of each further input."""

    @classmethod
    def trace(
        cls,
        search: Callable[..., Sequence[tf.Tensor]],
        weights: Mapping[str, Any],
        signature: Sequence[tf.TensorSpec],
        prefix: str,
    ) -> SearchGraph:
        """Traces `search(values of the weights, *arguments)`; `weights` are variables by path.

        The functions of the graph get names that begin with `prefix`: all graphs of a process
        share one space of function names, and a second graph with one of them is refused.
        """
        specs = [tf.TensorSpec(v.shape, v.dtype) for v in weights.values()]
        traced = tf.function(search, autograph=False).get_concrete_function(specs, *signature)
        assert not traced.captured_inputs, "the graph must get all that it needs as inputs"
        return cls(
            _with_prefix(traced.graph.as_graph_def(), prefix).SerializeToString(),
            [tensor.name for tensor in traced.inputs],
            [tensor.name for tensor in traced.outputs],
            {path: list(spec.shape) for path, spec in zip(weights, specs, strict=True)},
            specs[0].dtype.name,
            [(spec.shape.as_list(), spec.dtype.name) for spec in signature],
        )

    def bind(self, weights: Mapping[str, Any]) -> Callable[..., list[tf.Tensor]]:
        """The search as a function of its arguments, with weights (arrays or variables) by path.

        What follows from the weights alone is computed here, once.
        """
        prepare, run = self._imported
        values = [tf.cast(tf.convert_to_tensor(weights[p]), self.dtype) for p in self.shapes]
        prepared = prepare(*values)
        return lambda *arguments: run(*prepared, *map(tf.convert_to_tensor, arguments))

    @functools.cached_property
    def _imported(self) -> tuple[_Function, _Function]:
        """A function of the weights, and one of what that returns and of the arguments."""
        graph = tf.compat.v1.GraphDef.FromString(self.graph)
        weights, arguments = self.inputs[: len(self.shapes)], self.inputs[len(self.shapes) :]
        fixed, between = _without_arguments(graph, arguments)
        prepare = _function_of(
            fixed,
            weights,
            between,
            [tf.TensorSpec(shape, self.dtype) for shape in self.shapes.values()],
        )
        specs = [tf.TensorSpec(found.shape, found.dtype) for found in prepare.outputs]
        specs += [tf.TensorSpec(shape, dtype) for shape, dtype in self.arguments]
        return prepare, _function_of(graph, [*between, *arguments], self.outputs, specs)

    def save(self, path: Path) -> None:
        """Writes what `load` reads; where that fails, the next process traces again."""
        head = {name: value for name, value in asdict(self).items() if name != "graph"}
        content = json.dumps(head).encode() + b"\n" + self.graph
        with suppress(OSError):
            write_bytes(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            cached = sorted(path.parent.glob("*.search"), key=lambda path: path.stat().st_mtime)
            for old in cached[:-MAX_CACHED]:
                old.unlink()

    @classmethod
    def load(cls, path: Path) -> SearchGraph | None:
        """What was saved; None where it is missing or damaged."""
        try:
            checksum, _, content = path.read_bytes().partition(b"\n")
            if checksum.decode() != hashlib.sha256(content).hexdigest():
                return None
            head, _, graph = content.partition(b"\n")
            os.utime(path)
            return cls(graph=graph, **json.loads(head))
        except (OSError, ValueError, TypeError):
            return None


def _function_of(
    graph: Any, inputs: Sequence[str], outputs: Sequence[str], specs: Sequence[tf.TensorSpec]
) -> Any:
    """The function from some tensors of a graph, by name, to others."""

    def run(*values: tf.Tensor) -> list[tf.Tensor]:
        named = dict(zip(inputs, values, strict=True))
        return tf.graph_util.import_graph_def(graph, named, list(outputs), name="")  # type: ignore[no-any-return]

    # `tf.function` would not find the functions of the imported graph, such as loop bodies.
    return tf.compat.v1.wrap_function(run, list(specs))


def _without_arguments(graph: Any, arguments: Sequence[str]) -> tuple[Any, list[str]]:
    """The part of a graph that does not depend on these tensors, and the names of the tensors in it
    that the rest reads, constants aside.

    A graph lists each node after those that it reads.
    """
    depending = {_node(name) for name in arguments}
    fixed = tf.compat.v1.GraphDef(versions=graph.versions)
    read: dict[str, None] = {}
    constants: set[str] = set()
    for node in graph.node:
        if node.op == "Const":
            constants.add(node.name)
        if node.name in depending or depending.intersection(map(_node, node.input)):
            depending.add(node.name)
            read.update(dict.fromkeys(node.input))
        else:
            fixed.node.append(node)
    between = [
        name if ":" in name else f"{name}:0"
        for name in read
        if _node(name) not in depending | constants and not name.startswith("^")
    ]
    fixed.library.CopyFrom(graph.library)
    return fixed, between


def _node(tensor: str) -> str:
    """The name of the node that a tensor, or a control input, belongs to."""
    return tensor.lstrip("^").partition(":")[0]


def cache_path(made_from: Any, family_modules: Iterable[str]) -> Path:
    """The file of a graph that is made from `made_from`, a JSON value, by the code of families.

    Its name follows from all that the graph depends on, the machine and the versions included.
    """
    depends_on = [
        made_from,
        sorted(processor_flags()),
        [device.device_type for device in tf.config.list_physical_devices()],
        [version(name) for name in ("tensorflow", "keras")],
        [_code_checksum(module) for module in sorted(set(family_modules))],
    ]
    key = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()
    return platformdirs.user_cache_path("s2s", appauthor=False) / f"{key[:32]}.search"


def _code_checksum(family_module: str) -> str:
    """SHA-256 of this package and of the module of a family outside of it."""
    found = hashlib.sha256()
    paths = sorted(Path(__file__).parents[1].rglob("*.py"))
    spec = importlib.util.find_spec(family_module)
    if spec is not None and spec.origin is not None and Path(spec.origin) not in paths:
        paths.append(Path(spec.origin))
    for path in paths:
        found.update(path.read_bytes())
    return found.hexdigest()


def _with_prefix(graph: Any, prefix: str) -> Any:
    """Renames the functions of a graph, in place, so that their names begin with `prefix`."""
    functions = graph.library.function
    names = {f.signature.name: f"{prefix}_{f.signature.name}" for f in functions}
    for function in functions:
        function.signature.name = names[function.signature.name]
    for node in itertools.chain(graph.node, *(f.node_def for f in functions)):
        node.op = names.get(node.op, node.op)
        for value in node.attr.values():
            if value.HasField("func"):
                value.func.name = names[value.func.name]
            for function in value.list.func if value.HasField("list") else ():
                function.name = names[function.name]
    return graph
