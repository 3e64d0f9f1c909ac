# Row-major products: register tiles (tile.h), or, if the processor has no AVX2, SciPy's BLAS, or loops where bits
# must not depend on the batch; a lone sample takes plain loops (loops.h). Only this file calls SciPy's gemm and syrk.
#
# Row-major C = A B is column-major C^T = B^T A^T, so the operands of BLAS change places and sizes M and N
# with them. BLAS's beta = 0 is not trusted with NaN in C. Sizes fit a blas_int: the Python side checks that.

from cython cimport floating
from scipy.linalg.cython_blas cimport dgemm, dsyrk, sgemm, ssyrk

from deltanet._core.net cimport Context, Team

include "blas_int.pxi"

cdef extern from "tile.h" nogil:
    int dn_has_tiles(int simd) noexcept
    void dn_product_f64(int simd, double* C, Py_ssize_t ldc, Py_ssize_t cset, const double* A, Py_ssize_t ai,
                        Py_ssize_t ak, const double* B, Py_ssize_t ldb, Py_ssize_t bset, Py_ssize_t sets,
                        Py_ssize_t M, Py_ssize_t N, Py_ssize_t K, const double* start, int add) noexcept
    void dn_product_f32(int simd, float* C, Py_ssize_t ldc, Py_ssize_t cset, const float* A, Py_ssize_t ai,
                        Py_ssize_t ak, const float* B, Py_ssize_t ldb, Py_ssize_t bset, Py_ssize_t sets,
                        Py_ssize_t M, Py_ssize_t N, Py_ssize_t K, const float* start, int add) noexcept
    void dn_fold_product_f64(int simd, double* C, Py_ssize_t ldc, const double* A, Py_ssize_t ai,
                             Py_ssize_t ak, const double* B, Py_ssize_t ldb, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K,
                             const double* H, Py_ssize_t ldh, Py_ssize_t repeat, Py_ssize_t first, int add) noexcept
    void dn_fold_product_f32(int simd, float* C, Py_ssize_t ldc, const float* A, Py_ssize_t ai,
                             Py_ssize_t ak, const float* B, Py_ssize_t ldb, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K,
                             const float* H, Py_ssize_t ldh, Py_ssize_t repeat, Py_ssize_t first, int add) noexcept


cdef inline void product(floating* C, Py_ssize_t ldc, const floating* A, Py_ssize_t ai, Py_ssize_t ak,
                         const floating* B, Py_ssize_t ldb, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K,
                         const floating* start, bint add, const Context* context) noexcept nogil:
    """C := start + A B, or C + A B    C (M, N), A_ij at A[i ai + j ak] (M, K), B (K, N), start (M,) or NULL

    One of A's strides is 1. Rows of B are readable to the end of their last vector.
    """
    products(C, ldc, 0, A, ai, ak, B, ldb, 0, 1, M, N, K, start, add, context)


cdef inline void products(floating* C, Py_ssize_t ldc, Py_ssize_t cset, const floating* A, Py_ssize_t ai,
                          Py_ssize_t ak, const floating* B, Py_ssize_t ldb, Py_ssize_t bset, Py_ssize_t sets,
                          Py_ssize_t M, Py_ssize_t N, Py_ssize_t K, const floating* start, bint add,
                          const Context* context) noexcept nogil:
    """The same A for several B and C, which lie `bset` and `cset` apart."""
    cdef Py_ssize_t i, j, o
    cdef floating first
    if context.tiles:
        if floating is double:
            dn_product_f64(context.simd, C, ldc, cset, A, ai, ak, B, ldb, bset, sets, M, N, K, start, add)
        else:
            dn_product_f32(context.simd, C, ldc, cset, A, ai, ak, B, ldb, bset, sets, M, N, K, start, add)
        return
    for o in range(sets):
        if not add:
            for i in range(M):
                first = start[i] if start != NULL else 0
                for j in range(N):
                    C[o * cset + i * ldc + j] = first
        if context.blas:
            gemm(C + o * cset, ldc, A, ai, ak, B + o * bset, ldb, M, N, K)
        else:
            add_product(C + o * cset, ldc, A, ai, ak, B + o * bset, ldb, M, N, K)


cdef inline void add_product(floating* C, Py_ssize_t ldc, const floating* A, Py_ssize_t ai, Py_ssize_t ak,
                             const floating* B, Py_ssize_t ldb, Py_ssize_t M, Py_ssize_t N,
                             Py_ssize_t K) noexcept nogil:
    """C := C + A B by loops: one chain of sums a number"""
    cdef Py_ssize_t i, j, k
    cdef floating a
    for i in range(M):
        for k in range(K):
            a = A[i * ai + k * ak]
            for j in range(N):
                C[i * ldc + j] += a * B[k * ldb + j]


cdef inline void fold_product(floating* C, Py_ssize_t ldc, const floating* A, Py_ssize_t ai, Py_ssize_t ak,
                              const floating* B, Py_ssize_t ldb, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K,
                              const floating* H, Py_ssize_t ldh, Py_ssize_t repeat, Py_ssize_t first, floating* work,
                              bint add, const Context* context) noexcept nogil:
    """C := H * (A B), or C + H * (A B)    (M, N), A_ij at A[i ai + j ak], work (M, ldb)

    Row i of C goes with row (first + i) // repeat of H, whose rows, as those of B, are readable in whole vectors.
    """
    cdef Py_ssize_t i, j
    cdef const floating* weight
    if context.tiles:
        if floating is double:
            dn_fold_product_f64(context.simd, C, ldc, A, ai, ak, B, ldb, M, N, K, H, ldh, repeat, first, add)
        else:
            dn_fold_product_f32(context.simd, C, ldc, A, ai, ak, B, ldb, M, N, K, H, ldh, repeat, first, add)
        return
    product(work, ldb, A, ai, ak, B, ldb, M, N, K, <const floating*> NULL, False, context)
    for i in range(M):
        weight = H + (first + i) // repeat * ldh
        for j in range(N):
            C[i * ldc + j] = (C[i * ldc + j] if add else 0) + weight[j] * work[i * ldb + j]


cdef inline void gemm(floating* C, Py_ssize_t ldc, const floating* A, Py_ssize_t ai, Py_ssize_t ak,
                      const floating* B, Py_ssize_t ldb, Py_ssize_t M, Py_ssize_t N,
                      Py_ssize_t K) noexcept nogil:
    """C := C + A B by BLAS, of the same operands"""
    cdef blas_int m = <blas_int> M, n = <blas_int> N, k = <blas_int> K, c = <blas_int> ldc
    cdef blas_int b = <blas_int> ldb, a = <blas_int> (max(ai, K) if ak == 1 else max(ak, M))
    cdef floating one = 1
    cdef char* order = b"N" if ak == 1 else b"T"
    if M == 0 or N == 0 or K == 0:
        return
    if floating is double:
        dgemm("N", order, &n, &m, &k, &one, <double*> B, &b, <double*> A, &a, &one, C, &c)
    else:
        sgemm("N", order, &n, &m, &k, &one, <float*> B, &b, <float*> A, &a, &one, C, &c)


cdef inline void syrk(floating* C, Py_ssize_t ldc, const floating* J, Py_ssize_t ldj, Py_ssize_t n,
                      Py_ssize_t K) noexcept nogil:
    """The lower half of C := C + J^T J by BLAS    C (n, n), J (K, n)"""
    cdef blas_int size = <blas_int> n, k = <blas_int> K, c = <blas_int> ldc, j = <blas_int> ldj
    cdef floating one = 1
    if n == 0 or K == 0:
        return
    if floating is double:
        dsyrk("U", "N", &size, &k, &one, <double*> J, &j, &one, C, &c)
    else:
        ssyrk("U", "N", &size, &k, &one, <float*> J, &j, &one, C, &c)


cdef enum:
    LOWER_ROWS = 12  # rows of a symmetric product that are made at once, the columns to about their diagonal:
    LOWER_BYTES = 64  # up to whole ones of these


cdef inline void lower_product(floating* C, Py_ssize_t ldc, const floating* A, Py_ssize_t ai, Py_ssize_t ak,
                               const floating* B, Py_ssize_t ldb, Py_ssize_t n, Py_ssize_t K, bint add,
                               const Context* context, const Team* team) noexcept nogil:
    """C := A B or C + A B in its lower half and a little beyond, each thread of the team some rows    (n, n)"""
    cdef Py_ssize_t i = team.rank * LOWER_ROWS, line = LOWER_BYTES // sizeof(floating)
    while i < n:
        product(C + i * ldc, ldc, A + i * ai, ai, ak, B, ldb, min(<Py_ssize_t> LOWER_ROWS, n - i),
                min(n, (i + LOWER_ROWS + line - 1) // line * line), K, <const floating*> NULL, add, context)
        i += team.size * LOWER_ROWS
