"""(h, delta) -> J v, the first half of J^T u, tiles of J J^T (symbols: net.pxd)."""

from cython cimport floating
from libc.string cimport memset

from deltanet.core.blas cimport gemm_nn, gemm_nt
from deltanet.core.net cimport Net

cdef extern from "loops.h" nogil:
    void dn_fold_f64(int simd, double* C, const double* A, const double* b, Py_ssize_t N) noexcept
    void dn_fold_f32(int simd, float* C, const float* A, const float* b, Py_ssize_t N) noexcept


cdef void push(floating* Jv, floating** t, floating** h, floating** delta, const floating* v,
               const Net* net, Py_ssize_t N) noexcept nogil:
    """(J v)_so = sum_k delta^(k)_so . t^(k)_s,    t^(k) = h^(k-1) V^(k)T + c^(k)    (N, m)

    V^(k) and c^(k) are the blocks of v that W^(k) and b^(k) are of theta; t (N, n_k) is work space.
    """
    cdef Py_ssize_t s, j, k, m = net.n[net.L]
    cdef Py_ssize_t* n = net.n
    cdef const floating* c
    memset(Jv, 0, N * m * sizeof(floating))
    for k in range(1, net.L + 1):
        c = v + net.w[k] + n[k] * n[k - 1]
        for s in range(N):
            for j in range(n[k]):
                t[k][s * n[k] + j] = c[j]
        gemm_nt(t[k], h[k - 1], v + net.w[k], N, n[k], n[k - 1], net)
        for s in range(N):
            gemm_nt(Jv + s * m, t[k] + s * n[k], delta[k] + s * m * n[k], 1, m, n[k], net)


cdef void pull(floating** s, floating** delta, const floating* u,
               const Net* net, Py_ssize_t N) noexcept nogil:
    """s^(k)_s = sum_o u_so delta^(k)_so    (N, n_k): then J^T u has the blocks s^(k)T h^(k-1), sum_s s^(k)"""
    cdef Py_ssize_t i, k, m = net.n[net.L]
    for k in range(1, net.L + 1):
        memset(s[k], 0, N * net.n[k] * sizeof(floating))
        for i in range(N):
            gemm_nn(s[k] + i * net.n[k], u + i * m, delta[k] + i * m * net.n[k], 1, net.n[k], m, net)


cdef void gram_tile(floating* K, floating* work, void** h, void** delta, void** h2, void** delta2,
                    const Net* net, Rows a, Rows b, Py_ssize_t pitch) noexcept nogil:
    """K_so,s'o' = sum_k (delta^(k)_so . delta'^(k)_s'o') (h^(k-1)_s . h'^(k-1)_s' + 1)

    The rows a of J against the rows b of J'; K is the corner of the tile in rows of `pitch`, work holds
    R_a R_b + N_a N_b + R_b numbers, with N samples on a side and R = N m rows.
    """
    cdef Py_ssize_t k, s, z, o, i, m = net.n[net.L], R = a.N * a.m, Q = b.N * b.m
    cdef Py_ssize_t* n = net.n
    cdef floating* dd = work           # (R, Q)
    cdef floating* hh = dd + R * Q     # (N_a, N_b)
    cdef floating* factor = hh + a.N * b.N  # (Q,)
    for i in range(R):
        memset(K + i * pitch, 0, Q * sizeof(floating))
    for k in range(1, net.L + 1):
        memset(dd, 0, R * Q * sizeof(floating))
        for i in range(a.N * b.N):
            hh[i] = 1
        gemm_nt(dd, <floating*> delta[k] + a.start * n[k], <floating*> delta2[k] + b.start * n[k],
                R, Q, n[k], net)
        gemm_nt(hh, <floating*> h[k - 1] + a.start // m * n[k - 1],
                <floating*> h2[k - 1] + b.start // m * n[k - 1], a.N, b.N, n[k - 1], net)
        for s in range(a.N):
            for z in range(b.N):
                for o in range(b.m):
                    factor[z * b.m + o] = hh[s * b.N + z]
            for i in range(s * a.m, s * a.m + a.m):
                fold(K + i * pitch, dd + i * Q, factor, Q, net.simd)


cdef inline void fold(floating* K, const floating* dd, const floating* factor, Py_ssize_t n,
                      int simd) noexcept nogil:
    """K := K + dd * factor    (n,)"""
    if floating is double:
        dn_fold_f64(simd, K, dd, factor, n)
    else:
        dn_fold_f32(simd, K, dd, factor, n)


cdef void mirror_tile(floating* K, Rows a, Rows b, Py_ssize_t pitch) noexcept nogil:
    """K_ji := K_ij for the rows a and the columns b, above the diagonal of K."""
    cdef Py_ssize_t i, j, start, end = b.start + b.N * b.m
    for start in range(b.start, end, 16):  # columns that fit the nearest cache, row by row of the lower half
        for i in range(a.start, a.start + a.N * a.m):
            for j in range(max(start, i + 1), min(start + 16, end)):
                K[j * pitch + i] = K[i * pitch + j]
