# Row-major products over scipy.linalg.cython_blas: the only file that calls SciPy.
#
# Row-major C = A B is column-major C^T = B^T A^T, so the operands change places and sizes M and N with
# them. Every product accumulates: BLAS's beta = 0 is not trusted with NaN in C. Sizes fit a blas_int:
# the Python side checks that.

from cython cimport floating
from scipy.linalg.cython_blas cimport dgemm, dgemv, sgemm, sgemv

from deltanet.core.net cimport Net

include "blas_int.pxi"

cdef extern from "loops.h" nogil:
    void dn_dots_f64(int simd, double* C, const double* A, const double* B,
                     Py_ssize_t M, Py_ssize_t N, Py_ssize_t K) noexcept
    void dn_dots_f32(int simd, float* C, const float* A, const float* B,
                     Py_ssize_t M, Py_ssize_t N, Py_ssize_t K) noexcept
    void dn_combine_f64(int simd, double* C, const double* A, const double* B,
                        Py_ssize_t M, Py_ssize_t N, Py_ssize_t K) noexcept
    void dn_combine_f32(int simd, float* C, const float* A, const float* B,
                        Py_ssize_t M, Py_ssize_t N, Py_ssize_t K) noexcept

# Up to this many multiplications the plain loops of loops.h beat a BLAS call's fixed cost: net.crossover.
# Measured by: python -m bench crossover
cdef enum:
    CROSSOVER = 2048


cdef inline void gemm_nt(floating* C, const floating* A, const floating* B,
                         Py_ssize_t M, Py_ssize_t N, Py_ssize_t K, const Net* net) noexcept nogil:
    """C := C + A B^T    C (M, N), A (M, K), B (N, K)"""
    cdef blas_int m = <blas_int> M, n = <blas_int> N, k = <blas_int> K, inc = 1
    cdef floating one = 1
    if M * N * K <= net.crossover:
        if floating is double:
            dn_dots_f64(net.simd, C, A, B, M, N, K)
        else:
            dn_dots_f32(net.simd, C, A, B, M, N, K)
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
                         Py_ssize_t M, Py_ssize_t N, Py_ssize_t K, const Net* net) noexcept nogil:
    """C := C + A B    C (M, N), A (M, K), B (K, N)"""
    cdef blas_int m = <blas_int> M, n = <blas_int> N, k = <blas_int> K, inc = 1
    cdef floating one = 1
    if M * N * K <= net.crossover:
        if floating is double:
            dn_combine_f64(net.simd, C, A, B, M, N, K)
        else:
            dn_combine_f32(net.simd, C, A, B, M, N, K)
    elif M == 1:
        if floating is double:
            dgemv("N", &n, &k, &one, <double*> B, &n, <double*> A, &inc, &one, C, &inc)
        else:
            sgemv("N", &n, &k, &one, <float*> B, &n, <float*> A, &inc, &one, C, &inc)
    elif floating is double:
        dgemm("N", "N", &n, &m, &k, &one, <double*> B, &n, <double*> A, &k, &one, C, &n)
    else:
        sgemm("N", "N", &n, &m, &k, &one, <float*> B, &n, <float*> A, &k, &one, C, &n)
