"""The sum of squares of a net, its linearisation and its damped step: by a matrix on either side, or without.

::

    F(theta) = sum_s w_s |r_s|^2 / 2 + theta^T Lambda theta / 2,    r = f(X) - Y     r: (N, m)
    g = J^T W r + Lambda theta,    J = dy/dtheta                                     g: (P,)
    (J^T W J + Lambda + mu M) p = g                                                  Primal, MatrixFree
    p = D^-1 J^T z + q,    (J D^-1 J^T + 1) z = r - J q                              Dual

with M the identity or a diagonal, D = Lambda + mu M and q = D^-1 Lambda theta; in the dual form W^(1/2) is
part of J and r. One linearisation serves every mu that is tried at its theta, and every array is made once: a
step on a small problem is a few calls of the core and of LAPACK, and nothing else.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import blas

from deltanet import _limits, _memory, _validate, _verbs
from deltanet._core.cholesky import solve_damped
from deltanet._core.engine import FIRST_HALF, SECOND_HALF, Activations
from deltanet._fit.systems import PRODUCT, Way, choose, conjugate_gradients, dual_matrix
from deltanet._mlp import MLP
from deltanet._types import Array, Wrt

INSTEAD = "use solver='cg', which makes no matrix"
EXPECTED_ITERATIONS = 40  # of conjugate gradients in a step: what "auto" counts with
LEAST_CAP, MOST_ITERATIONS = 20, 50  # where a step is cut short, by its arithmetic:
STEP_WORK = 1e11  # multiplications
LOOSEST, TIGHTEST = 0.1, 1e-3  # tolerance of conjugate gradients


class Problem:
    """F of a float64 net at its present parameters, and the step from there.

    `loss` first, then `linearise` if it was accepted, then `solve` for each mu: a number, or (P,) of them. P
    counts the parameters that `wrt` keeps; the others stay as they are.

    Attributes
    ----------
    theta : (P,) ndarray
        The parameters, to be written before `loss`: the net's own, or with `wrt` a copy of some.
    g : (P,) ndarray
    diagonal : (P,) ndarray
        Of J^T W J + Lambda, at the last linearisation.
    trace : float
        Of J^T W J + Lambda: the sum of squares of J with the rows of the prior.
    rank : int
        At most that of J.
    side : int
        Of the matrix that is factorised; 0 without one.
    memory : tuple of str
        The attributes that one linearisation has from the one before.
    """

    theta: Array
    g: Array
    trace: float
    wrt: Wrt
    iterations = 0  # of conjugate gradients, in the last step
    memory: tuple[str, ...] = ()
    activations: Activations | None = None  # what `loss` leaves to `linearise`

    def __init__(
        self,
        net: MLP,
        X: Array,
        Y: Array,
        weights: Array | None,
        prior: float | Array,
        wrt: Wrt = None,
    ) -> None:
        self.net, self.X, self.Y, self.weights, self.wrt = net, X, Y, weights, wrt
        self.theta, self.N = net.params, len(X)
        self.kept, self.frozen = net._kept, 0.0
        if wrt is not None:
            self.freeze(prior)
        P = self.kept.size
        self.prior = self.some(prior) if isinstance(prior, np.ndarray) else prior
        self.has_prior = bool(np.any(self.prior))
        self.rank = self.side = min(self.N * net.sizes[-1], P)
        self.g = np.empty(P)
        self.allocate()
        self.arrange()

    def allocate(self) -> None:
        """What its own way of a step needs beside that."""

    def arrange(self) -> None:
        """What the passes over all samples need: r, and the arguments of the core."""
        run: Callable[..., None] = self.net._engine.run
        self.run = run if self.wrt is None else partial(run, columns=self.kept.columns)
        self.r = np.empty(self.Y.shape)
        self.wanted: dict[str, Any] = {"X": self.X, "Y": self.Y, "y": self.r}
        if self.weights is not None:
            self.column, self.weighted = self.weights[:, None], np.empty_like(self.r)

    def freeze(self, prior: float | Array) -> None:
        """All but the columns that `wrt` keeps: F has their part of the prior as a constant."""
        net = self.net
        self.kept = net._keep(self.wrt)
        self.theta = self.some(net.params)
        rest = np.ones(net.num_params, bool)
        for _, full in self.kept.slices:
            rest[full] = False
        self.frozen = float(np.sum((prior * net.params**2)[rest]))

    def some(self, full: Array) -> Array:
        """The kept parameters of all, (..., P of the net): a copy, if not all are."""
        if self.wrt is None:
            return full
        return np.concatenate([full[part] for _, part in self.kept.slices])

    def put(self) -> None:
        """theta into the net."""
        if self.wrt is not None:
            for part, full in self.kept.slices:
                self.net.params[full] = self.theta[part]

    def penalty(self) -> float:
        """The prior's part of F, at theta."""
        twice = self.frozen
        if self.has_prior:
            twice += blas.ddot(self.theta, self.prior * self.theta)
        return 0.5 * twice

    def loss(self) -> float:
        """F at theta, and r of the next `linearise`."""
        if self.wrt is not None:
            self.put()
        return 0.5 * self.squares() + self.penalty()

    def squares(self) -> float:
        """sum_s w_s |r_s|^2, and r."""
        self.run(self.N, half=FIRST_HALF, activations=self.activations, **self.wanted)
        flat = other = self.r.reshape(-1)
        if self.weights is not None:
            other = np.multiply(self.r, self.column, out=self.weighted).reshape(-1)
        twice: float = blas.ddot(flat, other)
        return twice

    def add_prior(self) -> None:
        """J^T W r becomes g."""
        if self.has_prior:
            self.g += self.prior * self.theta


class Primal(Problem):
    """With J^T W J, (P, P): its lower half."""

    def allocate(self) -> None:
        P = self.kept.size
        _memory.room((2, P, P), self.net.dtype, "fit", INSTEAD)
        self.A, self.factor = np.empty((P, P)), np.empty((P, P))
        self.flat, self.step = self.A.reshape(-1), P + 1
        self.diagonal = self.flat[:: self.step]

    def arrange(self) -> None:
        super().arrange()
        self.at_once = self.net._engine.keeps_ggn(self.kept.columns)
        if self.at_once:
            self.wanted |= {"ggn": self.A, "u": self.r, "vjp": self.g, "H": self.weights}
            self.activations = Activations()
        self.source = self.net._source(self.X, self.wrt)

    def gather(self) -> None:
        """J^T W J and J^T W r at the net's parameters, in one pass."""
        if self.at_once:
            self.run(
                self.N, half=SECOND_HALF, activations=self.activations, add=False, **self.wanted
            )
        else:
            _verbs.fill_ggn(self.source, self.A, self.weights, self.r, self.g)

    def linearise(self) -> None:
        """A and g at the net's parameters."""
        self.gather()
        self.add_prior()
        if self.has_prior:
            self.diagonal += self.prior
        # No number on the diagonal is negative: a sum of absolute values.
        self.trace = blas.dasum(self.flat, n=len(self.g), incx=self.step)

    def solve(self, mu: float | Array) -> Array | None:
        """p, or None where the matrix is singular to rounding."""
        return solve_damped(self.A, self.g, mu, self.factor)


class Dual(Problem):
    """With J D^-1 J^T, (N m, N m): from the factors of J alone."""

    def allocate(self) -> None:
        size = self.N * self.net.sizes[-1]
        _memory.room((3, size, size), self.net.dtype, "fit", INSTEAD)
        self.root = None if self.weights is None else np.sqrt(self.weights)[:, None]
        self.K: Array | None = None

    def linearise(self) -> None:
        """J and g at the net's parameters."""
        self.J = J = self.net.jacobian(self.X, self.wrt)
        self.at_r, self.K = self.r.copy(), None
        if self.root is not None:
            self.at_r *= self.root
            for delta in J.deltas:
                if delta is not None:
                    delta *= self.root[..., None]
        self.at = self.theta.copy()
        self.g = J.rmatvec(self.at_r)
        self.add_prior()
        self.trace = float(J.row_norms_squared().sum())
        self.trace += float(np.sum(self.prior)) * (1 if np.ndim(self.prior) else len(self.g))

    @property
    def diagonal(self) -> Array:
        return self.J.ggn_diagonal() + self.prior

    def gram(self) -> Array:
        """J J^T: once for all D that are numbers."""
        if self.K is None:
            self.K = dual_matrix(self.J, 1)
        return self.K

    def solve(self, mu: float | Array) -> Array | None:
        """p, or None where the matrix is singular to rounding."""
        D = self.prior + mu
        # J D^-1 J^T + 1    (N m, N m)
        K = dual_matrix(self.J, 1 / D) if np.ndim(D) else self.gram() / D
        if not self.has_prior:
            z = solve_damped(K, self.at_r.reshape(-1), 1, K)
            return None if z is None else self.J.rmatvec(z.reshape(self.r.shape)) / D
        q = self.prior / D * self.at
        z = solve_damped(K, (self.at_r - self.J.matvec(q)).reshape(-1), 1, K)
        return None if z is None else self.J.rmatvec(z.reshape(self.r.shape)) / D + q


class MatrixFree(Problem):
    """By conjugate gradients on products J^T (W (J v)): nothing larger than X and theta is held.

    The tolerance follows the gradient, as in an inexact Newton method: loose far away, tight where the last
    steps converge fast.
    """

    memory = "tolerance", "forced", "norm"

    def allocate(self) -> None:
        self.side, self.diagonal = 0, np.empty_like(self.g)
        self.tolerance = self.forced = LOOSEST
        self.norm = 0.0
        product = PRODUCT * self.N * self.kept.size
        self.most = max(LEAST_CAP, min(MOST_ITERATIONS, int(STEP_WORK / product)))

    def arrange(self) -> None:
        super().arrange()
        self.wanted |= {"u": self.r, "vjp": self.g, "diagonal": self.diagonal, "H": self.weights}
        self.held_activations: Activations | None = None  # those where it was linearised
        numbers = self.N * (2 * sum(self.net.sizes[1:]) - self.net.sizes[-1])
        if 2 * numbers * self.net.dtype.itemsize <= _limits.ACTIVATION_BYTES:
            self.activations, self.held_activations = Activations(), Activations()

    def gather(self) -> None:
        """J^T W r and the diagonal of J^T W J at the net's parameters, in one pass."""
        self.run(self.N, half=SECOND_HALF, activations=self.activations, add=False, **self.wanted)
        self.activations, self.held_activations = self.held_activations, self.activations

    def multiply(self, v: Array, out: Array) -> None:
        """out += J^T W J v, where it was linearised."""
        self.run(
            self.N,
            X=self.X,
            H=self.weights,
            half=SECOND_HALF,
            activations=self.held_activations,
            v=self.kept.spread(v),
            vjp=out,
        )

    def linearise(self) -> None:
        """g and the diagonal of J^T W J + Lambda at the net's parameters."""
        self.gather()
        self.add_prior()
        if self.has_prior:
            self.diagonal += self.prior
        self.trace = blas.dasum(self.diagonal)
        norm = blas.dnrm2(self.g)
        if norm != self.norm:  # as it is where a fit goes on that was linearised here before
            self.tolerance = self.forced = forcing(norm, self.norm, self.forced)
            self.norm = norm

    def solve(self, mu: float | Array) -> Array | None:
        """p, or None where the matrix is singular to rounding."""
        D = self.prior + mu

        self.iterations = 0

        def product(v: Array, out: Array) -> None:
            # (J^T W J + D) v
            self.iterations += 1
            np.multiply(D, v, out=out)
            self.multiply(v, out)

        p = conjugate_gradients(product, self.g, self.diagonal + mu, self.tolerance, self.most)
        self.tolerance = (
            LOOSEST  # of the next one, if this one is refused: the model is not to be trusted far
        )
        return p


def forcing(norm: float, before: float, tolerance: float) -> float:
    """The next tolerance of the inner solver: Eisenstat and Walker's second choice, with its safeguard.

    S. C. Eisenstat, H. F. Walker, "Choosing the forcing terms in an inexact Newton method" (1996).
    """
    if not before:
        return LOOSEST
    eta, last = 0.9 * (norm / before) ** 2, 0.9 * tolerance**2
    if last > 0.1:
        eta = max(eta, last)
    return min(LOOSEST, max(TIGHTEST, eta)) if eta == eta else LOOSEST


WAYS: dict[Way, type[Primal] | type[Dual] | type[MatrixFree]] = {
    "primal": Primal,
    "dual": Dual,
    "cg": MatrixFree,
}


def problem(
    net: MLP,
    X: Array,
    Y: Array,
    weights: Array | None,
    prior: float | Array,
    solver: str = "auto",
    wrt: Wrt = None,
) -> Primal | Dual | MatrixFree:
    """The sum of squares of a float64 net, with the step that `solver` asks for."""
    way = way_of(net, len(X), prior, solver, wrt)
    return WAYS[way](net, X, Y, weights, prior, wrt)


def way_of(net: MLP, N: int, prior: float | Array, solver: str, wrt: Wrt) -> Way:
    """How a step of this net with N samples is computed."""
    P = net.num_params
    if wrt is not None:
        P = net._keep(wrt).size
        _validate.some_kept(wrt, P)
    itemsize, dense = net.dtype.itemsize, np.ndim(prior) > 0
    return choose(solver, net.sizes, N, EXPECTED_ITERATIONS, 3, itemsize, dense, P=P)
