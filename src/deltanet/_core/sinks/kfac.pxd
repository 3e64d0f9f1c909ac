# Kronecker factors of the blocks of J^T H J:  A = sum_s [h 1]^T [h 1] (n_in + 1)^2,  B = sum_s delta^T H delta (n_out^2)
#
# A is not divided by N yet; of both only the lower half is made (mirror completes them). Without a bias A has no
# last row. Workspace: h, and a row of delta, sample by sample with rows of whole vectors.

from cython cimport floating

from deltanet._core.product cimport lower_product
from deltanet._core.rows cimport Layout


cdef inline void kfac(floating* A, floating* B, const floating* left, const floating* h,
                      const floating* rows, Py_ssize_t stride, const floating* delta_rows, Py_ssize_t delta_stride,
                      const Layout* at) noexcept nogil:
    """One layer's two factors, added; left is H delta, or delta itself, and delta_rows is delta (r, N, n_out)."""
    cdef Py_ssize_t i, s, o, n = at.n_in, lanes = at.B, pitch = n + (at.bias_column >= 0)
    cdef floating total
    lower_product(A, pitch, h, lanes, 1, rows, stride, n, at.N, at.context, at.team)
    if at.bias_column >= 0 and at.team.rank == 0:
        for i in range(n):
            total = 0
            for s in range(at.N):
                total += h[i * lanes + s]
            A[n * pitch + i] += total
        A[n * pitch + n] += at.N
    for o in range(at.r):
        lower_product(B, at.n_out, left + o * at.n_out * lanes, lanes, 1, delta_rows + o * at.N * delta_stride,
                      delta_stride, at.n_out, at.N, at.context, at.team)


cdef inline void mirror(floating* C, Py_ssize_t n, floating scale) noexcept nogil:
    """The upper half from the lower one, and both times `scale`    (n, n)"""
    cdef Py_ssize_t i, j, first = 0
    while first < n:  # columns that fit the nearest cache
        for i in range(first, n):
            for j in range(first, min(i + 1, first + 32)):
                C[i * n + j] *= scale
                C[j * n + i] = C[i * n + j]
        first += 32
