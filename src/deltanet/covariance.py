"""J Sigma J^T: the covariance of the outputs that a covariance Sigma of the parameters gives.

Sigma may be a scalar (times the identity), a vector (its diagonal), a list of Kronecker pairs (A, B) as
`kfac` returns, a low-rank factor U (P, r) with Sigma = U U^T, or a dense matrix (P, P).
"""

import numpy as np

from deltanet import _validate
from deltanet.curvature import ROWS
from deltanet.params import views


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
    dB = (d.reshape(-1, len(B)) @ B).reshape(d.shape)
    return (dB @ d.swapaxes(1, 2)) * factor[:, None, None]


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
    return D @ Sigma, D


def full(J, Sigma):
    """(N, m, N, m), every sample against every other."""
    kind, Sigma = _validate.covariance(Sigma, J.sizes, J.dtype)
    N, m = J.outputs.shape
    _validate.room((N, m, N, m), J.dtype, "the full covariance", "use full=False")
    if kind == "scalar":
        return J.gram() * Sigma
    if kind == "kronecker":
        return symmetric_pairs(J, Sigma)
    form = {"diagonal": by_units, "low rank": by_columns, "dense": by_samples}[kind]
    result = np.zeros((N * m, N * m), J.dtype)
    for part, left, right in form(J, Sigma):
        result[part] += left @ right.T
    return symmetrised(result).reshape(N, m, N, m)


def by_units(J, sigma):
    """(rows, L, R) with sum L R^T = J diag(sigma) J^T: the columns of J of a few units at a time."""
    rows = J.outputs.size
    for (W, b), h, d in zip(views(sigma, J.sizes), J.inputs, J.deltas, strict=True):
        delta = d.reshape(rows, len(b))
        yield slice(None), delta * b, delta
        step = max(1, ROWS // max(1, rows * h.shape[1] * J.dtype.itemsize))
        for start in range(0, len(b), step):
            units = slice(start, start + step)
            block = d[:, :, units, None] * h[:, None, None, :]
            block = block.reshape(rows, W[units].size)
            yield slice(None), block * W[units].reshape(-1), block


def by_columns(J, U):
    """The same of U U^T, some columns of U at a time."""
    rows = J.outputs.size
    step = max(1, ROWS // max(1, rows * J.dtype.itemsize))
    for start in range(0, U.shape[1], step):
        columns = U[:, start : start + step]
        JU = J.matvec(columns).reshape(rows, columns.shape[1])
        yield slice(None), JU, JU


def by_samples(J, Sigma):
    """The same of a dense matrix, which is larger than J unless the result is: some rows of it at a time."""
    m, P = J.shape[1:]
    D = J.to_dense().reshape(J.outputs.size, P)
    for part, _ in J.slabs(2 * m * P, ROWS):
        rows = slice(part.start * m, part.stop * m)
        yield rows, D[rows] @ Sigma, D


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
