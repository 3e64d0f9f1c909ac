"""argmin |J p - r|^2 + lambda p^T M p for a kept Jacobian, on the systems of _fit/systems.py.

::

    (J^T J + lambda M) p = J^T r                              P <= N m, or without a matrix
    p = M^-1 J^T (J M^-1 J^T + lambda 1)^-1 r                 N m < P

M is the identity, or the diagonal of J^T J (Marquardt): then the columns of J are scaled first, as the square
of a short one, a weight of a saturated unit, is below the range of its numbers. Neither form has a part in
the null space of J. One damping takes a Cholesky factorisation, several share one eigendecomposition. Without
damping the solution of least norm is taken from J itself, whose singular values J^T J would square.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import blas, eigh, lstsq

from deltanet import _memory, _validate
from deltanet._core.cholesky import solve_damped
from deltanet._fit.systems import blas_for, choose, conjugate_gradients, driver, dual_matrix
from deltanet._jacobian import Jacobian
from deltanet._types import Array

SHARE = 4  # of the memory available, one part for the matrix of a direct method
EXPECTED_ITERATIONS = 1000  # of conjugate gradients, down to rounding: what "auto" counts with


def solve(
    J: Jacobian,
    r: ArrayLike,
    damping: ArrayLike,
    damping_matrix: str,
    solver: str = "auto",
) -> Array:
    """p, (P,); or (len(damping), P) for several dampings."""
    lambdas = _validate.dampings(damping)
    r = _validate.finite(_validate.like(r, J.shape[:-1], "r", J.dtype), "r")
    if damping_matrix not in ("identity", "marquardt"):
        raise ValueError(
            f"damping_matrix must be 'identity' or 'marquardt'; got {damping_matrix!r}"
        )
    if damping_matrix == "identity":
        p = solutions(J, r, lambdas, None, solver)
    else:
        exponents, scaled = columns_of_size_1(J)
        p = solutions(scaled, r.astype(np.float64), lambdas, metric(scaled), solver)
        p = in_range(p, -exponents, J.dtype)
    return p[0] if np.ndim(damping) == 0 else p


def columns_of_size_1(J: Jacobian) -> tuple[NDArray[np.intc], Jacobian]:
    """Exponents e (P,) and J diag(2^-e) in float64, whose columns have entries of size 1: exact.

    The exponent of a weight is that of its delta and that of its input together. Marquardt's solution for
    these columns is that for J times 2^e: it does not depend on their scale.
    """
    parts, factors = [], [list(J.inputs), list(J.deltas)]
    for k, weights, bias in J._kept.layers:
        sides = []
        for factor in factors:
            array = factor[k].astype(np.float64)
            largest = abs(array).reshape(-1, array.shape[-1]).max(axis=0, initial=0)
            sides.append(np.where(np.isfinite(largest), np.frexp(largest)[1], 0))
            factor[k] = np.ldexp(array, -sides[-1])
        h, delta = sides
        if weights:
            parts.append((delta[:, None] + h).reshape(-1))
        if bias:
            parts.append(delta)
    exponents = np.concatenate([np.zeros(0, np.intc), *parts])
    inputs, deltas = map(tuple, factors)
    scaled = replace(
        J._parts,
        outputs=None,
        inputs=inputs,
        deltas=deltas,
        first_weight=None,
        input_scale=None,
        dtype=np.dtype(np.float64),
    )
    return exponents, Jacobian._of(scaled)


def in_range(p: Array, exponents: NDArray[np.intc], kind: np.dtype[Any]) -> Array:
    """p 2^exponents in this dtype."""
    with np.errstate(over="ignore", under="ignore"):
        result = np.ldexp(p, exponents).astype(kind)
    if np.isfinite(p).all() and not np.isfinite(result).all():
        largest = (np.log2(abs(p), where=p != 0, out=np.zeros_like(p)) + exponents).max()
        raise ValueError(
            f"the solution must be in the range of {kind}; got 2^{largest:.0f} in it. Take a larger damping, "
            f"a smaller r, or damping_matrix='identity'"
        )
    return result


def solutions(J: Jacobian, r: Array, lambdas: list[float], M: Array | None, solver: str) -> Array:
    """p of each lambda, (len(lambdas), P)."""
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
    return p


def fits(J: Jacobian, rows: int, columns: int) -> bool:
    """Whether a direct method may hold a matrix of this shape."""
    return rows * columns * J.dtype.itemsize * SHARE <= _memory.available_memory()


def metric(J: Jacobian) -> Array:
    """The diagonal of Marquardt's M; 1 where a column of J is zero, or its square has not all its digits."""
    diagonal = J.ggn_diagonal()
    return np.where(diagonal >= np.finfo(J.dtype).tiny, diagonal, 1)


def invert(A: Array, b: Array, lambdas: list[float]) -> Array:
    """(A + lambda 1)^-1 b for each lambda > 0, A positive semi-definite.

    If the two together are below the rounding of A, that part of b is left out: it belongs to the null space.
    """
    x: Array | None
    trace = A.trace()
    if not np.isfinite(trace):
        raise ValueError(
            f"the products of J with itself must be in the range of {A.dtype}; their trace is {trace}"
        )
    floor = 10 * np.finfo(A.dtype).eps * trace
    if len(lambdas) == 1 and lambdas[0] > floor:
        x = solve_damped(A, b, lambdas[0], np.empty_like(A))
        if x is not None:
            return x[None]
    # lambda below the rounding of A after all, or several
    values, vectors = eigh(A, driver=driver(len(A)))
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
