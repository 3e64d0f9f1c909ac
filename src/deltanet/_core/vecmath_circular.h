/* The activations of trigonometry, for one type: see vecmath_body.h. */

/* atan v, 1 / (1 + v^2), -2 v / (1 + v^2)^2. With z = |v|, atan z = k pi / 4 + atan x of x = z, (z - 1) / (z + 1) or
 * -1 / z, x^2 <= 0.172. A large z is scaled before it is squared */
ACTIVATION(atan)
{
    real z = F(abs)(v), u = z > F(up) ? z * F(sqrt_down) : z, slope = 1 / F(fma)(fused, u, u, 1);
    real num = z > F(atan_high) ? -1 : z > F(atan_low) ? z - 1 : z;
    real x = num / (z > F(atan_high) ? z : z > F(atan_low) ? z + 1 : 1), y = x * x;
    real hi = z > F(atan_high) ? F(half_turn).hi : z > F(atan_low) ? F(quarter_turn).hi : 0;
    real lo = z > F(atan_high) ? F(half_turn).lo : z > F(atan_low) ? F(quarter_turn).lo : 0;
    real f = hi + (x + F(fma)(fused, x * y, F(A)(fused, y), lo));
    slope = z > F(up) ? slope * F(down) : slope;
    RETURN(F(copysign)(f, v), slope, F(copysign)(2 * F(min)(z, F(huge)), -v) * slope * slope);
}

/* sin v, cos v, -sin v of |v| <= last_sin; v = n pi / 2 + r. A double's r has two parts, from exact products with n; a
 * float's is formed in double */
DN_INLINE F(triple) F(sin_cos)(int fused, real v)
{
    double t = v * F(half_pi)[0] + 0x1.8p52, n = t - 0x1.8p52;
#if DN_BITS == 64
    F(dd) far = F(add)(v - n * F(half_pi)[1], -(n * F(half_pi)[2])), near = F(add)(far.hi, -(n * F(half_pi)[3]));
    real r = near.hi, lo = (far.lo + near.lo) - n * F(half_pi)[4], y = r * r, half = (real)0.5 * y, w = 1 - half;
    real s = r + F(fma)(fused, r * y, F(S)(fused, y), lo);
    real c = w + (((1 - w) - half) + F(fma)(fused, y * y, F(Q)(fused, y), -r * lo));
    uint64_t quadrant;
    memcpy(&quadrant, &t, sizeof t);
#else
    real r = (real)((v - n * F(half_pi)[1]) - n * F(half_pi)[2]), y = r * r;
    real s = F(fma)(fused, r * y, F(S)(fused, y), r);
    real c = F(fma)(fused, y * y, F(Q)(fused, y), F(fma)(fused, (real)-0.5, y, 1));
    uint32_t quadrant = (uint32_t)(int32_t)(real)n;
#endif
    real f = quadrant & 1 ? c : s, slope = quadrant & 1 ? s : c;
    f = quadrant & 2 ? -f : f;
    RETURN(f, (quadrant + 1) & 2 ? -slope : slope, -f);
}

/* sin v, cos v, -sin v */
ACTIVATION(sin) { return F(sin_cos)(fused, v); }

/* cos v, -sin v, -cos v */
ACTIVATION(cos)
{
    F(triple) y = F(sin_cos)(fused, v);
    RETURN(y.slope, -y.f, -y.slope);
}
