"""J as an operator of SciPy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scipy.sparse.linalg import LinearOperator

from deltanet._types import Array

if TYPE_CHECKING:
    from deltanet._jacobian import Jacobian


class Operator(LinearOperator):  # type: ignore[misc]  # SciPy has no types
    """J as an operator of shape (N m, P) for `scipy.sparse.linalg` and `scipy.optimize`."""

    def __init__(self, J: Jacobian) -> None:
        self.J = J
        super().__init__(J.dtype, (math.prod(J.shape[:-1]), J.shape[-1]))

    def _matvec(self, v: Array) -> Array:
        return self.J.matvec(v.reshape(-1)).reshape(-1)

    def _rmatvec(self, u: Array) -> Array:
        return self.J.rmatvec(u.reshape(self.J.shape[:-1]))

    def _matmat(self, V: Array) -> Array:
        return self.J.matvec(V).reshape(self.shape[0], V.shape[1])

    def _rmatmat(self, U: Array) -> Array:
        return self.J.rmatvec(U.reshape(*self.J.shape[:-1], U.shape[1]))
