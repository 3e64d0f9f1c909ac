"""Products, arithmetic with constants, normalization: what is affine in the features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet._io.onnx import join
from deltanet._io.onnx.axes import Axis, features, spread
from deltanet._io.onnx.graph import Node
from deltanet._io.onnx.values import (
    Operand,
    Operator,
    Value,
    constant,
    numbers,
    value_of,
)

Array = NDArray[Any]


def product(node: Node, value: Value, axis: int, W: Array, bias: Array | None = None) -> Value:
    """W (n_out, n_in) times the features, which all lie in this axis; W (n_in,) removes the axis."""
    axes = value.axes
    if not axes or axes[axis].samples:
        raise ValueError("sums over the samples: they must be rows (for W x, columns)")
    n = axes[axis].length
    others = [each for k, each in enumerate(axes) if k != axis % len(axes)]
    lengths = [each.length for each in others if not each.samples]
    if any(length != 1 for length in lengths):
        raise ValueError(f"takes one axis of features of shape {tuple(features(axes))}")
    if n is not None and W.shape[-1] != n:
        raise ValueError(f"takes {W.shape[-1]} features; the value before has {n}")
    if 0 in W.shape:
        raise ValueError(f"has no weight: shape {W.shape}")
    kept = () if W.ndim == 1 else (Axis(W.shape[0]),)
    place = axis % len(axes)
    result = axes[:place] + kept + axes[place + 1 :]
    if bias is not None:
        bias, result = spread(bias, result)
        bias = np.broadcast_to(bias, W.shape[:-1] or (1,))
    return value.then(node, ("product", np.atleast_2d(W), bias), axes=result)


def gemm(node: Node, operands: list[Operand], given: int) -> Value:
    """alpha op(A) op(B) + beta C, one of A and B being the samples"""
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    c = numbers(operands, 2, optional=True)
    bias = c if c is None or beta == 1 else np.float64(beta) * c
    first = isinstance(operands[0], Value)
    value, M = value_of(operands, 0 if first else 1), matrix(operands, 1 if first else 0)
    if len(value.axes) != 2:
        raise ValueError(f"must be given two axes; got {len(value.axes)}")
    turned = node.number("transA" if first else "transB", 0)
    axis = (0 if turned else 1) if first else (1 if turned else 0)
    W = M if node.number("transB" if first else "transA", 0) else M.T
    W = W if first else W.T
    if axis != (1 if first else 0):  # the product is that of the transposed value
        value = value.then(node, axes=value.axes[::-1])
        axis = 1 - axis
    return product(node, value, axis, W if alpha == 1 else np.float64(alpha) * W, bias)


def matmul(node: Node, operands: list[Operand], given: int) -> Value:
    """x W, or W x with samples in columns"""
    if isinstance(operands[0], Value):
        return product(node, operands[0], -1, matrix(operands, 1, 1).T)
    value = value_of(operands, 1)
    return product(node, value, -2 if len(value.axes) > 1 else -1, matrix(operands, 0, 1))


def matrix(operands: list[Operand], index: int, least_axes: int = 2) -> Array:
    """A constant of two axes (or one) in floats."""
    array = constant(operands, index)
    if not least_axes <= array.ndim <= 2:
        raise ValueError(f"its weights must be a matrix; got shape {array.shape}")
    return array


def add(node: Node, operands: list[Operand], given: int) -> Value:
    _check_broadcasting(node)
    values = [each for each in operands if isinstance(each, Value)]
    result = values[0] if len(values) == 1 else join.added(node, values, [1] * len(values), given)
    for k, each in enumerate(operands):
        if not isinstance(each, Value):
            result = result.apply(node, "add", constant(operands, k))
    return result


def subtract(node: Node, operands: list[Operand], given: int) -> Value:
    _check_broadcasting(node)
    a, b = operands
    if isinstance(a, Value) and isinstance(b, Value):
        return join.added(node, [a, b], [1, -1], given)
    if isinstance(a, Value):
        return a.apply(node, "add", -constant(operands, 1).astype(np.float64))
    return negative(node, [b], given).apply(node, "add", constant(operands, 0))


def multiply(node: Node, operands: list[Operand], given: int) -> Value:
    _check_broadcasting(node)
    value, c = _with_constant(operands)
    return value.apply(node, "multiply", constant(operands, c))


def divide(node: Node, operands: list[Operand], given: int) -> Value:
    _check_broadcasting(node)
    value, c = _with_constant(operands)
    if c == 0:
        raise ValueError("divides by the samples")
    return value.apply(node, "divide", constant(operands, c))


def _with_constant(operands: list[Operand]) -> tuple[Value, int]:
    """The value, and the place of the constant."""
    values = [k for k, each in enumerate(operands[:2]) if isinstance(each, Value)]
    if len(values) != 1:
        raise ValueError("joins two values that both come from the samples: the graph branches")
    return value_of(operands, values[0]), 1 - values[0]


def _check_broadcasting(node: Node) -> None:
    if "axis" in node.attributes:
        raise ValueError("broadcasts by axis=, as before opset 7: export the model anew")


def negative(node: Node, operands: list[Operand], given: int) -> Value:
    return value_of(operands).then(node, ("multiply", np.float64(-1)))


def batch_normalization(node: Node, operands: list[Operand], given: int) -> Value:
    """(x - mean) / sqrt(var + epsilon) * scale + B, a number for each entry of axis 1"""
    value = value_of(operands)
    trained = node.number("training_mode", 0) or (
        node.opset < 14 and sum(map(bool, node.outputs)) > 1
    )
    if trained or (node.opset < 7 and not node.number("is_test", 0)):
        raise ValueError("is in training mode: export the model in evaluation mode")
    if node.number("spatial", 1) != 1:
        raise ValueError("has spatial=0, which is not supported")
    axes, epsilon = value.axes, node.number("epsilon", 1e-5)
    gamma, beta, mean, variance = (
        constant(operands, k).astype(np.float64).reshape(-1, *(1,) * (len(axes) - 2))
        for k in range(1, 5)
    )
    deviation = np.sqrt(variance + epsilon)
    if not np.all(deviation > 0):
        raise ValueError("has a variance that is not positive")
    if any(step.verb == "product" for step in value.steps):
        factor = gamma / deviation
        return value.apply(node, "multiply", factor).apply(node, "add", beta - mean * factor)
    value = value.apply(node, "add", -mean).apply(node, "divide", deviation)  # the input scaling
    if np.any(gamma != 1):
        value = value.apply(node, "multiply", gamma)
    return value.apply(node, "add", beta) if np.any(beta != 0) else value


def scaler(node: Node, operands: list[Operand], given: int) -> Value:
    """ai.onnx.ml: (x - offset) * scale"""
    offset, scale = (
        np.ravel(np.asarray(node.attributes.get(key, default), np.float64))
        for key, default in (("offset", 0), ("scale", 1))
    )
    return value_of(operands).apply(node, "add", -offset).apply(node, "multiply", scale)


def softmax(node: Node, operands: list[Operand], given: int) -> Value:
    """Over an axis, which must be that of all features; before opset 13, over all axes from it on."""
    value = value_of(operands)
    axes, name = value.axes, "softmax" if node.operator == "Softmax" else "log_softmax"
    axis = int(node.number("axis", -1 if node.opset >= 13 else 1))
    if not -len(axes) <= axis < len(axes):
        raise ValueError(f"names axis {axis} of a value that has {len(axes)}")
    axis %= len(axes)
    over = axes[axis : axis + 1] if node.opset >= 13 else axes[axis:]
    rest = axes[:axis] + (axes[axis + 1 :] if node.opset >= 13 else ())
    if any(each.samples for each in over) or any(n != 1 for n in features(rest)):
        raise ValueError(
            f"must be over the axis of the features; got axis {axis} of {len(axes)}: "
            "export the model with axis=-1"
        )
    return value.then(node, ("close", name))


OPERATORS: dict[str, Operator] = {
    "Gemm": gemm,
    "MatMul": matmul,
    "Add": add,
    "Sum": add,
    "Sub": subtract,
    "Mul": multiply,
    "Div": divide,
    "Neg": negative,
    "BatchNormalization": batch_normalization,
    "Scaler": scaler,
    "Softmax": softmax,
    "LogSoftmax": softmax,
}
