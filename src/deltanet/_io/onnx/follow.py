"""From a graph to the steps that its nodes take."""

from __future__ import annotations

import numpy as np

from deltanet._io._told import Note, spelled
from deltanet._io.onnx import activations, linear, moves, patterns
from deltanet._io.onnx.axes import Axes
from deltanet._io.onnx.constants import Constants
from deltanet._io.onnx.folding import FOLDERS, fold
from deltanet._io.onnx.graph import Graph, Node, Refused, naming
from deltanet._io.onnx.values import Operand, Operator, Value

OPERATORS: dict[str, Operator] = {
    **linear.OPERATORS,
    **moves.OPERATORS,
    **activations.OPERATORS,
}
LEAST_INPUTS = dict.fromkeys(
    ("Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Reshape", "PRelu", "Gather", "Min", "Max"), 2
) | {"BatchNormalization": 5, "Constant": 0, "ArrayFeatureExtractor": 2}


def follow(graph: Graph, constants: Constants, axes: Axes) -> tuple[Value, list[Note]]:
    """The value of the output, if the input has these axes; and what is to be said of it."""
    return _Follower(graph, constants, axes).run()


class _Follower:
    def __init__(self, graph: Graph, constants: Constants, axes: Axes) -> None:
        constants.forget()
        self.graph, self.constants = graph, constants
        self.values = {graph.input.name: Value(axes)}
        self.done: set[int] = set()  # places of nodes
        self.notes: list[Note] = []

    def run(self) -> tuple[Value, list[Note]]:
        for node in self.graph.nodes:
            if len(node.inputs) < LEAST_INPUTS.get(node.operator, 1):
                raise Refused(node, f"has {len(node.inputs)} inputs only")
            constant = all(name in self.constants for name in node.inputs if name)
            if node.operator == "Constant" or (constant and node.operator in FOLDERS):
                self.fold(node)
        for node in self.graph.nodes:
            if node.place not in self.done:
                self.step(node)
        if self.graph.output not in self.values:
            raise ValueError(f"the output {self.graph.output!r} does not come from the samples")
        return self.values[self.graph.output], self.notes

    def fold(self, node: Node) -> None:
        with naming(node):
            operands = [self.constants[name] for name in node.inputs if name in self.constants]
            self.constants[node.outputs[0]] = fold(node, operands, self.constants)
        self.done.add(node.place)

    def step(self, node: Node) -> None:
        """One node, or an activation in several that begins behind it."""
        if all(name in self.constants for name in node.inputs if name):
            return self.fold(node)
        with naming(node):
            if node.operator not in OPERATORS:
                raise ValueError("is not supported in a chain of dense layers")
            operands = [self.operand(node, name) for name in node.inputs]
            result = OPERATORS[node.operator](node, operands, self.constants.numbers)
        self.done.add(node.place)
        if isinstance(result, np.ndarray):
            self.constants[node.outputs[0]] = result
            return None
        results = result if isinstance(result, list) else [result]
        for name in node.outputs[len(results) :]:
            if name in self.graph.users:
                raise Refused(node, "has a second output in use")
        for name, value in zip(node.outputs, results, strict=False):
            self.values[name] = value
            self.look_behind(name, value)
        return None

    def operand(self, node: Node, name: str) -> Operand:
        if not name:
            return None
        if name in self.values:
            return self.values[name]
        if name not in self.constants:
            raise ValueError(f"takes {name!r}, which is not known")
        return self.constants[name]

    def look_behind(self, name: str, value: Value) -> None:
        """An activation in several nodes, where a layer is open."""
        verbs = [step.verb for step in value.steps if step.verb in ("product", "close")]
        if not verbs or verbs[-1] != "product":
            return
        found = patterns.match(name, self.graph, self.constants)
        if found is None:
            return
        self.values[found.end] = value.then(found.nodes[0], ("close", found.activation))
        self.done |= {node.place for node in found.nodes}
        labels = ", ".join(node.label for node in found.nodes)
        self.notes.append(Note(f"{labels}: read as {spelled(found.activation)}"))
