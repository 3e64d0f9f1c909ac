/* The sum of each of four vectors, side by side; AVX2. */
#ifndef DN_SUMS_H
#define DN_SUMS_H

#include "simd.h"

#if DN_LEVELS

#include <immintrin.h>

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

#endif

#endif
