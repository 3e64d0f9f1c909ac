#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define DN_INLINE static inline __attribute__((always_inline))
#define DN_UNUSED __attribute__((unused))
#define DN_RESTRICT __restrict__
#if defined(__AVX__)
#define DN_BYTES 32
#else
#define DN_BYTES 16
#endif
#define DN_LANES ((int)(DN_BYTES / sizeof(real)))
typedef real F(vec) __attribute__((vector_size(DN_BYTES)));
#else
#define DN_INLINE static inline
#define DN_UNUSED
#define DN_RESTRICT
#define DN_LANES 1
typedef real F(vec);
#endif
#if defined(__clang__)
#define DN_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define DN_UNROLL _Pragma("GCC unroll 16")
#else
#define DN_UNROLL
#endif
#if defined(__GNUC__) && (defined(__FMA__) || defined(__ARM_FEATURE_FMA))
#define DN_FUSED 1
#define DN_FMA __builtin_fma
#define DN_FMAf __builtin_fmaf
#else
#define DN_FUSED 0
#define DN_FMA(a, b, c) ((a) * (b) + (c))
#define DN_FMAf DN_FMA
#endif
