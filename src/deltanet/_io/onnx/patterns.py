"""Activations that exporters write as several nodes, told by their values.

From a value on, nodes are evaluated on a grid of numbers, as long as their constants are single numbers.
Where the branches have joined, the values are compared with our activations.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from deltanet import _validate
from deltanet._activations import REGISTRY
from deltanet._io._affine import Spec
from deltanet._io.onnx.activations import FORMS, Form, between, limits
from deltanet._io.onnx.constants import Constants
from deltanet._io.onnx.graph import Graph, Node

Array = NDArray[Any]
FAR = -1e4, -1e3, -100, -50, 50, 100, 1e3, 1e4  # where a limit may hide, and exp may overflow
GRID = np.array([*np.linspace(-24, 24, 961), *FAR])  # beyond 20, where torch's softplus becomes v
GRID.flags.writeable = False
MINUS_ONE, ZERO, ONE, LAST = 460, 480, 500, 960  # places of -1, 0, 1, 24
PROBES = np.array([0, 300, 430, MINUS_ONE, ZERO, 485, ONE, 530, 700, LAST])  # looked at first
OPERATORS: dict[str, Callable[..., Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Neg": np.negative,
    "Reciprocal": np.reciprocal,
    "Sqrt": np.sqrt,
    "Log": np.log,
    "Exp": np.exp,
    "Abs": np.abs,
    "Sign": np.sign,
    "Tanh": np.tanh,
    "Sigmoid": special.expit,
    "Erf": special.erf,
    "Softplus": lambda v: np.logaddexp(0, v),
    "Relu": lambda v: np.maximum(v, 0),
    "Min": np.minimum,
    "Max": np.maximum,
    "Identity": np.positive,
    "Cast": np.positive,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Where": np.where,
}
AFFINE = ("Add", "Sub", "Mul", "Div", "Neg", "Identity", "Cast")  # with a constant
ERROR = 2e-6  # relative to 1 + |f|: constants in a file are float32
LONGEST = 20  # nodes of one activation
ROUNDS = 50  # of an iteration


class Found(NamedTuple):
    """An activation in several nodes, and the value that the last of them makes."""

    activation: Spec
    end: str
    nodes: list[Node]


def match(start: str, graph: Graph, constants: Constants) -> Found | None:
    """The longest activation that begins with the users of a value."""
    values, done = {start: GRID}, list[Node]()
    found: Found | None = None
    last: Spec | None = None
    for _ in range(LONGEST):
        waiting = pending(values, graph, {node.place for node in done}, start)
        node = next((n for n in waiting if ready(n, values, constants)), None)
        result = None if node is None else evaluate(node, values, constants)
        if node is None or result is None:
            break
        values[node.outputs[0]] = result
        done.append(node)
        before = {name: v for name, v in values.items() if name != node.outputs[0]}
        if pending(before, graph, {each.place for each in done}, start):
            continue  # the branches have not joined
        if all(is_affine(each, values) for each in done):
            continue
        spec = recognized(result, numbers_of(done, values, constants))
        if spec != last and spec is not None:  # what changes nothing is no part of it
            last = spec
            found = Found(spec, node.outputs[0], list(done)) if is_several(done) else None
    return found


def is_affine(node: Node, values: Container[str]) -> bool:
    """Whether a node is arithmetic with a constant."""
    return node.operator in AFFINE and sum(name in values for name in node.inputs) == 1


def is_several(nodes: list[Node]) -> bool:
    """Whether there is more than an operator of its own."""
    nodes = [node for node in nodes if node.operator not in ("Identity", "Cast")]
    return len(nodes) > 1 or nodes[0].operator not in FORMS


def numbers_of(nodes: list[Node], values: Container[str], constants: Constants) -> list[float]:
    """The constants of nodes: a parameter of the activation may be among them."""
    names = {name: None for node in nodes for name in node.inputs if name and name not in values}
    return [float(constants[name].reshape(())) for name in names if constants[name].size == 1]


def pending(values: Collection[str], graph: Graph, done: set[int], start: str) -> list[Node]:
    """The nodes that take one of these values and are not evaluated yet; what asks for its shape is none."""
    return [
        node
        for name in values
        for node in graph.users.get(name, [])
        if node.place not in done and not (node.operator == "Shape" and name == start)
    ]


def ready(node: Node, values: Container[str], constants: Container[str]) -> bool:
    return all(not name or name in values or name in constants for name in node.inputs)


def evaluate(node: Node, values: dict[str, Array], constants: Constants) -> Array | None:
    """One node on the grid, if its constants are single numbers."""
    operands: list[Any] = []
    for name in node.inputs:
        operand = values[name] if name in values else constants[name] if name else None
        if operand is not None and name not in values:
            if operand.size != 1 or operand.dtype.kind not in "fib":
                return None
            operand = operand.astype(np.float64).reshape(())
        operands.append(operand)
    try:
        if node.operator == "Clip":
            form = between(*limits(node, operands))
            return operands[0] if form is None else form.at(operands[0])
        if node.operator in FORMS and node.operator not in OPERATORS:
            return FORMS[node.operator](node).at(operands[0])
        if node.operator not in OPERATORS or node.domain not in ("", "ai.onnx"):
            return None
        result = OPERATORS[node.operator](*operands)
    except (ValueError, TypeError, KeyError):
        return None
    return result if result.shape == GRID.shape else None


@cache
def known() -> dict[Spec, Array]:
    """Our activations on the grid, those of one feature."""
    names = [
        name
        for name, each in REGISTRY.items()
        if not each.couples and each.functions is None and None not in each.defaults
    ]
    return {name: Form(name).at(GRID) for name in names if name != "identity"}


def singles(constants: list[float]) -> list[tuple[float, ...]]:
    return [(each,) for each in constants]


def celu_parameter(values: Array) -> float:
    """alpha, from alpha (1 - exp(-24 / alpha)) = -f(-24)"""
    alpha = depth = -float(values[0])
    for _ in range(ROUNDS):
        alpha = depth / -np.expm1(GRID[0] / alpha)
    return alpha


# The parameters that an activation has if these are its values, and these are constants of its nodes
PARAMETERS: dict[str, Callable[[Array, list[float]], list[tuple[float, ...]]]] = {
    "leaky_relu": lambda g, c: [(-g[MINUS_ONE],), *singles(c)],
    "elu": lambda g, c: [(-g[0],), *singles(c)],
    "celu": lambda g, c: [(celu_parameter(g),), *singles(c)],
    "softplus": lambda g, c: [(np.log(2) / g[ZERO],), *singles(c)],
    "swish": lambda g, c: [(special.logit(g[ONE]),), *singles(c)],
    "softshrink": lambda g, c: [(24 - g[LAST],), *singles(c)],
    "hardtanh": lambda g, c: [(g[0], g[LAST])],
    "threshold": lambda g, c: [(each, g[0]) for each in c],
}


def candidates(values: Array, constants: list[float]) -> dict[Spec, Array]:
    """Activations that may have these values, and their values."""
    found = dict(known())
    with np.errstate(all="ignore"):
        for name, guess in PARAMETERS.items():
            for parameters in guess(values, constants):
                with suppress(ValueError):  # an activation may not have such parameters
                    spec = _validate.activation((name, *map(float, parameters)))
                    found[spec[0], *spec[1]] = np.empty(0)
    return found


def recognized(values: Array, constants: list[float]) -> Spec | None:
    """The activation that is nearest to these values on the grid, if one is near enough."""
    if values.dtype.kind != "f" or not np.isfinite(values[: LAST + 1]).all():
        return None
    errors: dict[Spec, float] = {}
    for spec, exact in candidates(values, constants).items():
        for places in (PROBES, slice(None)):
            at = exact[places] if exact.size else Form(spec).at(GRID[places])
            finite = np.isfinite(values[places]) & np.isfinite(at)
            error = float((abs(values[places] - at)[finite] / (1 + abs(at))[finite]).max())
            if not error <= ERROR:
                break
        else:
            errors[spec] = error
    jumps = [spec for spec in errors if spec[0] == "threshold"]
    if len(jumps) > 1:  # between two points of the grid: which one it is cannot be told
        return None
    return min(errors, key=errors.__getitem__) if errors else None
