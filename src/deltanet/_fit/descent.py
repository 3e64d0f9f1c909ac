"""Levenberg-Marquardt: damped Gauss-Newton steps downhill, by the rule of Nielsen.

::

    (J^T J + Lambda + mu 1) p = g,    theta <- theta - p where F falls               p: (P,)
    gain = (F(theta) - F(theta - p)) / (p^T (mu p + g) / 2)

A step that is taken multiplies mu by max(1/3, 1 - (2 gain - 1)^3); those refused in a row by 2, 4, 8, ...,
but by no more than STEEPEST, so that mu is not raised far beyond need. Nor does it fall below the rounding of
J^T J. A step that conjugate gradients have cut short keeps that prediction, as p^T (g - (A + mu 1) p) = 0.

This file knows the problem by its loss, its linearisation and its damped step alone (problem.py). A step on
a small problem takes microseconds: numbers are plain floats, and vectors are touched as rarely as can be.
"""

import math
import time
from typing import NamedTuple

import numpy as np
from scipy.linalg import blas

from deltanet import _validate

EPS = float(np.finfo(np.float64).eps)
STEEPEST = 2.0**8


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


class Descent:
    """theta on its way down: where it is, the damping, and the best that was seen."""

    def __init__(self, problem, held, limits):
        self.problem, self.held, self.limits = problem, held, limits
        self.began = time.perf_counter()
        self.net, self.params = problem.net, problem.theta
        self.theta = self.params.copy()
        self.start = self.loss = _validate.start(problem.loss(), "the loss")
        self.validation = math.nan
        if held:
            self.validation = _validate.start(held.loss(), "the validation loss")
        problem.linearise()
        self.unit = unit(problem)
        self.mu, self.nu = max(EPS, limits.damping) * self.unit, 2.0
        self.least = self.mu
        self.lowest = self.validation if held else self.loss
        self.best, self.best_loss, self.since = self.theta, self.loss, 0
        self.history = []

    def run(self, report, callback):
        """Steps until there is a reason to stop, which is returned."""
        limits, problem = self.limits, self.problem
        gradient = blas.dnrm2(problem.g)
        while len(self.history) < limits.max_iter:
            if time.perf_counter() - self.began > limits.max_seconds:
                return "seconds"
            # |g| <= tol |J| |r|
            size = math.sqrt(2 * self.loss * problem.trace)
            if gradient <= limits.tol * size < math.inf:
                return "gradient"
            row, reason = self.step(gradient)
            self.history.append(row)
            if report:
                report(len(self.history))
            if callback and callback(row, self.net):
                reason = reason or "callback"
            if reason:
                return reason
            if row.accepted and len(self.history) < limits.max_iter:
                problem.linearise()
                self.unit = unit(problem)
                gradient = blas.dnrm2(problem.g)
        return "max_iter"

    def step(self, gradient):
        """One trial step: its row of the history, and the reason to stop after it or None."""
        mu, tol, before, problem = self.mu, self.limits.tol, self.loss, self.problem
        p = problem.solve(mu)
        trial = predicted = length = math.inf
        if p is not None:
            np.subtract(self.theta, p, out=self.params)
            trial = problem.loss()
            # F(theta) - F(theta - p) of the linear model = p^T (mu p + g) / 2
            length = blas.ddot(p, p)
            predicted = 0.5 * (mu * length + blas.ddot(p, problem.g))
        accepted = trial < before and predicted > 0
        if accepted:
            self.accept(trial, min(1.0, (before - trial) / predicted))
        else:
            self.params[:] = self.theta
            self.mu, self.nu = mu * self.nu, min(STEEPEST, self.nu * 2)
        seconds = time.perf_counter() - self.began
        iterations = self.problem.iterations
        row = Step(self.loss, mu, gradient, accepted, self.validation, seconds, iterations)
        return row, self.reason(mu, before, trial, predicted, length, tol)

    def reason(self, mu, before, trial, predicted, length, tol):
        """Why to stop after a trial step, or None."""
        if self.held and self.since >= self.limits.patience:
            return "validation"
        self.least = min(self.least, mu)
        # Until the damping was once moderate, a small step says nothing.
        if self.least <= self.unit:
            if abs(before - trial) <= tol * before and predicted <= tol * before:
                return "loss"
            if length <= tol * tol * blas.ddot(self.theta, self.theta):
                return "step"
        return None if math.isfinite(self.mu) else "stalled"

    def accept(self, trial, gain):
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


def unit(problem):
    """The mean squared singular value of J, the prior's rows with it."""
    return max(problem.trace / problem.rank, EPS)
