"""A search that was traced once and is kept between processes.

Making the layers and tracing the search takes longer than translating a sentence. What comes of
it, a graph of operations with the weights as inputs, depends on neither corpus nor weights; so
it is kept in the user's cache folder, where the next process finds it, and gives it the
weights of its checkpoint. The folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import tensorflow as tf
from tensorflow.python.eager import context  # functions of a graph have no other way in

import s2s_cli
from s2s_cli.decoding.search import Hypotheses
from s2s_cli.files import write_bytes
from s2s_cli.runtime import optimize_graphs, processor_flags
from s2s_cli.schema import Decoding, Model

# Of others, the ones that were used longest ago are removed.
MOST_KEPT = 32

# Settings of decoding that the graph does not depend on, but for whether there is a `shortlist`.
NOT_IN_THE_GRAPH = {
    "batch_size", "long_sources", "max_source_length", "n_best", "precision", "shortlist",
}  # fmt: skip

Search = Callable[..., Hypotheses]


@dataclass(frozen=True)
class KeptSearch:
    """A graph, and what goes in and comes out by the names of its tensors.

    `weights` are the names of the weights in the file of a checkpoint, `shapes` their shapes;
    they are the first of the inputs.
    """

    graph: bytes
    inputs: list[str]
    outputs: list[str]
    weights: list[str]
    shapes: list[list[int]]
    dtype: str

    @classmethod
    def trace(
        cls,
        search: Callable[..., Sequence[tf.Tensor]],
        weights: dict[str, Any],
        arguments: Sequence[tf.TensorSpec],
        prefix: str,
    ) -> KeptSearch:
        """Traces `search(values of the weights, *arguments)`; `weights` are variables by name.

        Functions of the graph get the `prefix`, as those of a process share one space of names.
        """
        specs = [tf.TensorSpec(v.shape, v.dtype) for v in weights.values()]
        traced = tf.function(search, autograph=False).get_concrete_function(specs, *arguments)
        assert not traced.captured_inputs, "all that the graph needs must be given to it"
        return cls(
            _renamed(traced.graph.as_graph_def(), prefix).SerializeToString(),
            [tensor.name for tensor in traced.inputs],
            [tensor.name for tensor in traced.outputs],
            list(weights),
            [list(spec.shape) for spec in specs],
            specs[0].dtype.name,
        )

    def function(self, weights: Sequence[np.ndarray], arguments: Sequence[tf.TensorSpec]) -> Search:
        """The search of `arguments`, with these weights."""
        optimize_graphs(False)  # it takes two tenths of a second, and saves 2% of the search
        graph = tf.compat.v1.GraphDef.FromString(self.graph)
        for function in graph.library.function:
            context.context().add_function_def(function)

        def imported(*inputs: tf.Tensor) -> list[tf.Tensor]:
            places = dict(zip(self.inputs, inputs, strict=True))
            return tf.graph_util.import_graph_def(graph, places, self.outputs, name="")

        values = [tf.cast(weight, self.dtype) for weight in weights]
        specs = [tf.TensorSpec(value.shape, value.dtype) for value in values]
        compiled = tf.function(imported, input_signature=[*specs, *arguments], autograph=False)
        return lambda *given: Hypotheses(*compiled(*values, *given))

    def save(self, path: Path) -> None:
        """Writes what `load` reads; where that cannot be, the next process traces again."""
        head = {name: value for name, value in asdict(self).items() if name != "graph"}
        head["sha256"] = hashlib.sha256(self.graph).hexdigest()
        with suppress(OSError):
            write_bytes(path, json.dumps(head).encode() + b"\n" + self.graph)
            kept = sorted(path.parent.glob("*.search"), key=lambda path: path.stat().st_mtime)
            for old in kept[:-MOST_KEPT]:
                old.unlink()

    @classmethod
    def load(cls, path: Path) -> KeptSearch | None:
        """What was saved; None where it is missing or damaged."""
        try:
            head, _, graph = path.read_bytes().partition(b"\n")
            fields = json.loads(head)
            if fields.pop("sha256") != hashlib.sha256(graph).hexdigest():
                return None
            os.utime(path)
            return cls(graph=graph, **fields)
        except (OSError, ValueError, TypeError, KeyError):
            return None


def place(model: Model, decoding: Decoding, sizes: tuple[int, int], precision: str) -> Path:
    """Where the search of such a model is kept: its name follows from all that it depends on."""
    depends_on = [
        model.model_dump(mode="json"),
        decoding.model_dump(mode="json", exclude=NOT_IN_THE_GRAPH),
        decoding.shortlist is not None,
        sizes,
        precision,
        sorted(processor_flags()),
        [device.device_type for device in tf.config.list_physical_devices()],
        [version(name) for name in ("tensorflow", "keras")],
        _own_code(),
    ]
    key = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()
    return platformdirs.user_cache_path("s2s", appauthor=False) / f"{key[:32]}.search"


def _own_code() -> str:
    """SHA-256 of this program."""
    found = hashlib.sha256()
    for path in sorted(Path(s2s_cli.__file__).parent.rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


def _renamed(graph: Any, prefix: str) -> Any:
    """The graph, whose functions have names that begin with `prefix`, in place."""
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
