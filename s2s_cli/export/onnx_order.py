"""An order and names for an ONNX graph that follow from its structure alone.

tf2onnx walks through sets of names, so two conversions of one function give the same nodes in another order
and with other names. Here both follow from the outputs of the graph: what computes them is visited depth
first, the inputs of a node in their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Graph = Any
Node = Any


def put_in_order(graph: Graph) -> None:
    """Sorts the nodes and weights of a graph, and of the graphs inside its nodes, and names them.

    The inputs and outputs of the graph keep their names. What no output needs is removed.
    """
    _remove_copies(graph, {}, {one.name for one in graph.output})
    kept = {one.name: one.name for one in (*graph.input, *graph.output)}
    _put_in_order(graph, kept, Names())


class Names:
    """Names that were not given before."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def new(self, kind: str) -> str:
        """`kind`, and how many of that kind were named before."""
        number = self._counts.get(kind, 0)
        self._counts[kind] = number + 1
        return f"{kind}_{number}"


def _put_in_order(graph: Graph, known: dict[str, str], names: Names) -> None:
    """Names what has no name in `known`, which maps old names, also those of graphs around, to new."""
    nodes, used = _visited(graph)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    ordered = [weights[name] for name in used if name in weights]
    named = {**known, **{name: names.new("weight") for name in used if name in weights}}
    for node in nodes:
        for name in node.output:
            if name and name not in known:
                named[name] = names.new("value")
    for tensor in ordered:
        tensor.name = named[tensor.name]
    for node in nodes:
        node.name = names.new(node.op_type)
        if not node.domain:
            node.ClearField("domain")  # it may be absent, or there and empty
        for places in (node.input, node.output):
            places[:] = [named[name] if name else "" for name in places]
        for body in _graphs(node):
            _rename_ends(body, named, names)
    _replace(graph.node, nodes)
    _replace(graph.initializer, ordered)
    del graph.value_info[:]
    for one in (*graph.input, *graph.output):
        for size in one.type.tensor_type.shape.dim:
            size.ClearField("dim_param")


def _rename_ends(body: Graph, named: dict[str, str], names: Names) -> None:
    """Puts the graph of a node in order, with new names for its inputs and outputs too."""
    inner = dict(named)
    for one in body.input:
        inner[one.name] = names.new("value")
    made = {name for node in body.node for name in node.output}
    for one in body.output:
        if one.name in made:
            inner[one.name] = names.new("value")
    _put_in_order(body, inner, names)
    for one in (*body.input, *body.output):
        one.name = inner[one.name]


def _remove_copies(graph: Graph, around: dict[str, str], kept: set[str]) -> None:
    """Takes out nodes that only give a value a second name, but for the names in `kept`.

    `around` maps such names of the graphs around to the first ones.
    """
    first, nodes = dict(around), []
    for node in graph.node:
        node.input[:] = [first.get(name, name) for name in node.input]
        for body in _graphs(node):
            _remove_copies(body, first, set())
            _copy_outputs(body)
        if node.op_type == "Identity" and node.output[0] not in kept:
            first[node.output[0]] = node.input[0]
        else:
            nodes.append(node)
    _replace(graph.node, nodes)
    for one in graph.output:
        if one.name not in kept:
            one.name = first.get(one.name, one.name)


def _copy_outputs(body: Graph) -> None:
    """Gives each output of a graph inside a node a name that no other one has and that is made there."""
    taken = {one.name for one in body.input}
    made = {name for node in body.node for name in node.output}
    for number, one in enumerate(body.output):
        if one.name in taken or one.name not in made:
            copy = body.node.add(op_type="Identity", input=[one.name])
            one.name = f"{one.name}/output_{number}"
            copy.output.append(one.name)
        taken.add(one.name)


def _visited(graph: Graph) -> tuple[list[Node], list[str]]:
    """The nodes that the outputs of a graph need, each after those that it needs; and every name that
    is used in it, in the order of its first use."""
    makers = {name: node for node in graph.node for name in node.output if name}
    found: dict[int, Node] = {}
    used: dict[str, None] = {}
    stack: list[tuple[str, bool]] = [(one.name, False) for one in reversed(graph.output)]
    while stack:
        name, is_ready = stack.pop()
        node = makers.get(name)
        if node is None:
            used.setdefault(name)
        elif is_ready:
            found.setdefault(id(node), node)
        elif id(node) not in found:
            stack.append((name, True))
            stack += [(one, False) for one in reversed(list(_needed(node)))]
    return list(found.values()), list(used)


def _needed(node: Node) -> Iterator[str]:
    """The names that a node uses, with those that its graphs take from around them."""
    yield from (name for name in node.input if name)
    for body in _graphs(node):
        _, used = _visited(body)
        inside = {one.name for one in (*body.input, *body.initializer)}
        yield from (name for name in used if name not in inside)


def _graphs(node: Node) -> Iterator[Graph]:
    for attribute in sorted(node.attribute, key=lambda one: one.name):
        if attribute.HasField("g"):
            yield attribute.g


def _replace(places: Any, values: list[Any]) -> None:
    """Puts values, which are copies or parts of what is there, in the place of a repeated field."""
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del places[:]
    places.extend(copies)
