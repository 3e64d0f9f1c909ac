"""J^T H J, its diagonal and its Kronecker factors.

H weighs the outputs of a sample. With H = R^T S R, S = diag(+-1), J^T H J is that of the Jacobian R J,
whose local gradients are R delta: so every function below knows the plain case alone.
"""

from itertools import pairwise

import numpy as np
from scipy.linalg import blas

from deltanet import _validate
from deltanet.params import views

ROWS = 2**24  # bytes of dense rows that are held at once


def weighted(J, H, layers):
    """[(sign, deltas)]: the local gradients of R J for the positive and the negative part of H.

    None stands for those of layers that are not wanted.
    """
    if H is None:
        return [(1, J.deltas)]
    if H.ndim == 1:
        sizes, vectors = H[:, None], None
    else:
        sizes, vectors = np.linalg.eigh(H)
    terms = []
    for sign in (1, -1):
        root = np.sqrt(np.maximum(sign * sizes, 0))
        if sign < 0 and not root.any():
            continue
        if vectors is None:
            R = root[:, :, None]
            terms.append((sign, [R * d if k in layers else None for k, d in enumerate(J.deltas)]))
        else:
            R = root[:, :, None] * vectors.swapaxes(1, 2)
            terms.append((sign, [R @ d if k in layers else None for k, d in enumerate(J.deltas)]))
    return terms


def select(J, wrt):
    """[(k, start, columns of W, columns of b)]: what `wrt` keeps, in the order of theta."""
    kept, start = [], 0
    for k, weights, biases in _validate.wrt(wrt, len(J.deltas)):
        n_in, n_out = J.sizes[k : k + 2]
        kept.append((k, start, n_in * n_out if weights else 0, n_out if biases else 0))
        start += sum(kept[-1][2:])
    return kept, start


def dense(J, kept, deltas, out):
    """The kept columns of R J, into `out` (N, m, columns)."""
    for k, start, weights, biases in kept:
        h, delta = J.inputs[k], deltas[k]
        if weights:
            block = out[..., start : start + weights].reshape(*delta.shape, h.shape[-1])
            np.multiply(delta[..., None], h[:, None, None, :], out=block)
        if biases:
            out[..., start + weights : start + weights + biases] = delta


def ggn(J, H, wrt, out=None):
    """The upper half of J^T H J (P, P) in Fortran order, added to `out` if that is given.

    syrk over dense rows in bounded memory.
    """
    kept, P = select(J, wrt)
    layers = [k for k, *_ in kept]
    if out is None:
        _validate.room((P, P), J.dtype, "ggn", "use ggn_diagonal(), kfac() or wrt=")
        out = np.zeros((P, P), J.dtype, order="F")
    if P == 0:
        return out
    m = J.outputs.shape[-1]
    syrk = blas.dsyrk if J.dtype == np.float64 else blas.ssyrk
    buffer = None
    for part, rows in J.slabs(m * P, ROWS):
        N = len(rows.outputs)
        buffer = np.empty((N, m, P), J.dtype) if buffer is None else buffer[:N]
        for sign, deltas in weighted(rows, H if H is None else H[part], layers):
            if P == J.shape[-1]:
                J.engine.run((N,), J=buffer, h=rows.inputs, delta=deltas)
            else:
                dense(rows, kept, deltas, buffer)
            out = syrk(sign, buffer.reshape(-1, P).T, beta=1.0, c=out, overwrite_c=True)
    return out


def columns(v, sizes, wrt):
    """The entries of a vector like theta that `wrt` keeps."""
    blocks, picked = views(v, sizes), []
    for k, weights, biases in _validate.wrt(wrt, len(blocks)):
        W, b = blocks[k]
        picked += [W.reshape(-1)] * weights + [b] * biases
    return np.concatenate(picked) if picked else v[:0]


def symmetric(upper):
    """The full matrix, C-contiguous, from the upper half of one in Fortran order."""
    lower = upper.T
    for start in range(0, len(lower), 256):
        stop = start + 256
        corner = lower[start:stop, start:stop]
        corner[...] = np.tril(corner) + np.tril(corner, -1).T
        lower[start:stop, stop:] = lower[stop:, start:stop].T
    return lower


def ggn_diagonal(J, H, wrt):
    """The diagonal of J^T H J (P,): sum_s (sum_o delta_soj^2) h_si^2, and 1 for h of a bias."""
    kept, P = select(J, wrt)
    layers = [k for k, *_ in kept]
    result = np.zeros(P, J.dtype)
    for part, rows in J.slabs(2 * sum(J.sizes) * (1 + J.outputs.shape[-1]), ROWS):
        for sign, deltas in weighted(rows, H if H is None else H[part], layers):
            for k, start, weights, biases in kept:
                d2 = sign * np.einsum("soj,soj->sj", deltas[k], deltas[k])
                if weights:
                    block = result[start : start + weights].reshape(d2.shape[1], -1)
                    block += d2.T @ rows.inputs[k] ** 2
                if biases:
                    result[start + weights : start + weights + biases] += d2.sum(axis=0)
    return result


def row_norms_squared(J, wrt):
    """|J_so|^2 = sum_k |delta^(k)_so|^2 (|h^(k-1)_s|^2 + 1)    (N, m)"""
    total = np.zeros(J.outputs.shape, J.dtype)
    for k, weights, biases in _validate.wrt(wrt, len(J.deltas)):
        h, d = J.inputs[k], J.deltas[k]
        factor = np.einsum("si,si->s", h, h) * weights + biases
        total += np.einsum("soj,soj->so", d, d) * factor[:, None]
    return total


def kfac(J, H):
    """[(A, B)]: A = (1/N) sum_s [h 1]^T [h 1], B = sum_s delta^T H delta of each layer."""
    pairs = [
        (np.zeros((n_in + 1, n_in + 1), J.dtype), np.zeros((n_out, n_out), J.dtype))
        for n_in, n_out in pairwise(J.sizes)
    ]
    for part, rows in J.slabs(2 * sum(J.sizes) * (1 + J.outputs.shape[-1]), ROWS):
        terms = weighted(rows, H if H is None else H[part], range(len(J.inputs)))
        for k, (h, (A, B)) in enumerate(zip(rows.inputs, pairs, strict=True)):
            h1 = np.concatenate([h, np.ones((len(h), 1), J.dtype)], axis=1)
            A += h1.T @ h1
            for sign, deltas in terms:
                d = deltas[k].reshape(-1, len(B))
                B += sign * (d.T @ d)
    for A, _ in pairs:
        A /= max(1, len(J.outputs))
    return pairs
