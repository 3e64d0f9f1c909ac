# Row-major products over scipy.linalg.cython_blas: the only file that calls SciPy.
#
# Row-major C = A B is column-major C^T = B^T A^T, so the operands change places and sizes M and N with
# them. Every product accumulates: BLAS's beta = 0 is not trusted with NaN in C. Sizes fit a blas_int:
# the Python side checks that.

from cython cimport floating
from scipy.linalg.cython_blas cimport dgemm, dgemv, sgemm, sgemv

include "blas_int.pxi"

# Below this many multiplications the loops here beat a BLAS call's fixed cost.
# Measured by: python -m bench crossover
cdef enum:
    CROSSOVER = 2048


cdef inline void gemm_nt(floating* C, const floating* A, const floating* B,
                         Py_ssize_t M, Py_ssize_t N, Py_ssize_t K) noexcept nogil:
    """C := C + A B^T    C (M, N), A (M, K), B (N, K)"""
    cdef blas_int m = <blas_int> M, n = <blas_int> N, k = <blas_int> K, inc = 1
    cdef floating one = 1
    if M * N * K <= CROSSOVER:
        dots(C, A, B, M, N, K)
    elif M == 1:
        if floating is double:
            dgemv("T", &k, &n, &one, <double*> B, &k, <double*> A, &inc, &one, C, &inc)
        else:
            sgemv("T", &k, &n, &one, <float*> B, &k, <float*> A, &inc, &one, C, &inc)
    elif floating is double:
        dgemm("T", "N", &n, &m, &k, &one, <double*> B, &k, <double*> A, &k, &one, C, &n)
    else:
        sgemm("T", "N", &n, &m, &k, &one, <float*> B, &k, <float*> A, &k, &one, C, &n)


cdef inline void gemm_nn(floating* C, const floating* A, const floating* B,
                         Py_ssize_t M, Py_ssize_t N, Py_ssize_t K) noexcept nogil:
    """C := C + A B    C (M, N), A (M, K), B (K, N)"""
    cdef blas_int m = <blas_int> M, n = <blas_int> N, k = <blas_int> K, inc = 1
    cdef floating one = 1
    if M * N * K <= CROSSOVER:
        combinations(C, A, B, M, N, K)
    elif M == 1:
        if floating is double:
            dgemv("N", &n, &k, &one, <double*> B, &n, <double*> A, &inc, &one, C, &inc)
        else:
            sgemv("N", &n, &k, &one, <float*> B, &n, <float*> A, &inc, &one, C, &inc)
    elif floating is double:
        dgemm("N", "N", &n, &m, &k, &one, <double*> B, &n, <double*> A, &k, &one, C, &n)
    else:
        sgemm("N", "N", &n, &m, &k, &one, <float*> B, &n, <float*> A, &k, &one, C, &n)


cdef inline void dots(floating* C, const floating* A, const floating* B,
                      Py_ssize_t M, Py_ssize_t N, Py_ssize_t K) noexcept nogil:
    """C := C + A B^T by rows: each entry is a dot product, summed in four interleaved parts."""
    cdef Py_ssize_t i, j, k
    cdef const floating* a
    cdef const floating* b
    cdef floating s0, s1, s2, s3
    for i in range(M):
        a = A + i * K
        for j in range(N):
            b = B + j * K
            s0 = s1 = s2 = s3 = 0
            for k in range(0, K - 3, 4):
                s0 += a[k] * b[k]
                s1 += a[k + 1] * b[k + 1]
                s2 += a[k + 2] * b[k + 2]
                s3 += a[k + 3] * b[k + 3]
            for k in range(K - K % 4, K):
                s0 += a[k] * b[k]
            C[i * N + j] += (s0 + s2) + (s1 + s3)


cdef inline void combinations(floating* C, const floating* A, const floating* B,
                              Py_ssize_t M, Py_ssize_t N, Py_ssize_t K) noexcept nogil:
    """C := C + A B by rows: each row is a linear combination of the rows of B."""
    cdef Py_ssize_t i, j, k
    cdef floating a
    cdef floating* c
    cdef const floating* b
    for i in range(M):
        c = C + i * N
        for k in range(K):
            a = A[i * K + k]
            b = B + k * N
            for j in range(N):
                c[j] += a * b[j]
