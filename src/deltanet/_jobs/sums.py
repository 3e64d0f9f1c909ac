"""The verbs as sums over samples. Of a symmetric matrix its lower half travels, row by row."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deltanet import _memory, _validate, _verbs
from deltanet._jobs.work import Places, Span, Sum
from deltanet._params import split
from deltanet._types import Array, Report

if TYPE_CHECKING:
    from deltanet._mlp import MLP

INSTEAD = "use ggn_diagonal(), kfac() or wrt="


def half(side: int) -> int:
    """Numbers of the lower half of a matrix."""
    return side * (side + 1) // 2


def pack(matrices: Sequence[Array], vector: Array) -> None:
    """The lower halves, one behind the other."""
    at = 0
    for matrix in matrices:
        for i, row in enumerate(matrix, 1):
            vector[at : at + i] = row[:i]
            at += i


def unpack(vector: Array, matrices: Sequence[Array]) -> None:
    """The inverse of `pack`; what lies above the diagonals is left as it is."""
    at = 0
    for matrix in matrices:
        for i, row in enumerate(matrix, 1):
            row[:i] = vector[at : at + i]
            at += i


class Vjp(Sum):
    """J^T u (P,), or one for each of r columns: (r, P)."""

    def __init__(self, net: "MLP", layers: Places, columns: int) -> None:
        super().__init__(net, layers)
        self.columns = columns
        self.numbers = columns * self.kept.size

    def check(self, name: str, piece: Array) -> Array:
        """u as (r, N, m)."""
        if name != "u":
            return piece
        rows = piece.reshape(*piece.shape[:2], self.columns)
        return np.ascontiguousarray(np.moveaxis(rows, 2, 0))

    def fill(self, span: Span, threads: int | None) -> Array:
        found = np.zeros((self.columns, span.kept.size), span.dtype)

        def work(part: slice, given: dict[str, Any], report: Report) -> None:
            for u, vjp in zip(span.readers["u"].piece, found, strict=True):
                span.engine.run(
                    u.shape[0], span.kept.columns, **given, u=u, vjp=vjp, threads=threads
                )

        span.each(work, None)
        return found.reshape(-1)


class Weighted(Sum):
    """A sum with the weights H, or without."""

    def check(self, name: str, piece: Array) -> Array:
        if name != "H":
            return piece
        return _validate.weights(piece, (len(piece),), self.net.sizes[-1], piece.dtype)


class Diagonal(Weighted):
    """The diagonal of J^T H J: (P,)."""

    def __init__(self, net: "MLP", layers: Places) -> None:
        super().__init__(net, layers)
        self.numbers = self.kept.size

    def fill(self, span: Span, threads: int | None) -> Array:
        found = np.zeros(self.numbers, span.dtype)
        span.run(threads, None, span.beside, diagonal=found, H=span.readers.get("H"))
        return found


class Ggn(Weighted):
    """J^T H J, its lower half, and J^T H R if there are residuals."""

    def __init__(self, net: "MLP", layers: Places, residuals: bool) -> None:
        super().__init__(net, layers)
        self.measure(residuals)

    def measure(self, residuals: bool) -> None:
        self.side, self.residuals = self.kept.size, residuals
        self.numbers = half(self.side) + residuals * self.side

    def residuals_of(self, span: Span, threads: int | None) -> Any:
        """R, which `[part]` reads."""
        return span.readers.get("R")

    def fill(self, span: Span, threads: int | None) -> Array:
        P, kind = self.side, span.dtype
        A = _memory.empty((P, P), kind, "the sum of a range", INSTEAD)
        g = np.empty(P, kind) if self.residuals else None
        H: Any = span.readers.get("H")
        _verbs.fill_ggn(span, A, H, self.residuals_of(span, threads), g, threads)
        vector = _memory.empty((self.numbers,), kind, "the sum of a range", INSTEAD)
        pack([A], vector)
        if g is not None:
            vector[half(P) :] = g
        return vector


class Kfac(Weighted):
    """The factors of each layer, A not yet over N: their lower halves."""

    def __init__(self, net: "MLP", layers: Places) -> None:
        super().__init__(net, layers)
        shapes = _validate.kronecker_shapes(layers, net.sizes)
        self.sides = [n for pair in shapes for n in pair]
        self.numbers = sum(map(half, self.sides))

    def factors(self, buffer: Array) -> list[Array]:
        """The matrices in a buffer that holds one behind the other."""
        return split(buffer, [(n, n) for n in self.sides])

    def fill(self, span: Span, threads: int | None) -> Array:
        buffer = np.zeros(sum(n * n for n in self.sides), span.dtype)
        span.run(threads, None, span.beside, kfac=buffer, H=span.readers.get("H"))
        vector = np.empty(self.numbers, span.dtype)
        pack(self.factors(buffer), vector)
        return vector
