# loops.h for both types: see there what each does.

from cython cimport floating

cdef extern from "loops.h" nogil:
    void dn_outer_f64(int simd, double* out, const double* d, const double* g, Py_ssize_t n_out,
                      Py_ssize_t n_in) noexcept
    void dn_outer_f32(int simd, float* out, const float* d, const float* g, Py_ssize_t n_out,
                      Py_ssize_t n_in) noexcept
    void dn_fold_outer_f64(int simd, double* out, const double* d, const double* g, Py_ssize_t n_out,
                           Py_ssize_t n_in) noexcept
    void dn_fold_outer_f32(int simd, float* out, const float* d, const float* g, Py_ssize_t n_out,
                           Py_ssize_t n_in) noexcept
    void dn_dots_f64(int simd, double* c, const double* A, const double* b, const double* start, Py_ssize_t M,
                     Py_ssize_t K) noexcept
    void dn_dots_f32(int simd, float* c, const float* A, const float* b, const float* start, Py_ssize_t M,
                     Py_ssize_t K) noexcept
    void dn_combine_f64(int simd, double* C, const double* A, const double* B, Py_ssize_t M, Py_ssize_t N,
                        Py_ssize_t K) noexcept
    void dn_combine_f32(int simd, float* C, const float* A, const float* B, Py_ssize_t M, Py_ssize_t N,
                        Py_ssize_t K) noexcept
    void dn_multiply_f64(int simd, double* C, const double* A, Py_ssize_t n) noexcept
    void dn_multiply_f32(int simd, float* C, const float* A, Py_ssize_t n) noexcept
    void dn_fold_f64(int simd, double* C, const double* A, const double* B, Py_ssize_t n) noexcept
    void dn_fold_f32(int simd, float* C, const float* A, const float* B, Py_ssize_t n) noexcept
    void dn_seed_f64(int simd, double* C, const double* w, const double* slope, const double* fprime,
                     Py_ssize_t n, Py_ssize_t B) noexcept
    void dn_seed_f32(int simd, float* C, const float* w, const float* slope, const float* fprime,
                     Py_ssize_t n, Py_ssize_t B) noexcept
    void dn_fold_rows_f64(int simd, double* C, const double* a, const double* A, Py_ssize_t n,
                          Py_ssize_t B) noexcept
    void dn_fold_rows_f32(int simd, float* C, const float* a, const float* A, Py_ssize_t n,
                          Py_ssize_t B) noexcept
    void dn_scale_rows_f64(int simd, double* C, const double* a, const double* A, Py_ssize_t n,
                           Py_ssize_t B) noexcept
    void dn_scale_rows_f32(int simd, float* C, const float* a, const float* A, Py_ssize_t n,
                           Py_ssize_t B) noexcept
    void dn_row_sums_f64(int simd, double* c, const double* A, Py_ssize_t n, Py_ssize_t N,
                         Py_ssize_t B) noexcept
    void dn_row_sums_f32(int simd, float* c, const float* A, Py_ssize_t n, Py_ssize_t N,
                         Py_ssize_t B) noexcept
    void dn_sum_rows_f64(int simd, double* c, const double* A, const double* D, Py_ssize_t n,
                         Py_ssize_t B) noexcept
    void dn_sum_rows_f32(int simd, float* c, const float* A, const float* D, Py_ssize_t n,
                         Py_ssize_t B) noexcept
    void dn_repeat_f64(int simd, double* out, const double* in_, Py_ssize_t n, Py_ssize_t r) noexcept
    void dn_repeat_f32(int simd, float* out, const float* in_, Py_ssize_t n, Py_ssize_t r) noexcept
    void dn_transpose_f64(int simd, double* out, Py_ssize_t ldo, const double* in_, Py_ssize_t ldi,
                          Py_ssize_t m, Py_ssize_t n) noexcept
    void dn_transpose_f32(int simd, float* out, Py_ssize_t ldo, const float* in_, Py_ssize_t ldi,
                          Py_ssize_t m, Py_ssize_t n) noexcept


cdef inline void outer(int simd, floating* out, const floating* d, const floating* g, Py_ssize_t n_out,
                       Py_ssize_t n_in) noexcept nogil:
    if floating is double:
        dn_outer_f64(simd, out, d, g, n_out, n_in)
    else:
        dn_outer_f32(simd, out, d, g, n_out, n_in)


cdef inline void fold_outer(int simd, floating* out, const floating* d, const floating* g, Py_ssize_t n_out,
                            Py_ssize_t n_in) noexcept nogil:
    if floating is double:
        dn_fold_outer_f64(simd, out, d, g, n_out, n_in)
    else:
        dn_fold_outer_f32(simd, out, d, g, n_out, n_in)


cdef inline void add_outer(int simd, floating* out, const floating* d, const floating* g, Py_ssize_t n_out,
                           Py_ssize_t n_in, bint add) noexcept nogil:
    """Folded into what is there, or written."""
    if add:
        fold_outer(simd, out, d, g, n_out, n_in)
    else:
        outer(simd, out, d, g, n_out, n_in)


cdef inline void dots(int simd, floating* c, const floating* A, const floating* b, const floating* start,
                      Py_ssize_t M, Py_ssize_t K) noexcept nogil:
    if floating is double:
        dn_dots_f64(simd, c, A, b, start, M, K)
    else:
        dn_dots_f32(simd, c, A, b, start, M, K)


cdef inline void combine(int simd, floating* C, const floating* A, const floating* B, Py_ssize_t M,
                         Py_ssize_t N, Py_ssize_t K) noexcept nogil:
    if floating is double:
        dn_combine_f64(simd, C, A, B, M, N, K)
    else:
        dn_combine_f32(simd, C, A, B, M, N, K)


cdef inline void multiply(int simd, floating* C, const floating* A, Py_ssize_t n) noexcept nogil:
    if floating is double:
        dn_multiply_f64(simd, C, A, n)
    else:
        dn_multiply_f32(simd, C, A, n)


cdef inline void fold(int simd, floating* C, const floating* A, const floating* B,
                      Py_ssize_t n) noexcept nogil:
    if floating is double:
        dn_fold_f64(simd, C, A, B, n)
    else:
        dn_fold_f32(simd, C, A, B, n)


cdef inline void seed(int simd, floating* C, const floating* w, const floating* slope, const floating* fprime,
                      Py_ssize_t n, Py_ssize_t B) noexcept nogil:
    if floating is double:
        dn_seed_f64(simd, C, w, slope, fprime, n, B)
    else:
        dn_seed_f32(simd, C, w, slope, fprime, n, B)


cdef inline void fold_rows(int simd, floating* C, const floating* a, const floating* A, Py_ssize_t n,
                           Py_ssize_t B) noexcept nogil:
    if floating is double:
        dn_fold_rows_f64(simd, C, a, A, n, B)
    else:
        dn_fold_rows_f32(simd, C, a, A, n, B)


cdef inline void scale_rows(int simd, floating* C, const floating* a, const floating* A, Py_ssize_t n,
                            Py_ssize_t B) noexcept nogil:
    if floating is double:
        dn_scale_rows_f64(simd, C, a, A, n, B)
    else:
        dn_scale_rows_f32(simd, C, a, A, n, B)


cdef inline void row_sums(int simd, floating* c, const floating* A, Py_ssize_t n, Py_ssize_t N,
                          Py_ssize_t B) noexcept nogil:
    if floating is double:
        dn_row_sums_f64(simd, c, A, n, N, B)
    else:
        dn_row_sums_f32(simd, c, A, n, N, B)


cdef inline void sum_rows(int simd, floating* c, const floating* A, const floating* D, Py_ssize_t n,
                          Py_ssize_t B) noexcept nogil:
    if floating is double:
        dn_sum_rows_f64(simd, c, A, D, n, B)
    else:
        dn_sum_rows_f32(simd, c, A, D, n, B)


cdef inline void repeat(int simd, floating* out, const floating* in_, Py_ssize_t n, Py_ssize_t r) noexcept nogil:
    if floating is double:
        dn_repeat_f64(simd, out, in_, n, r)
    else:
        dn_repeat_f32(simd, out, in_, n, r)


cdef inline void transpose(int simd, floating* out, Py_ssize_t ldo, const floating* in_, Py_ssize_t ldi,
                           Py_ssize_t m, Py_ssize_t n) noexcept nogil:
    if floating is double:
        dn_transpose_f64(simd, out, ldo, in_, ldi, m, n)
    else:
        dn_transpose_f32(simd, out, ldo, in_, ldi, m, n)
