"""A damped system by LAPACK's factorisation of Cholesky, in one call: of a small matrix, calls are what costs."""

from cython cimport floating
from libc.math cimport isfinite
from libc.string cimport memcpy
from scipy.linalg.cython_blas cimport dtrsv, strsv
from scipy.linalg.cython_lapack cimport dpotrf, spotrf

cimport numpy as cnp

import numpy as np

from deltanet._core.arrays cimport data

include "blas_int.pxi"

cnp.import_array()


def solve_damped(A, b, damping, factor):
    """x = (A + D)^-1 b, or None where that matrix is not positive definite to rounding.

    A (n, n), of which the lower half is read; b (n,); D is diagonal, `damping` a number or (n,). The factor is left in
    the lower half of `factor` (n, n), which may be A. All arrays are contiguous and of one dtype.
    """
    cdef Py_ssize_t n = len(b)
    cdef bint failed, vector = isinstance(damping, np.ndarray)
    cdef double number = 0 if vector else damping
    cdef const void* D = data(damping) if vector else NULL
    x = b.copy()
    if A.dtype == np.float64:
        failed = solve(<double*> data(x), <double*> data(factor), <const double*> data(A), <const double*> D, number, n)
    else:
        failed = solve(<float*> data(x), <float*> data(factor), <const float*> data(A), <const float*> D,
                       <float> number, n)
    return None if failed else x


cdef bint solve(floating* x, floating* U, const floating* A, const floating* D, floating number,
                Py_ssize_t n) noexcept:
    """A + D = U^T U;  U^T z = b,  U x = z

    Row by row the lower half is, column by column, the upper one. A NaN anywhere reaches the last pivot.
    """
    cdef Py_ssize_t i
    cdef blas_int size = <blas_int> n, one = 1, failed = 0
    if n == 0:
        return False
    with nogil:
        for i in range(n):
            if U != A:
                memcpy(U + i * n, A + i * n, (i + 1) * sizeof(floating))
            U[i * n + i] += D[i] if D != NULL else number
        if floating is double:
            dpotrf("U", &size, U, &size, &failed)
        else:
            spotrf("U", &size, U, &size, &failed)
        if failed == 0 and isfinite(U[n * n - 1]):
            if floating is double:
                dtrsv("U", "T", "N", &size, U, &size, x, &one)
                dtrsv("U", "N", "N", &size, U, &size, x, &one)
            else:
                strsv("U", "T", "N", &size, U, &size, x, &one)
                strsv("U", "N", "N", &size, U, &size, x, &one)
        else:
            failed = 1
    return failed != 0
