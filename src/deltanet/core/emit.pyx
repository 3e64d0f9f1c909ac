"""(h, delta) -> dense rows of J (symbols: net.pxd)."""

from cython cimport floating
from libc.string cimport memcpy

from deltanet.core.net cimport Net


cdef void emit(floating* J, floating** h, floating** delta,
               const Net* net, Py_ssize_t N) noexcept nogil:
    """J_so = [delta^(1)_o (x) h^(0), delta^(1)_o, ..., delta^(L)_o (x) h^(L-1), delta^(L)_o]    (N, m, P)"""
    cdef Py_ssize_t s, o, j, k, m = net.n[net.L]
    cdef Py_ssize_t* n = net.n
    cdef const floating* d
    for s in range(N):
        for o in range(m):
            for k in range(1, net.L + 1):
                d = delta[k] + (s * m + o) * n[k]
                for j in range(n[k]):
                    scaled(J, h[k - 1] + s * n[k - 1], d[j], n[k - 1])
                    J += n[k - 1]
                memcpy(J, d, n[k] * sizeof(floating))
                J += n[k]


cdef inline void scaled(floating* out, const floating* g, floating d,
                        Py_ssize_t n) noexcept nogil:
    """out = d g    (n,)"""
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = d * g[i]
