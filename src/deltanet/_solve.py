"""argmin |J p - r|^2 + lambda p^T M p for a kept Jacobian, on the systems of _fit/systems.py.

::

    (J^T J + lambda M) p = J^T r                              P <= N m, or without a matrix
    p = M^-1 J^T (J M^-1 J^T + lambda 1)^-1 r                 N m < P

M is the identity, or the diagonal of J^T J (Marquardt). Neither form has a part in the null space of J. One
damping takes a Cholesky factorisation, several share one eigendecomposition. Without damping the solution of
least norm is taken from J itself, whose singular values J^T J would square.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import blas, eigh, lstsq

from deltanet import _memory, _validate
from deltanet._core.cholesky import solve_damped
from deltanet._fit.systems import blas_for, choose, conjugate_gradients, dual_matrix
from deltanet._types import Array

if TYPE_CHECKING:
    from deltanet._jacobian import Jacobian

SHARE = 4  # of the memory available, one part for the matrix of a direct method
EXPECTED_ITERATIONS = 1000  # of conjugate gradients, down to rounding: what "auto" counts with


def solve(
    J: Jacobian,
    r: ArrayLike,
    damping: float | Sequence[float],
    damping_matrix: str,
    solver: str = "auto",
) -> Array:
    """p, (P,); or (len(damping), P) for several dampings."""
    lambdas = _validate.dampings(damping)
    r = _validate.finite(_validate.like(r, J.shape[:-1], "r", J.dtype), "r")
    M = metric(J, damping_matrix)
    (*_, m, P), (*widths, _) = J.shape, J._sizes
    sizes, N = (*widths, m), r.size // m
    itemsize, dense = J.dtype.itemsize, M is not None
    way = choose(solver, sizes, N, EXPECTED_ITERATIONS, SHARE, itemsize, dense, P=P)
    p = np.zeros((len(lambdas), P), J.dtype)
    zero = [i for i, each in enumerate(lambdas) if each == 0]
    rest = [i for i, each in enumerate(lambdas) if each > 0]
    if r.size == 0 or P == 0:
        zero = rest = []
    if zero:
        dense = solver == "direct" or (solver == "auto" and fits(J, r.size, P))
        p[zero] = least_norm(J, r, M) if dense else lsmr(J, r, 0, M)
    if rest and way != "cg":
        with blas_for(min(r.size, P)):
            p[rest] = (primal if way == "primal" else dual)(J, r, [lambdas[i] for i in rest], M)
    elif rest:
        for i in rest:
            p[i] = matrix_free(J, r, lambdas[i], M)
    return p[0] if np.ndim(damping) == 0 else p


def fits(J: Jacobian, rows: int, columns: int) -> bool:
    """Whether a direct method may hold a matrix of this shape."""
    return rows * columns * J.dtype.itemsize * SHARE <= _memory.available_memory()


def metric(J: Jacobian, damping_matrix: str) -> Array | None:
    """The diagonal of M, or None for the identity; 1 where a column of J is zero."""
    if damping_matrix not in ("identity", "marquardt"):
        raise ValueError(
            f"damping_matrix must be 'identity' or 'marquardt'; got {damping_matrix!r}"
        )
    if damping_matrix == "identity":
        return None
    diagonal = J.ggn_diagonal()
    return np.where(diagonal > 0, diagonal, 1).astype(J.dtype)


def invert(A: Array, b: Array, lambdas: list[float]) -> Array:
    """(A + lambda 1)^-1 b for each lambda > 0, A positive semi-definite.

    If the two together are below the rounding of A, that part of b is left out: it belongs to the null space.
    """
    floor = 10 * np.finfo(A.dtype).eps * A.trace()
    if len(lambdas) == 1 and lambdas[0] > floor:
        x = solve_damped(A, b, lambdas[0], np.empty_like(A))
        if x is not None:
            return x[None]
    # lambda below the rounding of A after all, or several
    values, vectors = eigh(A, driver="evd")
    gemm = blas.dgemm if A.dtype == np.float64 else blas.sgemm
    shifted = np.maximum(values, 0) + np.asarray(lambdas, A.dtype)[:, None]
    inverse = np.divide(1, shifted, out=np.zeros_like(shifted), where=shifted > floor)
    p: Array = gemm(1.0, gemm(1.0, b[None], vectors) * inverse, vectors, trans_b=True)
    return p


def primal(J: Jacobian, r: Array, lambdas: list[float], M: Array | None) -> Array:
    A, b = J.ggn(), J.rmatvec(r)
    if M is None:
        return invert(A, b, lambdas)
    scale = 1 / np.sqrt(M)
    A *= scale
    A *= scale[:, None]
    return invert(A, b * scale, lambdas) * scale


def dual(J: Jacobian, r: Array, lambdas: list[float], M: Array | None) -> Array:
    K = dual_matrix(J, 1 if M is None else 1 / M)
    p = np.stack([J.rmatvec(z.reshape(r.shape)) for z in invert(K, r.reshape(-1), lambdas)])
    return p if M is None else p / M


def least_norm(J: Jacobian, r: Array, M: Array | None) -> Array:
    """Without damping, by the singular values of J, dense."""
    A = J.to_dense().reshape(r.size, J.shape[-1])
    scale = 1 if M is None else 1 / np.sqrt(M)
    A *= scale
    p: Array = lstsq(A, r.reshape(-1), cond=max(A.shape) * np.finfo(A.dtype).eps)[0]
    return p * scale


def matrix_free(J: Jacobian, r: Array, damping: float, M: Array | None) -> Array:
    """By conjugate gradients; by LSMR where damping is so small that J^T J would lose too many digits."""
    diagonal, eps = J.ggn_diagonal().astype(float), float(np.finfo(J.dtype).eps)
    D = np.full(J.shape[-1], damping) if M is None else damping * M.astype(float)
    if damping * eps**-0.5 < (diagonal / D).sum() * damping:
        return lsmr(J, r, damping, M)

    def product(v: Array, out: Array) -> None:
        # (J^T J + D) v, in float64 but for the two products
        np.multiply(D, v, out=out)
        out += J.rmatvec(J.matvec(v))

    b = J.rmatvec(r).astype(float)
    p = conjugate_gradients(product, b, diagonal + D, eps, 100 + 10 * min(r.size, len(D)))
    return lsmr(J, r, damping, M) if p is None else p


def lsmr(J: Jacobian, r: Array, damping: float, M: Array | None) -> Array:
    """By LSMR, without a matrix and without squaring the singular values."""
    from scipy.sparse import diags_array, linalg  # takes longer to import than all the rest

    # In float64 on both sides: SciPy's scalars overflow in float32.
    columns = np.ones(J.shape[-1]) if M is None else 1 / np.sqrt(M.astype(float))
    A = J.as_linear_operator() @ linalg.aslinearoperator(diags_array(columns))
    tolerance = float(np.finfo(J.dtype).eps)
    p: Array = linalg.lsmr(
        A,
        r.reshape(-1).astype(float),
        damp=np.sqrt(damping),
        atol=tolerance,
        btol=tolerance,
        conlim=1 / tolerance,
        maxiter=10 * min(A.shape),
    )[0]
    return p * columns
