"""Which axes of a value count samples, and which hold features.

The features of a sample are those axes in C order, flattened: one number each. Axes of length 1 may stand
anywhere. A value whose axes are None has its numbers in order, sample after sample, but no axis that counts
samples any more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltanet._io._affine import check_filled

Array = NDArray[Any]


class Axis(NamedTuple):
    """One axis.

    Attributes
    ----------
    length : int or None
        None if it is not known.
    samples : tuple of int
        Which sample axes of the input it counts; empty for features.
    """

    length: int | None
    samples: tuple[int, ...] = ()


Axes = tuple[Axis, ...]


@dataclass(frozen=True)
class Count:
    """How many samples there are, as an entry of a shape."""

    samples: tuple[int, ...]

    def __mul__(self, other: object) -> Count:
        if not isinstance(other, Count):
            raise ValueError("computes with the number of samples")
        return Count(self.samples + other.samples)

    __rmul__ = __mul__


Entry = int | Count | None  # of a shape


def starts(shape: list[int | None]) -> list[Axes]:
    """What the axes of an input of this shape may be, the likeliest first.

    Axes of unknown length count samples; without one, the first axis does; all axes but the last may, where
    a layer takes the last one alone; and samples may be the columns.
    """
    rank, known = len(shape), [k for k, n in enumerate(shape) if n is not None]
    free = [k for k in range(rank) if k not in known]
    choices: list[Sequence[int]] = []
    if free and known:
        choices = [free, sorted({*free, *range(rank - 1)})]
    elif rank > 1:
        choices = [[0], range(rank - 1), *([[1]] if rank == 2 and known else [])]
    else:
        choices = [[], [0]] if known else [[0], []]
    found = []
    for samples in choices:
        axes = tuple(
            Axis(n, (samples.index(k),) if k in samples else ()) for k, n in enumerate(shape)
        )
        if axes not in found:
            found.append(axes)
    return found


def features(axes: Axes) -> list[int | None]:
    """Lengths of the axes of features."""
    return [axis.length for axis in axes if not axis.samples]


def width(axes: Axes) -> int | None:
    """How many features a sample has, if that is known."""
    lengths = [n for n in features(axes) if n is not None]
    return math.prod(lengths) if len(lengths) == len(features(axes)) else None


def numbered(axes: Axes, given: int) -> Array:
    """The features by number, (n, ...): one axis for each axis of features."""
    n = width(axes)
    if n is None:
        raise ValueError("needs a declared number of features")
    check_filled(n, given)
    return np.arange(n).reshape([length or 0 for length in features(axes)])


def is_row(axes: Axes) -> bool:
    """Whether the last axis has all features."""
    return not axes[-1].samples and all(a.length == 1 for a in axes[:-1] if not a.samples)


def in_order(axes: Axes) -> bool:
    """Whether the numbers of a sample lie together, sample after sample."""
    places = [k for k, axis in enumerate(axes) if axis.samples]
    before = axes[: places[-1]] if places else ()
    return all(axis.samples or axis.length == 1 for axis in before)


def place(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    if not -rank <= axis < rank:
        raise ValueError(f"names axis {axis} of a value that has {rank}")
    return axis % rank


def spread(c: Array, axes: Axes) -> tuple[Array, Axes]:
    """A constant as one number a feature, or one for all; and the axes of what is computed with it."""
    if c.ndim > len(axes):
        axes = (Axis(1),) * (c.ndim - len(axes)) + axes
    lengths = (1,) * (len(axes) - c.ndim) + c.shape
    result = []
    for axis, n in zip(axes, lengths, strict=True):
        if axis.samples and n != 1:
            raise ValueError(f"its constant of shape {c.shape} is not the same for all samples")
        if not axis.samples and n != 1 and axis.length not in (None, n):
            raise ValueError(
                f"has a constant of shape {c.shape} ({c.size} numbers) for {_words(axes)}"
            )
        result.append(Axis(n) if axis == Axis(None) and n != 1 else axis)
    axes = tuple(result)
    if c.size == 1:
        return c.astype(np.float64).reshape(()), axes
    total = width(axes)
    if total is None:
        raise ValueError("needs a declared number of features")
    check_filled(total, c.size)
    target = [1 if axis.samples else axis.length or 1 for axis in axes]
    return np.broadcast_to(c.reshape(lengths), target).astype(np.float64).reshape(-1), axes


def _words(axes: Axes) -> str:
    n = width(axes)
    return "an unknown number of features" if n is None else f"{n} features"


def transposed(axes: Axes, order: Sequence[int], given: int) -> tuple[Axes, Array | None]:
    """The axes in another order, and the features in their new order where that differs."""
    if sorted(order) != list(range(len(axes))):
        raise ValueError(f"must have each axis once in perm; got {list(order)}")
    result = tuple(axes[k] for k in order)
    kept = [k for k in order if not axes[k].samples]
    if [k for k in kept if axes[k].length != 1] == [
        k for k, a in enumerate(axes) if not a.samples and a.length != 1
    ]:
        return result, None
    ranks = {k: i for i, k in enumerate(sorted(kept))}
    return result, numbered(axes, given).transpose([ranks[k] for k in kept]).reshape(-1)


def squeezed(axes: Axes, which: Sequence[int] | None) -> Axes:
    """Without some axes of length 1; without all features' ones if which is None."""
    if which is None:
        places = [k for k, axis in enumerate(axes) if axis.length == 1]
    else:
        places = [place(k, len(axes)) for k in which]
    for k in places:
        if axes[k].length != 1:
            raise ValueError(f"squeezes axis {k}, which is not known to have length 1")
    return tuple(axis for k, axis in enumerate(axes) if k not in places)


def unsqueezed(axes: Axes, which: Sequence[int]) -> Axes:
    """With further axes of length 1, at these places of the result."""
    rank = len(axes) + len(which)
    places = {place(k, rank) for k in which}
    rest = iter(axes)
    return tuple(Axis(1) if k in places else next(rest) for k in range(rank))


def flattened(axes: Axes, axis: int) -> Axes | None:
    """Two axes: all before `axis`, and the rest."""
    if not -len(axes) <= axis <= len(axes):
        raise ValueError(f"names axis {axis} of a value that has {len(axes)}")
    axis = axis + len(axes) if axis < 0 else axis
    head, rest = _merged(axes[:axis]), _merged(axes[axis:])
    return None if head is None or rest is None else (head, rest)


def _merged(axes: Axes) -> Axis | None:
    """One axis for several, or None if samples and features would be mixed."""
    counts = [axis for axis in axes if axis.samples]
    if not counts:
        return Axis(width(axes))
    if width(axes) != 1:
        return None
    lengths = [axis.length for axis in counts]
    total = None if None in lengths else math.prod(n for n in lengths if n is not None)
    return Axis(total, tuple(i for axis in counts for i in axis.samples))


def reshaped(axes: Axes, target: list[Entry], allow_zero: bool = False) -> Axes | None:
    """The axes of another shape; None if samples and features are mixed in it."""
    if not in_order(axes):
        raise ValueError("reshapes a value in which the samples are not the rows")
    if target.count(-1) > 1 or any(n is None or (isinstance(n, int) and n < -1) for n in target):
        raise ValueError(f"has a shape that is not known: {target}")
    wanted = list(target) if allow_zero else [_copied(axes, k, n) for k, n in enumerate(target)]
    n, samples = width(axes), _merged(tuple(a for a in axes if a.samples))
    if not any(axis.samples for axis in axes):
        return _solved(wanted, n)
    assert samples is not None
    counted = [k for k, each in enumerate(wanted) if isinstance(each, Count)]
    if counted:
        found = tuple(i for each in wanted if isinstance(each, Count) for i in each.samples)
        if found != samples.samples:
            return None
        rest = _solved([1 if k in counted else each for k, each in enumerate(wanted)], n)
        return rest and _with_samples(rest, [(k, axes, wanted[k]) for k in counted])
    return _uncounted(wanted, n, samples)


def _copied(axes: Axes, k: int, entry: Entry) -> Entry:
    """A zero in a shape is the old length."""
    if entry != 0:
        return entry
    if k >= len(axes):
        raise ValueError(f"copies the length of axis {k}, which is not there")
    axis = axes[k]
    return Count(axis.samples) if axis.samples else axis.length


def _solved(entries: list[Entry], n: int | None) -> Axes | None:
    """Axes of features of these lengths, of which one may be -1; None if they do not hold n features."""
    lengths = [each for each in entries if not isinstance(each, Count)]
    if len(lengths) < len(entries):
        return None  # as many as there are samples: they are no features
    known = math.prod(each for each in lengths if each is not None and each != -1)
    if -1 in lengths:
        if n is not None and (known == 0 or n % known):
            return None
        missing = None if n is None else n // known
    elif n is not None and known != n:
        return None
    else:
        missing = None
    return tuple(Axis(missing if each == -1 else each) for each in lengths)


def _with_samples(rest: Axes, counted: list[tuple[int, Axes, Entry]]) -> Axes | None:
    """Axes of features in which some, of length 1, count samples; None if features stand before them."""
    result = list(rest)
    for k, axes, entry in counted:
        assert isinstance(entry, Count)
        lengths = {axis.samples: axis.length for axis in axes}
        result[k] = Axis(lengths.get(entry.samples), entry.samples)
    return tuple(result) if in_order(tuple(result)) else None


def _uncounted(entries: list[Entry], n: int | None, samples: Axis) -> Axes | None:
    """Axes of a shape in which no entry says that it counts samples.

    One that is -1 does if the others hold the features; otherwise the first does, if the number of samples
    is known.
    """
    if samples.length is not None and entries and entries[0] == samples.length:
        rest = _solved([1, *entries[1:]], n)
        if rest is not None:
            return (samples, *rest[1:])
    if -1 in entries:
        k = entries.index(-1)
        rest = _solved([1 if each == -1 else each for each in entries], n)
        if rest is not None and all(each == 1 for each in entries[:k]):
            return (*rest[:k], samples, *rest[k + 1 :])
    if samples.length == 1:  # a lone sample, without its axis
        return _solved(entries, n)
    return None
