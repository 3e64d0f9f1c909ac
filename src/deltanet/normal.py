"""The damped normal equations of weighted least squares, on the smaller side of J.

::

    F(theta) = |r|^2 / 2 + theta^T Lambda theta / 2,    r = W^(1/2) (f(X) - Y)       r: (N, m)
    g = J^T r + Lambda theta,    J = W^(1/2) dy/dtheta                               g: (P,)
    (J^T J + Lambda + mu 1) p = g                                                    P <= N m
    p = D^-1 J^T z + q,    (J D^-1 J^T + 1) z = r - J q                              N m < P

with D = Lambda + mu 1 and q = D^-1 Lambda theta. One J serves every mu that is tried at its theta, and the
large arrays are made once.
"""

import math

import numpy as np
from scipy.linalg import blas, lapack

from deltanet import _memory
from deltanet._limits import ROW_BYTES as ROWS

INSTEAD = "fit a smaller net, or use residuals(jac='operator') with lsmr"


class Problem:
    """F of a float64 net at its present parameters, and the step from there.

    `loss` first, then `linearise` where it was accepted, then `solve` for each mu.

    Attributes
    ----------
    g : (P,) ndarray
    trace : float
        Of J^T J + Lambda: the sum of squares of J with the rows of the prior.
    rank : int
        At most that of J.
    """

    def __init__(self, net, X, Y, weights, prior):
        self.net, self.X, self.Y, self.prior = net, X, Y, prior
        self.root = None if weights is None else np.sqrt(weights)[:, None]
        self.rank = min(Y.size, net.num_params)

    def loss(self, theta):
        """F(theta); theta becomes the net's, and r of the next `linearise`."""
        self.net.params[:] = theta
        self.trial = r = self.net(self.X)
        r -= self.Y
        if self.root is not None:
            r *= self.root
        decay = theta @ (self.prior * theta)
        return 0.5 * (float(np.vdot(r, r)) + float(decay))


class Primal(Problem):
    """With J^T J, (P, P): its upper half in Fortran order."""

    def __init__(self, net, X, Y, weights, prior):
        super().__init__(net, X, Y, weights, prior)
        P, m, N = net.num_params, Y.shape[1], len(X)
        _memory.room((2, P, P), net.dtype, "fit", INSTEAD)
        step = max(1, min(N, ROWS // (m * P * net.dtype.itemsize)))
        self.parts = [slice(start, min(start + step, N)) for start in range(0, N, step)]
        self.rows = np.empty((step, m, P))
        self.A, self.factor = np.empty((P, P), order="F"), np.empty((P, P), order="F")
        self.diagonals = [a.T.reshape(-1)[:: P + 1] for a in (self.A, self.factor)]

    def linearise(self):
        """A and g at the net's parameters, in one pass over blocks of dense rows."""
        self.r, A, g = self.trial, self.A, self.prior * self.net.params
        A.fill(0)
        for part in self.parts:
            rows = self.rows[: part.stop - part.start]
            self.net.jacobian_dense(self.X[part], out=rows)
            if self.root is not None:
                rows *= self.root[part, :, None]
            JT = rows.reshape(-1, len(g)).T
            # A += J^T J    (P, P);    g += J^T r    (P,)
            A = blas.dsyrk(1.0, JT, beta=1.0, c=A, overwrite_c=True)
            g = blas.dgemv(1.0, JT, self.r[part].reshape(-1), beta=1.0, y=g, overwrite_y=True)
        self.diagonals[0][...] += self.prior
        self.g, self.trace = g, float(self.diagonals[0].sum())

    def solve(self, mu):
        """p, or None where the matrix is singular to rounding."""
        np.copyto(self.factor, self.A)
        self.diagonals[1][...] += mu
        return cholesky(self.factor, self.g)


class Dual(Problem):
    """With J D^-1 J^T, (N m, N m): from the factors of J alone."""

    def __init__(self, net, X, Y, weights, prior):
        super().__init__(net, X, Y, weights, prior)
        _memory.room((3, Y.size, Y.size), net.dtype, "fit", INSTEAD)

    def linearise(self):
        """J, its Gram matrix and g at the net's parameters."""
        self.r, self.J = self.trial, self.net.jacobian(self.X)
        J = self.J
        if self.root is not None:
            for delta in J.deltas:
                delta *= self.root[..., None]
        self.K = J.gram().reshape(self.r.size, -1)
        self.theta = self.net.params.copy()
        self.g = J.rmatvec(self.r) + self.prior * self.theta
        self.trace = float(np.trace(self.K) + np.sum(self.prior * np.ones(len(self.g))))

    def solve(self, mu):
        """p, or None where the matrix is singular to rounding."""
        D = self.prior + mu
        # J D^-1 J^T + 1    (N m, N m)
        K = self.K / D if np.ndim(D) == 0 else self.J.covariance(1 / D, full=True)
        K = K.reshape(self.K.shape)
        K[np.diag_indices_from(K)] += 1
        q = self.prior / D * self.theta
        z = cholesky(K.T, (self.r - self.J.matvec(q)).reshape(-1))
        return None if z is None else self.J.rmatvec(z.reshape(self.r.shape)) / D + q


def cholesky(A, b):
    """A^-1 b from the upper half of A, which is overwritten; None where A is not positive definite."""
    factor, failed = lapack.dpotrf(A, lower=False, clean=False, overwrite_a=True)
    if failed or not math.isfinite(factor[-1, -1]):
        return None
    return lapack.dpotrs(factor, b, lower=False)[0].reshape(-1)


def problem(net, X, Y, weights, prior):
    """The sum of squares of a float64 net, on the smaller side of its Jacobian."""
    return (Primal if net.num_params <= Y.size else Dual)(net, X, Y, weights, prior)
