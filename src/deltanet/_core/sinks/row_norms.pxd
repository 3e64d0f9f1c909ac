# Squared norms of the rows of J:  |J_so|^2 = sum_k |delta^(k)_so|^2 (|h^(k-1)_s|^2 + 1)    (r, B)
#
# Workspace: 2 B numbers.

from cython cimport floating
from libc.string cimport memset

from deltanet._core.loops cimport fold, sum_rows
from deltanet._core.rows cimport Layout


cdef inline void row_norms(floating* norms, const floating* delta, const floating* h, floating* work,
                           const Layout* at) noexcept nogil:
    """One layer's part, added."""
    cdef Py_ssize_t o, B = at.B
    cdef floating* squares = work + B
    input_norm(work, h, at)
    for o in range(at.r):
        if o % at.team.size != at.team.rank:
            continue
        memset(squares, 0, B * sizeof(floating))
        sum_rows(at.context.simd, squares, delta + o * at.n_out * B, delta + o * at.n_out * B, at.n_out, B)
        fold(at.context.simd, norms + o * B, squares, work, B)


cdef inline void input_norm(floating* norm, const floating* h, const Layout* at) noexcept nogil:
    """|h|^2 + 1, without the part of what is not kept    (B,)"""
    cdef Py_ssize_t s
    for s in range(at.B):
        norm[s] = 1 if at.bias_column >= 0 else 0
    if at.column >= 0:
        sum_rows(at.context.simd, norm, h, h, at.n_in, at.B)
