"""Branches that meet again: joined if both are affine in what they have in common.

A branch is written as ``scale * (M u)[index] + shift`` of the value u where the branches part; M is left out
where it would be the identity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet._io._affine import check_filled, chosen
from deltanet._io.onnx.axes import is_row, width
from deltanet._io.onnx.graph import Node, listed
from deltanet._io.onnx.values import Value

Array = NDArray[Any]


class Branch:
    """The affine map of some steps; its methods are those of a `Chain`."""

    def __init__(self, n: int) -> None:
        self.n = n  # features of u
        self.index: Array | None = None
        self.matrix: Array | None = None
        self.scale: Array = np.ones(())
        self.shift: Array = np.zeros(())

    def multiply(self, c: Array) -> None:
        self.scale, self.shift = self.scale * c, self.shift * c

    def divide(self, c: Array) -> None:
        if not np.all(c):
            raise ValueError("divides by zero")
        self.scale, self.shift = self.scale / c, self.shift / c

    def add(self, c: Array) -> None:
        self.shift = self.shift + c

    def take(self, index: Array, width: int) -> None:
        if self.matrix is not None:
            self.matrix = self.matrix[index]
        else:
            self.index = index if self.index is None else self.index[index]
        self.scale, self.shift = (a[index] if a.ndim else a for a in (self.scale, self.shift))

    def product(self, W: Array, bias: Array | None = None) -> None:
        scale, shift = self.vectors()
        extra = W @ shift if np.any(shift != 0) else 0
        self.matrix = self._times(W * scale if np.any(scale != 1) else W)
        self.scale, self.shift = np.ones(()), np.asarray(extra if bias is None else bias + extra)

    def _times(self, W: Array) -> Array:
        if self.matrix is not None:
            return W @ self.matrix
        if self.index is None:
            return W
        check_filled(W.shape[0] * self.n, W.size)
        full = np.zeros((self.n, W.shape[0]))
        np.add.at(full, self.index, W.T)
        self.index = None
        return full.T

    @property
    def length(self) -> int:
        """Features behind the branch."""
        if self.matrix is not None:
            return int(self.matrix.shape[0])
        return self.n if self.index is None else int(self.index.size)

    def vectors(self) -> tuple[Array, Array]:
        """Scale and shift, one number a feature."""
        return np.broadcast_to(self.scale, self.length), np.broadcast_to(self.shift, self.length)

    def dense(self, given: int) -> Array:
        """scale * M[index] as one matrix."""
        scale, _ = self.vectors()
        if self.matrix is None:
            places = np.arange(self.n) if self.index is None else self.index
            return scale[:, None] * chosen(places, self.n, given)
        return scale[:, None] * self.matrix


def parted(node: Node, values: list[Value]) -> tuple[Value, list[Branch]]:
    """The value that several have in common, and the branch of each."""
    steps = [value.steps for value in values]
    common = 0
    while all(len(s) > common and s[common] is steps[0][common] for s in steps):
        common += 1
    for each in steps:
        bent = [step.node.label for step in each[common:] if step.verb == "close"]
        if bent:
            raise ValueError(f"joins branches of the graph that are not affine: {listed(bent)}")
    return values[0]._replace(steps=steps[0][:common]), [_branch(value, common) for value in values]


def _branch(value: Value, common: int) -> Branch:
    """The steps from `common` on."""
    branch = Branch(_features_before(value, common))
    for step in value.steps[common:]:
        getattr(branch, step.verb)(*step.arguments)
    return branch


def _features_before(value: Value, common: int) -> int:
    """How many features the steps from `common` on are given."""
    for step in value.steps[common:]:
        if step.verb == "product":
            return int(step.arguments[0].shape[1])
        if step.verb == "take":
            return int(step.arguments[1])
    n = width(value.axes)
    if n is None:
        raise ValueError("joins branches of an unknown number of features")
    return n


def added(node: Node, values: list[Value], signs: list[int], given: int) -> Value:
    """A sum of values with the same axes."""
    if any(value.axes != values[0].axes for value in values):
        raise ValueError("joins branches of different shapes")
    base, branches = parted(node, values)
    shift = sum(s * b.vectors()[1] for s, b in zip(signs, branches, strict=True))
    if all(b.matrix is None and b.index is None for b in branches):
        scale = sum(s * b.vectors()[0] for s, b in zip(signs, branches, strict=True))
        return base.then(node, ("multiply", scale), ("add", shift), axes=values[0].axes)
    matrix = sum(s * b.dense(given) for s, b in zip(signs, branches, strict=True))
    return base.then(node, ("product", matrix, _bias(shift)), axes=values[0].axes)


def _bias(shift: Any) -> Array | None:
    return shift if np.any(shift != 0) else None


def concatenated(node: Node, values: list[Value], axis: int, given: int) -> Value:
    """One after the other along the axis of the features."""
    rows = [value.axes for value in values]
    rank = len(rows[0])
    if any(len(axes) != rank for axes in rows) or not -rank <= axis < rank:
        raise ValueError(f"must join values along one of their {rank} axes; got axis {axis}")
    axis %= rank
    for axes in rows:
        if not is_row((*axes[:axis], *axes[axis + 1 :], axes[axis])):
            raise ValueError("must join features: the only axis of them")
    base, branches = parted(node, values)
    total = rows[0][axis]._replace(length=sum(b.length for b in branches))
    result = (*rows[0][:axis], total, *rows[0][axis + 1 :])
    pairs = [b.vectors() for b in branches]
    scale, shift = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
    if any(b.matrix is not None for b in branches):
        matrix = np.concatenate([b.dense(given) for b in branches])
        return base.then(node, ("product", matrix, _bias(shift)), axes=result)
    places = np.concatenate([np.arange(b.n) if b.index is None else b.index for b in branches])
    n = branches[0].n
    steps: list[tuple[Any, ...]] = []
    if not np.array_equal(places, np.arange(n)):
        steps.append(("take", places, n))
    if np.any(scale != 1):
        steps.append(("multiply", scale))
    if np.any(shift != 0):
        steps.append(("add", shift))
    return base.then(node, *steps, axes=result)
