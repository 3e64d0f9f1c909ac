"""A fit whose passes over the samples go through an executor: rows of any kind, and memory that is flat.

A problem is the same as with arrays but for its passes: each is a sum over ranges of rows, in the workers.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from deltanet import _plots, _validate
from deltanet._fit.problem import Dual, MatrixFree, Primal, Problem, way_of
from deltanet._fit.samples import Samples, Workers, drawn
from deltanet._fit.scale import Units, double, enough, with_scalings
from deltanet._fit.statistics import EPS, Extremes, Means, Moments, Statistics
from deltanet._fit.sums import Chosen, Gradient, InUnits, Misfit, Product, Squares, System
from deltanet._jobs.fold import Fold
from deltanet._jobs.passes import Passes, checked
from deltanet._jobs.ranges import ranges
from deltanet._jobs.spill import spilled
from deltanet._jobs.sums import half, unpack
from deltanet._jobs.work import Sum
from deltanet._mlp import MLP
from deltanet._rows import Rows, rows
from deltanet._types import Array, Seed, Wrt

FLOAT64: np.dtype[np.float64] = np.dtype(np.float64)


class Spread:
    """Samples in rows: see `Samples`.

    Parameters
    ----------
    net : MLP
        That was given.
    given : dict of Rows
        X, Y, and H if there are weights.
    workers : Workers
    """

    def __init__(self, net: MLP, given: dict[str, Rows], workers: Workers) -> None:
        self.net, self.given, self.workers = double(net), given, workers
        self.N = len(given["X"])
        self.passes = self.cut(net.num_params)
        self.extremes = total(self.passes, Extremes(self.net), largest=True)  # which checks them

    def cut(self, numbers: int) -> Passes:
        """Passes of results with so many numbers."""
        cuts = ranges(self.N, numbers)
        executor, retries, advice = self.workers
        return Passes(executor, self.given, cuts, None, retries, advice)

    @cached_property
    def statistics(self) -> Statistics:
        """Found in two more passes."""
        net, n = self.net, sum(self.net.sizes[:: len(self.net.sizes) - 1])
        n_0, largest = net.sizes[0], float(self.extremes[-1])
        if not largest > 0:
            raise ValueError(f"sample_weight must be above 0 for a sample; got {largest} at most")
        ends = np.cumsum([n_0, n_0, n - n_0])
        X, X_down, Y, Y_down = np.split(self.extremes[:-1], ends)
        highest, lowest = np.concatenate([X, Y]), -np.concatenate([X_down, Y_down])
        unit = np.ldexp(1.0, np.frexp(np.maximum(abs(highest), abs(lowest)))[1] - 1)
        first = Means(net, np.concatenate([unit, unit[n_0:]]), largest)
        *sums, weight, count = total(self.passes, first)
        with np.errstate(all="ignore"):
            second = Moments(first, np.array(sums) / weight)
        m, k = n - n_0, len(sums)
        found = np.split(total(self.passes, second), np.cumsum([k, k, m]))
        return Statistics(
            int(count), highest, lowest, first.unit, float(weight), largest, second.means, *found
        )

    def counted(self) -> int:
        return self.statistics.counted

    def beats_a_constant(self, net: MLP) -> bool:
        whole, explained, after = self.statistics.explained()
        if not whole:
            misfit, Y = self.statistics.misfit.sum(), self.statistics
            return bool(misfit <= Y.weight * EPS**2)
        return enough(net, whole, explained, after)

    def scaled(self, net: MLP) -> tuple[MLP, tuple[str, ...]]:
        found, m = self.statistics, net.sizes[-1]
        pairs = found.scalings(net.activations[-1] == "identity")
        size = np.maximum(abs(found.highest), abs(found.lowest))[-m:]
        return with_scalings(net, pairs, found.varies, size)

    def constant_loss(self, units: Units | None = None) -> float:
        return self.statistics.constant_loss() / (units.square if units else 1.0)

    def misfit(self, net: MLP) -> float:
        return float(total(self.passes, Misfit(double(net)))[0])

    def points(self, net: MLP) -> _plots.Points:
        m = net.sizes[-1]
        count = min(_plots.POINTS, max(1, _plots.NUMBERS // m), self.N)
        which = np.sort(np.random.default_rng(0).choice(self.N, count, replace=False))
        found = total(self.passes, Chosen(net, which))
        y, r = found[count:].reshape(count, 2, m)[found[:count] > 0].swapaxes(0, 1)
        return _plots.Points(y, r)

    def problem(
        self, units: Units, prior: float | Array, solver: str, wrt: Wrt
    ) -> Primal | Dual | MatrixFree:
        net = units.net
        way = way_of(net, self.N, prior, solver, wrt)
        P = net._keep(wrt).size
        if way == "dual":
            raise ValueError(
                f"with executor the samples must give at least as many rows as there are parameters; got "
                f"N m = {self.N * net.sizes[-1]} and P = {P}: leave executor out, or give solver='cg'"
            )
        if way == "primal":
            return SpreadPrimal(self.cut(half(P) + P), units, self.N, prior, wrt)
        return SpreadMatrixFree(self.cut(2 * P), units, self.N, prior, wrt)

    def judge(self, units: Units) -> Problem:
        return SpreadProblem(self.passes, units, self.N, 0.0)

    def digests(self) -> dict[str, str]:
        return self.passes.digests(Misfit(self.net))


def total(passes: Passes, what: Sum, largest: bool = False) -> Array:
    """The sum over all rows."""
    fold = Fold(what.numbers, largest)
    passes.add_up(what, fold)
    return fold.total


class SpreadProblem(Problem):
    """A problem whose samples are elsewhere."""

    def __init__(
        self, passes: Passes, units: Units, N: int, prior: float | Array, wrt: Wrt = None
    ) -> None:
        self.passes, self.units = passes, units
        nothing = np.empty((N, 0))  # of the length of X
        super().__init__(units.net, nothing, nothing, None, prior, wrt)

    def arrange(self) -> None:
        """Nothing: the workers do."""

    def total(self, kind: type[InUnits], *more: Any) -> Array:
        """A sum at the net's parameters."""
        return total(self.passes, kind(self.units, self.kept.layers, *more))

    def squares(self) -> float:
        return float(self.total(Squares)[0])


class SpreadPrimal(SpreadProblem, Primal):
    """With J^T W J from the workers."""

    def gather(self) -> None:
        found, lower = self.total(System), half(len(self.g))
        unpack(found, [self.A])
        self.g[:] = found[lower:]


class SpreadMatrixFree(SpreadProblem, MatrixFree):
    """With a pass through the workers for each product."""

    def gather(self) -> None:
        self.g[:], self.diagonal[:] = np.split(self.total(Gradient), 2)

    def multiply(self, v: Array, out: Array) -> None:
        out += self.total(Product, self.kept.spread(v))


@contextmanager
def spread(
    net: MLP, X: Any, Y: Any, sample_weight: Any, validation: Any, seed: Seed, workers: Workers
) -> Iterator[tuple[Samples, Samples | None]]:
    """The samples to fit, and those held out."""
    executor = checked(workers.executor)
    fitted = rows_of(net, X, Y, sample_weight)
    held = None
    if validation is not None:
        fitted, held = split(net, fitted, validation, seed)
    with ExitStack() as stack:

        def there(part: dict[str, Rows]) -> Spread:
            return Spread(net, stack.enter_context(spilled(executor, part)), workers)

        yield there(fitted), there(held) if held else None


def rows_of(net: MLP, X: Any, Y: Any, sample_weight: Any = None) -> dict[str, Rows]:
    """Samples as rows of double precision, of the net's widths."""
    given = {"X": rows(X, net.sizes[:1], FLOAT64), "Y": rows(Y, net.sizes[-1:], FLOAT64, "Y")}
    if sample_weight is not None:
        given["H"] = rows(sample_weight, (), FLOAT64, "sample_weight")
    N = len(given["X"])
    if not N:
        raise ValueError("X must hold one sample at least; got none")
    for each in given.values():
        if len(each) != N:
            wanted = _validate.spelled(N, *each.shape[1:])
            raise ValueError(f"{each.name} must have shape {wanted}; got {each.shape}")
    return given


def split(
    net: MLP, given: dict[str, Rows], validation: Any, seed: Seed
) -> tuple[dict[str, Rows], dict[str, Rows]]:
    """The samples to fit, and those held out: a share of arrays in memory, or others."""
    if isinstance(validation, (tuple, list)) and len(validation) == 2:
        return given, rows_of(net, *validation)
    held: Any = _validate.held_out(net, validation, len(given["X"]))
    lazy = [each.name for each in given.values() if not each.is_in_memory]
    if lazy:
        raise ValueError(
            f"validation must be (X, Y) where {lazy[0]} is not an array in memory; got {validation!r}"
        )
    fitted, out = (
        {key: Rows(each.source[part], FLOAT64, each.name) for key, each in given.items()}
        for part in drawn(len(given["X"]), held, seed)
    )
    return fitted, out
