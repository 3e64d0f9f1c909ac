# The diagonal of J^T H J:  sum_s (sum_o (H delta)_soj delta_soj) h_si^2 for w_ji, and 1 for h of a bias
#
# Workspace: n_out B numbers, and h^2 sample by sample, (N, n_in) with rows of whole vectors; or x itself (inputs.pxd).

from cython cimport floating
from libc.string cimport memset

from deltanet._core.loops cimport fold
from deltanet._core.net cimport share
from deltanet._core.rows cimport Layout
from deltanet._core.sinks.vjp cimport outer_sums


cdef inline void ggn_diagonal(floating* sums, const floating* left, const floating* delta, floating* work,
                              const floating* squares, Py_ssize_t stride, const Layout* at) noexcept nogil:
    """The columns of one layer; left is H delta, or delta itself. `squares` are x itself if `at.input_rows`."""
    cdef Py_ssize_t o, start, stop, n = at.n_out, B = at.B
    share(&start, &stop, n, at.team)
    memset(work + start * B, 0, (stop - start) * B * sizeof(floating))
    for o in range(at.r):
        fold(at.context.simd, work + start * B, left + (o * n + start) * B, delta + (o * n + start) * B,
             (stop - start) * B)
    outer_sums(sums, work, squares, stride, True, at)
