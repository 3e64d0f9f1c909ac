"""What a Jacobian is made of: where its factors lie, what is given for them, an engine without a net."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deltanet import _limits, _memory, _validate
from deltanet._columns import Kept
from deltanet._core import tiles
from deltanet._core.engine import Engine
from deltanet._params import offsets, split
from deltanet._types import Array

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


class Factors:
    """The places of the factors of some samples in one buffer: y, then h, delta and W^(1) of what is kept.

    One buffer where many arrays could be: the cache of memory gives it back without a page fault. W^(1) is
    there for dy/dx, so that later changes of the parameters do not change it.
    """

    def __init__(self, sizes: tuple[int, ...], lead: tuple[int, ...], kept: Kept) -> None:
        m, self.L = sizes[-1], len(sizes) - 1
        self.layers: list[int] = [k for k, *_ in kept.layers]
        self.shapes: list[tuple[int, ...]] = [(*lead, m)]
        self.shapes += [(*lead, sizes[k]) for k in self.layers]
        self.shapes += [(*lead, m, sizes[k + 1]) for k in self.layers]
        self.shapes += [(sizes[1], sizes[0])] if kept.holds(0) else []
        self.size: int = sum(math.prod(shape) for shape in self.shapes)

    def split(self, buffer: Array) -> tuple[Array, Layers, Layers, Array | None]:
        """(outputs, inputs, deltas, W^(1)): arrays in the buffer, None for layers that are not kept."""
        outputs, *rest = split(buffer, self.shapes)
        inputs: list[Array | None] = [None] * self.L
        deltas, count = inputs.copy(), len(self.layers)
        for k, h, delta in zip(self.layers, rest, rest[count:], strict=False):
            inputs[k], deltas[k] = h, delta
        weight = rest[-1] if len(rest) > 2 * count else None
        return outputs, tuple(inputs), tuple(deltas), weight


def engine(
    sizes: Sequence[int], kept: Kept, dtype: np.dtype[Any], input_scale: Array | None = None
) -> Engine:
    """An engine for factors of layers of these sizes. It has no parameters and no activations."""
    ends = offsets(sizes, kept.biases)
    # no workspace for widths that only layers without a column have
    used = [n if kept.holds(k) or kept.holds(k - 1) else 1 for k, n in enumerate(sizes)]
    layers: list[Any] = [  # the activation, number 0, is not read
        (False, 0, 0, 0, *used[k : k + 2], ends[k], ends[k + 1] - sizes[k + 1] if bias else -1)
        for k, bias in enumerate(kept.biases)
    ]
    # Of theta the core takes the length; of the scalings, that of the input.
    theta = np.broadcast_to(np.zeros(1, dtype), (ends[-1],))
    scale = np.ones(0) if input_scale is None else input_scale
    affine = np.concatenate([np.zeros(len(scale)), scale]).astype(dtype)
    return Engine(theta, affine, layers, input_scale is not None, False, kept.columns)


def countable(sizes: Sequence[int], biases: Sequence[bool]) -> None:
    """Refuse widths, which arrays without a sample may claim, whose parameters the core could not count."""
    P = offsets(sizes, biases)[-1]
    if P > MOST_PARAMETERS:
        raise ValueError(f"there must be at most {MOST_PARAMETERS} parameters; got {P}")


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
    countable(sizes, biases)
    layers = [(k, True, biases[k]) for k, pair in enumerate(pairs) if pair]
    if pairs[0] is None and not (first_weight is None and input_scale is None):
        raise ValueError("first_weight and input_scale need the delta of layer 0; it is None")
    scaling = _validate.scaling(None, input_scale, sizes[0], kind, "input")

    def side(i: int) -> Layers:
        return tuple(None if pair is None else _validate.ready(pair[i], kind) for pair in pairs)

    return Parts(
        sizes=sizes,
        biases=biases,
        layers=layers,
        rows=rows,
        outputs=_optional(outputs, rows, "outputs", kind),
        inputs=side(1),
        deltas=side(0),
        first_weight=_optional(first_weight, sizes[1::-1], "first_weight", kind),
        input_scale=scaling and scaling[1],
        dtype=kind,
    )


def _optional(
    value: ArrayLike | None, shape: tuple[int, ...], name: str, kind: np.dtype[Any]
) -> Array | None:
    """An array of this shape, or None."""
    return None if value is None else _validate.like(value, shape, name, kind)


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
    arrays: Sequence[Any], rows: tuple[int, ...], R: Array, threads: int | None
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
        tiles.multiply_each(
            result.reshape(count, q, n),
            R.reshape(count, q, m),
            array.reshape(count, m, n),
            _validate.count(threads),
        )
    return new, results
