"""What a node is given and makes: constants, and values that depend on the samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltanet._io.onnx.axes import Axes, spread
from deltanet._io.onnx.graph import Node

Array = NDArray[Any]


class Step(NamedTuple):
    """One call of a `Chain`, and the node that asks for it."""

    verb: str
    arguments: tuple[Any, ...]
    node: Node


class Value(NamedTuple):
    """What the samples have become: by these steps, with these axes.

    In place of the axes stands the node that has mixed samples and features, if one has: the numbers are in
    order, but no layer may follow.
    """

    layout: Axes | Node
    steps: tuple[Step, ...] = ()

    @property
    def is_mixed(self) -> bool:
        """Whether samples and features are mixed."""
        return isinstance(self.layout, Node)

    @property
    def axes(self) -> Axes:
        """The axes, which must be known."""
        if isinstance(self.layout, Node):
            raise ValueError(f"follows {self.layout.label}, which mixes samples and features")
        return self.layout

    def then(self, node: Node, *calls: tuple[Any, ...], axes: Axes | None = None) -> Value:
        """Further steps (verb, argument, ...), and other axes if they are given."""
        steps = tuple(Step(verb, tuple(arguments), node) for verb, *arguments in calls)
        return Value(self.layout if axes is None else axes, self.steps + steps)

    def apply(self, node: Node, verb: str, c: Array) -> Value:
        """A step with a constant that is broadcast to the features."""
        vector, axes = spread(c, self.axes)
        return self.then(node, (verb, vector), axes=axes)


Operand = Value | Array | None
Operator = Callable[[Node, list[Operand], int], Value | list[Value] | Array]


def value_of(operands: list[Operand], index: int = 0) -> Value:
    """An operand that depends on the samples."""
    found = operands[index] if index < len(operands) else None
    if not isinstance(found, Value):
        raise ValueError(f"its input {index} must come from the samples")
    return found


def numbers(operands: list[Operand], index: int, optional: bool = False) -> Array | None:
    """An operand that is a constant of numbers, or None where it is left out."""
    found = operands[index] if index < len(operands) else None
    if found is None and optional:
        return None
    if not isinstance(found, np.ndarray):
        raise ValueError(f"its input {index} must be a constant")
    if found.dtype.kind not in "fi":
        raise ValueError(f"its input {index} has dtype {found.dtype}, not numbers")
    return found


def constant(operands: list[Operand], index: int) -> Array:
    """An operand that must be a constant of numbers."""
    found = numbers(operands, index)
    assert found is not None
    return found


def integers(node: Node, key: str, operands: list[Operand], index: int) -> list[int] | None:
    """Integers that are an attribute in old files and an input in new ones; None where they are left out."""
    found = operands[index] if index < len(operands) else None
    if found is None:
        return node.integers(key)
    if not isinstance(found, np.ndarray) or found.dtype.kind != "i":
        raise ValueError(f"its {key} must be constant integers")
    return [int(n) for n in found.reshape(-1)]
