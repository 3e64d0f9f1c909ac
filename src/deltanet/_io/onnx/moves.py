"""What only moves numbers about: other axes, some of the features, several values side by side."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet._io.onnx import axes as layout
from deltanet._io.onnx import join
from deltanet._io.onnx.axes import Axes, Axis, Count
from deltanet._io.onnx.graph import Node
from deltanet._io.onnx.values import Operand, Operator, Value, integers, value_of

Array = NDArray[Any]
FLOATS = (1, 10, 11, 16)  # ONNX's FLOAT, FLOAT16, DOUBLE, BFLOAT16
END = 2**31 - 1  # what is behind every axis: exporters write it, or more


def unchanged(node: Node, operands: list[Operand], given: int) -> Value:
    return value_of(operands)


def cast(node: Node, operands: list[Operand], given: int) -> Value:
    if node.attributes.get("to") not in FLOATS:
        raise ValueError("casts to another type than a float")
    return value_of(operands)


def dropout(node: Node, operands: list[Operand], given: int) -> Value:
    training = operands[2] if len(operands) > 2 else None
    if training is not None and (not isinstance(training, np.ndarray) or training.any()):
        raise ValueError("is in training mode: export the model in evaluation mode")
    return value_of(operands)


# Axes


def flatten(node: Node, operands: list[Operand], given: int) -> Value:
    value = value_of(operands)
    if not layout.in_order(value.axes):
        raise ValueError("flattens a value in which the samples are not the rows")
    result = layout.flattened(value.axes, int(node.number("axis", 1)))
    if result is None:
        raise ValueError("must keep the samples apart from the features: axis=1")
    return value.then(node, axes=result)


def reshape(node: Node, operands: list[Operand], given: int) -> Value:
    value, shape = value_of(operands), operands[1]
    if not isinstance(shape, np.ndarray) or shape.ndim != 1 or shape.dtype.kind not in "iO":
        raise ValueError("its shape is not a constant")
    if value.is_mixed:
        return value
    allow = bool(node.number("allowzero", 0))
    entries = [n if isinstance(n, Count) or n is None else int(n) for n in shape]
    axes = layout.reshaped(value.axes, entries, allow)
    return Value(node if axes is None else axes, value.steps)


def squeeze(node: Node, operands: list[Operand], given: int) -> Value:
    value = value_of(operands)
    which = integers(node, "axes", operands, 1)
    return value.then(node, axes=layout.squeezed(value.axes, which))


def unsqueeze(node: Node, operands: list[Operand], given: int) -> Value:
    value = value_of(operands)
    which = integers(node, "axes", operands, 1)
    if not which:
        raise ValueError("names no axes")
    return value.then(node, axes=layout.unsqueezed(value.axes, which))


def transpose(node: Node, operands: list[Operand], given: int) -> Value:
    value = value_of(operands)
    order = node.integers("perm") or list(range(len(value.axes)))[::-1]
    axes, index = layout.transposed(value.axes, order, given)
    steps = [] if index is None else [("take", index, index.size)]
    return value.then(node, *steps, axes=axes)


def shape(node: Node, operands: list[Operand], given: int) -> Array:
    """The lengths of the axes; of those that count samples, that they do."""
    axes = value_of(operands).axes
    entries = [Count(axis.samples) if axis.samples else axis.length for axis in axes]
    start, end = int(node.number("start", 0)), int(node.number("end", len(entries)))
    return known(np.array([*entries, None], object)[:-1][start:end])


def known(entries: Array) -> Array:
    """Entries of a shape as integers, if they all are."""
    if all(isinstance(n, (int, np.integer)) for n in entries.reshape(-1)):
        return entries.astype(np.int64)
    return entries


# Some of the features


def pick(node: Node, value: Value, index: Array, axes: Axes) -> Value:
    """The features of these numbers, with these axes."""
    n = layout.width(value.axes)
    index = index.reshape(-1)
    if not index.size:
        raise ValueError("leaves no feature")
    steps = [] if np.array_equal(index, np.arange(n or 0)) else [("take", index, n)]
    return value.then(node, *steps, axes=axes)


def split(node: Node, operands: list[Operand], given: int) -> list[Value]:
    value = value_of(operands)
    axis = layout.place(int(node.number("axis", 0)), len(value.axes))
    n = value.axes[axis].length
    if value.axes[axis].samples or n is None:
        raise ValueError("must split features, of a number that is known")
    parts = len(node.outputs)
    sizes = integers(node, "split", operands, 1)
    if sizes is None:
        most = -(-n // parts)
        sizes = [min(most, n - k * most) for k in range(parts)]
    if len(sizes) != parts or sum(sizes) != n or min(sizes) < 1:
        raise ValueError(f"splits {n} features into {sizes}")
    ends = np.cumsum([0, *sizes])
    numbered = layout.numbered(value.axes, given)
    place = _feature_axis(value.axes, axis)
    return [
        pick(node, value, np.take(numbered, range(a, b), place), _with(value.axes, axis, b - a))
        for a, b in pairwise(map(int, ends))
    ]


def _feature_axis(axes: Axes, axis: int) -> int:
    """Which axis of `numbered` this axis is."""
    return sum(not each.samples for each in axes[:axis])


def _with(axes: Axes, axis: int, n: int) -> Axes:
    return (*axes[:axis], Axis(n), *axes[axis + 1 :])


def ranges(node: Node, operands: list[Operand], rank: int) -> dict[int, slice]:
    """What a Slice keeps of each axis that it names."""
    starts, ends = (integers(node, key, operands, k) for key, k in (("starts", 1), ("ends", 2)))
    if starts is None or ends is None:
        raise ValueError("names no starts or no ends")
    axes = integers(node, "axes", operands, 3)
    axes = list(range(len(starts))) if axes is None else [layout.place(k, rank) for k in axes]
    steps = integers(node, "steps", operands, 4) or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ValueError("must have a start, an end and a step for each axis")
    kept = {}
    for k, a, b, step in zip(axes, starts, ends, steps, strict=True):
        kept[k] = slice(a, None if step < 0 and b < -END else b, step)
    return kept


def slice_(node: Node, operands: list[Operand], given: int) -> Value:
    value = value_of(operands)
    kept = ranges(node, operands, len(value.axes))
    axes = list(value.axes)
    for k, part in kept.items():
        n, count = axes[k].length, END if axes[k].length is None else axes[k].length
        if axes[k].samples and part.indices(count or 0) != (0, count, 1):
            raise ValueError("must keep all samples: it may slice features only")
        if not axes[k].samples:
            axes[k] = Axis(None if n is None else len(range(*part.indices(n))))
    if tuple(axes) == value.axes and all(value.axes[k].samples for k in kept):
        return value
    places = [kept.get(k, slice(None)) for k, axis in enumerate(value.axes) if not axis.samples]
    index = layout.numbered(value.axes, given)[tuple(places)]
    return pick(node, value, index, tuple(axes))


def gather(node: Node, operands: list[Operand], given: int) -> Value:
    value, index = value_of(operands), operands[1]
    if not isinstance(index, np.ndarray) or index.dtype.kind != "i":
        raise ValueError("its indices are not constant")
    axis = layout.place(int(node.number("axis", 0)), len(value.axes))
    chosen = value.axes[axis]
    if chosen.samples:
        if chosen.length != 1 or index.shape or index not in (0, -1):
            raise ValueError("picks samples: it may pick features only")
        return value.then(node, axes=(*value.axes[:axis], *value.axes[axis + 1 :]))
    place = _feature_axis(value.axes, axis)
    picked = np.take(layout.numbered(value.axes, given), index, place)
    lengths = tuple(Axis(n) for n in index.shape)
    return pick(node, value, picked, (*value.axes[:axis], *lengths, *value.axes[axis + 1 :]))


def extract(node: Node, operands: list[Operand], given: int) -> Value:
    """ai.onnx.ml: features of the last axis"""
    value, index = value_of(operands), operands[1]
    if not isinstance(index, np.ndarray) or index.dtype.kind != "i":
        raise ValueError("its indices are not constant")
    node.attributes["axis"] = len(value.axes) - 1
    return gather(node, [value, index.reshape(-1)], given)


def concat(node: Node, operands: list[Operand], given: int) -> Value:
    values = [value_of(operands, k) for k in range(len(operands))]
    axis = int(node.number("axis", 1))
    return values[0] if len(values) == 1 else join.concatenated(node, values, axis, given)


OPERATORS: dict[str, Operator] = {
    "Identity": unchanged,
    "Cast": cast,
    "Dropout": dropout,
    "ZipMap": unchanged,
    "Flatten": flatten,
    "Reshape": reshape,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Shape": shape,
    "Split": split,
    "Slice": slice_,
    "Gather": gather,
    "ArrayFeatureExtractor": extract,
    "Concat": concat,
}
