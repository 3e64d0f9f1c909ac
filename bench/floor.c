/* What the hardware allows: streaming stores and nothing else. SSE2 only, like deltanet's own.
 * The numbers are not zero: some machines write lines of zeros twice as fast as others. */
#include <stddef.h>
#include <string.h>
#if defined(__x86_64__)
#include <emmintrin.h>

/* n is a multiple of 64, out is aligned to 64 bytes */
void stream(char *out, size_t n) {
    const __m128i value = _mm_set1_epi64x(0x400921fb54442d18); /* pi */
    for (size_t i = 0; i < n; i += 64)
        for (size_t j = 0; j < 64; j += 16)
            _mm_stream_si128((__m128i *)(out + i + j), value);
    _mm_sfence();
}
#else
void stream(char *out, size_t n) { memset(out, 0x40, n); }
#endif
