"""Extremes and moments of the samples of a fit, over ranges: the scalings, and the best constant.

::

    largest        x, -x, y, -y, w                            of each column, and whether all is finite
    means          sum w, sum w x, sum w y, sum w f(x), count
    about them     sum w d, sum w d^2 of x and y; sum w e^2, sum w e d of the outputs; sum w (f(x) - y)^2

x and y are divided by a power of two of their column, so that no sum and no square overflows, and w by the
largest. Samples of weight 0 count nowhere.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltanet import _scaling, _validate
from deltanet._jobs.work import Span, Sum
from deltanet._mlp import MLP
from deltanet._types import Array

EPS, TINY = float(np.finfo(float).eps), float(np.finfo(float).tiny)


class Extremes(Sum):
    """The largest of each number; ValueError if one is not finite, or a weight negative."""

    def __init__(self, net: MLP) -> None:
        super().__init__(net, net._kept.layers)
        self.numbers = 2 * (net.sizes[0] + net.sizes[-1]) + 1

    def fill(self, span: Span, threads: int | None) -> Array:
        vector = np.full(self.numbers, -np.inf)
        for part, _ in span.pieces():
            start = span.start + part.start
            for reader in span.readers.values():
                checked(reader.piece, reader.rows.name, start)
            X, Y, w = counted(span, part)
            for at, table in zip((0, 2 * X.shape[1]), (X, Y), strict=True):
                n = table.shape[1]
                for i, signed in enumerate((table, -table)):
                    place = vector[at + i * n : at + (i + 1) * n]
                    np.maximum(place, signed.max(axis=0, initial=-np.inf), out=place)
            vector[-1] = max(vector[-1], w.max(initial=0))
        return vector


class Means(Sum):
    """Sums of w, of w x, w y and w f(x), and the count of samples."""

    def __init__(self, net: MLP, unit: Array, largest_weight: float) -> None:
        super().__init__(net, net._kept.layers)
        self.unit, self.largest = unit, largest_weight
        self.numbers = net.sizes[0] + 2 * net.sizes[-1] + 2

    def tables(self, span: Span, part: slice, threads: int | None) -> tuple[Array, Array]:
        """(x, y, f(x)) side by side in their units, and w (rows, 1): of the samples that count."""
        X, Y, w = counted(span, part)
        with np.errstate(all="ignore"):
            y = self.net(X, threads=threads)
            return np.concatenate([X, Y, y], axis=1) / self.unit, (w / self.largest)[:, None]

    def fill(self, span: Span, threads: int | None) -> Array:
        vector = np.zeros(self.numbers)
        for part, _ in span.pieces():
            table, w = self.tables(span, part, threads)
            with np.errstate(all="ignore"):
                vector += np.concatenate([(w * table).sum(axis=0), w.sum(axis=0), [len(w)]])
        return vector


class Moments(Means):
    """Sums of w d and w d^2 about the means; and of w e d and w (f(x) - y)^2."""

    def __init__(self, before: Means, means: Array) -> None:
        super().__init__(before.net, before.unit, before.largest)
        self.means, m = means, self.net.sizes[-1]
        self.numbers = 2 * len(means) + 2 * m

    def fill(self, span: Span, threads: int | None) -> Array:
        vector, m = np.zeros(self.numbers), self.net.sizes[-1]
        for part, _ in span.pieces():
            table, w = self.tables(span, part, threads)
            with np.errstate(all="ignore"):
                r = table[:, -m:] - table[:, -2 * m : -m]
                table -= self.means
                each = table, table**2, table[:, -m:] * table[:, -2 * m : -m], r**2
                vector += np.concatenate([(w * one).sum(axis=0) for one in each])
        return vector


def counted(span: Span, part: slice) -> tuple[Array, Array, Array]:
    """(X, Y, w) of the piece at hand, without the samples of weight 0."""
    X, Y = (span.readers[name].piece for name in "XY")
    if "H" not in span.readers:
        return X, Y, np.ones(len(X))
    w = span.readers["H"].piece
    some = w > 0
    return X[some], Y[some], w[some]


def checked(piece: Array, name: str, start: int) -> None:
    """Refuse NaN and infinity, and weights below 0; the place is that among all rows."""
    _validate.finite(piece, name, start)
    if name == "sample_weight" and (piece < 0).any():
        raise ValueError(f"{name} must be at least 0; got {piece.min()}")


class Statistics(NamedTuple):
    """What was found of all samples that count, the columns of X, Y and the outputs side by side."""

    counted: int
    highest: Array  # (n_0 + m,) of X and Y
    lowest: Array
    unit: Array  # (n_0 + 2 m,)
    weight: float  # sum of w, the largest being 1
    largest: float  # weight
    means: Array  # (n_0 + 2 m,)
    rest: Array  # sums of w d
    squares: Array  # of w d^2
    products: Array  # (m,) of w e d
    misfit: Array  # (m,) of w (f(x) - y)^2

    @property
    def varies(self) -> NDArray[np.bool_]:
        """Which columns of Y are not constant to rounding."""
        m = len(self.products)
        size = np.maximum(abs(self.highest), abs(self.lowest))[-m:]
        return np.asarray((self.highest - self.lowest)[-m:] > 2 * _scaling.ROUNDING * EPS * size)

    def constant_loss(self) -> float:
        """Of the best constant, in units of Y."""
        m = len(self.products)
        if not self.varies.any():
            return 0.0
        Y = slice(-2 * m, -m)
        variance = np.maximum(self.squares[Y] - self.rest[Y] ** 2 / self.weight, 0)
        with np.errstate(over="ignore", under="ignore"):
            return float(0.5 * self.largest * np.sum(self.unit[Y] ** 2 * variance))

    def explained(self) -> tuple[float, float, float]:
        """(total, explained, explained after shift and factor), in a common unit: see `beats_a_constant`."""
        m = len(self.products)
        part = (self.unit[-m:] / self.unit[-m:].max()) ** 2
        with np.errstate(all="ignore"):
            total = np.sum(part * self.squares[-2 * m : -m]) if self.varies.any() else 0.0
            after = part * self.products**2 / self.squares[-m:]
            return float(total), float(total - np.sum(part * self.misfit)), float(np.nansum(after))

    def scalings(self, identity: bool) -> tuple[Array, Array, Array | None, Array | None]:
        """What `_scaling.from_data` gives."""
        n = len(self.highest)
        with np.errstate(under="ignore"):
            unit = self.unit[:n]
            rounding = np.maximum(EPS, TINY / unit)
            spread = self.highest / unit - self.lowest / unit
            constant = spread <= 2 * _scaling.ROUNDING * rounding
            variance = self.squares[:n] / self.weight - (self.rest[:n] / self.weight) ** 2
            deviation = np.sqrt(np.maximum(variance, 0)) * unit
            shift, scale = self.means[:n] * unit, np.where(constant, 1, deviation)
        n_0 = n - len(self.products)
        if not identity:
            return shift[:n_0], scale[:n_0], None, None
        return shift[:n_0], scale[:n_0], shift[n_0:], scale[n_0:]
