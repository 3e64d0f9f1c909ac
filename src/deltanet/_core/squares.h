/* dn_turn: out := in^T of a square whose side is a vector's width, 4 doubles or 8 floats. */
#ifndef DN_SQUARES_H
#define DN_SQUARES_H

#define DN_TURN(type, real, side)                                                                  \
    static inline void dn_turn_##type##_0(real *out, ptrdiff_t ldo, const real *in, ptrdiff_t ldi) { \
        for (int q = 0; q < side; q++)                                                             \
            for (int p = 0; p < side; p++)                                                         \
                out[q * ldo + p] = in[p * ldi + q];                                                \
    }

DN_TURN(f64, double, 4)
DN_TURN(f32, float, 8)

#if DN_LEVELS

#include <immintrin.h>

DN_LEVEL1 static inline void dn_turn_f64_1(double *out, ptrdiff_t ldo, const double *in, ptrdiff_t ldi) {
    __m256d a = _mm256_loadu_pd(in), b = _mm256_loadu_pd(in + ldi);
    __m256d c = _mm256_loadu_pd(in + 2 * ldi), d = _mm256_loadu_pd(in + 3 * ldi);
    __m256d ab0 = _mm256_unpacklo_pd(a, b), ab1 = _mm256_unpackhi_pd(a, b); /* columns 0 and 2, 1 and 3 */
    __m256d cd0 = _mm256_unpacklo_pd(c, d), cd1 = _mm256_unpackhi_pd(c, d);
    _mm256_storeu_pd(out, _mm256_permute2f128_pd(ab0, cd0, 0x20));
    _mm256_storeu_pd(out + ldo, _mm256_permute2f128_pd(ab1, cd1, 0x20));
    _mm256_storeu_pd(out + 2 * ldo, _mm256_permute2f128_pd(ab0, cd0, 0x31));
    _mm256_storeu_pd(out + 3 * ldo, _mm256_permute2f128_pd(ab1, cd1, 0x31));
}

DN_LEVEL1 static inline void dn_turn_f32_1(float *out, ptrdiff_t ldo, const float *in, ptrdiff_t ldi) {
    __m256 row[8], pair[8];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* rows i and i + 4 of each half */
        row[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(in + i * ldi)),
                                      _mm_loadu_ps(in + (i + 4) * ldi), 1);
        row[i + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(in + i * ldi + 4)),
                                          _mm_loadu_ps(in + (i + 4) * ldi + 4), 1);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        pair[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
        pair[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
        pair[i + 2] = _mm256_unpacklo_ps(row[i + 2], row[i + 3]);
        pair[i + 3] = _mm256_unpackhi_ps(row[i + 2], row[i + 3]);
        _mm256_storeu_ps(out + i * ldo, _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44));
        _mm256_storeu_ps(out + (i + 1) * ldo, _mm256_shuffle_ps(pair[i], pair[i + 2], 0xee));
        _mm256_storeu_ps(out + (i + 2) * ldo, _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44));
        _mm256_storeu_ps(out + (i + 3) * ldo, _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xee));
    }
}

#else

#define dn_turn_f64_1 dn_turn_f64_0
#define dn_turn_f32_1 dn_turn_f32_0

#endif

#endif
