# J U for some columns of U, from factors:  (J u)_so += delta^(k)_so . t_s,  t = V h + c    (r, columns, B)
#
# V and c are the blocks of u that W^(k) and b^(k) are of theta. From X on, the tangent (forward.pyx) needs no
# delta.
# Workspace: n_out B numbers.

from cython cimport floating

from deltanet._core.loops cimport dots, sum_rows
from deltanet._core.net cimport Layer
from deltanet._core.product cimport product
from deltanet._core.rows cimport Layout


cdef inline void directions(floating* JU, const floating* U, Py_ssize_t columns, Py_ssize_t P,
                            const floating* delta, const floating* h, const Layer* layer, floating* work,
                            const Layout* at) noexcept nogil:
    """One layer's part, added; U (columns, P)"""
    cdef Py_ssize_t o, c, n = at.n_out, B = at.B
    cdef const floating* bias
    for c in range(columns):
        bias = U + c * P + layer.bias_offset if layer.bias_offset >= 0 else NULL
        if B == 1:
            dots(at.context.simd, work, U + c * P + layer.offset, h, bias, n, at.n_in)
        else:
            product(work, B, U + c * P + layer.offset, at.n_in, 1, h, B, n, B, at.n_in, bias, False,
                    at.context)
        for o in range(at.r):
            if o % at.team.size != at.team.rank:
                continue
            sum_rows(at.context.simd, JU + (o * columns + c) * B, delta + o * n * B, work, n, B)
