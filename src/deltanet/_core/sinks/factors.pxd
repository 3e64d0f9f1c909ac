# The factors as results, sample by sample: h^(k-1) (N, n_{k-1}) and delta^(k) (N, r, n_k)
#
# Where nothing else is made of them, delta of layers below L - 1 need not lie in lanes: its rows are products of the
# rows above, as they are stored, and W (plan.layers_by_rows). Workspace: fprime sample by sample.

from cython cimport floating

from deltanet._core.net cimport share
from deltanet._core.pool cimport meet
from deltanet._core.product cimport fold_product
from deltanet._core.rows cimport Layout, unload


cdef inline void keep_input(floating* kept, const floating* h, const Layout* at) noexcept nogil:
    """h^(k-1) from its lanes."""
    cdef Py_ssize_t i, j
    share(&i, &j, at.n_in, at.team)
    unload(kept + i, at.n_in, h + i * at.B, j - i, at.N, at.B, at.context)


cdef inline void keep_delta(floating* kept, const floating* delta, const Layout* at) noexcept nogil:
    """delta^(k) from its lanes."""
    cdef Py_ssize_t i, j, o, n = at.n_out
    share(&i, &j, n, at.team)
    for o in range(at.r):
        unload(kept + o * n + i, at.r * n, delta + (o * n + i) * at.B, j - i, at.N, at.B, at.context)


cdef inline void make_delta(floating* kept, const floating* above, Py_ssize_t n_above, const floating* W,
                            const floating* fprime, floating* slopes, const Layout* at) noexcept nogil:
    """delta^(k) = delta^(k+1) W^(k+1) diag(fprime^(k))    (N, r, n_k), fprime (n_k, B)"""
    cdef Py_ssize_t i, j, n = at.n_out
    share(&i, &j, n, at.team)
    unload(slopes + i, n, fprime + i * at.B, j - i, at.N, at.B, at.context)
    meet(at.team)
    share(&i, &j, at.r * at.N, at.team)
    fold_product(kept + i * n, n, above + i * n_above, n_above, 1, W, n, j - i, n, n_above, slopes, n, at.r, i,
                 <floating*> NULL, False, at.context)
    meet(at.team)
