# Kronecker factors of the blocks of J^T H J:  A = sum_s [h 1]^T [h 1],  B = sum_s delta^T H delta
#
# A is not divided by N yet; of both only the lower half is made (tiles.mirror completes them). Without a bias A has no
# last row, of a bias alone it is (1, 1). Workspace: h and delta sample by sample, in rows of whole vectors.

from cython cimport floating
from libc.string cimport memset

from deltanet._core.product cimport lower_product
from deltanet._core.rows cimport Layout


cdef inline void kfac(floating* A, floating* B, const floating* rows, Py_ssize_t stride, const floating* left,
                      const floating* delta, Py_ssize_t delta_stride, const Layout* at) noexcept nogil:
    """One layer's two factors from h (N, n_in), H delta and delta (r N, n_out), in rows of whole vectors."""
    cdef Py_ssize_t i, s, n = at.n_in if at.column >= 0 else 0, pitch = n + (at.bias_column >= 0)
    lower_product(A, pitch, rows, 1, stride, rows, stride, n, at.N, at.add,
                  at.context, at.team)
    lower_product(B, at.n_out, left, 1, delta_stride, delta, delta_stride, at.n_out, at.r * at.N,
                  at.add, at.context, at.team)
    if at.bias_column >= 0 and at.team.rank == 0:
        if not at.add:
            memset(A + n * pitch, 0, (n + 1) * sizeof(floating))
        for s in range(at.N):
            for i in range(n):
                A[n * pitch + i] += rows[s * stride + i]
        A[n * pitch + n] += at.N
