"""A job: a sum over many rows, through an executor, a checkpoint or both."""

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from deltanet import _memory, _validate
from deltanet._config import __version__
from deltanet._core import tiles
from deltanet._jobs import checkpoint as checkpoints
from deltanet._jobs.fold import Fold
from deltanet._jobs.passes import Passes, checked
from deltanet._jobs.ranges import ranges
from deltanet._jobs.spill import spilled
from deltanet._jobs.sums import Diagonal, Ggn, Kfac, Vjp, half, unpack
from deltanet._jobs.work import Sum
from deltanet._kfac import KFAC
from deltanet._progress import reporting
from deltanet._rows import Rows, rows
from deltanet._types import Array, Progress, Shape, Wrt

if TYPE_CHECKING:
    from deltanet._mlp import MLP


class Job:
    """Where and how the sums of a net are computed: the verbs as its methods.

    Parameters
    ----------
    executor : object with `submit`, or None
    checkpoint : path or None
    retries, threads, progress
        As of the verbs.
    """

    def __init__(
        self,
        net: "MLP",
        executor: Any,
        checkpoint: str | os.PathLike[str] | None,
        retries: int,
        threads: int | None,
        progress: Progress,
    ) -> None:
        self.net, self.executor, self.checkpoint = net, checked(executor), checkpoint
        self.retries = _validate.whole(retries, "retries", 0)
        self.threads, self.progress = _validate.count(threads), progress

    # The verbs

    def vjp(self, X: Any, u: Any, wrt: Wrt, out: Array | None) -> Array:
        """J^T u: (P,), or (P, r) for several columns."""
        X, m = self.rows(X), self.net.sizes[-1]
        several = dimensions(u) == 3
        columns = lengths(u)[2] if several else 1
        given = {"X": X, "u": self.beside(u, (m, columns) if several else (m,), "u", len(X))}
        what = Vjp(self.net, self.layers(wrt), columns)
        P = what.kept.size
        found = self.result(out, (columns, P) if several else (P,), X, u)
        fill(found, self.sum("vjp", what, given))
        return found.T if several else found

    def ggn_diagonal(self, X: Any, H: Any, wrt: Wrt, out: Array | None) -> Array:
        """The diagonal of J^T H J: (P,)."""
        given = self.weighted(X, H)
        what = Diagonal(self.net, self.layers(wrt))
        found = self.result(out, (what.numbers,), given["X"], H)
        fill(found, self.sum("ggn_diagonal", what, given))
        return found

    def ggn(self, X: Any, H: Any, wrt: Wrt, out: Array | None) -> Array:
        """J^T H J: (P, P)."""
        given = self.weighted(X, H)
        what = Ggn(self.net, self.layers(wrt), residuals=False)
        A = self.result(out, (what.side, what.side), given["X"], H)
        self.unfold(self.sum("ggn", what, given), [A])
        return A

    def normal_equations(self, X: Any, R: Any, H: Any, wrt: Wrt) -> tuple[Array, Array]:
        """(J^T H J, J^T H R)."""
        given = self.weighted(X, H)
        given["R"] = self.beside(R, (self.net.sizes[-1],), "R", len(given["X"]))
        what = Ggn(self.net, self.layers(wrt), residuals=True)
        A = self.result(None, (what.side, what.side), given["X"])
        total = self.sum("normal_equations", what, given)
        self.unfold(total, [A])
        g = self.result(None, (what.side,))
        fill(g, total[half(what.side) :])
        return A, g

    def kfac(self, X: Any, H: Any, wrt: Wrt) -> KFAC:
        """The pairs (A, B) of each kept layer."""
        given = self.weighted(X, H)
        what = Kfac(self.net, self.layers(wrt))
        factors = what.factors(np.empty(sum(n * n for n in what.sides), self.net.dtype))
        total = self.sum("kfac", what, given)
        N = max(1, len(given["X"]))
        self.unfold(total, factors, [1 / N, 1] * len(what.layers))
        pairs = list(zip(factors[::2], factors[1::2], strict=True))
        biases = tuple(bias for *_, bias in what.layers)
        return KFAC.__new__(KFAC)._fill(pairs, biases, self.net.dtype)

    # Arguments and results

    def rows(self, X: Any) -> Rows:
        return rows(X, self.net.sizes[:1], self.net.dtype)

    def beside(self, value: Any, shape: Shape, name: str, N: int) -> Rows:
        """An array with one entry of this shape for each row of X."""
        found = rows(value, shape, self.net.dtype, name)
        if len(found) != N:
            raise ValueError(
                f"{name} must have shape {_validate.spelled(N, *shape)}; got {found.shape}"
            )
        return found

    def weighted(self, X: Any, H: Any) -> dict[str, Rows]:
        """X, and H (N,) or (N, m, m) if it is given."""
        X, m = self.rows(X), self.net.sizes[-1]
        if H is None:
            return {"X": X}
        return {"X": X, "H": self.beside(H, (m, m) if dimensions(H) == 3 else (), "H", len(X))}

    def layers(self, wrt: Wrt) -> list[tuple[int, bool, bool]]:
        return self.net._keep(wrt).layers

    def result(self, out: Array | None, shape: Shape, *read: Any) -> Array:
        """`out` where it was given and fits, else a new array."""
        if out is None:
            return _memory.empty(shape, self.net.dtype, "the result", "use wrt=")
        inputs = [each.source if isinstance(each, Rows) else each for each in read]
        return _validate.out(out, shape, self.net.dtype, *inputs, self.net.params)

    def unfold(
        self, total: Array, matrices: list[Array], scales: list[float] | None = None
    ) -> None:
        """Symmetric matrices from the lower halves of their sums."""
        with np.errstate(over="ignore", under="ignore"):
            unpack(total, matrices)
        tiles.mirror(matrices, scales, self.threads)

    # The sum

    def sum(self, verb: str, what: Sum, given: dict[str, Rows]) -> Array:
        """The sum over all rows, in double precision."""
        N = len(given["X"])
        cuts = ranges(N, what.numbers)
        with (
            self.fold(verb, what, given, len(cuts)) as fold,
            spilled(self.executor, given) as travelling,
            reporting(self.progress, N) as report,
        ):
            passes = Passes(
                self.executor, travelling, cuts, self.threads, self.retries, fold.advice
            )
            finished = set(fold.finished())
            if isinstance(fold, checkpoints.Checkpoint):
                passes.compare(what, sorted(finished), fold)  # also of a job that is done
            passes.add_up(what, fold, finished, report)
            if report:
                report(N)
            total: Array = fold.total
            return total

    def fold(self, verb: str, what: Sum, given: dict[str, Rows], count: int) -> Any:
        """Where the sum is kept."""
        if self.checkpoint is None:
            return nullcontext(Fold(what.numbers))
        asked = {
            "verb": verb,
            "deltanet": __version__,
            "net": self.net._token(),
            "dtype": str(self.net.dtype),
            "wrt": what.layers,
            "shapes": {name: each.shape for name, each in given.items()},
            "ranges": count,
        }
        return checkpoints.opened(self.checkpoint, asked, what.numbers)


def fill(result: Array, total: Array) -> None:
    """A total in the type of the result."""
    with np.errstate(over="ignore", under="ignore"):
        result[...] = total.reshape(result.shape)


def lengths(value: Any) -> Shape:
    """The shape of an array-like."""
    return tuple(value.shape) if hasattr(value, "shape") else np.shape(value)


def dimensions(value: Any) -> int:
    return len(lengths(value))
