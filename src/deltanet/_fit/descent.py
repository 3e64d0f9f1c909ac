"""Levenberg-Marquardt: damped Gauss-Newton steps downhill, by the rule of Nielsen.

::

    (J^T J + Lambda + mu D) p = g,    theta <- theta - p where F falls               p: (P,)
    gain = (F(theta) - F(theta - p)) / (p^T (mu D p + g) / 2)

A step that is taken multiplies mu by max(1/3, 1 - (2 gain - 1)^3); those refused in a row by 2, 4, 8, ...,
but by no more than STEEPEST, so that mu is not raised far beyond need. Nor does it fall below the rounding of
J^T J. A step that conjugate gradients have cut short keeps that prediction, as p^T (g - (A + mu D) p) = 0.
D is the identity to begin with.

With the identity a weight of a saturated unit stays where it is: its column of J is so short that mu holds
it. So no tolerance ends a descent while a step of one parameter alone promises more. Then D becomes diag(A),
A = J^T J + Lambda, in which every column has the length 1: that of Marquardt, with More's rule that it never
falls. Where it stops too, that is a minimum, or a plateau.

This file knows the problem by its loss, its linearisation and its damped step alone (problem.py). A step on
a small problem takes microseconds: numbers are plain floats, and vectors are touched as rarely as can be.

D. W. Marquardt, "An algorithm for least-squares estimation of nonlinear parameters" (1963); J. J. More, "The
Levenberg-Marquardt algorithm: implementation and theory" (1978).
"""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.linalg import blas

from deltanet import _validate
from deltanet._mlp import MLP
from deltanet._types import Array, Report

EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)
STEEPEST = 2.0**8
TOLERANCES = "gradient", "loss", "step"  # the reasons that `tol` gives
PROMISE = 100.0  # tol F: what one parameter may promise at a minimum
LEAST_COLUMN = (
    1e-12  # of the longest, squared: a shorter column of J is damped as one of this length
)


class Problem(Protocol):
    """What a descent knows of a problem: see problem.py."""

    theta: Array
    g: Array
    trace: float
    rank: int
    iterations: int

    @property
    def diagonal(self) -> Array: ...

    @property
    def side(self) -> int: ...

    @property
    def memory(self) -> tuple[str, ...]: ...

    def loss(self) -> float: ...

    def penalty(self) -> float: ...

    def put(self) -> None: ...

    def linearise(self) -> None: ...

    def solve(self, mu: float | Array) -> Array | None: ...


class Held(Protocol):
    """What it knows of the samples that are held out."""

    def loss(self) -> float: ...


class Step(NamedTuple):
    """One trial step: a row of `Fit.history`, and what a callback is given."""

    loss: float
    damping: float
    gradient: float
    accepted: bool
    validation: float
    seconds: float
    iterations: int


class Limits(NamedTuple):
    """When to stop, and the damping to begin with."""

    patience: int
    max_iter: int
    tol: float
    max_seconds: float
    damping: float


class Baseline(NamedTuple):
    """Losses: of the best constant, 0 where Y is constant; below which more than a constant is explained."""

    constant: float
    bar: float


class Descent:
    """theta on its way down: where it is, the damping, and the best that was seen.

    `begin` first, or `go_on` from what was kept of an earlier one (kept.py); then `run`.

    Parameters
    ----------
    problem : Problem
        What is fitted.
    held : Held or None
        What is held out.
    baseline : Baseline
        In the units of the problem, like all attributes.
    square : float
        Times a loss of the problem is one in units of Y: what the history and a callback are given.
    """

    def __init__(
        self,
        problem: Problem,
        held: Held | None,
        limits: Limits,
        baseline: Baseline,
        square: float = 1.0,
    ) -> None:
        self.problem, self.held, self.limits = problem, held, limits
        self.baseline, self.square = baseline, square
        self.began = time.perf_counter()
        self.params = problem.theta
        self.validation = math.nan
        self.shape: Any = 1.0  # D: a number, or by column (P,)
        self.by_column, self.fixed = False, 1.0
        self.history: list[Step] = []
        self.ended: str | None = None  # the reason, if an earlier run has ended

    def begin(self) -> None:
        """At the net's parameters."""
        self.theta = self.params.copy()
        self.first = self.loss = self.problem.loss()
        _validate.start(self.start, "the loss")
        if self.held:
            self.validation = self.held.loss()
            _validate.start(self.validation * self.square, "the validation loss")
        self.linearize()
        self.mu, self.nu = max(EPS, self.limits.damping) * self.unit, 2.0
        self.least = self.mu
        self.lowest = self.validation if self.held else self.loss
        self.best, self.best_loss, self.since = self.theta, self.loss, 0

    def go_on(self) -> None:
        """At theta, which was kept, with all else but the linearisation."""
        if self.goes_on(self.ended):
            self.params[:] = self.theta
            self.problem.loss()
            self.linearize()

    @property
    def start(self) -> float:
        """The loss of the given net, in units of Y."""
        return self.first * self.square

    def run(
        self,
        report: Report = None,
        callback: Callable[[Step, MLP], object] | None = None,
        shown: Callable[[], MLP] | None = None,
        keep: Callable[["Descent"], object] | None = None,
    ) -> str:
        """Steps until there is a reason to stop, which is returned.

        A callback is given `shown()`; `keep` is called after each step, when `go_on` could follow.
        """
        limits = self.limits
        # a loss that is 0 to the tolerance
        self.nothing = limits.tol**2 * (self.baseline.constant or self.first)
        if report and self.history:
            report(len(self.history))
        if self.ended:
            return self.ended
        while len(self.history) < limits.max_iter:
            if time.perf_counter() - self.began > limits.max_seconds:
                return "seconds"
            reason = "gradient" if self.is_flat() else None
            if not reason:
                row, reason = self.step()
                self.history.append(row)
                if report:
                    report(len(self.history))
                if callback and shown and callback(row, shown()):
                    return "callback"
                if row.accepted and (reason in TOLERANCES or self.goes_on(reason)):
                    self.linearize()
            if reason in TOLERANCES and not self.is_settled():
                reason = self.rescale()
            if reason:
                return reason
            if keep:
                keep(self)
        return "max_iter"

    def goes_on(self, reason: str | None) -> bool:
        """Whether there is another step to linearize for."""
        return reason is None and len(self.history) < self.limits.max_iter

    def linearize(self) -> None:
        """The problem at theta: its gradient and the unit of its damping."""
        problem = self.problem
        problem.linearise()
        self.gradient = blas.dnrm2(problem.g)
        # the mean squared singular value of J, the prior's rows with it
        self.unit = max(problem.trace / problem.rank, TINY)
        if self.by_column:
            np.maximum(self.shape, problem.diagonal / self.fixed, out=self.shape)

    def is_flat(self) -> bool:
        """Whether |g| <= tol |J| |r|."""
        size = math.sqrt(2 * self.loss * self.problem.trace)
        return bool(self.gradient <= self.limits.tol * size < math.inf)

    def is_settled(self) -> bool:
        """Whether this is a minimum: more than a constant is explained, and no parameter promises more.

        ``max_p g_p^2 / (2 A_pp)`` is the largest reduction that the linear model gives a step of one
        parameter: F times the squared cosine between r and a column of J, whatever the parameter's scale.
        """
        if not self.baseline.constant:
            return True
        if self.loss - self.problem.penalty() > self.baseline.bar:
            return False
        g, columns = self.problem.g, self.problem.diagonal
        some = columns > 0
        promise = 0.5 * np.max((g[some] / np.sqrt(columns[some])) ** 2, initial=0)
        return bool(promise <= max(PROMISE * self.limits.tol * self.loss, self.nothing))

    def rescale(self) -> str | None:
        """D becomes diag(A), with the damping of the beginning; "plateau" if it is that already."""
        if self.by_column:
            return "plateau"
        self.by_column, columns = True, self.problem.diagonal
        self.fixed = self.unit
        self.shape = np.maximum(columns, max(LEAST_COLUMN * columns.max(), TINY)) / self.fixed
        self.mu, self.nu = max(EPS, self.limits.damping) * self.unit, 2.0
        self.least = self.mu
        return None

    def step(self) -> tuple[Step, str | None]:
        """One trial step: its row of the history, and the reason to stop after it or None."""
        mu, before, problem = self.mu, self.loss, self.problem
        p = problem.solve(mu * self.shape)
        trial = predicted = length = math.inf
        if p is not None:
            np.subtract(self.theta, p, out=self.params)
            trial = problem.loss()
            # F(theta) - F(theta - p) of the linear model = p^T (mu D p + g) / 2
            length = blas.ddot(p, p)
            damped = blas.ddot(p, self.shape * p) if self.by_column else length
            predicted = 0.5 * (mu * damped + blas.ddot(p, problem.g))
        accepted = trial < before and predicted > 0
        if accepted:
            self.accept(trial, min(1.0, (before - trial) / predicted))
        else:
            self.params[:] = self.theta
            problem.put()
            self.mu, self.nu = mu * self.nu, min(STEEPEST, self.nu * 2)
        row = Step(
            self.loss * self.square,
            mu * self.square,
            self.gradient * self.square,
            accepted,
            self.validation * self.square,
            time.perf_counter() - self.began,
            problem.iterations,
        )
        return row, self.reason(mu, before, trial, predicted, length)

    def reason(
        self, mu: float, before: float, trial: float, predicted: float, length: float
    ) -> str | None:
        """Why to stop after a trial step, or None."""
        if self.held and self.since >= self.limits.patience:
            return "validation"
        tol = self.limits.tol
        self.least = min(self.least, mu)
        # Until the damping was once moderate, a small step says nothing.
        if self.least <= self.unit:
            # The loss of a constant Y is compared with that of the start: a net that has it is there.
            enough = tol * before if self.baseline.constant else max(tol * before, self.nothing)
            if predicted <= enough and abs(before - trial) <= enough:
                return "loss"
            # A step of theta that is small may be large for the loss: in units of Y far below those of theta.
            if length <= tol * tol * blas.ddot(self.theta, self.theta):
                if predicted <= max(enough, self.nothing):
                    return "step"
        return None if math.isfinite(self.mu) else "stalled"

    def accept(self, trial: float, gain: float) -> None:
        """Move to the net's parameters, and lower the damping by Nielsen's rule."""
        self.theta, self.loss = self.params.copy(), trial
        self.mu = max(EPS * self.unit, self.mu * max(1 / 3, 1 - (2 * gain - 1) ** 3))
        self.nu = 2.0
        score = trial
        if self.held:
            score = self.validation = self.held.loss()
        self.since += 1
        if score < self.lowest:
            self.lowest, self.best, self.best_loss, self.since = score, self.theta, trial, 0
