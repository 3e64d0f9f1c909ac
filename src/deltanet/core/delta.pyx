"""fprime -> delta, last layer to first, and dy/dx behind the first (symbols: net.pxd)."""

from cython cimport floating
from libc.string cimport memset

from deltanet.core.blas cimport gemm_nn
from deltanet.core.net cimport SOFTMAX, Net


cdef void chain(floating** delta, floating** fprime, const floating* theta,
                const floating* affine, const Net* net, Py_ssize_t N) noexcept nogil:
    cdef Py_ssize_t k, L = net.L, m = net.n[L]
    cdef Py_ssize_t* n = net.n
    if net.coupled:
        output_coupled(delta[L], fprime[L], affine + 2 * n[0] + m, net, N)
    else:
        output_diagonal(delta[L], fprime[L], m, N)
    for k in range(L, 1, -1):
        # delta^(k-1) = delta^(k) W^(k) diag(fprime^(k-1))        (N m, n_{k-1})
        if k == L and not net.coupled:
            scaled_copy(delta[k - 1], fprime[k], theta + net.w[k], m, n[k - 1], N)
        else:
            memset(delta[k - 1], 0, N * m * n[k - 1] * sizeof(floating))
            gemm_nn(delta[k - 1], delta[k], theta + net.w[k], N * m, n[k - 1], n[k],
                    net)
        scale_columns(delta[k - 1], fprime[k - 1], m, n[k - 1], N)


cdef void input_jacobian(floating* Jx, const floating* delta, const floating* theta,
                         const floating* affine, const Net* net, Py_ssize_t N) noexcept nogil:
    """dy/dx = delta^(1) W^(1) diag(1 / scale)    (N m, n_0)"""
    cdef Py_ssize_t r, i, n = net.n[0], rows = N * net.n[net.L]
    memset(Jx, 0, rows * n * sizeof(floating))
    gemm_nn(Jx, delta, theta + net.w[1], rows, n, net.n[1], net)
    if net.scaled_input:
        for r in range(rows):
            for i in range(n):
                Jx[r * n + i] /= affine[n + i]


cdef inline void output_diagonal(floating* delta, const floating* fprime,
                                 Py_ssize_t m, Py_ssize_t N) noexcept nogil:
    """delta^(L) = diag(fprime^(L))    (N, m, m)"""
    cdef Py_ssize_t s, o
    memset(delta, 0, N * m * m * sizeof(floating))
    for s in range(N):
        for o in range(m):
            delta[(s * m + o) * m + o] = fprime[s * m + o]


cdef inline void output_coupled(floating* delta, const floating* p, const floating* scale,
                                const Net* net, Py_ssize_t N) noexcept nogil:
    """delta^(L)_oj = scale_o (1_oj - p_j), for softmax times p_o    (N, m, m)

    1 - p_o is summed from the other probabilities: it keeps its digits where p_o is close to 1.
    """
    cdef Py_ssize_t s, o, j, m = net.n[net.L]
    cdef floating rest, front
    for s in range(N):
        for o in range(m):
            front = scale[o] * p[s * m + o] if net.act[net.L] == SOFTMAX else scale[o]
            rest = 0
            for j in range(m):
                if j != o:
                    rest += p[s * m + j]
                    delta[(s * m + o) * m + j] = -front * p[s * m + j]
            delta[(s * m + o) * m + o] = front * rest


cdef inline void scaled_copy(floating* delta, const floating* fprime, const floating* W,
                             Py_ssize_t m, Py_ssize_t n, Py_ssize_t N) noexcept nogil:
    """delta_oj = fprime_o W_oj: the product diag(fprime) W    (N, m, n)"""
    cdef Py_ssize_t s, o, j
    cdef floating slope
    for s in range(N):
        for o in range(m):
            slope = fprime[s * m + o]
            for j in range(n):
                delta[(s * m + o) * n + j] = slope * W[o * n + j]


cdef inline void scale_columns(floating* delta, const floating* fprime,
                               Py_ssize_t m, Py_ssize_t n, Py_ssize_t N) noexcept nogil:
    """delta_oj := delta_oj fprime_j    (N, m, n)"""
    cdef Py_ssize_t s, o, j
    for s in range(N):
        for o in range(m):
            for j in range(n):
                delta[(s * m + o) * n + j] *= fprime[s * n + j]
