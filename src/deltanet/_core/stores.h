/* out = d (x) g, (n_out, n_in), written past the caches: non-temporal stores (SSE2, the x86-64 baseline), else plain ones.
 *
 * A store needs alignment to its own width only, so a row may start anywhere: single numbers up to the
 * first 16-byte boundary, pairs or fours from there on. The processor's write-combining buffers join
 * consecutive stores to whole cache lines, across the ends of the segments too: no staging buffer.
 * dn_stream_fence makes the stores visible before another thread is told that they are done.
 */
#ifndef DN_STORES_H
#define DN_STORES_H

#include <stddef.h>

#if defined(__x86_64__) || defined(_M_X64)

#include <emmintrin.h>
#include <stdint.h>
#include <string.h>

static inline void dn_stream_fence(void) { _mm_sfence(); }

static inline void dn_stream_one_f64(double *out, double x) {
    long long bits;
    memcpy(&bits, &x, sizeof bits);
    _mm_stream_si64((long long *)out, bits);
}

static inline void dn_stream_one_f32(float *out, float x) {
    int bits;
    memcpy(&bits, &x, sizeof bits);
    _mm_stream_si32((int *)out, bits);
}

#define DN_STREAM(suffix, real, vec, width, set1, mul, loadu, stream)                              \
    static inline void dn_stream_##suffix(real *out, const real *d, const real *g,                 \
                                          ptrdiff_t n_out, ptrdiff_t n_in) {                       \
        for (ptrdiff_t j = 0; j < n_out; j++, out += n_in) {                                       \
            const vec dj = set1(d[j]);                                                             \
            ptrdiff_t i = 0;                                                                       \
            for (; i < n_in && ((uintptr_t)(out + i) & 15); i++)                                   \
                dn_stream_one_##suffix(out + i, d[j] * g[i]);                                      \
            for (; i + width <= n_in; i += width)                                                  \
                stream(out + i, mul(dj, loadu(g + i)));                                            \
            for (; i < n_in; i++)                                                                  \
                dn_stream_one_##suffix(out + i, d[j] * g[i]);                                      \
        }                                                                                          \
    }

DN_STREAM(f64, double, __m128d, 2, _mm_set1_pd, _mm_mul_pd, _mm_loadu_pd, _mm_stream_pd)
DN_STREAM(f32, float, __m128, 4, _mm_set1_ps, _mm_mul_ps, _mm_loadu_ps, _mm_stream_ps)

#else

static inline void dn_stream_fence(void) {}

#define DN_STREAM(suffix, real)                                                                    \
    static inline void dn_stream_##suffix(real *out, const real *d, const real *g,                 \
                                          ptrdiff_t n_out, ptrdiff_t n_in) {                       \
        for (ptrdiff_t j = 0; j < n_out; j++, out += n_in)                                         \
            for (ptrdiff_t i = 0; i < n_in; i++)                                                   \
                out[i] = d[j] * g[i];                                                              \
    }

DN_STREAM(f64, double)
DN_STREAM(f32, float)

#endif
#endif
