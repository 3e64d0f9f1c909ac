"""J as an operator of SciPy."""

import math

from scipy.sparse.linalg import LinearOperator


class Operator(LinearOperator):
    """J as an operator of shape (N m, P) for `scipy.sparse.linalg` and `scipy.optimize`."""

    def __init__(self, J):
        self.J = J
        super().__init__(J.dtype, (math.prod(J.shape[:-1]), J.shape[-1]))

    def _matvec(self, v):
        return self.J.matvec(v.reshape(-1)).reshape(-1)

    def _rmatvec(self, u):
        return self.J.rmatvec(u.reshape(self.J.shape[:-1]))

    def _matmat(self, V):
        return self.J.matvec(V).reshape(self.shape[0], V.shape[1])

    def _rmatmat(self, U):
        return self.J.rmatvec(U.reshape(*self.J.shape[:-1], U.shape[1]))
