/* The largest error of every activation, slope and second derivative, in units in the last place, against libquadmath.
 *
 * ulp POINTS CODE: for that activation, lines "name type level f slope second". The formulas are the definitions, at
 * 113 bits; the points are spread over all exponents, the range where the function changes, and the zero of
 * its slope. The unit of f'' is that of max(|f''|, its largest / 8). Then lines "name dense level f slope second": float
 * against double, at every 251st of all floats. Last, lines "name place level 0 0 0": how many values change with the
 * length of the row or the place in it, how many writes go beyond a row, and how many values of f and f' change where
 * f'' is not asked for.
 */
#include "vecmath.h"

#include <quadmath.h>
#include <stdio.h>
#include <stdlib.h>

typedef __float128 quad;

/* zero of the slope, end of the interesting range, parameters */
static const struct { const char *name; double zero, range, alpha, beta; } cases[] = {
    {"identity", 0, 1e3, 0, 0},     {"tanh", 0, 800, 0, 0},        {"lecun_tanh", 0, 1300, 0, 0},
    {"sigmoid", 0, 800, 0, 0},      {"relu", 0, 1e3, 0, 0},        {"leaky_relu", 0, 1e3, 0.01, 0},
    {"elu", 0, 800, 1, 0},          {"selu", 0, 800, 0, 0},        {"softplus", 0, 800, 1, 0},
    {"gelu", -0.7517915246935645, 40, 0, 0},                       {"gelu_tanh", -0.7524612247740807, 23, 0, 0},
    {"silu", -1.2784645427610738, 800, 0, 0},                      {"softsign", 0, 1e3, 0, 0},
    {"gaussian", 0, 30, 0, 0},      {"sin", 0, 800, 0, 0},         {"relu6", 6, 10, 0, 0},
    {"hardtanh", 1, 10, -1, 1},     {"hardsigmoid", -3, 10, 0, 0}, {"hardswish", -1.5, 10, 0, 0},
    {"celu", 0, 2e3, 2.5, 0},       {"mish", -1.1924312145154253, 800, 0, 0},
    {"exp", 0, 800, 0, 0},          {"logsigmoid", 0, 800, 0, 0},  {"tanhshrink", 0, 40, 0, 0},
    {"softshrink", 0.5, 10, 0.5, 0}, {"threshold", 0.1, 10, 0.1, 20},
    {"swish", -0.5113858170443, 400, 2.5, 0},                      {"cos", 1.5707963267948966, 2e6, 0, 0},
    {"abs", 0, 1e3, 0, 0},          {"square", 0, 1e3, 0, 0},      {"erf", 0, 30, 0, 0},
    {"atan", 0, 1e3, 0, 0},
};

static quad sigmoid(quad v) { quad e = expq(-fabsq(v)); return v < 0 ? e / (1 + e) : 1 / (1 + e); }

/* v - tanh v: of small v its series, since the terms cancel */
static quad tanhshrink(quad v) {
    static const quad c[] = {1 / 3.Q, -2 / 15.Q, 17 / 315.Q, -62 / 2835.Q, 1382 / 155925.Q};
    quad y = v * v;
    return fabsq(v) < 1e-3Q ? v * y * (c[0] + y * (c[1] + y * (c[2] + y * (c[3] + y * c[4])))) : v - tanhq(v);
}

static quad slope_of_sigmoid(quad v) { return sigmoid(v) * sigmoid(-v); }

/* (s(v) s(-v))', and (v s(v))'' */
static quad bend_of_sigmoid(quad v) { return slope_of_sigmoid(v) * (sigmoid(-v) - sigmoid(v)); }
static quad bend_of_silu(quad v) { return 2 * slope_of_sigmoid(v) + v * bend_of_sigmoid(v); }

static void exact(int code, quad a, quad b, quad v, quad *f, quad *slope, quad *second) {
    const quad lambda = 1.0507009873554804934193349852946Q, alpha = 1.6732632423543772848170429916717Q;
    const quad c = 1.7159Q, r = sqrtq(2 / M_PIq);
    quad s, u, du;
    *second = 0;
    switch (code) {
    case 0: *f = v; *slope = 1; break;
    case 1: *f = tanhq(v); *slope = 4 * sigmoid(2 * v) * sigmoid(-2 * v); *second = -2 * *f * *slope; break;
    case 2:
        *f = c * tanhq(2 * v / 3); *slope = c * 8 / 3 * sigmoid(4 * v / 3) * sigmoid(-4 * v / 3);
        *second = -4 / 3.Q * *f / c * *slope;
        break;
    case 3: *f = sigmoid(v); *slope = sigmoid(v) * sigmoid(-v); *second = bend_of_sigmoid(v); break;
    case 4: *f = v > 0 ? v : 0; *slope = v > 0; break;
    case 5: *f = v > 0 ? v : a * v; *slope = v > 0 ? 1 : a; break;
    case 6: *f = v > 0 ? v : a * expm1q(v); *slope = v > 0 ? 1 : a * expq(v); *second = v > 0 ? 0 : *slope; break;
    case 7:
        *f = lambda * (v > 0 ? v : alpha * expm1q(v)); *slope = lambda * (v > 0 ? 1 : alpha * expq(v));
        *second = v > 0 ? 0 : *slope;
        break;
    case 8:
        *f = (v > 0 ? v : 0) + log1pq(expq(-fabsq(a * v))) / a; *slope = sigmoid(a * v);
        *second = a * slope_of_sigmoid(a * v);
        break;
    case 9:
        s = erfcq(-v / M_SQRT2q) / 2, u = expq(-v * v / 2) / sqrtq(2 * M_PIq);
        *f = v * s, *slope = s + v * u, *second = (2 - v * v) * u;
        break;
    case 10:
        u = 2 * r * (v + 0.044715Q * v * v * v), du = 2 * r * (1 + 3 * 0.044715Q * v * v), s = sigmoid(u);
        *f = v * s, *slope = s * (1 + v * sigmoid(-u) * du);
        *second = slope_of_sigmoid(u) * (2 * du + v * 2 * r * 6 * 0.044715Q * v) + v * bend_of_sigmoid(u) * du * du;
        break;
    case 11: *f = v * sigmoid(v); *slope = sigmoid(v) * (1 + v * sigmoid(-v)); *second = bend_of_silu(v); break;
    case 12:
        *f = v / (1 + fabsq(v)); *slope = 1 / ((1 + fabsq(v)) * (1 + fabsq(v)));
        *second = (v > 0 ? -2 : 2) / powq(1 + fabsq(v), 3);
        break;
    case 13: *f = expq(-v * v); *slope = -2 * v * *f; *second = (4 * v * v - 2) * *f; break;
    case 14: *f = sinq(v); *slope = cosq(v); *second = -*f; break;
    case 15: *f = v > 6 ? 6 : v > 0 ? v : 0; *slope = v > 0 && v <= 6; break;
    case 16: *f = v > b ? b : v > a ? v : a; *slope = v > a && v <= b; break;
    case 17: *f = v > 3 ? 1 : v > -3 ? (v + 3) / 6 : 0; *slope = v > -3 && v <= 3 ? 1 / 6.Q : 0; break;
    case 18:
        *f = v > 3 ? v : v > -3 ? v * (v + 3) / 6 : 0;
        *slope = v > 3 ? 1 : v > -3 ? (2 * v + 3) / 6 : 0;
        *second = v > -3 && v <= 3 ? 1 / 3.Q : 0;
        break;
    case 19:
        *f = v > 0 ? v : a * expm1q(v / a); *slope = v > 0 ? 1 : expq(v / a);
        *second = v > 0 ? 0 : *slope / a;
        break;
    case 20:
        s = tanhq(log1pq(expq(-fabsq(v))) + (v > 0 ? v : 0));
        u = sigmoid(v), du = (1 - s) * (1 + s) * u;
        *f = v * s, *slope = s + v * du, *second = 2 * du + v * du * (1 - u - 2 * s * u);
        break;
    case 21: *f = *slope = *second = expq(v); break;
    case 22:
        *f = (v < 0 ? v : 0) - log1pq(expq(-fabsq(v))); *slope = sigmoid(-v);
        *second = -slope_of_sigmoid(v);
        break;
    case 23:
        *f = tanhshrink(v); *slope = tanhq(v) * tanhq(v);
        *second = 2 * tanhq(v) * (4 * sigmoid(2 * v) * sigmoid(-2 * v));
        break;
    case 24: *f = v > a ? v - a : v < -a ? v + a : 0; *slope = v > a || v <= -a; break;
    case 25: *f = v > a ? v : b; *slope = v > a; break;
    case 26:
        s = sigmoid(a * v); *f = v * s; *slope = s * (1 + a * v * sigmoid(-a * v));
        *second = a * bend_of_silu(a * v);
        break;
    case 27: *f = cosq(v); *slope = -sinq(v); *second = -*f; break;
    case 28: *f = fabsq(v); *slope = v > 0 ? 1 : -1; break;
    case 29: *f = v * v; *slope = 2 * v; *second = 2; break;
    case 30: *f = erfq(v); *slope = 2 / sqrtq(M_PIq) * expq(-v * v); *second = -2 * v * *slope; break;
    default: *f = atanq(v); *slope = 1 / (1 + v * v); *second = -2 * v * *slope * *slope;
    }
}

/* of |f''|; 0 where it is 0, or has no largest value */
static double largest(int code, double alpha) {
    switch (code) {
    case DN_tanh: case DN_tanhshrink: return 0.7698003589195010;
    case DN_lecun_tanh: return 0.587066819018;
    case DN_sigmoid: return 0.0962250448649376;
    case DN_elu: return alpha;
    case DN_selu: return 1.7580993408473766;
    case DN_softplus: return alpha / 4;
    case DN_gelu: case DN_gelu_tanh: return 0.7978845608028654;
    case DN_silu: return 0.5;
    case DN_swish: return alpha / 2;
    case DN_softsign: case DN_gaussian: case DN_square: return 2;
    case DN_sin: case DN_cos: return 1;
    case DN_celu: return 1 / alpha;
    case DN_mish: return 0.644204634925;
    case DN_logsigmoid: return 0.25;
    case DN_erf: return 0.967882876003;
    case DN_atan: return 0.649519052838329;
    default: return 0;
    }
}

/* |y - r| in ulps of max(|r|, least_size), for numbers of `bits` bits whose least denormal is 2^least */
static double ulps(double y, quad r, double least_size, int bits, int least) {
    const double largest = bits == 53 ? 1.7976931348623157e308 : 3.4028234663852886e38;
    int exponent;
    if (isnanq(r) || y != y) return (y != y) == isnanq(r) ? 0 : 1e30;
    if (fabsq(r) > largest) return y == (r > 0 ? 1 : -1) * (double)INFINITY || fabs(y) == largest ? 0 : 1e30;
    frexpq(fmaxq(fabsq(r), least_size), &exponent);
    exponent = (r == 0 && least_size == 0) || exponent - bits < least ? least : exponent - bits;
    return (double)fminq(ldexpq(fabsq((quad)y - r), -exponent), 1e30Q);
}

static double uniform(void) { return ((double)rand() + rand() / (RAND_MAX + 1.0)) / (RAND_MAX + 1.0); }

static double point(int code, int i) {
    double sign = rand() & 1 ? 1 : -1, range = cases[code].range;
    switch (i % 6) {
    case 0: return sign * ldexp(1 + uniform(), rand() % 2046 - 1022);
    case 1: return sign * ldexp(1 + uniform(), rand() % 60 - 50);
    case 2: return sign * uniform() * range;
    case 3: return cases[code].zero + sign * ldexp(uniform(), -(rand() % 52));
    default: return sign * uniform() * 8;
    }
}

#define MEASURE(type, real, bits, least)                                                                              \
    static void measure_##type(int code, const double *points, long n) {                                              \
        const double alpha = cases[code].alpha, beta = cases[code].beta, size = largest(code, alpha) / 8;             \
        real *x = malloc(n * sizeof(real)), *h = malloc(n * sizeof(real)), *s = malloc(n * sizeof(real));             \
        real *q = malloc(n * sizeof(real));                                                                           \
        quad *f = malloc(n * sizeof(quad)), *slope = malloc(n * sizeof(quad)), *second = malloc(n * sizeof(quad));    \
        for (long i = 0; i < n; i++) {                                                                                \
            x[i] = isfinite((real)points[i]) ? (real)points[i] : 1;                                                   \
            exact(code, alpha, beta, x[i], f + i, slope + i, second + i);                                             \
        }                                                                                                             \
        for (int level = 0; level <= dn_simd_best(); level++) {                                                       \
            double worst = 0, worst_slope = 0, worst_second = 0;                                                      \
            memcpy(h, x, n * sizeof(real));                                                                           \
            dn_activate2_##type(level, code, alpha, beta, h, s, q, n);                                                \
            for (long i = 0; i < n; i++) {                                                                            \
                worst = fmax(worst, ulps(h[i], f[i], 0, bits, least));                                                \
                worst_slope = fmax(worst_slope, ulps(s[i], slope[i], 0, bits, least));                                \
                worst_second = fmax(worst_second, ulps(q[i], second[i], size, bits, least));                          \
            }                                                                                                         \
            printf("%s " #type " %d %.3f %.3f %.3f\n", cases[code].name, level, worst, worst_slope, worst_second);    \
        }                                                                                                             \
        free(x), free(h), free(s), free(q), free(f), free(slope), free(second);                                       \
    }

MEASURE(f64, double, 53, -1074)
MEASURE(f32, float, 24, -149)

/* |y - r| in ulps of max(|r|, least) as a float; 0 where both are NaN, or y is where r rounds to */
static double float_ulps(float y, double r, double least) {
    double size = fmax(fabs(r), least);
    uint64_t bits;
    if (y == (float)r || (y != y && r != r)) return 0;
    memcpy(&bits, &size, sizeof bits);
    bits = (bits >> 52 < 1023 - 126 ? 1023 - 149 : (bits >> 52) - 23) << 52; /* the unit in the last place */
    memcpy(&size, &bits, sizeof size);
    return y - y == 0 && r == r ? fabs(y - r) / size : 1e30;
}

/* a float is computed at an odd parameter too, which a float does not hold */
static void dense(int code) {
    enum { N = 1 << 12, STRIDE = 251 };
    static float x[N], h[N], s[N], q[N];
    static double f[N], slope[N], second[N];
    double worst[3][3] = {{0}}, alphas[] = {cases[code].alpha, 0.3};
    for (uint64_t next = 0, pass = 0; pass < 2; next = 0, pass++)
        while (next < (uint64_t)1 << 32) {
            int i;
            for (i = 0; i < N; i++, next += STRIDE) {
                uint32_t bits = (uint32_t)next; /* the last row goes round */
                memcpy(x + i, &bits, sizeof bits);
                f[i] = x[i];
            }
            dn_activate2_f64(dn_simd_best(), code, alphas[pass], cases[code].beta, f, slope, second, N);
            for (int level = 0; level <= dn_simd_best(); level++) {
                memcpy(h, x, sizeof h);
                dn_activate2_f32(level, code, alphas[pass], cases[code].beta, h, s, q, N);
                for (i = 0; i < N; i++) {
                    double errors[] = {float_ulps(h[i], f[i], 0), float_ulps(s[i], slope[i], 0),
                                       float_ulps(q[i], second[i], largest(code, alphas[pass]) / 8)};
                    for (int k = 0; k < 3; k++)
                        if (errors[k] > worst[level][k]) worst[level][k] = errors[k];
                }
            }
        }
    for (int level = 0; level <= dn_simd_best(); level++)
        printf("%s dense %d %.3f %.3f %.3f\n", cases[code].name, level, worst[level][0], worst[level][1],
               worst[level][2]);
}

/* rows of each length, at each level, against the same elements one by one */
#define PLACE(type, real)                                                                                             \
    static void place_##type(int code, const double *points) {                                                        \
        enum { N = 70 };                                                                                              \
        const double alpha = cases[code].alpha, beta = cases[code].beta;                                              \
        real y[3][N + 1], plain[2][N], one[3];                                                                        \
        for (int level = 0; level <= dn_simd_best(); level++) {                                                       \
            int differ = 0, beyond = 0, unlike = 0;                                                                   \
            for (int n = 1; n <= N; n++, points += n) {                                                               \
                for (int i = 0; i < n; i++)                                                                           \
                    plain[0][i] = y[0][i] = (real)points[i];                                                          \
                y[0][n] = y[1][n] = y[2][n] = 7;                                                                      \
                dn_activate2_##type(level, code, alpha, beta, y[0], y[1], y[2], n);                                   \
                beyond += y[0][n] != 7 || y[1][n] != 7 || y[2][n] != 7;                                               \
                dn_activate_##type(level, code, alpha, beta, plain[0], plain[1], n);                                  \
                unlike += memcmp(plain[0], y[0], n * sizeof(real)) || memcmp(plain[1], y[1], n * sizeof(real));       \
                for (int i = 0; i < n; i++) {                                                                         \
                    one[0] = (real)points[i];                                                                         \
                    dn_activate2_##type(level, code, alpha, beta, one, one + 1, one + 2, 1);                          \
                    for (int k = 0; k < 3; k++)                                                                       \
                        differ += memcmp(one + k, y[k] + i, sizeof(real)) != 0;                                       \
                }                                                                                                     \
            }                                                                                                         \
            printf("%s place %d %d %d %d\n", cases[code].name, level, differ, beyond, unlike);                        \
        }                                                                                                             \
    }

PLACE(f64, double)
PLACE(f32, float)

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : 1000;
    int code = argc > 2 ? atoi(argv[2]) : 0;
    double *points = malloc(n * sizeof(double));
    srand(code + 1);
    for (long i = 0; i < n; i++)
        points[i] = point(code, (int)i);
    if (code == DN_mish)
        points[0] = -0x1.60b8a6p-3; /* of all floats the one whose slope was furthest off: by 4.4 */
    measure_f64(code, points, n);
    measure_f32(code, points, n);
    dense(code);
    if (n >= 10000) {
        place_f64(code, points);
        place_f32(code, points);
    }
    free(points);
    return 0;
}
