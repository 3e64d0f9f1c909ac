"""The samples of a fit: what it asks of them. Here they are arrays; in spread.py, rows of any kind."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np

from deltanet import _validate
from deltanet._fit import scale
from deltanet._fit.problem import Dual, MatrixFree, Primal, Problem, problem
from deltanet._fit.scale import Data, Units, double
from deltanet._mlp import MLP
from deltanet._plots import Points, points
from deltanet._tokens import digest
from deltanet._types import Array, Seed, Wrt


class Workers(NamedTuple):
    """An executor or None; how often a range is submitted again; what to do after a worker has died."""

    executor: Any
    retries: int
    advice: str


class Samples(Protocol):
    """What a fit asks of its samples."""

    def counted(self) -> int:
        """How many have a weight above 0."""
        ...

    def beats_a_constant(self, net: MLP) -> bool: ...

    def scaled(self, net: MLP) -> tuple[MLP, tuple[str, ...]]: ...

    def constant_loss(self, units: Units | None = None) -> float:
        """sum_s w_s |c - y_s|^2 / 2 of the best c, 0 where Y is constant: in units of Y, or of a fit."""
        ...

    def misfit(self, net: MLP) -> float:
        """sum_s w_s |f(x_s) - y_s|^2"""
        ...

    def points(self, net: MLP) -> Points: ...

    def problem(
        self, units: Units, prior: float | Array, solver: str, wrt: Wrt
    ) -> Primal | Dual | MatrixFree: ...

    def judge(self, units: Units) -> Problem:
        """Their loss alone, without a prior."""
        ...

    def digests(self) -> dict[str, str]:
        """A hash of X, of Y, and of sample_weight if it was given."""
        ...


class Whole:
    """Samples in arrays."""

    def __init__(self, data: Data) -> None:
        self.data = data

    def counted(self) -> int:
        w = self.data.sample_weight
        return len(self.data.X) if w is None else int(np.count_nonzero(w))

    def beats_a_constant(self, net: MLP) -> bool:
        return scale.beats_a_constant(net, self.data)

    def scaled(self, net: MLP) -> tuple[MLP, tuple[str, ...]]:
        return scale.scaled(net, self.data)

    def constant_loss(self, units: Units | None = None) -> float:
        # Whether Y is constant to rounding is seen in its own units.
        if units and not scale.varies(self.data).any():
            return 0.0
        return scale.constant_loss(units.inner(self.data) if units else self.data)

    def misfit(self, net: MLP) -> float:
        r = double(net)(self.data.X) - self.data.Y
        w = self.data.sample_weight
        return float(np.sum((1.0 if w is None else w[:, None]) * r * r))

    def points(self, net: MLP) -> Points:
        return points(net, *self.data)

    def problem(
        self, units: Units, prior: float | Array, solver: str, wrt: Wrt
    ) -> Primal | Dual | MatrixFree:
        return problem(units.net, *units.inner(self.data), prior, solver, wrt)

    def judge(self, units: Units) -> Problem:
        return Problem(units.net, *units.inner(self.data), 0.0)

    def digests(self) -> dict[str, str]:
        given = self.data._asdict().items()
        return {name: digest(array) for name, array in given if array is not None}


@contextmanager
def samples(
    net: MLP, X: Any, Y: Any, sample_weight: Any, validation: Any, seed: Seed, workers: Workers
) -> Iterator[tuple[Samples, Samples | None]]:
    """The samples to fit, and those held out."""
    if workers.executor is not None:
        from deltanet._fit.spread import spread  # which few need

        with spread(net, X, Y, sample_weight, validation, seed, workers) as parts:
            yield parts
        return
    data = Data(*_validate.pair_of_data(net, X, Y))
    data = data._replace(sample_weight=_validate.sample_weight(sample_weight, len(data.X)))
    fitted, held = split(net, data, validation, seed)
    yield Whole(fitted), held and Whole(held)


def split(net: MLP, data: Data, validation: Any, seed: Seed) -> tuple[Data, Data | None]:
    """The samples to fit, and those held out."""
    if validation is None:
        return data, None
    held = _validate.held_out(net, validation, len(data.X))
    if isinstance(held, tuple):
        return data, Data(*held)
    fitted, out = (data.some(part) for part in drawn(len(data.X), held, seed))
    return fitted, out


def drawn(N: int, held: int, seed: Seed) -> tuple[Any, Any]:
    """The numbers of the samples to fit, and of those held out."""
    order = np.random.default_rng(seed).permutation(N)
    return np.sort(order[held:]), np.sort(order[:held])
