# Hessian of sum_s u_s^T y_s in theta, times v:  dW^(k) = ddelta h^T + delta dh^T,  db^(k) = sum_s ddelta_s    (P,)
#
# Workspace: h and dh sample by sample, (N, n_in) with rows of whole vectors.

from cython cimport floating

from deltanet._core.loops cimport add_outer, fold_outer
from deltanet._core.product cimport product
from deltanet._core.rows cimport Layout, unload, whole_vectors
from deltanet._core.sinks.vjp cimport outer_sums


cdef inline void hvp_sums(floating* sums, const floating* ddelta, const floating* delta, const floating* h,
                          const floating* dh, floating* rows, floating* tangents, const Layout* at) noexcept nogil:
    """The columns of one layer; dh is NULL where it is zero."""
    cdef Py_ssize_t n = at.n_in, stride = whole_vectors(n, sizeof(floating))
    cdef floating one = 1
    if at.B == 1:
        if at.column >= 0:
            add_outer(at.context.simd, sums + at.column, ddelta, h, at.n_out, n, at.add)
            if dh != NULL:
                fold_outer(at.context.simd, sums + at.column, delta, dh, at.n_out, n)
        if at.bias_column >= 0:
            add_outer(at.context.simd, sums + at.bias_column, &one, ddelta, 1, at.n_out, at.add)
        return
    unload(rows, stride, h, n, at.N, at.B, at.context)
    outer_sums(sums, ddelta, rows, stride, False, at)
    if at.column >= 0 and dh != NULL:
        unload(tangents, stride, dh, n, at.N, at.B, at.context)
        product(sums + at.column, n, delta, at.B, 1, tangents, stride, at.n_out, n, at.N, <const floating*> NULL, True,
                at.context)
