/* The activations of vecmath.h for one type: included there with `real` and F(name) = dn_name_f64, then dn_name_f32.
 *
 * Each is one branch-free function v -> f(v), f'(v).
 * fused   1 where the processor has fused multiply-add: a constant in each loop
 * a       the parameter of the activations that have one
 */

typedef struct { real f, slope; } F(pair);
typedef struct { real value, rest, inverse; } F(parameter); /* value + rest; 1 / value */

DN_INLINE F(dd) F(exact)(real x)
{
    F(dd) r = {x, 0};
    return r;
}

/* min(v, limit); NaN stays */
DN_INLINE real F(min)(real v, real limit) { return limit < v ? limit : v; }

/* max(v, limit); NaN stays */
DN_INLINE real F(max)(real v, real limit) { return limit > v ? limit : v; }

/* b + c, exactly (Knuth) */
DN_INLINE F(dd) F(add)(real b, real c)
{
    real s = b + c, t = s - b;
    F(dd) r = {s, (b - (s - t)) + (c - t)};
    return r;
}

/* b c, exactly (Dekker) */
DN_INLINE F(dd) F(mul)(int fused, real b, real c)
{
    real bh = F(head)(b), bl = b - bh, ch = F(head)(c), cl = c - ch, p = b * c;
    F(dd) r = {p, fused ? F(fma)(fused, b, c, -p) : ((bh * ch - p) + (bh * cl + bl * ch)) + bl * cl};
    return r;
}

/* b c, nearly exactly */
DN_INLINE F(dd) F(mul_dd)(int fused, F(dd) b, F(dd) c)
{
    F(dd) r = F(mul)(fused, b.hi, c.hi);
    r.lo += F(fma)(fused, b.hi, c.lo, b.lo * c.hi);
    return r;
}

/* b c + d, nearly in one rounding also where not fused */
DN_INLINE real F(fma_exact)(int fused, real b, real c, real d)
{
    F(dd) p = F(mul)(fused, b, c), sum = F(add)(p.hi, d);
    return fused ? F(fma)(fused, b, c, d) : sum.hi + (sum.lo + p.lo);
}

/* 1 - b c, of which b c is nearly 1 */
DN_INLINE real F(remainder)(int fused, real b, real c)
{
    F(dd) p = F(mul)(fused, b, c);
    return fused ? F(fma)(fused, -b, c, 1) : (1 - p.hi) - p.lo;
}

/* ---- exp ----------------------------------------------------------------------------------------------------- */

/* z = -n ln(2) / k + r, |k r| <= ln(2) / 2; table = {-k / ln 2, ln(2) / k in two parts, ...}. scale = 2^(n + K), because
 * 2^n alone may be too small: what contains it is multiplied by down = 2^-K last, and only that product may round to a
 * denormal. The sum with round = 1.5 2^fraction + bias + K has n + bias + K in its last bits. */
typedef struct { real r, scale; } F(reduced);

DN_INLINE F(reduced) F(reduce)(int fused, const real *table, int is_exact, F(dd) z)
{
    real t = F(fma)(fused, z.hi, table[0], F(round)), n = t - F(round), r = F(fma)(fused, n, table[1], z.hi);
    r = is_exact ? F(fma)(fused, n, table[2], r) : r + F(fma)(fused, n, table[2], z.lo);
    F(reduced) result = {r, F(to_exponent)(t)};
    return result;
}

/* exp(-z) = down scale (1 + q), q = r^2 E(r) - r */
typedef struct { real q, scale; } F(exponential);

DN_INLINE F(exponential) F(exp)(int fused, int is_exact, F(dd) z)
{
    F(reduced) y = F(reduce)(fused, F(table_1), is_exact, z);
    F(exponential) result = {F(fma)(fused, y.r * y.r, F(E)(fused, y.r), -y.r), y.scale};
    return result;
}

/* c0 + c1 y + ... + c5 y^5 in double, c0 + c1 y + c2 y^2 in float */
DN_INLINE real F(even)(int fused, const real *c, real y)
{
    if (sizeof(real) == 4) return F(fma)(fused, y, F(fma)(fused, c[2], y, c[1]), c[0]);
    real y2 = y * y, high = F(fma)(fused, c[5], y2, F(fma)(fused, c[4], y, c[3]));
    return F(fma)(fused, y, F(fma)(fused, high, y2, F(fma)(fused, c[2], y, c[1])), c[0]);
}

/* exp(-k z) = s (C - r) / (C + r), s = down scale, C = r coth(k r / 2) an even function. With e = exp(-k z) <= 1,
 *   1 / (1 + e) = plus / den,  e / (1 + e) = h = down minus / den,  plus = C + r,  minus = scale (C - r),
 * den = plus + down minus: one division, i = 1 / den, does for f and f'. up_h = 2^K h. */
typedef struct { real r, C, scale, plus, minus, den, i, up_h; } F(ratio);

DN_INLINE F(ratio) F(exp_ratio)(int fused, const real *table, int is_exact, F(dd) z)
{
    F(reduced) y = F(reduce)(fused, table, is_exact, z);
    real C = F(even)(fused, table + 3, y.r * y.r), plus = C + y.r;
    real minus = F(fma_exact)(fused, y.scale, C, -(y.scale * y.r));
    real den = F(fma)(fused, minus, F(down), plus), i = 1 / den;
    F(ratio) x = {y.r, C, y.scale, plus, minus, den, i, minus * i};
    return x;
}

/* ---- the activations ------------------------------------------------------------------------------------------- */

#define ACTIVATION(name) DN_INLINE F(pair) F(name)(int fused DN_UNUSED, real v, F(parameter) a DN_UNUSED)
#define RETURN(f, slope) do { F(pair) dn_result = {f, slope}; return dn_result; } while (0)

/* v */
ACTIVATION(identity) { RETURN(v, v == v ? 1 : v); }

/* max(v, 0) */
ACTIVATION(relu) { RETURN(v <= 0 ? 0 : v, v > 0 ? 1 : v <= 0 ? 0 : v); }

/* max(v, 0) + a min(v, 0) */
ACTIVATION(leaky_relu) { RETURN(v > 0 ? v : a.value * v, v > 0 ? 1 : v <= 0 ? a.value : v); }

/* v / (1 + |v|), 1 / (1 + |v|)^2 */
ACTIVATION(softsign)
{
    real z = F(min)(F(abs)(v), F(last_softsign)), i = 1 / (1 + z);
    RETURN(F(copysign)(z * i, v), i * i);
}

/* exp(-v^2), -2 v exp(-v^2) */
ACTIVATION(gaussian)
{
    real z = F(min)(F(abs)(v), F(last_gaussian));
    F(exponential) x = F(exp)(fused, 0, F(mul)(fused, z, z));
    real e = F(fma)(fused, x.scale, x.q, x.scale);
    RETURN(e * F(down), F(copysign)(2 * z, -v) * e * F(down));
}

/* v > 0: c v, c.  v <= 0: c_neg expm1(v), c_neg exp(v) */
DN_INLINE F(pair) F(exponential_linear)(int fused, real v, real c, real c_neg)
{
    real z = F(min)(F(max)(-v, 0), F(last_exponential));
    F(exponential) x = F(exp)(fused, 1, F(exact)(z));
    real s = x.scale * F(down), f = c_neg * F(fma)(fused, s, x.q, s - 1);
    real slope = c_neg * F(fma)(fused, x.scale, x.q, x.scale) * F(down);
    RETURN(v > 0 ? c * v : f, v > 0 ? c : slope);
}

/* v or a expm1(v) */
ACTIVATION(elu) { return F(exponential_linear)(fused, v, 1, a.value); }

/* lambda v or lambda alpha expm1(v) */
ACTIVATION(selu) { return F(exponential_linear)(fused, v, F(selu_lambda), F(selu_alpha)); }

/* c tanh(k |v| / 2), c_slope sech^2(k |v| / 2) / 4. With z = |v|, e = exp(-k z) and h = e / (1 + e) <= 1/2:
 * tanh = (1 - e) / (1 + e) = (C (1 - s) + r (1 + s)) / den; sech^2 / 4 = h (1 - h), where the error of h shrinks.
 * rest = 1 - i den makes tanh 1 exactly where e vanishes. `mended`: without the roundings of den and i, for a c that
 * adds one more. */
DN_INLINE F(pair) F(tanh_sech2)(int fused, real v, const real *table, real last, real c, real c_slope, int mended)
{
    F(ratio) x = F(exp_ratio)(fused, table, 1, F(exact)(F(min)(F(abs)(v), last)));
    real sum = F(fma)(fused, x.scale, F(down), 1), difference = F(fma)(fused, x.scale, -F(down), 1), h = x.up_h;
    real num = F(fma_exact)(fused, x.C, difference, x.r * sum), rest = F(remainder)(fused, x.i, x.den), f = num * x.i;
    f = F(fma)(fused, f, rest, f);
    if (mended) {
        real i_lo = x.i * F(fma)(fused, -x.i, F(fma)(fused, x.minus, F(down), x.plus - x.den), rest);
        f = F(fma_exact)(fused, num, x.i, num * i_lo), h = F(fma_exact)(fused, x.minus, x.i, x.minus * i_lo);
    }
    RETURN(F(copysign)(c * f, v), h * F(fma)(fused, -h, c_slope * F(down) * F(down), c_slope * F(down)));
}

/* tanh v, sech^2 v */
ACTIVATION(tanh) { return F(tanh_sech2)(fused, v, F(table_2), F(last_tanh), 1, 4, 0); }

/* 1.7159 tanh(2 v / 3), 1.7159 (2/3) sech^2(2 v / 3) */
ACTIVATION(lecun_tanh)
{
    return F(tanh_sech2)(fused, v, F(table_4_3), F(last_lecun_tanh), F(lecun), F(lecun_slope), 1);
}

/* 1 / (1 + exp(-v)) = h or 1 - h; h (1 - h) */
ACTIVATION(sigmoid)
{
    F(ratio) x = F(exp_ratio)(fused, F(table_1), 1, F(exact)(F(min)(F(abs)(v), F(last_sigmoid))));
    real high = F(fma)(fused, -x.up_h, F(down), 1);
    RETURN(v < 0 ? x.up_h * F(down) : high, x.up_h * (high * F(down)));
}

/* log(1 + exp(a v)) / a = max(v, 0) + log1p(e) / a, e = exp(-a |v|); 1 / (1 + exp(-a v)) = h or 1 - h.
 * log1p(e) = t + t^3 L(t^2), t = 2 e / (2 + e) */
ACTIVATION(softplus)
{
    real z = F(min)(F(abs)(v), F(min)(F(last_exponential) * a.inverse, F(huge)));
    F(dd) az = F(mul)(fused, z, a.value);
    az.lo = F(fma)(fused, z, a.rest, az.lo);
    F(ratio) x = F(exp_ratio)(fused, F(table_1), 0, az);
    real t = 2 * x.minus / F(fma)(fused, x.minus, F(down), 2 * x.plus), t1 = t * F(down), y = t1 * t1;
    real f = F(fma)(fused, t * y, F(L)(fused, y), t) * a.inverse * F(down);
    RETURN((v < 0 ? 0 : v) + f, v < 0 ? x.up_h * F(down) : F(fma)(fused, -x.up_h, F(down), 1));
}

/* v s(w(v)), s + v w'(v) s(w) s(-w), where s is the sigmoid and w an odd function. With z = -|v|, e = exp(w(z)):
 *   v < 0:  v e / (1 + e),  e g(z) / (1 + e)^2,  g(z) = 1 + e + z w'(z)
 *   v > 0:  v / (1 + e),    (1 + e (1 - z w'(z))) / (1 + e)^2
 * g has a root r. The caller gives c = exp(w(r)), D = w(r) - w(z) and j = r w'(r) - z w'(z) - D: then e = c exp(-D) and
 * g = c expm1(-D) - j - D, whose terms have one sign. For v > 0 it gives them with r = 0.
 * i (1 + rest) = 1 / (1 + e), without the roundings of e, 1 + e and i; p + p_lo is its product with e, or with 1. */
DN_INLINE F(pair) F(gated)(int fused, real v, real z, F(dd) D, real j, F(dd) c)
{
    F(exponential) x = F(exp)(fused, 0, D);
    real s = x.scale * F(down), cq = F(fma)(fused, c.hi, x.q, c.lo), e1 = c.hi + cq, e1_lo = (c.hi - e1) + cq, e = s * e1;
    real E1 = F(fma)(fused, s, x.q, s - 1), g = F(fma)(fused, c.hi, E1, F(fma)(fused, c.lo, E1, -j)) - D.hi;
    real a = v < 0 ? x.scale * e1 : 1, a_lo = v < 0 ? x.scale * e1_lo : 0, down = v < 0 ? F(down) : 1;
    real n = v < 0 ? g : F(fma)(fused, e, 1 + D.hi + j, 1), den = 1 + e, den_lo = F(fma)(fused, s, e1_lo, (1 - den) + e);
    real i = fused ? 1 / den : 0, p = fused ? a * i : a / den, ni = fused ? n * i : n / den;
    i = fused ? i : v < 0 ? 1 - p * F(down) : p;
    real rest = (fused ? F(remainder)(fused, i, den) : 0) - i * den_lo;
    real p_lo = F(fma)(fused, p, rest, (fused ? F(fma)(fused, a, i, -p) : 0) + a_lo * i);
    RETURN(F(fma)(fused, v < 0 ? z : v, p, (v < 0 ? z : -z) * p_lo) * down,
           F(fma)(fused, p, ni, ni * F(fma)(fused, p, rest, p_lo)) * down);
}

/* v s(v): w(z) = z, D = r - z, j = 0 but for the rounding of D */
ACTIVATION(silu)
{
    real z = F(min)(F(abs)(v), F(last_silu));
    F(dd) c = {v < 0 ? F(silu_c).hi : 1, v < 0 ? F(silu_c).lo : 0}, D = F(add)(z, v < 0 ? F(silu_r).hi : 0);
    D.lo += v < 0 ? F(silu_r).lo : 0;
    return F(gated)(fused, v, -z, D, D.lo, c);
}

/* v (1 + tanh(w/2)) / 2 = v s(w), w(z) = a z + b z^3. With |z| and |r| for z and r, y = z (z + r):
 * D = (z - r) (a + b r^2 + b y), j = (z - r) (2 b r^2 + 2 b y) */
ACTIVATION(gelu_tanh)
{
    real z = F(min)(F(abs)(v), F(last_gelu_tanh)), two_br2 = v < 0 ? F(gelu_tanh_2br2) : 0, j;
    F(dd) r = {v < 0 ? F(gelu_tanh_r).hi : 0, v < 0 ? F(gelu_tanh_r).lo : 0};
    F(dd) c = {v < 0 ? F(gelu_tanh_c).hi : 1, v < 0 ? F(gelu_tanh_c).lo : 0};
    F(dd) a_br2 = {v < 0 ? F(gelu_tanh_a_br2).hi : F(gelu_tanh_a).hi, v < 0 ? F(gelu_tanh_a_br2).lo : F(gelu_tanh_a).lo};
    F(dd) d = F(add)(z, r.hi), sum = F(add)(z, -r.hi), y = F(mul)(fused, z, sum.hi), by, factor, D;
    d.lo += r.lo;
    y.lo = F(fma)(fused, z, sum.lo - r.lo, y.lo);
    by = F(mul_dd)(fused, F(gelu_tanh_b), y);
    factor = F(add)(a_br2.hi, by.hi);
    factor.lo += a_br2.lo + by.lo;
    D = F(mul_dd)(fused, d, factor);
    j = F(fma)(fused, d.hi + d.lo, F(fma)(fused, 2 * F(gelu_tanh_b).hi, y.hi, two_br2), D.lo);
    return F(gated)(fused, v, -z, D, j, c);
}

/* v Phi(v), Phi(v) + v phi(v), where phi is the normal density and Phi its distribution. With z = |v|, the Mills ratio
 * R(z) = Phi(-z) / phi(z) and G(z) = R(z) - z:
 *   v < 0:  -L,     phi G,      L = z phi R
 *   v > 0:  v - L,  1 - phi G
 * R(z0) = z0 is the root of G. With c = phi(0), i = 1 / (z + 2), d = z - z0 and t = d i,
 *   c R(z) = (N0 + t P(t)) i,  c G(z) = d ((P(t) i - c z0) i - c), where P < 0: the terms of the latter do not cancel.
 * z i = 1 - 2 i loses nothing to the rounding of i where z is large. */
ACTIVATION(gelu)
{
    real z = F(min)(F(abs)(v), F(last_gelu)), d = (z - F(gelu_z0).hi) - F(gelu_z0).lo;
    F(dd) y = F(add)(z, 2);
    real i = 1 / y.hi, rest = (fused ? F(remainder)(fused, i, y.hi) : 0) - i * y.lo, t = d * i;
    F(exponential) x = F(exp)(fused, 0, F(mul)(fused, z, (real)0.5 * z));
    real p = F(P)(fused, t), zi = fused ? z * i : z / y.hi, N = F(fma)(fused, t, p, F(gelu_N0));
    F(dd) L = F(mul)(fused, zi, N);
    real G = F(fma)(fused, p, i, -F(gelu_cz0));
    G = d * F(fma_exact)(fused, G, i, -F(gelu_c));
    real l = x.scale * (L.hi + F(fma)(fused, L.hi, x.q + rest, L.lo)) * F(down);
    G = x.scale * F(fma)(fused, G, x.q, G) * F(down);
    real high = v - l, slope_high = 1 - G;
    RETURN(v < 0 ? -l : high, v < 0 ? G : slope_high);
}

/* sin v, cos v */
#if DN_BITS == 64
ACTIVATION(sin) { RETURN(sin(v), cos(v)); }
#else
/* |v| <= last_sin. v = n pi / 2 + r, r formed in double */
ACTIVATION(sin)
{
    double t = v * F(half_pi)[0] + 0x1.8p52, n = t - 0x1.8p52;
    real r = (real)((v - n * F(half_pi)[1]) - n * F(half_pi)[2]), y = r * r, s, c;
    uint32_t quadrant = (uint32_t)(int32_t)(real)n;
    s = F(fma)(fused, r * y, F(S)(fused, y), r);
    c = F(fma)(fused, y * y, F(Q)(fused, y), F(fma)(fused, (real)-0.5, y, 1));
    real f = quadrant & 1 ? c : s, slope = quadrant & 1 ? s : c;
    RETURN(quadrant & 2 ? -f : f, (quadrant + 1) & 2 ? -slope : slope);
}
#endif

#undef ACTIVATION
#undef RETURN
