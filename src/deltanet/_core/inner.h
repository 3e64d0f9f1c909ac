/* C = A B^T in register tiles, for rows that lie along the samples of a block: inner_body.h for each type.
 *
 *   dn_inner       C (M, N) := A B^T or C + A B^T    A (M, K), B (N, K), rows K apart, K whole vectors
 *
 * A number of C is as many chains of fused multiply-adds as a vector has lanes, added in pairs at the end: its bits
 * depend neither on its place in C nor on the threads. AVX2 with FMA, as tile.h.
 */
#ifndef DN_INNER_H
#define DN_INNER_H

#include <stddef.h>

#include "simd.h"

#if DN_LEVELS

#include <immintrin.h>

#define DN_INNER_ROWS 3 /* by 4: 12 sums, the rows of A and one of B fill the 16 registers */

/* (sum of a, of b, of c, of d) */
DN_LEVEL1 static inline __attribute__((always_inline)) __m256d dn_sums_f64(const __m256d *v)
{
    __m256d ab = _mm256_hadd_pd(v[0], v[1]), cd = _mm256_hadd_pd(v[2], v[3]);
    return _mm256_add_pd(_mm256_permute2f128_pd(ab, cd, 0x21), _mm256_blend_pd(ab, cd, 0xc));
}

DN_LEVEL1 static inline __attribute__((always_inline)) __m128 dn_sums_f32(const __m256 *v)
{
    __m256 sums = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    return _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1));
}

#define DN_TYPE f64
#define DN_REAL double
#define DN_VEC __m256d
#define DN_WIDTH 4
#define DN_OP(name) _mm256_##name##_pd
#define DN_FOUR __m256d
#define DN_FOUR_OP(name) _mm256_##name##_pd
#include "inner_body.h"
#undef DN_TYPE
#undef DN_REAL
#undef DN_VEC
#undef DN_WIDTH
#undef DN_OP
#undef DN_FOUR
#undef DN_FOUR_OP

#define DN_TYPE f32
#define DN_REAL float
#define DN_VEC __m256
#define DN_WIDTH 8
#define DN_OP(name) _mm256_##name##_ps
#define DN_FOUR __m128
#define DN_FOUR_OP(name) _mm_##name##_ps
#include "inner_body.h"
#undef DN_TYPE
#undef DN_REAL
#undef DN_VEC
#undef DN_WIDTH
#undef DN_OP
#undef DN_FOUR
#undef DN_FOUR_OP

#else

#define DN_NO_INNER(type, real)                                                                    \
    static inline void dn_inner_##type(real *C, ptrdiff_t ldc, const real *A, const real *B,       \
                                       ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, int add) {           \
        (void)C, (void)ldc, (void)A, (void)B, (void)M, (void)N, (void)K, (void)add;                \
    }

DN_NO_INNER(f64, double)
DN_NO_INNER(f32, float)

#endif

#endif
