/* Activations over a row of local fields: h = f(v), fprime = f'(v) and, if asked for, fsecond = f''(v).
 *
 * vecmath_body.h and the files behind it compute each as one branch-free function of a real, for double and for float.
 * A loop over blocks of
 * so many elements as one or two vectors hold calls it, and the compiler vectorises that loop for each instruction set.
 * bench/fit_vecmath.py writes the constants, vecmath64.h and vecmath32.h. Build with -ffp-contract=off: every fused
 * operation is written out, so that a value does not depend on its place in the row; and with -O3 -fno-math-errno
 * -fno-trapping-math, without which gcc does not vectorise the selects.
 */
#ifndef DN_VECMATH_H
#define DN_VECMATH_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "simd.h"

#if defined(__GNUC__)
#define DN_INLINE static inline __attribute__((always_inline))
#define DN_UNUSED __attribute__((unused))
#elif defined(_MSC_VER)
#define DN_INLINE static __forceinline
#define DN_UNUSED
#else
#define DN_INLINE static inline
#define DN_UNUSED
#endif

#if defined(__GNUC__)
#define DN_NO_VECTOR __asm__ volatile("");
#else
#define DN_NO_VECTOR
#endif

#if defined(__GNUC__) && (defined(__FMA__) || defined(__ARM_FEATURE_FMA))
#define DN_FUSED 1 /* also at the baseline */
#else
#define DN_FUSED 0
#endif
#define DN_LEVEL_FUSED (DN_LEVELS || DN_FUSED)

#if defined(__GNUC__)
#define DN_FMA __builtin_fma
#define DN_FMAf __builtin_fmaf
#else
#define DN_FMA(a, b, c) (a * b + c)
#define DN_FMAf DN_FMA
#endif

/* A polynomial p(x) of odd degree is x odd(x^2) + even(x^2): two Horner chains, which run side by side */
#define DN_TERMS(c_odd, c_even) odd = F(fma)(fused, odd, x2, c_odd), even = F(fma)(fused, even, x2, c_even);

#define ACTIVATION(name)                                                                                              \
    DN_INLINE F(triple) F(element_##name)(int fused DN_UNUSED, real v, F(parameters) a DN_UNUSED)
#define RETURN(f, slope, second) do { F(triple) dn_result = {f, slope, second}; return dn_result; } while (0)

#define real double
#define DN_BITS 64
#define F(name) dn_##name##_f64
#define M(name) name
#include "vecmath_type.h"
#define real float
#define DN_BITS 32
#define F(name) dn_##name##_f32
#define M(name) name##f
#include "vecmath_type.h"
#undef ACTIVATION
#undef RETURN

/* ---- rows ---------------------------------------------------------------------------------------------------- */

#define DN_ACTIVATIONS(X, type)                                                                                       \
    X(identity, type) X(tanh, type) X(lecun_tanh, type) X(sigmoid, type) X(relu, type) X(leaky_relu, type)             \
    X(elu, type) X(selu, type) X(softplus, type) X(gelu, type) X(gelu_tanh, type) X(silu, type) X(softsign, type)      \
    X(gaussian, type) X(sin, type) X(relu6, type) X(hardtanh, type) X(hardsigmoid, type) X(hardswish, type)            \
    X(celu, type) X(mish, type) X(exp, type) X(logsigmoid, type) X(tanhshrink, type) X(softshrink, type)               \
    X(threshold, type) X(swish, type) X(cos, type) X(abs, type) X(square, type) X(erf, type) X(atan, type)

#define DN_CODE(name, type) DN_##name,
enum dn_activation { DN_ACTIVATIONS(DN_CODE, ) DN_num_activations };

#define DN_NAME_OF(name, type) #name " "
#define DN_NAMES DN_ACTIVATIONS(DN_NAME_OF, ) /* in the order of the codes, each with a space behind */

/* `orders` is a constant in each loop: 1 where f and f' are stored, 2 where f'' is too */
#define DN_ELEMENT(name, type)                                                                                        \
    dn_triple_##type y = dn_element_##name##_##type(fused, h[k], a);                                                  \
    h[k] = y.f;                                                                                                       \
    fprime[k] = y.slope;                                                                                              \
    if (orders == 2) fsecond[k] = y.second;

#define DN_BLOCK(name, type)                                                                                          \
    case DN_##name:                                                                                                   \
        for (; n >= lanes; n -= lanes, h += lanes, fprime += lanes, fsecond += lanes)                                 \
            for (k = 0; k < lanes; k++) { DN_ELEMENT(name, type) }                                                    \
        break;

#define DN_SINGLE(name, type)                                                                                         \
    case DN_##name:                                                                                                   \
        for (k = 0; k < n; k++) { DN_ELEMENT(name, type) DN_NO_VECTOR }                                               \
        break;

/* A row, in blocks of `lanes` elements; the last block overlaps the one before. At most three elements one by one. */
#define DN_ROW(order, level, target, is_fused, type, real, width)                                                     \
    target static void dn_blocks##order##_##level##_##type(int code, dn_parameters_##type a, real *DN_RESTRICT h,     \
                                                          real *DN_RESTRICT fprime,                                   \
                                                          real *DN_RESTRICT fsecond DN_UNUSED, ptrdiff_t n)           \
    {                                                                                                                 \
        enum { orders = order, fused = is_fused, lanes = width };                                                     \
        int k;                                                                                                        \
        switch (code) { DN_ACTIVATIONS(DN_BLOCK, type) }                                                              \
    }                                                                                                                 \
    target static void dn_few##order##_##level##_##type(int code, dn_parameters_##type a, real *DN_RESTRICT h,        \
                                                       real *DN_RESTRICT fprime, real *DN_RESTRICT fsecond DN_UNUSED, \
                                                       int n)                                                         \
    {                                                                                                                 \
        enum { orders = order, fused = is_fused };                                                                    \
        int k;                                                                                                        \
        switch (code) { DN_ACTIVATIONS(DN_SINGLE, type) }                                                             \
    }                                                                                                                 \
    target static void dn_row##order##_##level##_##type(int code, double alpha, double beta, real *h, real *fprime,   \
                                                       real *fsecond, ptrdiff_t n)                                    \
    {                                                                                                                 \
        enum { lanes = width };                                                                                       \
        dn_parameters_##type a = dn_split_##type(alpha, beta);                                                        \
        real rest[lanes] = {0}, slope[lanes], second[lanes];                                                          \
        ptrdiff_t left = n % lanes;                                                                                   \
        if (n <= 3) {                                                                                                 \
            dn_few##order##_##level##_##type(code, a, h, fprime, fsecond, (int)n);                                    \
        } else if (n < lanes) {                                                                                       \
            memcpy(rest, h, left * sizeof(real));                                                                     \
            dn_blocks##order##_##level##_##type(code, a, rest, slope, second, lanes);                                 \
            memcpy(h, rest, left * sizeof(real));                                                                     \
            memcpy(fprime, slope, left * sizeof(real));                                                               \
            if (order == 2) memcpy(fsecond, second, left * sizeof(real));                                             \
        } else {                                                                                                      \
            if (left) memcpy(rest, h + n - lanes, sizeof rest);                                                       \
            dn_blocks##order##_##level##_##type(code, a, h, fprime, fsecond, n);                                      \
            if (!left) return;                                                                                        \
            dn_blocks##order##_##level##_##type(code, a, rest, slope, second, lanes);                                 \
            memcpy(h + n - lanes, rest, sizeof rest);                                                                 \
            memcpy(fprime + n - lanes, slope, sizeof slope);                                                          \
            if (order == 2) memcpy(fsecond + n - lanes, second, sizeof second);                                       \
        }                                                                                                             \
    }

/* Sines and cosines one by one, where one is outside the range of the formula */
#define DN_FAR(type, real)                                                                                            \
    static int dn_outside_##type(const real *v, ptrdiff_t n)                                                          \
    {                                                                                                                 \
        int outside = 0;                                                                                              \
        for (ptrdiff_t k = 0; k < n; k++) outside |= !(dn_abs_##type(v[k]) <= dn_last_sin_##type);                    \
        return outside;                                                                                               \
    }                                                                                                                 \
    static void dn_far_sin_##type(int code, real *h, real *fprime)                                                    \
    {                                                                                                                 \
        /* of infinity they would set errno */                                                                        \
        double v = *h, s = v - v, c = s;                                                                              \
        if (s == 0) s = sin(v), c = cos(v);                                                                           \
        *h = (real)(code == DN_sin ? s : c);                                                                          \
        *fprime = (real)(code == DN_sin ? c : -s);                                                                    \
    }

/* simd is at most dn_simd_best(). Of order 1, fsecond is not written */
#define DN_ROWS(order, type, real)                                                                                    \
    DN_UNUSED static void dn_rows##order##_##type(int simd, int code, double alpha, double beta, real *h,             \
                                                  real *fprime, real *fsecond, ptrdiff_t n)                           \
    {                                                                                                                 \
        if ((code == DN_sin || code == DN_cos) && dn_outside_##type(h, n)) {                                          \
            for (ptrdiff_t k = 0; n > 1 && k < n; k++)                                                                \
                dn_rows##order##_##type(simd, code, alpha, beta, h + k, fprime + k, fsecond + k, 1);                  \
            if (n == 1) dn_far_sin_##type(code, h, fprime);                                                           \
            if (n == 1 && order == 2) *fsecond = -*h;                                                                 \
        } else if (simd >= 2) dn_row##order##_2_##type(code, alpha, beta, h, fprime, fsecond, n);                     \
        else if (simd == 1) dn_row##order##_1_##type(code, alpha, beta, h, fprime, fsecond, n);                       \
        else dn_row##order##_0_##type(code, alpha, beta, h, fprime, fsecond, n);                                      \
    }

#define DN_LEVELS_OF(order)                                                                                           \
    DN_ROW(order, 0, , DN_FUSED, f64, double, 4)                                                                      \
    DN_ROW(order, 1, DN_LEVEL1, DN_LEVEL_FUSED, f64, double, 4)                                                       \
    DN_ROW(order, 2, DN_LEVEL2, DN_LEVEL_FUSED, f64, double, 8)                                                       \
    DN_ROW(order, 0, , DN_FUSED, f32, float, 8)                                                                       \
    DN_ROW(order, 1, DN_LEVEL1, DN_LEVEL_FUSED, f32, float, 8)                                                        \
    DN_ROW(order, 2, DN_LEVEL2, DN_LEVEL_FUSED, f32, float, 16)                                                       \
    DN_ROWS(order, f64, double)                                                                                       \
    DN_ROWS(order, f32, float)

DN_FAR(f64, double)
DN_FAR(f32, float)
DN_LEVELS_OF(1)
DN_LEVELS_OF(2)

/* h = v on entry, f(v) on exit; fprime = f'(v); of activate2 also fsecond = f''(v) */
#define DN_ACTIVATE(type, real)                                                                                       \
    DN_UNUSED static void dn_activate_##type(int simd, int code, double alpha, double beta, real *h, real *fprime,    \
                                             ptrdiff_t n)                                                             \
    {                                                                                                                 \
        dn_rows1_##type(simd, code, alpha, beta, h, fprime, fprime, n);                                               \
    }                                                                                                                 \
    DN_UNUSED static void dn_activate2_##type(int simd, int code, double alpha, double beta, real *h, real *fprime,   \
                                              real *fsecond, ptrdiff_t n)                                             \
    {                                                                                                                 \
        dn_rows2_##type(simd, code, alpha, beta, h, fprime, fsecond, n);                                              \
    }

DN_ACTIVATE(f64, double)
DN_ACTIVATE(f32, float)

#endif
