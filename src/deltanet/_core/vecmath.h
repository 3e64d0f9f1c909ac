/* Activations over a row of local fields: h = f(v) and fprime = f'(v).
 *
 * Each activation is one branch-free function of a double. A loop over the row calls it, and the compiler vectorises
 * that loop once for each instruction set and each type of row; a float is computed as a double and rounded once.
 * bench/fit_vecmath.py computes every constant. Build with -ffp-contract=off: every fused operation is written out
 * (dn_fma), so that a value does not depend on its place in the row; and with -O3 -fno-math-errno -fno-trapping-math,
 * without which gcc does not vectorise the selects.
 *
 * v       local field             dn_dd   hi + lo, a number in twice the precision
 * fused   1 where the processor has fused multiply-add: a constant in each loop, as is simd
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

#if defined(__GNUC__) && (defined(__FMA__) || defined(__ARM_FEATURE_FMA))
#define DN_FUSED 1 /* also at the baseline */
#else
#define DN_FUSED 0
#endif
#define DN_LEVEL_FUSED (DN_LEVELS || DN_FUSED)

typedef struct { double f, slope; } dn_pair;
typedef struct { double hi, lo; } dn_dd;

/* ---- arithmetic ---------------------------------------------------------------------------------------------- */

/* a b + c, in one rounding where fused */
DN_INLINE double dn_fma(int fused, double a, double b, double c)
{
#if defined(__GNUC__)
    return fused ? __builtin_fma(a, b, c) : a * b + c;
#else
    (void)fused;
    return a * b + c;
#endif
}

/* min(a, limit); NaN stays */
DN_INLINE double dn_min(double a, double limit) { return a > limit ? limit : a; }

/* the leading 26 bits of x: the product of two such heads is exact */
DN_INLINE double dn_head(double x)
{
    uint64_t b;
    memcpy(&b, &x, sizeof b);
    b &= ~(uint64_t)0x7ffffff;
    memcpy(&x, &b, sizeof x);
    return x;
}

/* 2^n, -1022 <= n <= 1023: n + 1023 is in the last bits of 2^52 + (n + 1023), and is moved to the exponent */
DN_INLINE double dn_pow2(double n)
{
    uint64_t b;
    n += 0x1p52 + 1023;
    memcpy(&b, &n, sizeof b);
    b <<= 52;
    memcpy(&n, &b, sizeof n);
    return n;
}

DN_INLINE dn_dd dn_exact(double x)
{
    dn_dd r = {x, 0};
    return r;
}

/* a + b, exactly (Knuth) */
DN_INLINE dn_dd dn_add(double a, double b)
{
    double s = a + b, t = s - a;
    dn_dd r = {s, (a - (s - t)) + (b - t)};
    return r;
}

/* a b, exactly (Dekker) */
DN_INLINE dn_dd dn_mul(int fused, double a, double b)
{
    double ah = dn_head(a), al = a - ah, bh = dn_head(b), bl = b - bh, p = a * b;
    dn_dd r = {p, fused ? dn_fma(fused, a, b, -p) : ((ah * bh - p) + (ah * bl + al * bh)) + al * bl};
    return r;
}

/* a b, to 2^-100 */
DN_INLINE dn_dd dn_mul_dd(int fused, dn_dd a, dn_dd b)
{
    dn_dd r = dn_mul(fused, a.hi, b.hi);
    r.lo += dn_fma(fused, a.hi, b.lo, a.lo * b.hi);
    return r;
}

/* A polynomial p(x) of odd degree is x odd(x^2) + even(x^2): two Horner chains, which run side by side */
#define DN_TERMS(x2, c_odd, c_even) odd = dn_fma(fused, odd, x2, c_odd), even = dn_fma(fused, even, x2, c_even);
#define DN_POLYNOMIAL(x) dn_fma(fused, odd, x, even)

/* ---- exp and log --------------------------------------------------------------------------------------------- */

/* exp(x) = e tail and expm1(x) = m, for -797 <= x <= 700 and |x.lo| < 2^-16:
 * x = n ln 2 + r, q = expm1(r) = r + r^2 E(r), e = scale (1 + q), scale tail = 2^n, tail = 1 unless 2^n is tiny.
 * Whatever else multiplies e does so before tail does: then only that last product may round to a denormal. A sum
 * 1 + e needs no tail: either way it is 1 where tail is not. */
typedef struct { double e, m, tail, q, scale; } dn_exponential;

DN_INLINE dn_exponential dn_exp(int fused, dn_dd x)
{
    const double round = 0x1.8p52, ln2_hi = 0x1.62e42fefa4p-1, ln2_lo = -0x1.8432a1b0e2634p-43;
    double n = dn_fma(fused, x.hi, 0x1.71547652b82fep+0, round) - round;
    double r = dn_fma(fused, -n, ln2_hi, x.hi) + dn_fma(fused, -n, ln2_lo, x.lo);
    double r2 = r * r, odd = 0x1.af76a4e09803fp-26, even = 0x1.28a2a6a7a9241p-22;
    DN_TERMS(r2, 0x1.71ddea0cfe7a6p-19, 0x1.a019a69079ec5p-16)
    DN_TERMS(r2, 0x1.a01a01b5d32e6p-13, 0x1.6c16c17f3136fp-10)
    DN_TERMS(r2, 0x1.111111110e6e9p-7, 0x1.555555555211dp-5)
    DN_TERMS(r2, 0x1.555555555555cp-3, 0x1.0000000000005p-1)
    int tiny = n < -900;
    double q = dn_fma(fused, r2, DN_POLYNOMIAL(r), r), scale = dn_pow2(tiny ? n + 256 : n);
    dn_exponential result = {dn_fma(fused, scale, q, scale), dn_fma(fused, scale, q, scale - 1),
                             tiny ? 0x1p-256 : 1, q, scale};
    return result;
}

/* log(1 + e), 0 <= e <= 1: = t + t y L(y), t = e / (1 + e/2), y = t^2 */
DN_INLINE double dn_log1p(int fused, double e)
{
    double t = e / dn_fma(fused, 0.5, e, 1), y = t * t, y2 = y * y;
    double odd = 0x1.5c2b5da69b77bp-24, even = 0x1.560981d3b1113p-23;
    DN_TERMS(y2, 0x1.efc2b3fcaeb05p-21, 0x1.10693ddd54b57p-18)
    DN_TERMS(y2, 0x1.3b1dbc127d4d1p-16, 0x1.745cb5a3996c2p-14)
    DN_TERMS(y2, 0x1.c71c740ee32afp-12, 0x1.24924920ad390p-9)
    DN_TERMS(y2, 0x1.99999999a022bp-7, 0x1.5555555555537p-4)
    return dn_fma(fused, t * y, DN_POLYNOMIAL(y), t);
}

/* ---- the activations: v -> f(v), f'(v); alpha is the parameter of those that have one -------------------------- */

#define DN_ACTIVATION(name) DN_INLINE dn_pair dn_##name(int fused DN_UNUSED, double v, double alpha DN_UNUSED)
#define DN_RETURN(f, slope) do { dn_pair dn_result = {f, slope}; return dn_result; } while (0)

/* v */
DN_ACTIVATION(identity) { DN_RETURN(v, v == v ? 1 : v); }

/* max(v, 0) */
DN_ACTIVATION(relu) { DN_RETURN(v <= 0 ? 0 : v, v > 0 ? 1 : v <= 0 ? 0 : v); }

/* max(v, 0) + alpha min(v, 0) */
DN_ACTIVATION(leaky_relu) { DN_RETURN(v > 0 ? v : alpha * v, v > 0 ? 1 : v <= 0 ? alpha : v); }

/* v / (1 + |v|), 1 / (1 + |v|)^2 */
DN_ACTIVATION(softsign)
{
    double a = dn_min(fabs(v), 1e300), inv = 1 / (1 + a);
    DN_RETURN(copysign(a * inv, v), inv * inv);
}

/* sin v, cos v */
DN_ACTIVATION(sin) { DN_RETURN(sin(v), cos(v)); }

/* exp(-v^2), -2 v exp(-v^2) */
DN_ACTIVATION(gaussian)
{
    double a = dn_min(fabs(v), 28.2);
    dn_exponential x = dn_exp(fused, dn_mul(fused, a, -a));
    DN_RETURN(x.e * x.tail, copysign(2 * a, -v) * x.e * x.tail);
}

/* (1 + e)^2, nearer than the square of the rounded 1 + e. 0 <= e <= 1 */
DN_INLINE double dn_square1p(int fused, double e) { return 1 + dn_fma(fused, e, e, 2 * e); }

/* c |tanh u| = -c expm1(x) / (1 + e), c_slope sech^2 u / 4 = c_slope e / (1 + e)^2, for x = -2|u| and e = exp(x) */
DN_INLINE dn_pair dn_tanh_sech2(int fused, dn_dd x, double c, double c_slope)
{
    dn_exponential z = dn_exp(fused, x);
    DN_RETURN(-c * z.m / (1 + z.e), c_slope * z.e / dn_square1p(fused, z.e) * z.tail);
}

/* tanh v, sech^2 v */
DN_ACTIVATION(tanh)
{
    dn_pair y = dn_tanh_sech2(fused, dn_exact(-2 * dn_min(fabs(v), 398)), 1, 4);
    DN_RETURN(copysign(y.f, v), y.slope);
}

/* 1.7159 tanh(2 v / 3), 1.7159 (2/3) sech^2(2 v / 3) */
DN_ACTIVATION(lecun_tanh)
{
    double a = dn_min(fabs(v), 597);
    dn_dd x = dn_mul(fused, a, -0x1.5555555555555p+0);
    x.lo = dn_fma(fused, a, -0x1.5555555555555p-54, x.lo);
    dn_pair y = dn_tanh_sech2(fused, x, 0x1.b74538ef34d6ap+0, 0x1.24d8d09f788f1p+2);
    DN_RETURN(copysign(y.f, v), y.slope);
}

/* v > 0: c v, c.  v <= 0: c_neg expm1(v), c_neg exp(v) */
DN_INLINE dn_pair dn_exponential_linear(int fused, double v, double c, double c_neg)
{
    dn_exponential x = dn_exp(fused, dn_exact(-dn_min(-dn_min(v, 0), 797)));
    double f = c_neg * x.m, slope = c_neg * x.e * x.tail;
    DN_RETURN(v > 0 ? c * v : f, v > 0 ? c : slope);
}

/* v or alpha expm1(v) */
DN_ACTIVATION(elu) { return dn_exponential_linear(fused, v, 1, alpha); }

/* lambda v or lambda alpha expm1(v) */
DN_ACTIVATION(selu) { return dn_exponential_linear(fused, v, 0x1.0cfabd6a91132p+0, 0x1.c212cc640f031p+0); }

/* 1 / (1 + exp(-v)); with e = exp(-|v|), e / (1 + e)^2 */
DN_ACTIVATION(sigmoid)
{
    dn_exponential x = dn_exp(fused, dn_exact(-dn_min(fabs(v), 797)));
    double tail = v < 0 ? x.tail : 1;
    DN_RETURN((v < 0 ? x.e : 1) / (1 + x.e) * tail, x.e / dn_square1p(fused, x.e) * x.tail);
}

/* log(1 + exp(alpha v)) / alpha = max(v, 0) + log1p(e) / alpha, e = exp(-alpha |v|); 1 / (1 + exp(-alpha v)) */
DN_ACTIVATION(softplus)
{
    dn_exponential x = dn_exp(fused, dn_mul(fused, dn_min(fabs(v), dn_min(797 / alpha, 0x1p1000)), -alpha));
    double tail = v < 0 ? x.tail : 1;
    DN_RETURN((v < 0 ? 0 : v) + dn_log1p(fused, x.e) / alpha * x.tail, (v < 0 ? x.e : 1) / (1 + x.e) * tail);
}

/* v s(w(v)), s + v w'(v) s(w) s(-w), where s is the sigmoid and w an odd function. With z = -|v|, e = exp(w(z)):
 *   v < 0:  v e / (1 + e),  e g(z) / (1 + e)^2,  g(z) = 1 + e + z w'(z)
 *   v > 0:  v / (1 + e),    (1 + e (1 - z w'(z))) / (1 + e)^2
 * g has a root r. The caller gives c = exp(w(r)), D = w(z) - w(r) and j = z w'(z) - r w'(r) - D: then e = c exp(D) and
 * g = c expm1(D) + j + D, whose terms have one sign. For v > 0 it gives them with r = 0.
 * Where fused, e g is formed with one rounding fewer. */
DN_INLINE dn_pair dn_gated(int fused, double v, double z, dn_dd D, double j, dn_dd c)
{
    dn_exponential x = dn_exp(fused, D);
    double cq = dn_fma(fused, c.hi, x.q, c.lo), e = x.scale * (c.hi + cq), tail = v < 0 ? x.tail : 1, low = z * e;
    double g = D.hi + dn_fma(fused, c.hi, x.m, j), slope_high = dn_fma(fused, e, (1 - D.hi) - j, 1);
    double slope_low = fused ? x.scale * dn_fma(fused, c.hi, g, cq * g) : e * g;
    DN_RETURN((v < 0 ? low : v) / (1 + e) * tail, (v < 0 ? slope_low : slope_high) / dn_square1p(fused, e) * tail);
}

/* v s(v): w(z) = z, D = z - r, j = 0 but for the rounding of D */
DN_ACTIVATION(silu)
{
    double z = -dn_min(fabs(v), 795);
    dn_dd r = {v < 0 ? -0x1.474973c84120bp+0 : 0, v < 0 ? -0x1.f8d74bc9ac154p-54 : 0};
    dn_dd c = {v < 0 ? 0x1.1d25cf210482ep-2 : 1, v < 0 ? -0x1.ca2d0d94faaecp-60 : 0};
    dn_dd D = dn_add(z, -r.hi);
    D.lo -= r.lo;
    return dn_gated(fused, v, z, D, D.lo, c);
}

/* v (1 + tanh(w/2)) / 2 = v s(w), w(z) = a z + b z^3. With y = z (z + r):
 * D = (z - r) (a + b r^2 + b y), j = (z - r) (2 b r^2 + 2 b y) */
DN_ACTIVATION(gelu_tanh)
{
    double z = -dn_min(fabs(v), 22);
    dn_dd r = {v < 0 ? -0x1.81429f9e97e4dp-1 : 0, v < 0 ? 0x1.4f523ed77dbdcp-55 : 0};
    dn_dd c = {v < 0 ? 0x1.2af64e9c485eep-2 : 1, v < 0 ? -0x1.3ca470b477afcp-57 : 0};
    dn_dd a_br2 = {v < 0 ? 0x1.a2dc0b014e208p+0 : 0x1.9884533d43651p+0,
                   v < 0 ? -0x1.2af8a15dd1a6dp-55 : -0x1.cbc0d30ebfd15p-54};
    dn_dd b = {0x1.2444f2a4d8b4bp-4, -0x1.6c843a29d1c7p-61};
    dn_dd d = dn_add(z, -r.hi), sum = dn_add(z, r.hi), y = dn_mul(fused, z, sum.hi), by, factor, D;
    double two_br2 = v < 0 ? 0x1.4af6f881576eap-4 : 0, j;
    d.lo -= r.lo;
    y.lo = dn_fma(fused, z, sum.lo + r.lo, y.lo);
    by = dn_mul_dd(fused, b, y);
    factor = dn_add(a_br2.hi, by.hi);
    factor.lo += a_br2.lo + by.lo;
    D = dn_mul_dd(fused, d, factor);
    j = dn_fma(fused, d.hi + d.lo, dn_fma(fused, 2 * b.hi, y.hi, two_br2), D.lo);
    return dn_gated(fused, v, z, D, j, c);
}

/* v Phi(v), Phi(v) + v phi(v), where phi is the normal density and Phi its distribution. With z = |v|, the Mills ratio
 * R(z) = Phi(-z) / phi(z) and G(z) = R(z) - z:
 *   v < 0:  -L,     phi G,      L = z phi R
 *   v > 0:  v - L,  1 - phi G
 * R(z0) = z0 is the root of G. With c = phi(0), i = 1 / (z + 2), d = z - z0 and t = d i,
 *   c R(z) = (N0 + t P(t)) i,  c G(z) = d ((P(t) i - c z0) i - c), where P < 0: the terms of the latter do not cancel.
 * z i = 1 - 2 i loses nothing to the rounding of i where z is large. */
DN_ACTIVATION(gelu)
{
    double z = dn_min(fabs(v), 39.9), i = 1 / (z + 2), d = (z - 0x1.80ead197f00b4p-1) + 0x1.13e74c58cada8p-56;
    double t = d * i, t2 = t * t, odd = 0x1.101ac59143a85p-11, even = -0x1.cc3ba633566b2p-9, p, zi, L, G;
    dn_exponential x = dn_exp(fused, dn_mul(fused, z, -0.5 * z));
    double tail = v < 0 ? x.tail : 1;
    DN_TERMS(t2, 0x1.417e4b5c6e4b8p-7, -0x1.cd93e8176602fp-7)
    DN_TERMS(t2, 0x1.392325babe2f6p-7, 0x1.08072143c5d64p-11)
    DN_TERMS(t2, -0x1.7ee5745300b99p-8, 0x1.c4493931654a4p-9)
    DN_TERMS(t2, 0x1.91599b8073a4fp-12, -0x1.303e41a36b8d7p-10)
    DN_TERMS(t2, 0x1.b389aa8b10224p-12, 0x1.f7d9b3c95a690p-13)
    DN_TERMS(t2, -0x1.797e0eeb7ec11p-14, -0x1.5c2fac1622b49p-13)
    DN_TERMS(t2, -0x1.8430afefd1bdfp-12, -0x1.ffa73f5c64237p-12)
    DN_TERMS(t2, -0x1.8cbf853d97a65p-13, 0x1.88db41999a517p-11)
    DN_TERMS(t2, 0x1.1391aabf72840p-9, 0x1.5a602e4d8624cp-9)
    DN_TERMS(t2, 0x1.796e80da4f92ap-14, -0x1.cf9be93ddf739p-8)
    DN_TERMS(t2, -0x1.df75b227ca545p-7, -0x1.c133e43ee10cep-8)
    DN_TERMS(t2, 0x1.26d82587a842dp-5, 0x1.5e0ff2fbf33a2p-4)
    DN_TERMS(t2, -0x1.23d6cee5541e8p-5, -0x1.f3ed1ef3c41abp-2)
    p = DN_POLYNOMIAL(t);
    zi = z < 8 ? z * i : dn_fma(fused, -2, i, 1);
    L = zi * dn_fma(fused, t, p, 0x1.a690814b3c5fbp-1);
    L = x.scale * dn_fma(fused, L, x.q, L);
    G = d * dn_fma(fused, dn_fma(fused, p, i, -0x1.331e9a233c13ap-2), i, -0x1.9884533d43651p-2);
    G = x.scale * dn_fma(fused, G, x.q, G);
    double high = v - L, slope_high = 1 - G;
    DN_RETURN((v < 0 ? -L : high) * tail, (v < 0 ? G : slope_high) * tail);
}

/* ---- rows ---------------------------------------------------------------------------------------------------- */

#define DN_ACTIVATIONS(X)                                                                                             \
    X(identity) X(tanh) X(lecun_tanh) X(sigmoid) X(relu) X(leaky_relu) X(elu) X(selu) X(softplus) X(gelu)             \
    X(gelu_tanh) X(silu) X(softsign) X(gaussian) X(sin)

#define DN_CODE(name) DN_##name,
enum dn_activation { DN_ACTIVATIONS(DN_CODE) DN_num_activations };

#define DN_NAME_OF(name) #name " "
#define DN_NAMES DN_ACTIVATIONS(DN_NAME_OF) /* in the order of the codes, each with a space behind */

#define DN_LOOP(name)                                                                                                 \
    case DN_##name:                                                                                                   \
        for (i = 0; i < n; i++) {                                                                                     \
            dn_pair y = dn_##name(fused, h[i], alpha);                                                                \
            h[i] = (dn_real)y.f;                                                                                      \
            fprime[i] = (dn_real)y.slope;                                                                             \
        }                                                                                                             \
        break;

#define DN_ROW(row, target, is_fused, real)                                                                           \
    target static void row(int code, double alpha, real *DN_RESTRICT h, real *DN_RESTRICT fprime, ptrdiff_t n)          \
    {                                                                                                                 \
        typedef real dn_real;                                                                                         \
        const int fused = is_fused;                                                                                   \
        ptrdiff_t i;                                                                                                  \
        switch (code) { DN_ACTIVATIONS(DN_LOOP) }                                                                     \
    }

/* h = v on entry, f(v) on exit; fprime = f'(v). simd is at most dn_simd_best() */
#define DN_ACTIVATE(type, real)                                                                                       \
    DN_ROW(dn_row0_##type, , DN_FUSED, real)                                                                          \
    DN_ROW(dn_row1_##type, DN_LEVEL1, DN_LEVEL_FUSED, real)                                                           \
    DN_ROW(dn_row2_##type, DN_LEVEL2, DN_LEVEL_FUSED, real)                                                           \
    DN_UNUSED static void dn_activate_##type(int simd, int code, double alpha, real *h, real *fprime, ptrdiff_t n)    \
    {                                                                                                                 \
        if (simd >= 2) dn_row2_##type(code, alpha, h, fprime, n);                                                     \
        else if (simd == 1) dn_row1_##type(code, alpha, h, fprime, n);                                                \
        else dn_row0_##type(code, alpha, h, fprime, n);                                                               \
    }

DN_ACTIVATE(f64, double)
DN_ACTIVATE(f32, float)

#endif
