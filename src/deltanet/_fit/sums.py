"""What a fit sums over ranges of its samples: losses, systems, products, and the few rows of its picture."""

from typing import Any

import numpy as np

from deltanet._core.engine import SECOND_HALF
from deltanet._fit.scale import Units
from deltanet._jobs.sums import Ggn
from deltanet._jobs.work import Places, Span, Sum
from deltanet._mlp import MLP
from deltanet._types import Array, Report


class Residuals:
    """r = f(X) - Y, made of each piece when it is asked for."""

    def __init__(self, span: Span, threads: int | None) -> None:
        self.span, self.threads = span, threads
        self.start, self.piece = -1, np.empty((0, span.m))

    def __getitem__(self, part: slice) -> Array:
        X, Y = (self.span.readers[name] for name in "XY")
        if self.start != X.start:
            self.start, self.piece = X.start, np.empty_like(Y.piece)
            self.span.engine.run(
                len(self.piece), X=X.piece, Y=Y.piece, y=self.piece, threads=self.threads
            )
        return self.piece[part.start - self.start : part.stop - self.start]


class InUnits(Sum):
    """Sums of a net in the units of its fit: Y is read in these."""

    def __init__(self, units: Units, layers: Places) -> None:
        Sum.__init__(self, units.net, layers)
        self.shift, self.sigma = units.shift, units.sigma

    def check(self, name: str, piece: Array) -> Array:
        if name != "Y" or self.shift is None:
            return piece
        return np.asarray((piece - self.shift) / self.sigma)


class Squares(InUnits):
    """sum_s w_s |r_s|^2"""

    numbers = 1

    def fill(self, span: Span, threads: int | None) -> Array:
        total, r = np.zeros(1), Residuals(span, threads)
        H = span.readers.get("H")
        for part, _ in span.pieces():
            w = 1.0 if H is None else H[part][:, None]
            total += np.sum(w * r[part] ** 2)
        return total


class System(InUnits, Ggn):
    """J^T W J, its lower half, and J^T W r."""

    def __init__(self, units: Units, layers: Places) -> None:
        InUnits.__init__(self, units, layers)
        self.measure(residuals=True)

    def residuals_of(self, span: Span, threads: int | None) -> Any:
        return Residuals(span, threads)


class Gradient(InUnits):
    """J^T W r, and the diagonal of J^T W J."""

    def __init__(self, units: Units, layers: Places) -> None:
        super().__init__(units, layers)
        self.numbers = 2 * self.kept.size

    def fill(self, span: Span, threads: int | None) -> Array:
        found = np.zeros((2, span.kept.size))

        def work(part: slice, given: dict[str, Any], report: Report) -> None:
            Y, H = span.readers["Y"].piece, span.readers.get("H")
            r = np.empty_like(Y)
            given |= {"Y": Y, "y": r, "u": r, "H": None if H is None else H.piece}
            g, diagonal = found
            span.engine.run(
                len(Y), span.kept.columns, **given, vjp=g, diagonal=diagonal, threads=threads
            )

        span.each(work, None)
        return found.reshape(-1)


class Product(InUnits):
    """J^T W J v, of v (P of the net,)."""

    def __init__(self, units: Units, layers: Places, v: Array) -> None:
        super().__init__(units, layers)
        self.v, self.numbers = v, self.kept.size

    def fill(self, span: Span, threads: int | None) -> Array:
        found = np.zeros(self.numbers)
        H: Any = span.readers.get("H")
        names = ("H",) if H else ()
        span.run(threads, None, names, H=H, v=self.v, vjp=found, half=SECOND_HALF)
        return found


class Misfit(Sum):
    """sum_s w_s |f(x_s) - y_s|^2 of a net in units of Y."""

    numbers = 1

    def __init__(self, net: MLP) -> None:
        super().__init__(net, net._kept.layers)

    def fill(self, span: Span, threads: int | None) -> Array:
        total, H = np.zeros(1), span.readers.get("H")
        for part, given in span.pieces():
            r = self.net(given["X"], threads=threads) - span.readers["Y"].piece
            total += np.sum((1.0 if H is None else H[part][:, None]) * r * r)
        return total


class Chosen(Sum):
    """f(x) and f(x) - y of a few samples (count, 2, m), and how often each counts (count,): 0 or 1."""

    def __init__(self, net: MLP, which: np.ndarray[Any, np.dtype[np.intp]]) -> None:
        super().__init__(net, net._kept.layers)
        self.which = which
        self.numbers = len(which) * (2 * net.sizes[-1] + 1)

    def fill(self, span: Span, threads: int | None) -> Array:
        count, m = len(self.which), span.m
        vector = np.zeros(self.numbers)
        rows, counts = vector[count:].reshape(count, 2, m), vector[:count]
        H = span.readers.get("H")
        for part, given in span.pieces():
            start = span.start + part.start
            place = slice(*np.searchsorted(self.which, (start, span.start + part.stop)))
            some = self.which[place] - start
            counts[place] = 1 if H is None else H.piece[some] > 0
            rows[place, 0] = self.net(given["X"][some], threads=threads)
            rows[place, 1] = rows[place, 0] - span.readers["Y"].piece[some]
        return vector
