/* Run-time dispatch: a function is compiled once for each set of vector instructions.
 *
 * Level 0 is the baseline of the build, 1 is AVX2 with FMA, 2 is AVX-512. A level that the compiler or the
 * processor has not got is never asked for: levels are at most dn_simd_best().
 */
#ifndef DN_SIMD_H
#define DN_SIMD_H

#include <stddef.h>

#if defined(__GNUC__) && defined(__x86_64__)

#define DN_LEVELS 1
#define DN_LEVEL1 __attribute__((target("avx2,fma")))
#if defined(__clang__)
#define DN_LEVEL2 __attribute__((target("avx2,fma,avx512f,avx512dq,avx512vl,avx512bw")))
#else
#define DN_LEVEL2 \
    __attribute__((target("avx2,fma,avx512f,avx512dq,avx512vl,avx512bw,prefer-vector-width=512")))
#endif

static inline int dn_simd_best(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 0;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
               && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")
        ? 2 : 1;
}

#else

#define DN_LEVELS 0
#define DN_LEVEL1
#define DN_LEVEL2

static inline int dn_simd_best(void) { return 0; }

#endif

#if defined(_MSC_VER)
#define DN_RESTRICT __restrict
#else
#define DN_RESTRICT __restrict__
#endif

/* dn_NAME_TYPE(simd, ...) of a body that is compiled for vectors of 256 and of 512 bits (both_types.h); and where there
 * are none, which nobody calls. */
#define DN_WIDEST(name, type, parameters, arguments)                                               \
    static inline void dn_##name##_##type parameters {                                             \
        if (simd >= 2)                                                                             \
            dn_##name##_##type##_512 arguments;                                                    \
        else                                                                                       \
            dn_##name##_##type##_256 arguments;                                                    \
    }
#define DN_NOWHERE(name, type, parameters, arguments) static inline void dn_##name##_##type parameters { }

#endif
