/* The plain loops of the core: loops_body.h for each type and level. AVX2 is the widest that pays;
 * its loops of a lone sample are those of lone_body.h.
 *
 * Of a lone sample, whose products are these and no others:
 *   dn_outer      out := d (x) g                  out (n_out, n_in), d (n_out,), g (n_in,)
 *   dn_fold_outer out := out + d (x) g          the same
 *   dn_dots       c := start + A b                c (M,), A (M, K), b (K,), start (M,) or NULL
 *   dn_combine    C := A B                        C (M, N), A (M, K), B (K, N)
 * Of a block with samples s = 0 .. B-1 in its lanes:
 *   dn_multiply   C := C * A                      C, A (n,)
 *   dn_fold       C := C + A * B                  C, A, B (n,)
 *   dn_seed       C_js := slope_s w_j fprime_js   C, fprime (n, B), slope (B,), w (n,)
 *   dn_fold_rows  C_js := C_js + a_s A_js         C, A (n, B), a (B,)
 *   dn_scale_rows C_js := a_s A_js                C, A (n, B), a (B,)
 *   dn_row_sums   c_j := c_j + sum_s A_js         c (n,), A (n, B), of its first N lanes
 *   dn_sum_rows   c_s := c_s + sum_j A_js D_js    c (B,), A, D (n, B)
 * Of numbers side by side:
 *   dn_repeat     out := each of in r times       out (n r,) and 32 bytes behind it, in (n,)
 *   dn_transpose  out := in^T                     out (n, m; rows ldo apart), in (m, n; rows ldi apart)
 */
#ifndef DN_LOOPS_H
#define DN_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#include "simd.h"
#include "squares.h"
#include "sums.h"

#if DN_LEVELS
#include <immintrin.h>
#endif

#define DN_JOIN_(name, type, level) dn_##name##_##type##_##level
#define DN_JOIN(name, type, level) DN_JOIN_(name, type, level)
#define DN_NAME(name) DN_JOIN(name, DN_TYPE, DN_LEVEL)

#define DN_BODY "loops_levels.h"
#include "both_types.h"

#define DN_LOOP_OF(name, type, parameters, arguments)                                              \
    static inline void dn_##name##_##type parameters {                                             \
        if (simd >= 1)                                                                             \
            dn_##name##_##type##_1 arguments;                                                      \
        else                                                                                       \
            dn_##name##_##type##_0 arguments;                                                      \
    }

#define DN_LOOPS(type, real)                                                                       \
    DN_LOOP_OF(outer, type, (int simd, real *out, const real *d, const real *g, ptrdiff_t n_out, ptrdiff_t n_in), (out, d, g, n_out, n_in)) \
    DN_LOOP_OF(fold_outer, type, (int simd, real *out, const real *d, const real *g, ptrdiff_t n_out, ptrdiff_t n_in), (out, d, g, n_out, n_in)) \
    DN_LOOP_OF(dots, type, (int simd, real *c, const real *A, const real *b, const real *start, ptrdiff_t M, ptrdiff_t K), (c, A, b, start, M, K)) \
    DN_LOOP_OF(combine, type, (int simd, real *C, const real *A, const real *B, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K), (C, A, B, M, N, K)) \
    DN_LOOP_OF(multiply, type, (int simd, real *C, const real *A, ptrdiff_t n), (C, A, n)) \
    DN_LOOP_OF(fold, type, (int simd, real *C, const real *A, const real *B, ptrdiff_t n), (C, A, B, n)) \
    DN_LOOP_OF(seed, type, (int simd, real *C, const real *w, const real *slope, const real *fprime, ptrdiff_t n, ptrdiff_t B), (C, w, slope, fprime, n, B)) \
    DN_LOOP_OF(fold_rows, type, (int simd, real *C, const real *a, const real *A, ptrdiff_t n, ptrdiff_t B), (C, a, A, n, B)) \
    DN_LOOP_OF(scale_rows, type, (int simd, real *C, const real *a, const real *A, ptrdiff_t n, ptrdiff_t B), (C, a, A, n, B)) \
    DN_LOOP_OF(row_sums, type, (int simd, real *c, const real *A, ptrdiff_t n, ptrdiff_t N, ptrdiff_t B), (c, A, n, N, B)) \
    DN_LOOP_OF(sum_rows, type, (int simd, real *c, const real *A, const real *D, ptrdiff_t n, ptrdiff_t B), (c, A, D, n, B)) \
    DN_LOOP_OF(repeat, type, (int simd, real *out, const real *in, ptrdiff_t n, ptrdiff_t r), (out, in, n, r)) \
    DN_LOOP_OF(transpose, type, (int simd, real *out, ptrdiff_t ldo, const real *in, ptrdiff_t ldi, ptrdiff_t m, ptrdiff_t n), (out, ldo, in, ldi, m, n))

DN_LOOPS(f64, double)
DN_LOOPS(f32, float)

#endif
