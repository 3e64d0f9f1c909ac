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
    r = _validate.like(r, J.outputs.shape, "r", J.dtype)
    lambdas = _validate.dampings(damping)
    D = scale(J, damping_matrix)
    N, P = J.outputs.size, J.shape[-1]
    rank = N if 0 in lambdas else min(N, P)
    if rank * min(N, P) * J.dtype.itemsize * SHARE > machine.available_memory():
        p = np.stack([iterate(J, r, each, D) for each in lambdas])
    elif 0 in lambdas:
        p = np.stack([least_norm(J, r, each, D) for each in lambdas])
    else:
        p = (primal if P <= N else dual)(J, r, lambdas, D)
    return p[0] if np.ndim(damping) == 0 else p


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
    """(A + lambda 1)^-1 b for each lambda > 0, A positive semi-definite."""
    if len(lambdas) == 1:
        A[np.diag_indices_from(A)] += lambdas[0]
        try:
            return cho_solve(cho_factor(A, lower=True), b)[None]
        except LinAlgError:  # lambda below the rounding of A
            A[np.diag_indices_from(A)] -= lambdas[0]
    values, vectors = eigh(A, driver="evd")
    shifted = np.maximum(values, 0) + np.asarray(lambdas, A.dtype)[:, None]
    return (vectors.T @ b / shifted) @ vectors.T


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


def least_norm(J, r, damping, D):
    """By the singular values of J over sqrt(lambda) 1, dense."""
    A = J.to_dense().reshape(r.size, -1)
    if D is not None:
        A *= D
    if damping:
        A = np.concatenate([A, np.sqrt(damping) * np.eye(A.shape[1], dtype=A.dtype)])
    b = np.concatenate([r.reshape(-1), np.zeros(len(A) - r.size, A.dtype)])
    p = lstsq(A, b)[0] if r.size else np.zeros(A.shape[1], A.dtype)
    return p if D is None else p * D


def iterate(J, r, damping, D):
    """By LSMR, without a matrix."""
    A = J.as_linear_operator()
    if D is not None:
        A = A @ aslinearoperator(diags_array(D))
    tolerance = np.finfo(J.dtype).eps
    p = lsmr(
        A,
        r.reshape(-1),
        damp=np.sqrt(damping),
        atol=tolerance,
        btol=tolerance,
        maxiter=10 * min(A.shape),
    )[0]
    return p if D is None else p * D
