"""The nodes of a graph that the chosen output needs, in an order in which each can be computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

MOST_NODES = 4096
DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
LISTED = 9  # names in a message


class Refused(ValueError):
    """It names the node."""

    def __init__(self, node: Node, why: str) -> None:
        super().__init__(f"node {node.label}: {why}")
        self.place = node.place


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes
    ----------
    place : int
        In the file.
    inputs, outputs : tuple of str
        Names of values; empty for one that is left out.
    attributes : dict of str to object
        Numbers, bytes, lists of these, tensors.
    opset : int
        Version of ONNX's operators in the file.
    """

    place: int
    name: str
    operator: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    opset: int

    @property
    def label(self) -> str:
        """The name, or the place in the file, and the operator."""
        return f"{self.name or f'#{self.place}'!r} ({self.operator})"

    def number(self, key: str, default: float) -> float:
        """An attribute that is a number."""
        value = self.attributes.get(key, default)
        if not isinstance(value, (int, float)):
            raise ValueError(f"attribute {key!r} must be a number; got {value!r:.80}")
        return value

    def integers(self, key: str) -> list[int] | None:
        """An attribute that is a list of integers, or None."""
        value = self.attributes.get(key)
        if value is None:
            return None
        if not isinstance(value, (list, tuple)) or not all(type(n) is int for n in value):
            raise ValueError(f"attribute {key!r} must be a list of integers; got {value!r:.80}")
        return list(value)


@contextmanager
def naming(node: Node) -> Iterator[None]:
    """Name the node in whatever is raised over what it holds."""
    try:
        yield
    except (Refused, OSError, MemoryError):
        raise
    except Exception as error:
        raise Refused(node, str(error) or type(error).__name__) from error


def listed(names: Iterable[str]) -> str:
    """Some names, for a message."""
    names = list(names)
    rest = len(names) - LISTED
    return ", ".join(map(repr, names[:LISTED])) + (f" and {rest} more" if rest > 0 else "")


class Graph:
    """A graph as it is needed for one output.

    Attributes
    ----------
    nodes : list of Node
        Each after those that it needs.
    input : ValueInfoProto
        The samples.
    output : str
    users : dict of str to list of Node
        Which nodes take a value.
    """

    def __init__(self, library: Any, model: Any, constants: Iterable[str], output: str | None):
        proto = model.graph
        if len(proto.node) > MOST_NODES:
            raise ValueError(
                f"the graph must have at most {MOST_NODES} nodes; got {len(proto.node)}"
            )
        self._library, self._constants = library, set(constants)
        self._opset = max(
            (o.version for o in model.opset_import if o.domain in DOMAINS[:2]), default=1
        )
        inputs = [each for each in proto.input if each.name not in self._constants]
        if len(inputs) != 1:
            names = listed(each.name for each in inputs)
            raise ValueError(f"the graph must have one input; got {len(inputs)}: {names}")
        self.input = inputs[0]
        self.output = _chosen([each.name for each in proto.output], output)
        self.nodes = self._ordered(proto.node)
        self.users: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                self.users.setdefault(name, []).append(node)

    def _ordered(self, protos: Any) -> list[Node]:
        """The nodes that the output needs. Each value is made once, before it is used: nothing is cyclic."""
        wanted, needed = {self.output}, []
        for place, proto in reversed(list(enumerate(protos))):
            if not wanted.isdisjoint(proto.output):
                wanted.update(proto.input)
                needed.append((place, proto))
        known, nodes = self._constants | {self.input.name}, []
        for place, proto in reversed(needed):
            node = self._node(place, proto)
            for name in node.inputs:
                if name and name not in known:
                    why = f"takes {name!r}, which nothing before it makes: cyclic or broken"
                    raise Refused(node, why)
            for name in node.outputs:
                if name in known:
                    why = f"makes {name!r}, which is there already: cyclic or broken"
                    raise Refused(node, why)
            known |= set(node.outputs) - {""}
            nodes.append(node)
        if self.output not in known:
            raise ValueError(f"nothing in the graph makes its output {self.output!r}")
        return nodes

    def _node(self, place: int, proto: Any) -> Node:
        head = place, proto.name, proto.op_type, proto.domain
        node = Node(*head, tuple(proto.input), tuple(proto.output), {}, self._opset)
        if node.domain not in DOMAINS:
            raise Refused(node, f"is of the unknown domain {node.domain!r}")
        with naming(node):
            for each in proto.attribute:
                node.attributes[each.name] = self._library.helper.get_attribute_value(each)
        return node


def _chosen(names: list[str], output: str | None) -> str:
    """The output of that name; without one the only output, or the probabilities of a classifier."""
    if output is not None:
        if output not in names:
            raise ValueError(f"the graph has no output {output!r}; it has {listed(names)}")
        return output
    probabilities = [name for name in names if "probabilit" in name.lower()]
    found = probabilities if len(probabilities) == 1 else names
    if len(found) != 1:
        raise ValueError(
            f"the graph must have one output, or output= must name one; it has {len(names)}: {listed(names)}"
        )
    return found[0]
