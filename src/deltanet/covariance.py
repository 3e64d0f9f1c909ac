"""J Sigma J^T: the covariance of the outputs that a covariance Sigma of the parameters gives.

Sigma may be a scalar (times the identity), a vector (its diagonal), a list of Kronecker pairs (A, B) as
`kfac` returns, a low-rank factor U (P, r) with Sigma = U U^T, or a dense matrix (P, P).
"""

import numpy as np

from deltanet import _validate
from deltanet.params import views

ROWS = 2**24  # bytes of dense rows that are held at once


def per_sample(J, Sigma):
    """(N, m, m), one matrix a sample."""
    kind, Sigma = _validate.covariance(Sigma, J.sizes, J.dtype)
    result = np.zeros((*J.outputs.shape, J.outputs.shape[-1]), J.dtype)
    form = {"scalar": scalar, "diagonal": diagonal, "kronecker": kronecker}.get(kind)
    numbers = width(J, kind, Sigma) if form is None else 2 * sum(J.sizes) * (1 + J.sizes[-1])
    for part, rows in J.slabs(numbers, ROWS):
        if form is None:
            left, right = halves(rows, kind, Sigma)
            np.matmul(left, right.swapaxes(1, 2), out=result[part])
            continue
        for k, (h, d) in enumerate(zip(rows.inputs, rows.deltas, strict=True)):
            result[part] += form(rows, Sigma, k, h, d)
    return symmetrised(result)


def symmetrised(S):
    return (S + S.swapaxes(-1, -2)) / 2


def scalar(J, sigma, k, h, d):
    """sigma (|h|^2 + 1) delta delta^T"""
    factor = sigma * (np.einsum("si,si->s", h, h) + 1)
    return (d @ d.swapaxes(1, 2)) * factor[:, None, None]


def diagonal(J, sigma, k, h, d):
    """delta diag(sum_i sigma_ji h_i^2 + sigma_j) delta^T"""
    W, b = views(sigma, J.sizes)[k]
    weight = h**2 @ W.T + b
    return (d * weight[:, None, :]) @ d.swapaxes(1, 2)


def kronecker(J, pairs, k, h, d):
    """([h 1] A [h 1]^T) (delta B delta^T)"""
    A, B = pairs[k]
    h1 = np.concatenate([h, np.ones((len(h), 1), h.dtype)], axis=1)
    factor = np.einsum("si,si->s", h1 @ A, h1)
    return ((d @ B) @ d.swapaxes(1, 2)) * factor[:, None, None]


def width(J, kind, Sigma):
    """Numbers a sample needs while its rows are dense."""
    m, P = J.shape[-2:]
    return 2 * m * (Sigma.shape[1] if kind == "low rank" else P)


def halves(J, kind, Sigma):
    """(L, R) with J Sigma J^T = L R^T for the rows of some samples, each (N, m, columns)."""
    if kind == "low rank":
        U = J.matvec(Sigma)
        return U, U
    D = J.to_dense()
    return (D * Sigma if kind == "diagonal" else D @ Sigma), D


def full(J, Sigma):
    """(N, m, N, m), every sample against every other."""
    kind, Sigma = _validate.covariance(Sigma, J.sizes, J.dtype)
    N, m = J.outputs.shape
    _validate.room((N, m, N, m), J.dtype, "the full covariance", "use full=False")
    if kind == "scalar":
        return J.gram() * Sigma
    if kind == "kronecker":
        return symmetric_pairs(J, Sigma)
    result = np.zeros((N, m, N, m), J.dtype)
    for part, rows in J.slabs(width(J, kind, Sigma), ROWS):
        left, _ = halves(rows, kind, Sigma)
        for other, columns in J.slabs(width(J, kind, Sigma), ROWS):
            if other.start >= part.start:
                _, right = halves(columns, kind, Sigma)
                block = np.tensordot(left, right, (2, 2))
                result[part, :, other] = block
                result[other, :, part] = block.transpose(2, 3, 0, 1)
    flat = result.reshape(N * m, N * m)
    return symmetrised(flat).reshape(result.shape)


def symmetric_pairs(J, pairs):
    """sum_k (delta B delta'^T) ([h 1] A [h' 1]^T)"""
    N, m = J.outputs.shape
    result = np.zeros((N * m, N * m), J.dtype)
    for (A, B), h, d in zip(pairs, J.inputs, J.deltas, strict=True):
        h1 = np.concatenate([h, np.ones((len(h), 1), h.dtype)], axis=1)
        rows = d.reshape(N * m, d.shape[-1])
        inner = np.repeat(np.repeat(h1 @ A @ h1.T, m, axis=0), m, axis=1)
        result += (rows @ B @ rows.T) * inner
    return symmetrised(result).reshape(N, m, N, m)
