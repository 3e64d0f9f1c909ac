"""argmin |J p - r|^2 + lambda |p|^2_D, on the smaller side.

::

    (J^T J + lambda D) p = J^T r                              P <= N m
    p = D^-1 J^T (J D^-1 J^T + lambda 1)^-1 r                 N m < P

D is the identity, or the diagonal of J^T J (Marquardt). Neither form has a part in the null space of J. One
damping takes a Cholesky factorisation, several share one eigendecomposition. Without damping the solution of
least norm is taken from J itself, whose singular values J^T J would square.
"""

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh, lstsq
from scipy.sparse import diags_array
from scipy.sparse.linalg import aslinearoperator, lsmr

from deltanet import _validate, machine

SHARE = 4  # of the memory available, one part for the matrix of a direct method


def solve(J, r, damping, damping_matrix):
    """p, (P,); or (len(damping), P) for several dampings."""
    lambdas = _validate.dampings(damping)
    _validate.finite(r, "r")
    D = scale(J, damping_matrix)
    N, P = J.outputs.size, J.shape[-1]
    p = np.empty((len(lambdas), P), J.dtype)
    zero = [i for i, each in enumerate(lambdas) if each == 0]
    rest = [i for i, each in enumerate(lambdas) if each > 0]
    if zero:
        p[zero] = least_norm(J, r, D) if fits(J, N, P) else iterate(J, r, 0, D)
    if fits(J, min(N, P), min(N, P)):
        if rest:
            p[rest] = (primal if P <= N else dual)(J, r, [lambdas[i] for i in rest], D)
    else:
        for i in rest:
            p[i] = iterate(J, r, lambdas[i], D)
    return p[0] if np.ndim(damping) == 0 else p


def fits(J, rows, columns):
    """Whether a direct method may hold a matrix of this shape."""
    return rows * columns * J.dtype.itemsize * SHARE <= machine.available_memory()


def scale(J, damping_matrix):
    """D^(-1/2) as a vector, or None for the identity; 1 where a column of J is zero."""
    if damping_matrix not in ("identity", "marquardt"):
        raise ValueError(
            f"damping_matrix must be 'identity' or 'marquardt'; got {damping_matrix!r}"
        )
    if damping_matrix == "identity":
        return None
    diagonal = J.ggn_diagonal()
    return 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1))


def invert(A, b, lambdas):
    """(A + lambda 1)^-1 b for each lambda > 0, A positive semi-definite.

    Where the two together are below the rounding of A, the part of b is left out: it is of the null space.
    """
    if b.size == 0:  # SciPy before 1.14 does not solve for nothing
        return np.zeros((len(lambdas), 0), A.dtype)
    floor = 10 * np.finfo(A.dtype).eps * A.trace()
    if len(lambdas) == 1 and lambdas[0] > floor:
        diagonal = A.diagonal().copy()
        A[np.diag_indices_from(A)] += lambdas[0]
        try:
            return cho_solve(cho_factor(A, lower=True), b)[None]
        except LinAlgError:  # lambda below the rounding of A after all
            A[np.diag_indices_from(A)] = diagonal
    values, vectors = eigh(A, driver="evd")
    shifted = np.maximum(values, 0) + np.asarray(lambdas, A.dtype)[:, None]
    inverse = np.divide(1, shifted, out=np.zeros_like(shifted), where=shifted > floor)
    return (vectors.T @ b * inverse) @ vectors.T


def primal(J, r, lambdas, D):
    A, b = J.ggn(), J.rmatvec(r)
    if D is not None:
        A *= D
        A *= D[:, None]
        b = b * D
    p = invert(A, b, lambdas)
    return p if D is None else p * D


def dual(J, r, lambdas, D):
    if D is None:
        K = J.gram()
    else:
        K = J.covariance(D**2, full=True)
    n = r.size
    z = invert(K.reshape(n, n), r.reshape(-1), lambdas)
    p = np.stack([J.rmatvec(each.reshape(r.shape)) for each in z])
    return p if D is None else p * D**2


def least_norm(J, r, D):
    """Without damping, by the singular values of J, dense."""
    A = J.to_dense().reshape(r.size, J.shape[-1])
    if r.size == 0:
        return np.zeros(A.shape[1], A.dtype)
    if D is not None:
        A *= D
    p = lstsq(A, r.reshape(-1), cond=max(A.shape) * np.finfo(A.dtype).eps)[0]
    return p if D is None else p * D


def iterate(J, r, damping, D):
    """By LSMR, without a matrix."""
    # In float64 on both sides: SciPy's scalars overflow in float32.
    columns = np.ones(J.shape[-1]) if D is None else D.astype(float)
    A = J.as_linear_operator() @ aslinearoperator(diags_array(columns))
    tolerance = float(np.finfo(J.dtype).eps)
    p = lsmr(
        A,
        r.reshape(-1).astype(float),
        damp=np.sqrt(damping),
        atol=tolerance,
        btol=tolerance,
        conlim=1 / tolerance,
        maxiter=10 * min(A.shape),
    )[0]
    return p * columns
