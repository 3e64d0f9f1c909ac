# d2(u^T y)/dx dx = sum_k A^(k)^T diag(curve^(k)) A^(k), of which the lower half is made    (N, r, n_0, n_0)
#
# Workspace: r n_0 n_0 B numbers.

from cython cimport floating
from libc.string cimport memcpy

from deltanet._core.net cimport Context
from deltanet._core.rows cimport unload


cdef inline void input_hessian(floating* H, floating* C, Py_ssize_t r, Py_ssize_t n_0, Py_ssize_t N, Py_ssize_t B,
                               const Context* context) noexcept nogil:
    """Both halves, sample by sample."""
    cdef Py_ssize_t o, i, j
    cdef floating* one
    for o in range(r):
        one = C + o * n_0 * n_0 * B
        for i in range(n_0):
            for j in range(i):
                memcpy(one + (j * n_0 + i) * B, one + (i * n_0 + j) * B, B * sizeof(floating))
    unload(H, r * n_0 * n_0, C, r * n_0 * n_0, N, B, context)
