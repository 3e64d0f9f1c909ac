"""(h, delta) -> dense rows of J (symbols: net.pxd)."""

from cython cimport floating

from deltanet.core.net cimport Net

cdef extern from "stream.h" nogil:
    void dn_stream_f64(double* out, double d, const double* g, Py_ssize_t n) noexcept
    void dn_stream_f32(float* out, float d, const float* g, Py_ssize_t n) noexcept
    void dn_stream_fence() noexcept


cdef void emit(floating* J, floating** h, floating** delta, const Net* net, Py_ssize_t N,
               bint stream) noexcept nogil:
    """J_so = [delta^(1)_o (x) h^(0), delta^(1)_o, ..., delta^(L)_o (x) h^(L-1), delta^(L)_o]    (N, m, P)

    `stream` writes past the caches: for a result that does not fit them.
    """
    cdef Py_ssize_t s, o, j, k, m = net.n[net.L]
    cdef Py_ssize_t* n = net.n
    cdef const floating* d
    cdef const floating* g
    for s in range(N):
        for o in range(m):
            for k in range(1, net.L + 1):
                d = delta[k] + (s * m + o) * n[k]
                g = h[k - 1] + s * n[k - 1]
                for j in range(n[k]):
                    scaled(J, d[j], g, n[k - 1], stream)
                    J += n[k - 1]
                scaled(J, <floating> 1, d, n[k], stream)
                J += n[k]
    if stream:
        dn_stream_fence()


cdef inline void scaled(floating* out, floating d, const floating* g, Py_ssize_t n,
                        bint stream) noexcept nogil:
    """out = d g    (n,)"""
    cdef Py_ssize_t i
    if not stream:
        for i in range(n):
            out[i] = d * g[i]
    elif floating is double:
        dn_stream_f64(out, d, g, n)
    else:
        dn_stream_f32(out, d, g, n)
