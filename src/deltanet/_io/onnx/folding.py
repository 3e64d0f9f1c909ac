"""Nodes whose operands are all constant: computed once, as onnxruntime would.

Entries of a shape that count samples go through them as objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet._io._affine import check_filled
from deltanet._io.onnx.axes import place
from deltanet._io.onnx.constants import Constants
from deltanet._io.onnx.graph import Node
from deltanet._io.onnx.moves import known, ranges
from deltanet._io.onnx.values import integers

Array = NDArray[Any]
Folder = Callable[[Node, list[Array], Constants], Array]


def fold(node: Node, operands: list[Array], constants: Constants) -> Array:
    """The value of a node."""
    if node.operator not in FOLDERS:
        raise ValueError("computes with constants in a way that is not supported")
    return known_or_float(FOLDERS[node.operator](node, operands, constants))


def known_or_float(array: Array) -> Array:
    return known(array) if array.dtype == object else array


def constant(node: Node, operands: list[Array], constants: Constants) -> Array:
    if "value" in node.attributes:
        return constants.read(node.attributes["value"], node.outputs[0])
    for key, kind in (("float", np.float32), ("int", np.int64)):
        for name in (f"value_{key}", f"value_{key}s"):
            if name in node.attributes:
                return np.asarray(node.attributes[name], kind)
    raise ValueError("it holds no numeric tensor")


def cast(node: Node, operands: list[Array], constants: Constants) -> Array:
    dtype = constants.dtype(node.attributes.get("to", 0))
    if operands[0].dtype == object:
        return operands[0]
    if dtype is None:
        raise ValueError("it casts a constant to a type that is not supported")
    return operands[0].astype(dtype, copy=False)


def reshape(node: Node, operands: list[Array], constants: Constants) -> Array:
    array, target = operands
    lengths = [int(n) for n in target.reshape(-1)]
    if not node.number("allowzero", 0):
        lengths = [array.shape[k] if n == 0 else n for k, n in enumerate(lengths)]
    return array.reshape(lengths)


def squeeze(node: Node, operands: list[Array], constants: Constants) -> Array:
    which = integers(node, "axes", [*operands], 1)
    return np.squeeze(operands[0], None if which is None else tuple(which))


def unsqueeze(node: Node, operands: list[Array], constants: Constants) -> Array:
    which = integers(node, "axes", [*operands], 1)
    return np.expand_dims(operands[0], tuple(which or ()))


def flatten(node: Node, operands: list[Array], constants: Constants) -> Array:
    array, axis = operands[0], int(node.number("axis", 1))
    return array.reshape(int(np.prod(array.shape[:axis])), -1)


def slice_(node: Node, operands: list[Array], constants: Constants) -> Array:
    kept = ranges(node, [*operands], operands[0].ndim)
    return operands[0][tuple(kept.get(k, slice(None)) for k in range(operands[0].ndim))]


def gather(node: Node, operands: list[Array], constants: Constants) -> Array:
    array, index = operands
    axis = place(int(node.number("axis", 0)), array.ndim)
    check_filled(index.size * (array.size // max(1, array.shape[axis])), array.size)
    return np.asarray(np.take(array, index, axis), array.dtype)


def concat(node: Node, operands: list[Array], constants: Constants) -> Array:
    return np.concatenate(operands, int(node.number("axis", 0)))


def arithmetic(function: Callable[..., Array]) -> Folder:
    def compute(node: Node, operands: list[Array], constants: Constants) -> Array:
        shape = np.broadcast_shapes(*(each.shape for each in operands))
        check_filled(int(np.prod(shape)), sum(each.size for each in operands))
        return np.asarray(function(*operands))

    return compute


def divide(a: Array, b: Array) -> Array:
    whole = a.dtype.kind == "i" and b.dtype.kind == "i"
    return np.trunc(a / b).astype(a.dtype) if whole else np.divide(a, b)


FOLDERS: dict[str, Folder] = {
    "Constant": constant,
    "Identity": lambda node, operands, constants: operands[0],
    "Cast": cast,
    "Transpose": lambda node, operands, constants: operands[0].transpose(node.integers("perm")),
    "Reshape": reshape,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Flatten": flatten,
    "Slice": slice_,
    "Gather": gather,
    "Concat": concat,
    "Shape": lambda node, operands, constants: np.array(operands[0].shape, np.int64),
    "Add": arithmetic(np.add),
    "Sub": arithmetic(np.subtract),
    "Mul": arithmetic(np.multiply),
    "Div": arithmetic(divide),
    "Neg": arithmetic(np.negative),
    "Sqrt": arithmetic(np.sqrt),
    "Reciprocal": arithmetic(np.reciprocal),
}
