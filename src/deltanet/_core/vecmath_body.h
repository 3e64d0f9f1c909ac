/* What the activations of one type are made of: see vecmath_type.h.
 *
 * fused   1 where the processor has fused multiply-add: a constant in each loop
 */

typedef struct { real f, slope, second; } F(triple); /* f, f' and f'' */

/* The parameters: the first is alpha = value + rest, 1 / alpha = inverse + inverse_rest; the second is beta + beta_rest */
typedef struct { real value, rest, inverse, inverse_rest, beta, beta_rest; } F(parameters);

DN_INLINE F(dd) F(exact)(real x)
{
    F(dd) r = {x, 0};
    return r;
}

/* min(v, limit); NaN stays */
DN_INLINE real F(min)(real v, real limit) { return limit < v ? limit : v; }

/* c where v is a number; NaN stays */
DN_INLINE real F(constant)(real v, real c) { return v == v ? c : v; }

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

DN_INLINE F(parameters) F(split)(double alpha, double beta)
{
    F(parameters) a = {(real)alpha, (real)(alpha - (real)alpha), 0, 0, (real)beta, (real)(beta - (real)beta)};
    if (alpha != 0) {
        double i = 1 / alpha, rest = dn_remainder_f64(0, i, alpha) * i;
        a.inverse = (real)i;
        a.inverse_rest = (real)((i - a.inverse) + rest);
    }
    return a;
}

/* ---- exp ----------------------------------------------------------------------------------------------------- */

/* z = -n ln(2) / k + r, |k r| <= ln(2) / 2; table = {-k / ln 2, ln(2) / k in two parts, ...}. scale = 2^(n + K), because
 * 2^n alone may be too small: what contains it is multiplied by down = 2^-K last, and only that product may round to a
 * denormal. The sum with round = 1.5 2^fraction + bias + K has n + bias + K in its last bits. */
typedef struct { real r, scale; } F(reduced);

DN_INLINE F(reduced) F(reduce_by)(int fused, const real *table, int is_exact, F(dd) z, real round)
{
    real t = F(fma)(fused, z.hi, table[0], round), n = t - round, r = F(fma)(fused, n, table[1], z.hi);
    r = is_exact ? F(fma)(fused, n, table[2], r) : r + F(fma)(fused, n, table[2], z.lo);
    F(reduced) result = {r, F(to_exponent)(t)};
    return result;
}

DN_INLINE F(reduced) F(reduce)(int fused, const real *table, int is_exact, F(dd) z)
{
    return F(reduce_by)(fused, table, is_exact, z, F(round));
}

/* exp(-z) = down scale (1 + q), q = r^2 E(r) - r */
typedef struct { real q, scale; } F(exponential);

DN_INLINE F(exponential) F(exp_of)(int fused, F(reduced) y)
{
    F(exponential) result = {F(fma)(fused, y.r * y.r, F(E)(fused, y.r), -y.r), y.scale};
    return result;
}

DN_INLINE F(exponential) F(exp)(int fused, int is_exact, F(dd) z)
{
    return F(exp_of)(fused, F(reduce)(fused, F(table_1), is_exact, z));
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
