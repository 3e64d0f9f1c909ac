/* The plain loops of the core, for operands too small for BLAS: loops_body.h for each type and level.
 * AVX-512 has no level of its own: at these sizes its remainders cost more than its width gains.
 *
 *   dn_outer    out := d (x) g          out (n_out, n_in), d (n_out,), g (n_in,)
 *   dn_dots     C := C + A B^T          C (M, N), A (M, K), B (N, K)
 *   dn_combine  C := C + A B            C (M, N), A (M, K), B (K, N)
 *   dn_fold     C := C + A * b          C, A, b (N,)
 */
#ifndef DN_LOOPS_H
#define DN_LOOPS_H

#include <stddef.h>

#include "simd.h"

#define DN_JOIN_(name, type, level) dn_##name##_##type##_##level
#define DN_JOIN(name, type, level) DN_JOIN_(name, type, level)
#define DN_NAME(name) DN_JOIN(name, DN_TYPE, DN_LEVEL)

#define DN_TYPE f64
#define DN_REAL double
#include "loops_levels.h"
#undef DN_TYPE
#undef DN_REAL

#define DN_TYPE f32
#define DN_REAL float
#include "loops_levels.h"
#undef DN_TYPE
#undef DN_REAL

#define DN_DISPATCH(name, type, simd, args)                                                        \
    do {                                                                                           \
        if (simd >= 1)                                                                             \
            dn_##name##_##type##_1 args;                                                           \
        else                                                                                       \
            dn_##name##_##type##_0 args;                                                           \
    } while (0)

#define DN_LOOPS(type, real)                                                                       \
    static inline void dn_outer_##type(int simd, real *out, const real *d, const real *g,          \
                                       ptrdiff_t n_out, ptrdiff_t n_in) {                          \
        DN_DISPATCH(outer, type, simd, (out, d, g, n_out, n_in));                                  \
    }                                                                                              \
    static inline void dn_dots_##type(int simd, real *C, const real *A, const real *B,             \
                                      ptrdiff_t M, ptrdiff_t N, ptrdiff_t K) {                     \
        DN_DISPATCH(dots, type, simd, (C, A, B, M, N, K));                                         \
    }                                                                                              \
    static inline void dn_combine_##type(int simd, real *C, const real *A, const real *B,          \
                                         ptrdiff_t M, ptrdiff_t N, ptrdiff_t K) {                  \
        DN_DISPATCH(combine, type, simd, (C, A, B, M, N, K));                                      \
    }                                                                                              \
    static inline void dn_fold_##type(int simd, real *C, const real *A, const real *b,             \
                                      ptrdiff_t N) {                                               \
        DN_DISPATCH(fold, type, simd, (C, A, b, N));                                               \
    }

DN_LOOPS(f64, double)
DN_LOOPS(f32, float)

#endif
