/* The activations v s(w(v)) and those of the normal density, for one type: see vecmath_body.h. */

/* v s(w(v)), s + v w'(v) s(w) s(-w), s(w) s(-w) (2 w' + v w'' - v w'^2 tanh(w / 2)), where s is the sigmoid and w an
 * odd function. With z = -|v|, e = exp(w(z)):
 *   v < 0:  v e / (1 + e),  e g(z) / (1 + e)^2,  g(z) = 1 + e + z w'(z)
 *   v > 0:  v / (1 + e),    (1 + e (1 - z w'(z))) / (1 + e)^2
 *   both:   h (k + 2 h l) / (1 + e),  h = e / (1 + e),  l = |z| w'^2,  k = 2 w' + z w'' - l
 * g has a root r. The caller gives c = exp(w(r)), D = w(r) - w(z) and j = r w'(r) - z w'(z) - D: then e = c exp(-D) and
 * g = c expm1(-D) - j - D, whose terms have one sign. For v > 0 it gives them with r = 0.
 * i (1 + rest) = 1 / (1 + e), without the roundings of e, 1 + e and i; p + p_lo is its product with e, or with 1. */
DN_INLINE F(triple) F(gated)(int fused, real v, real z, F(dd) D, real j, F(dd) c, real k, real l)
{
    F(exponential) x = F(exp)(fused, 0, D);
    real s = x.scale * F(down), cq = F(fma)(fused, c.hi, x.q, c.lo), e1 = c.hi + cq, e1_lo = (c.hi - e1) + cq;
    real E1 = F(fma)(fused, s, x.q, s - 1), g = F(fma)(fused, c.hi, E1, F(fma)(fused, c.lo, E1, -j)) - D.hi, e = s * e1;
    real a = v < 0 ? x.scale * e1 : 1, a_lo = v < 0 ? x.scale * e1_lo : 0, down = v < 0 ? F(down) : 1;
    real n = v < 0 ? g : F(fma)(fused, e, 1 + D.hi + j, 1);
    real den = 1 + e, den_lo = F(fma)(fused, s, e1_lo, (1 - den) + e);
    real i = fused ? 1 / den : 0, p = fused ? a * i : a / den, ni = fused ? n * i : n / den;
    i = fused ? i : v < 0 ? 1 - p * F(down) : p;
    real rest = (fused ? F(remainder)(fused, i, den) : 0) - i * den_lo;
    real p_lo = F(fma)(fused, p, rest, (fused ? F(fma)(fused, a, i, -p) : 0) + a_lo * i);
    real part = (p + p_lo) * down, other = v < 0 ? 1 - part : part;
    real h = v < 0 ? part : F(fma)(fused, e, part, s * e1_lo * part);
    RETURN(F(fma)(fused, v < 0 ? z : v, p, (v < 0 ? z : -z) * p_lo) * down,
           F(fma)(fused, p, ni, ni * F(fma)(fused, p, rest, p_lo)) * down,
           h * (other * F(fma)(fused, 2 * h, l, k)));
}

/* v s(u), s(u) + u s(u) s(-u), s(u) s(-u) (2 - u tanh(u / 2)), |u| = z: w(z) = z, D = r - z, j = 0 but for the rounding
 * of D. `bounded` is |v|, or less where f is its limit */
DN_INLINE F(triple) F(silu_of)(int fused, real v, real bounded, F(dd) z)
{
    F(dd) c = {v < 0 ? F(silu_c).hi : 1, v < 0 ? F(silu_c).lo : 0}, D = F(add)(z.hi, v < 0 ? F(silu_r).hi : 0);
    D.lo += (v < 0 ? F(silu_r).lo : 0) + z.lo;
    return F(gated)(fused, v, -bounded, D, D.lo, c, 2 - z.hi, z.hi);
}

/* v s(v), s(v) + v s(v) s(-v), s(v) s(-v) (2 - v tanh(v / 2)) */
ACTIVATION(silu)
{
    real z = F(min)(F(abs)(v), F(last_silu));
    return F(silu_of)(fused, v, z, F(exact)(z));
}

/* v s(u), s(u) + u s(u) s(-u), alpha s(u) s(-u) (2 - u tanh(u / 2)), where u = alpha v */
ACTIVATION(swish)
{
    real u = F(min)(F(abs)(v), F(min)(F(last_silu) * a.inverse, F(huge)));
    F(dd) z = F(mul)(fused, u, a.value);
    z.lo = F(fma)(fused, u, a.rest, z.lo);
    F(triple) y = F(silu_of)(fused, v, u, z);
    RETURN(y.f, y.slope, a.value * y.second);
}

/* v (1 + tanh(w/2)) / 2 = v s(w), w(z) = a z + b z^3. With |z| and |r| for z and r, y = z (z + r):
 * D = (z - r) (a + b r^2 + b y), j = (z - r) (2 b r^2 + 2 b y). Of f'', with
 * g = a^2 + 6 a b z^2 and q = 9 b^2 z^4, l = z (g + q) and k = (2 / a - z) g - z q. */
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
    real g = F(fma)(fused, F(gelu_tanh_6ab) * z, z, F(gelu_tanh_aa)), q = F(gelu_tanh_9bb) * (z * z) * (z * z);
    real k = F(fma)(fused, (F(gelu_tanh_2_a).hi - z) + F(gelu_tanh_2_a).lo, g, -z * q);
    return F(gated)(fused, v, -z, D, j, c, k, z * (g + q));
}

/* v tanh(log(1 + exp(v))). With e = exp(-|v|):
 *   v < 0:  v m / (1 + m),  e g / (1 + m)^2,                    m = e + e^2 / 2
 *   v > 0:  v p,            p + 4 v e^2 (1 + e) / (1 + m)^2,    m = 2 e + 2 e^2,  p = (1 + 2 e) / (1 + m)
 * and, without terms that cancel,
 *   v < 0:  e (2 + v + 2 e - v e (2 m / (1 + m))) / (1 + m)^2
 *   v > 0:  4 e^2 (2 - 2 v + 2 e + v e (1 + 4 e / (1 + m))) / (1 + m)^2
 * g(v) = 1 + v + e (v + 3/2) + e^2 + e^3 / 4 has a root r. With c = exp(r), D = r - v and d = e - c = c expm1(-D),
 *   g = -D (1 + c) + d (v + 3/2 + e + c + (e^2 + e c + c^2) / 4), whose terms have one sign near r.
 * Roundings of e, m, 1 + m and its reciprocal i are made good as in `gated`; without fused multiply-add that of g too.
 * up is 2^K of v < 0, else 1. */
ACTIVATION(mish)
{
    real z = F(min)(F(abs)(v), F(last_silu)), down = v < 0 ? F(down) : 1;
    F(dd) c = {v < 0 ? F(mish_c).hi : 1, v < 0 ? F(mish_c).lo : 0}, D = F(add)(z, v < 0 ? F(mish_r).hi : 0);
    D.lo += v < 0 ? F(mish_r).lo : 0;
    F(exponential) x = F(exp)(fused, 0, D);
    real s = x.scale * F(down), scale = v < 0 ? x.scale : s, cq = F(fma)(fused, c.hi, x.q, c.lo), e1 = c.hi + cq;
    real up_e = scale * e1, up_e_lo = scale * ((c.hi - e1) + cq), e = s * e1, e2 = 2 * e;

    real E1 = F(fma)(fused, s, x.q, s - 1), d = F(fma_exact)(fused, c.hi, E1, c.lo * E1);
    real first = (F(fma)(fused, (real)0.25 * c.hi, c.hi, c.hi) + (real)1.5) - z;
    real sum = F(fma)(fused, (real)0.25 * e, e + c.hi, first) + e;
    F(dd) g = F(add)(-D.hi, F(fma_exact)(fused, d, sum, F(fma)(fused, -D.lo, 1 + c.hi, -D.hi * c.hi)));

    real k = v < 0 ? (real)0.5 * e : e2, l = v < 0 ? up_e : 2 * up_e, up_m = F(fma)(fused, k, up_e, l);
    real up_m_lo = F(fma)(fused, k, up_e, l - up_m) + up_e_lo * (v < 0 ? 1 + e : F(fma)(fused, 2, e2, 2));
    F(dd) den = F(add)(1, up_m * down), num = F(add)(1, e2);
    num.lo = v < 0 ? up_m_lo : F(fma)(fused, 2, up_e_lo, num.lo), num.hi = v < 0 ? up_m : num.hi;
    real i = 1 / den.hi, i_lo = (fused ? F(remainder)(fused, i, den.hi) : 0) - i * F(fma)(fused, up_m_lo, down, den.lo);
    real p = fused ? num.hi * i : num.hi / den.hi;
    real q = fused ? up_e * i : up_e / den.hi, gi = fused ? g.hi * i : g.hi / den.hi;
    real p_lo = F(fma)(fused, p, i_lo, (fused ? F(fma)(fused, num.hi, i, -p) : 0) + num.lo * i);
    real q_lo = F(fma)(fused, q, 2 * i_lo, (fused ? F(fma)(fused, up_e, i, -q) : 0) + up_e_lo * i);
    real low = F(fma_exact)(fused, q, gi, gi * q_lo + (fused ? 0 : q * (g.lo * i)));
    real high = p + F(fma)(fused, 4 * z * (q * q), 1 + e, p_lo);
    real ei = q + F(fma)(fused, -q, i_lo, q_lo), other = v < 0 ? F(fma)(fused, i, i_lo, i) * down : 4 * ei;
    real last = v < 0 ? 2 * p * down : F(fma)(fused, 4, ei, 1);
    real inner = (2 - (v < 0 ? z : 2 * z)) + F(fma)(fused, z * e, last, e2);
    RETURN(F(fma)(fused, v < 0 ? -z : v, p, (v < 0 ? -z : z) * p_lo) * down, v < 0 ? low * down : high,
           ei * (other * inner));
}

/* v Phi(v), Phi(v) + v phi(v), (2 - v^2) phi(v), where phi is the normal density and Phi its distribution. With
 * z = |v|, the Mills ratio R(z) = Phi(-z) / phi(z) and G(z) = R(z) - z:
 *   v < 0:  -L,     phi G,      L = z phi R
 *   v > 0:  v - L,  1 - phi G
 * R(z0) = z0 is the root of G. With c = phi(0), i = 1 / (z + 2), d = z - z0, t = d i and N = N0 + t P(t),
 *   c R(z) = N i,  c G(z) = d ((P(t) i - c z0) i - c), where P < 0: the terms of the latter do not cancel.
 * i (1 + rest) is without the roundings of z + 2 and i. */
typedef struct { real sum, i, rest, d, p, N; } F(mills);

DN_INLINE F(mills) F(mills_ratio)(int fused, real z)
{
    real d = (z - F(gelu_z0).hi) - F(gelu_z0).lo;
    F(dd) y = F(add)(z, 2);
    real i = 1 / y.hi, rest = (fused ? F(remainder)(fused, i, y.hi) : 0) - i * y.lo, t = d * i, p = F(P)(fused, t);
    F(mills) result = {y.hi, i, rest, d, p, F(fma)(fused, t, p, F(gelu_N0))};
    return result;
}

ACTIVATION(gelu)
{
    real z = F(min)(F(abs)(v), F(last_gelu));
    F(mills) R = F(mills_ratio)(fused, z);
    F(exponential) x = F(exp)(fused, 0, F(mul)(fused, z, (real)0.5 * z));
    F(dd) L = F(mul)(fused, fused ? z * R.i : z / R.sum, R.N);
    real G = R.d * F(fma_exact)(fused, F(fma)(fused, R.p, R.i, -F(gelu_cz0)), R.i, -F(gelu_c));
    real l = x.scale * (L.hi + F(fma)(fused, L.hi, x.q + R.rest, L.lo)) * F(down);
    G = x.scale * F(fma)(fused, G, x.q, G) * F(down);
    real high = v - l, slope_high = 1 - G;
    real phi = F(gelu_c) * (F(fma)(fused, x.scale, x.q, x.scale) * F(down));
    RETURN(v < 0 ? -l : high, v < 0 ? G : slope_high, phi * F(fma)(fused, -z, z, 2));
}

/* erf v, slope = 2 / sqrt(pi) exp(-v^2), -2 v slope. |erf v| = 1 - 2 phi(w) R(w) of w = sqrt(2) |v|, where
 * phi(w) = c exp(-v^2) */
ACTIVATION(erf)
{
    real z = F(min)(F(abs)(v), F(last_gaussian)), y = v * v;
    F(mills) R = F(mills_ratio)(fused, F(sqrt_2) * z);
    F(exponential) x = F(exp)(fused, 0, F(mul)(fused, z, z));
    real tail = 2 * R.N * R.i, high = F(fma)(fused, -x.scale * F(down), F(fma)(fused, tail, x.q, tail), 1);
    real slope = F(erf_slope) * F(fma)(fused, x.scale, x.q, x.scale) * F(down);
    RETURN(z < F(last_erf_small) ? F(fma)(fused, v, F(erf_small)(fused, y), v) : F(copysign)(high, v), slope,
           F(copysign)(2 * z, -v) * slope);
}
