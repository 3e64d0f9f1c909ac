"""(h, delta) -> dense rows of J (symbols: net.pxd)."""

from cython cimport floating

from deltanet.core.net cimport Net

cdef extern from "loops.h" nogil:
    void dn_outer_f64(int simd, double* out, const double* d, const double* g,
                      Py_ssize_t n_out, Py_ssize_t n_in) noexcept
    void dn_outer_f32(int simd, float* out, const float* d, const float* g,
                      Py_ssize_t n_out, Py_ssize_t n_in) noexcept

cdef extern from "stream.h" nogil:
    void dn_stream_f64(double* out, const double* d, const double* g,
                       Py_ssize_t n_out, Py_ssize_t n_in) noexcept
    void dn_stream_f32(float* out, const float* d, const float* g,
                       Py_ssize_t n_out, Py_ssize_t n_in) noexcept
    void dn_stream_fence() noexcept


cdef void emit(floating* J, floating** h, floating** delta, const Net* net, Py_ssize_t N,
               bint stream) noexcept nogil:
    """J_so = [delta^(1)_o (x) h^(0), delta^(1)_o, ..., delta^(L)_o (x) h^(L-1), delta^(L)_o]    (N, m, P)

    `stream` writes past the caches: for a result that does not fit them.
    """
    cdef Py_ssize_t s, o, k, m = net.n[net.L]
    cdef Py_ssize_t* n = net.n
    cdef const floating* d
    cdef floating one = 1
    for s in range(N):
        for o in range(m):
            for k in range(1, net.L + 1):
                d = delta[k] + (s * m + o) * n[k]
                outer(J, d, h[k - 1] + s * n[k - 1], n[k], n[k - 1], stream, net.simd)
                J += n[k] * n[k - 1]
                outer(J, &one, d, 1, n[k], stream, net.simd)
                J += n[k]
    if stream:
        dn_stream_fence()


cdef inline void outer(floating* out, const floating* d, const floating* g, Py_ssize_t n_out,
                       Py_ssize_t n_in, bint stream, int simd) noexcept nogil:
    """out = d (x) g    (n_out, n_in)"""
    if floating is double:
        if stream:
            dn_stream_f64(out, d, g, n_out, n_in)
        else:
            dn_outer_f64(simd, out, d, g, n_out, n_in)
    else:
        if stream:
            dn_stream_f32(out, d, g, n_out, n_in)
        else:
            dn_outer_f32(simd, out, d, g, n_out, n_in)
