"""Factors without a net: what a Jacobian is made of, checked, and an engine that computes with them."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deltanet import _limits, _memory, _validate
from deltanet._core.engine import Engine
from deltanet._params import offsets, split

Array = NDArray[np.floating[Any]]
Layers = tuple[Array | None, ...]
MOST_PARAMETERS = sys.maxsize // 64  # no count of their bytes overflows in the core


@dataclass(frozen=True)
class Parts:
    """All that a Jacobian holds; what `save` and pickles hold of it.

    `sizes` has a 0 where nothing tells the width of a layer that was dropped.
    """

    sizes: tuple[int, ...]
    biases: tuple[bool, ...]  # which layers of the net have one
    layers: list[tuple[int, bool, bool]]  # `Kept.layers`
    rows: tuple[int, ...]  # (N, m), or (m,) of a single sample
    outputs: Array | None  # rows
    inputs: Layers
    deltas: Layers
    first_weight: Array | None  # (n_1, n_0)
    input_scale: Array | None  # (n_0,)
    dtype: np.dtype[Any]


def engine(
    sizes: Sequence[int], kept: Any, dtype: np.dtype[Any], input_scale: Array | None = None
) -> Engine:
    """An engine for factors of layers of these sizes. It has no parameters and no activations."""
    ends = offsets(sizes, kept.biases)
    if ends[-1] > MOST_PARAMETERS:
        raise ValueError(f"there must be at most {MOST_PARAMETERS} parameters; got {ends[-1]}")
    layers = [  # the activation, number 0, is not read
        (False, 0, 0, 0, n_in, n_out, at, at + n_in * n_out if bias else -1)
        for n_in, n_out, at, bias in zip(sizes, sizes[1:], ends, kept.biases, strict=False)
    ]
    # Of theta the core takes the length; of the scalings, that of the input.
    theta = np.broadcast_to(np.zeros(1, dtype), (ends[-1],))
    scale = np.ones(0) if input_scale is None else input_scale
    affine = np.concatenate([np.zeros(len(scale)), scale]).astype(dtype)
    return Engine(theta, affine, layers, input_scale is not None, False, kept.columns)


def given(
    deltas: Sequence[ArrayLike | None],
    inputs: Sequence[ArrayLike | None],
    outputs: ArrayLike | None,
    bias: bool | Sequence[bool],
    first_weight: ArrayLike | None,
    input_scale: ArrayLike | None,
) -> Parts:
    """The arguments of `Jacobian.from_factors`, checked. What can be read where it lies is not copied."""
    pairs = _pairs(deltas, inputs)
    biases = _validate.flags(bias, len(pairs), "bias")
    kind = _validate.common_dtype([array for pair in pairs if pair for array in pair])
    rows, sizes = _shapes(pairs)
    layers = [(k, True, biases[k]) for k, pair in enumerate(pairs) if pair]
    if pairs[0] is None and not (first_weight is None and input_scale is None):
        raise ValueError("first_weight and input_scale need the delta of layer 0; it is None")
    if first_weight is not None:
        first_weight = _validate.like(first_weight, sizes[1::-1], "first_weight", kind)
    if input_scale is not None:
        _, input_scale = _validate.scaling(None, input_scale, sizes[0], kind, "input")
    if outputs is not None:
        outputs = _validate.like(outputs, rows, "outputs", kind)
    ready = [pair and [np.require(array, kind, ["C", "A"]) for array in pair] for pair in pairs]
    deltas, inputs = (tuple(pair and pair[side] for pair in ready) for side in (0, 1))
    return Parts(
        sizes, biases, layers, rows, outputs, inputs, deltas, first_weight, input_scale, kind
    )


def _pairs(
    deltas: Sequence[ArrayLike | None], inputs: Sequence[ArrayLike | None]
) -> list[tuple[NDArray[Any], NDArray[Any]] | None]:
    """(delta, h) of each layer, or None."""
    deltas, inputs = list(deltas), list(inputs)
    if len(deltas) != len(inputs) or all(delta is None for delta in deltas):
        raise ValueError(
            f"deltas and inputs must have one array a layer each, at least one; got {len(deltas)} and "
            f"{len(inputs)}"
        )
    pairs: list[tuple[NDArray[Any], NDArray[Any]] | None] = []
    for k, (delta, h) in enumerate(zip(deltas, inputs, strict=True)):
        if (delta is None) != (h is None):
            raise ValueError(f"deltas[{k}] and inputs[{k}] must both be None, or neither")
        if delta is None or h is None:
            pairs.append(None)
        else:
            pairs.append(
                (_validate.numbers(delta, f"deltas[{k}]"), _validate.numbers(h, f"inputs[{k}]"))
            )
    return pairs


def _shapes(
    pairs: list[tuple[NDArray[Any], NDArray[Any]] | None],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(rows (N, m) or (m,), sizes) that all factors agree upon."""
    rows: tuple[int, ...] | None = None
    sizes = [0] * (len(pairs) + 1)
    for k, pair in enumerate(pairs):
        if pair is None:
            continue
        delta, h = pair
        if rows is None:
            if delta.ndim not in (2, 3) or not delta.shape[-2]:
                raise ValueError(
                    f"deltas[{k}] must have shape (N, m, n) or (m, n), m > 0; got {delta.shape}"
                )
            rows = delta.shape[:-1]
        lead = rows[:-1]
        if delta.shape[:-1] != rows:
            raise ValueError(
                f"deltas[{k}] must have shape {_validate.spelled(*rows, 'n')}; got {delta.shape}"
            )
        if h.shape[:-1] != lead or h.ndim == 0 or sizes[k] not in (0, h.shape[-1]):
            wanted = _validate.spelled(*lead, sizes[k] or "n")
            raise ValueError(f"inputs[{k}] must have shape {wanted}; got {h.shape}")
        sizes[k], sizes[k + 1] = h.shape[-1], delta.shape[-1]
        for name, n in (("inputs", sizes[k]), ("deltas", sizes[k + 1])):
            if not 1 <= n <= _limits.WIDEST_LAYER:
                raise ValueError(f"the width of {name}[{k}] must be at least 1; got {n}")
    assert rows is not None  # one pair is not None
    return rows, tuple(sizes)


def weighted(
    engine: Engine, arrays: Sequence[Any], rows: tuple[int, ...], R: Array, threads: int | None
) -> tuple[tuple[int, ...], list[Array]]:
    """(rows, R_s A_s of each array A (N, m) or (N, m, n)): R (N, q, m), or (N, m), a factor for each row."""
    combined = R.ndim > len(rows)
    new = R.shape[:-1] if combined else rows
    # (q, m) by (m, n) of each sample, or one number by (1, n) of each row
    q, m = (new[-1], rows[-1]) if combined else (1, 1)
    count = math.prod(new) // q
    ends = [array.shape[len(rows) :] for array in arrays]
    shapes = [(*new, *end) for end in ends]
    length = sum(math.prod(shape) for shape in shapes)
    buffer = _memory.empty((length,), R.dtype, "the weighted factors", "weigh J[a:b]")
    results = split(buffer, shapes)
    for array, result, end in zip(arrays, results, ends, strict=True):
        n = math.prod(end)
        engine.multiply_each(
            result.reshape(count, q, n),
            R.reshape(count, q, m),
            array.reshape(count, m, n),
            _validate.count(threads),
        )
    return new, results
