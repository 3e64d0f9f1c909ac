"""theta, X -> h, fprime (symbols: net.pxd)."""

from cython cimport floating
from libc.string cimport memcpy

from deltanet.core.activation cimport activate, softmax
from deltanet.core.blas cimport gemm_nt
from deltanet.core.net cimport LOG_SOFTMAX, Net


cdef void forward(floating** h, floating** fprime, const floating* X, const floating* theta,
                  const floating* affine, const Net* net, Py_ssize_t N) noexcept nogil:
    cdef Py_ssize_t k, s, L = net.L
    cdef Py_ssize_t* n = net.n
    cdef const floating* b
    scale_input(h[0], X, affine, net, N)
    for k in range(1, L + 1):
        # v^(k) = h^(k-1) W^(k)T + b^(k)                          (N, n_k)
        b = theta + net.w[k] + n[k] * n[k - 1]
        for s in range(N):
            memcpy(h[k] + s * n[k], b, n[k] * sizeof(floating))
        gemm_nt(h[k], h[k - 1], theta + net.w[k], N, n[k], n[k - 1], net)
        # h^(k) = f_k(v^(k)), fprime^(k) = f_k'(v^(k))            (N, n_k)
        if k == L and net.coupled:
            softmax(h[k], fprime[k], net.act[k] == LOG_SOFTMAX, n[k], N)
        else:
            activate(h[k], fprime[k], net.act[k], net.alpha[k], N * n[k], net.simd)
    if net.scaled_output:
        scale_output(h[L], fprime[L], affine + 2 * n[0], net, N)


cdef inline void scale_input(floating* h, const floating* X, const floating* affine,
                             const Net* net, Py_ssize_t N) noexcept nogil:
    """h^(0) = (x - shift) / scale    (N, n_0)"""
    cdef Py_ssize_t s, i, n = net.n[0]
    if not net.scaled_input:
        memcpy(h, X, N * n * sizeof(floating))
        return
    for s in range(N):
        for i in range(n):
            h[s * n + i] = (X[s * n + i] - affine[i]) / affine[n + i]


cdef inline void scale_output(floating* y, floating* fprime, const floating* affine,
                              const Net* net, Py_ssize_t N) noexcept nogil:
    """y = h^(L) * scale + shift, and the slope with it    (N, m)"""
    cdef Py_ssize_t s, o, m = net.n[net.L]
    for s in range(N):
        for o in range(m):
            y[s * m + o] = y[s * m + o] * affine[m + o] + affine[o]
            if not net.coupled:
                fprime[s * m + o] *= affine[m + o]
