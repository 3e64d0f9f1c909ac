# Dense rows of J:                                                                  (N, r, P)
#
#   J_so = [delta^(1)_o (x) h^(0), delta^(1)_o, ..., delta^(L)_o (x) h^(L-1), delta^(L)_o]
#
# Workspace: h and delta sample by sample, N sum_k (n_{k-1} + r n_k) numbers, because whole rows are written
# in their order.

from cython cimport floating

from deltanet._core.loops cimport outer
from deltanet._core.net cimport Context, Net, Team

cdef extern from "stores.h" nogil:
    void dn_stream_f64(double* out, const double* d, const double* g, Py_ssize_t n_out,
                       Py_ssize_t n_in) noexcept
    void dn_stream_f32(float* out, const float* d, const float* g, Py_ssize_t n_out, Py_ssize_t n_in) noexcept
    void dn_stream_fence() noexcept


cdef inline void dense_rows(floating* J, floating** h, floating** delta, const Py_ssize_t* column,
                            const Py_ssize_t* bias_column, Py_ssize_t lowest, Py_ssize_t P, const Net* net,
                            Py_ssize_t N, Py_ssize_t r, bint stream, const Context* context,
                            const Team* team) noexcept nogil:
    """From h (N, n_{k-1}) and delta (N, r, n_k), the rows that this thread owns

    `stream` writes past the caches.
    """
    cdef Py_ssize_t row, k, n, n_in, first = N * r * team.rank // team.size
    cdef const floating* d
    cdef floating one = 1
    J += first * P
    for row in range(first, N * r * (team.rank + 1) // team.size):
        for k in range(lowest, net.L + 1):
            n, n_in = net.layer[k].n_out, net.layer[k].n_in
            d = delta[k] + row * n
            if column[k] >= 0:
                write(J, d, h[k - 1] + row // r * n_in, n, n_in, stream, context)
                J += n * n_in
            if bias_column[k] >= 0:
                write(J, &one, d, 1, n, stream, context)
                J += n
    if stream:
        dn_stream_fence()


cdef inline void write(floating* out, const floating* d, const floating* g, Py_ssize_t n_out, Py_ssize_t n_in,
                       bint stream, const Context* context) noexcept nogil:
    """out := d (x) g    (n_out, n_in)"""
    if not stream:
        outer(context.simd, out, d, g, n_out, n_in)
    elif floating is double:
        dn_stream_f64(out, d, g, n_out, n_in)
    else:
        dn_stream_f32(out, d, g, n_out, n_in)
