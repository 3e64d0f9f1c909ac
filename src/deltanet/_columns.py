"""The parameters that `wrt` keeps, as columns of J."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from deltanet import _validate
from deltanet._core.engine import Columns
from deltanet._params import offsets
from deltanet._types import Array


class Kept:
    """The kept columns, in theta's order.

    Attributes
    ----------
    layers : list of (k, bool, bool)
        Layers counted from 0, of which W is kept, of which b is.
    biases : tuple of bool
        Which layers of the net have a bias.
    columns : Columns
        The same for the core.
    size : int
        How many.
    """

    def __init__(
        self,
        layers: list[tuple[int, bool, bool]],
        sizes: Sequence[int],
        biases: tuple[bool, ...],
    ) -> None:
        self.layers: list[tuple[int, bool, bool]] = layers
        self.biases: tuple[bool, ...] = biases
        L = len(sizes) - 1
        self.slices: list[tuple[slice, slice]]
        self.size: int
        self.parameters: int
        self.columns: Columns
        places, bias_places, self.slices, at = [-1] * L, [-1] * L, [], 0
        ends = offsets(sizes, biases)
        for k, weights, bias in layers:
            split = ends[k] + sizes[k] * sizes[k + 1]
            for wanted, table, start, stop in (
                (weights, places, ends[k], split),
                (bias, bias_places, split, ends[k + 1]),
            ):
                if wanted:
                    table[k] = at
                    self.slices.append((slice(at, at + stop - start), slice(start, stop)))
                    at += stop - start
        self.size, self.parameters = at, ends[-1]
        self.columns = Columns(places, bias_places, at)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kept) and self.layers == other.layers

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # object has one  # object's can be called

    def holds(self, k: int) -> bool:
        """Whether a parameter of layer k is kept."""
        return any(k == kept for kept, *_ in self.layers)

    def spread(self, v: Array) -> Array:
        """v (..., size) among all parameters (..., P), zero where nothing is kept."""
        if self.size == self.parameters:
            return v
        result = np.zeros((*v.shape[:-1], self.parameters), v.dtype)
        for kept, full in self.slices:
            result[..., full] = v[..., kept]
        return result


def everything(sizes: tuple[int, ...], biases: tuple[bool, ...]) -> Kept:
    """All columns."""
    return kept(None, sizes, biases)


def kept(wrt: Any, sizes: tuple[int, ...], biases: tuple[bool, ...]) -> Kept:
    """What `wrt` keeps of a net whose layers have these biases."""
    return Kept(_validate.wrt(wrt, sizes, biases), sizes, biases)
