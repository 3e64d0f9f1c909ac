"""J v, J^T u, and J as a SciPy LinearOperator: from the factors, N m P numbers are never formed."""

import numpy as np
from scipy.linalg import blas
from scipy.sparse.linalg import LinearOperator

from deltanet import _validate
from deltanet.params import offsets, split, views
from deltanet.threads import for_products

SLAB = 2**23  # bytes of the intermediate rows s = sum_o u_o delta_o that are held at once
FEWER = "pass fewer columns at a time"


def matvec(J, v, threads):
    """J v: (P,) -> (N, m), (P, r) -> (N, m, r)."""
    v = _validate.columns(v, J.shape[-1:], "v", J.dtype)
    lead = J.outputs.shape[:-1]
    vectors = v if v.ndim == 2 else v[None]
    shape = (len(vectors), *J.outputs.shape)
    _validate.room(shape, J.dtype, "J v", FEWER)
    results = np.empty(shape, J.dtype)
    for one, Jv in zip(vectors, results, strict=True):
        J.engine.run(lead, v=one, Jv=Jv, h=J.inputs, delta=J.deltas, count=threads)
    return np.moveaxis(results, 0, -1) if v.ndim == 2 else results[0]


def rmatvec(J, u, threads):
    """J^T u: (N, m) -> (P,), (N, m, r) -> (P, r)."""
    u = _validate.columns(u, J.outputs.shape, "u", J.dtype)
    vectors = u if u.ndim > J.outputs.ndim else u[None]
    shape = (len(vectors), J.shape[-1])
    _validate.room(shape, J.dtype, "J^T u", FEWER)
    results = np.zeros(shape, J.dtype)
    with for_products(len(J.batch().outputs) * J.shape[-1]):
        for one, JTu in zip(vectors, results, strict=True):
            for part, rows in J.batch().slabs(sum(J.sizes[1:]), SLAB):
                accumulate(rows, np.atleast_2d(one)[part], JTu, threads)
    return results.T if u.ndim > J.outputs.ndim else results[0]


def accumulate(J, u, JTu, threads):
    """JTu += J^T u of some samples: dW += s^T h, db += sum_s s, with s_s = sum_o u_so delta_so."""
    N = len(J.outputs)
    s = split(np.empty(N * sum(J.sizes[1:]), J.dtype), [(N, n) for n in J.sizes[1:]])
    J.engine.run((N,), u=u, s=s, h=J.inputs, delta=J.deltas, count=threads)
    gemm = blas.dgemm if J.dtype == np.float64 else blas.sgemm
    ones = np.ones(N, J.dtype)
    for (dW, db), sk, h in zip(views(JTu, J.sizes), s, J.inputs, strict=True):
        # in place and in Fortran's order: dW^T += h^T s    (n_in, n_out)
        gemm(1, h.T, sk.T, beta=1, c=dW.T, trans_b=True, overwrite_c=True)
        db += ones @ sk


class Operator(LinearOperator):
    """J as an operator of shape (N m, P) for `scipy.sparse.linalg` and `scipy.optimize`."""

    def __init__(self, J):
        self.J = J
        super().__init__(J.dtype, (J.outputs.size, offsets(J.sizes)[-1]))

    def _matvec(self, v):
        return self.J.matvec(v.reshape(-1)).reshape(-1)

    def _rmatvec(self, u):
        return self.J.rmatvec(u.reshape(self.J.outputs.shape))

    def _matmat(self, V):
        return self.J.matvec(V).reshape(self.shape[0], V.shape[1])

    def _rmatmat(self, U):
        return self.J.rmatvec(U.reshape(*self.J.outputs.shape, U.shape[1]))
