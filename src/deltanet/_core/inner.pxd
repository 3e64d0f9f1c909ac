# Inner products of rows that lie along the samples: register tiles (inner.h), or plain loops where there are none.

from cython cimport floating

from deltanet._core.loops cimport dots
from deltanet._core.net cimport Context, Team

cdef extern from "inner.h" nogil:
    void dn_inner_f64(double* C, Py_ssize_t ldc, const double* A, const double* B, Py_ssize_t M, Py_ssize_t N,
                      Py_ssize_t K, int add) noexcept
    void dn_inner_f32(float* C, Py_ssize_t ldc, const float* A, const float* B, Py_ssize_t M, Py_ssize_t N,
                      Py_ssize_t K, int add) noexcept

cdef enum:
    INNER_ROWS = 3     # of a tile
    INNER_COLUMNS = 4


cdef inline void inner(floating* C, Py_ssize_t ldc, const floating* A, const floating* B, Py_ssize_t M, Py_ssize_t N,
                       Py_ssize_t K, bint add, const Context* context) noexcept nogil:
    """C := A B^T, or C + A B^T    C (M, N; rows ldc apart), A (M, K), B (N, K)"""
    cdef Py_ssize_t i
    if not context.tiles or K % (32 // sizeof(floating)) != 0:
        for i in range(M):
            dots(context.simd, C + i * ldc, B, A + i * K, C + i * ldc if add else <floating*> NULL, N, K)
    elif floating is double:
        dn_inner_f64(C, ldc, A, B, M, N, K, add)
    else:
        dn_inner_f32(C, ldc, A, B, M, N, K, add)


cdef inline void lower_inner(floating* C, const floating* A, const floating* B, Py_ssize_t n, Py_ssize_t K,
                             bint add, const Context* context, const Team* team) noexcept nogil:
    """C := A B^T or C + A B^T in its lower half and a little beyond    C (n, n), A, B (n, K)

    Each thread of the team makes some rows.

    The odd rows come first, where there are few columns.
    """
    cdef Py_ssize_t i = 0, strip = 0, rows = n % INNER_ROWS or INNER_ROWS
    while i < n:
        if strip % team.size == team.rank:
            inner(C + i * n, n, A + i * K, B, rows,
                  min(n, (i + rows + INNER_COLUMNS - 1) // INNER_COLUMNS * INNER_COLUMNS), K, add, context)
        i += rows
        rows = INNER_ROWS
        strip += 1
