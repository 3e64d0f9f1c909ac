"""The damped systems of least squares, which a step of `fit` and `Jacobian.solve` share.

::

    primal       (J^T J + D) p = g                              a matrix (P, P)
    dual         (J D^-1 J^T + 1) z = b,    p = D^-1 J^T z      a matrix (N m, N m)
    matrix-free  the primal one by products J^T (J v) alone, with conjugate gradients

The first two are "direct": a Cholesky factorisation. Which one is taken is decided here, by `choose`.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.linalg import blas

from deltanet import _memory, _parallel
from deltanet._types import Array

if TYPE_CHECKING:
    from deltanet._jacobian import Jacobian

Way = Literal["primal", "dual", "cg"]
SOLVERS = "auto", "direct", "cg"
PRODUCT = 3  # passes through the net that J^T (J v) takes from X on: h, J v, J^T u
LARGE_SIDE = 750  # of a matrix whose factorisation is worth BLAS's own threads: 10 ms of one
SLOWER = 4  # times the seconds of a multiplication in those passes, of one in a product of large matrices


def choose(
    solver: str,
    sizes: Sequence[int],
    N: int,
    iterations: int,
    matrices: int,
    itemsize: int,
    dense_rows: bool = False,
    *,
    P: int,
) -> Way:
    """ "primal", "dual" or "cg": the way whose arithmetic is less, if its matrices fit into memory.

    Parameters
    ----------
    solver : {"auto", "direct", "cg"}
        "direct" leaves the choice of the side, whatever the memory.
    iterations : int
        Of conjugate gradients, that are expected.
    matrices : int
        How many matrices of the smaller side must be held at once.
    dense_rows : bool
        Whether the dual matrix is made from dense rows (D is a vector), not from the factors.
    P : int
        Columns of J.
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver must be 'auto', 'direct' or 'cg'; got {solver!r}")
    if solver == "cg":
        return "cg"
    side: Way = "primal"
    rows = N * sizes[-1]
    direct = rows * P * P / 2 + P**3 / 6
    if rows < P:
        side = "dual"
        direct = rows * rows * (P if dense_rows else sum(sizes)) / 2 + rows**3 / 6
    if solver == "direct":
        return side
    if matrices * min(rows, P) ** 2 * itemsize > _memory.available_memory():
        return "cg"
    return side if direct <= SLOWER * PRODUCT * iterations * N * P else "cg"


def blas_for(side: int) -> AbstractContextManager[None]:
    """A context to factorise a matrix of this side in: BLAS at one thread, or as it is if that is large.

    BLAS's threads wait for each other in loops: if another process has one of their cores, that was seen to
    take 200 ms.
    """
    return nullcontext() if side >= LARGE_SIDE else _parallel.held_blas()


def driver(side: int) -> str:
    """Of `scipy.linalg.eigh`: divide and conquer, which SciPy 1.13 cannot call for one number."""
    return "evd" if side > 1 else "evr"


def dual_matrix(J: "Jacobian", inverse: float | Array) -> Array:
    """J D^-1 J^T (N m, N m), where D^-1 is a number or (P,)."""
    n = math.prod(J.shape[:-1])
    if np.ndim(inverse):
        return J.covariance(inverse, full=True).reshape(n, n)
    K = J.gram().reshape(n, n)
    if inverse != 1:
        K *= inverse
    return K


def conjugate_gradients(
    product: Callable[[Array, Array], None],
    b: Array,
    diagonal: Array,
    tolerance: float,
    most: int,
) -> Array | None:
    """p (P,) with ``|b - A p| <= tolerance |b|``, A positive definite; None where it is not, to rounding.

    ``product(v, out)`` writes A v. `diagonal` (P,), positive, is that of A or near to it: the norm is that of
    its inverse, and b, begun from p = 0, is left after `most` products at the latest. Whenever it ends,
    p^T (b - A p) = 0, and p is the better for each product.
    """
    p, r, z, Ad = np.zeros_like(b), b.copy(), b / diagonal, np.empty_like(b)
    d, ddot, daxpy = z.copy(), blas.ddot, blas.daxpy
    rho = ddot(r, z)
    enough = tolerance * tolerance * rho
    for i in range(most):
        if not rho > enough:
            break
        product(d, Ad)
        curvature = ddot(d, Ad)
        if not 0 < curvature < math.inf:
            if i == 0:
                return None
            break
        # p += alpha d,  r -= alpha A d,  d := r / diagonal + beta d
        daxpy(d, p, a=rho / curvature)
        daxpy(Ad, r, a=-rho / curvature)
        np.divide(r, diagonal, out=z)
        before, rho = rho, ddot(r, z)
        d *= rho / before
        d += z
    return p if math.isfinite(ddot(p, p)) else None
