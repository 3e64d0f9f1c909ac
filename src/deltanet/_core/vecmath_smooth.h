/* The smooth activations, for one type: see vecmath_body.h. Each is one branch-free function v -> f(v), f'(v), f''(v)
 * of the parameters `a`. f'' is right to a few units of its largest value: near its zeros terms may cancel. */

/* v^2, 2 v, 2 */
ACTIVATION(square) { RETURN(v * v, 2 * v, F(constant)(v, 2)); }

/* v / (1 + |v|), 1 / (1 + |v|)^2, -2 sign(v) / (1 + |v|)^3; at 0 the last is the left one, 2 */
ACTIVATION(softsign)
{
    real z = F(min)(F(abs)(v), F(last_softsign)), i = 1 / (1 + z);
    real second = 2 * i * (i * i);
    RETURN(F(copysign)(z * i, v), i * i, v > 0 ? -second : second);
}

/* exp(-v^2), -2 v exp(-v^2), (4 v^2 - 2) exp(-v^2) */
ACTIVATION(gaussian)
{
    real z = F(min)(F(abs)(v), F(last_gaussian));
    F(exponential) x = F(exp)(fused, 0, F(mul)(fused, z, z));
    real e = F(fma)(fused, x.scale, x.q, x.scale);
    RETURN(e * F(down), F(copysign)(2 * z, -v) * e * F(down), F(fma)(fused, 4 * z, z, -2) * (e * F(down)));
}

/* exp(v), and so f' and f''. Of v > 0 the scale is 2^(n - K), since 2^(n + K) may be too large */
ACTIVATION(exp)
{
    real z = F(max)(F(min)(-v, F(last_exponential)), -F(last_large)), round = z < 0 ? F(round_large) : F(round);
    F(exponential) x = F(exp_of)(fused, F(reduce_by)(fused, F(table_1), 1, F(exact)(z), round));
    real e = F(fma)(fused, x.scale, x.q, x.scale) * (z < 0 ? F(up) : F(down));
    RETURN(e, e, e);
}

/* v > 0: c v, c, 0.  v <= 0: c_neg expm1(-z), slope = slope_neg exp(-z), inverse slope */
DN_INLINE F(triple) F(exponential_linear)(int fused, real v, int is_exact, F(dd) z, real c, real c_neg, real slope_neg,
                                           real inverse)
{
    F(exponential) x = F(exp)(fused, is_exact, z);
    real s = x.scale * F(down), f = c_neg * F(fma)(fused, s, x.q, s - 1);
    real slope = slope_neg * F(fma)(fused, x.scale, x.q, x.scale) * F(down);
    RETURN(v > 0 ? c * v : f, v > 0 ? c : slope, v > 0 ? 0 : inverse * slope);
}

/* v or a expm1(v); 1 or a exp(v); 0 or a exp(v) */
ACTIVATION(elu)
{
    F(dd) z = F(exact)(F(min)(F(max)(-v, 0), F(last_exponential)));
    return F(exponential_linear)(fused, v, 1, z, 1, a.value, a.value, 1);
}

/* elu of a = alpha_selu, times lambda */
ACTIVATION(selu)
{
    F(dd) z = F(exact)(F(min)(F(max)(-v, 0), F(last_exponential)));
    return F(exponential_linear)(fused, v, 1, z, F(selu_lambda), F(selu_alpha), F(selu_alpha), 1);
}

/* v or alpha expm1(v / alpha), which is v where v / alpha is so small that it may be denormal; 1 or exp(v / alpha);
 * 0 or exp(v / alpha) / alpha */
ACTIVATION(celu)
{
    real u = F(min)(F(max)(-v, 0), F(min)(F(last_exponential) * a.value, F(huge)));
    F(dd) z = F(mul)(fused, u, a.inverse);
    z.lo = F(fma)(fused, u, a.inverse_rest, z.lo);
    F(triple) y = F(exponential_linear)(fused, v, 0, z, 1, a.value, 1, a.inverse);
    RETURN(z.hi < F(down) ? v : y.f, y.slope, y.second);
}

/* c t, slope = c_slope sech^2(k v / 2) / 4, -k t slope, where t = tanh(k v / 2). With z = |v|, e = exp(-k z) and
 * h = e / (1 + e) <= 1/2:
 * tanh = (1 - e) / (1 + e) = (C (1 - s) + r (1 + s)) / den; sech^2 / 4 = h (1 - h), where the error of h shrinks.
 * rest = 1 - i den makes tanh 1 exactly where e vanishes. `mended`: without the roundings of den and i, for a c that
 * adds one more. */
DN_INLINE F(triple) F(tanh_sech2)(int fused, real v, const real *table, real last, real c, real c_slope,
                                   real k, int mended)
{
    F(ratio) x = F(exp_ratio)(fused, table, 1, F(exact)(F(min)(F(abs)(v), last)));
    real sum = F(fma)(fused, x.scale, F(down), 1), difference = F(fma)(fused, x.scale, -F(down), 1), h = x.up_h;
    real num = F(fma_exact)(fused, x.C, difference, x.r * sum), rest = F(remainder)(fused, x.i, x.den), f = num * x.i;
    f = F(fma)(fused, f, rest, f);
    if (mended) {
        real i_lo = x.i * F(fma)(fused, -x.i, F(fma)(fused, x.minus, F(down), x.plus - x.den), rest);
        f = F(fma_exact)(fused, num, x.i, num * i_lo), h = F(fma_exact)(fused, x.minus, x.i, x.minus * i_lo);
    }
    real slope = h * F(fma)(fused, -h, c_slope * F(down) * F(down), c_slope * F(down));
    RETURN(F(copysign)(c * f, v), slope, F(copysign)(k * f, -v) * slope);
}

/* tanh v, sech^2 v, -2 tanh v sech^2 v */
ACTIVATION(tanh) { return F(tanh_sech2)(fused, v, F(table_2), F(last_tanh), 1, 4, 2, 0); }

/* 1.7159 t, slope = 1.7159 (2/3) sech^2(2 v / 3), -(4/3) t slope, where t = tanh(2 v / 3) */
ACTIVATION(lecun_tanh)
{
    return F(tanh_sech2)(fused, v, F(table_4_3), F(last_lecun_tanh), F(lecun), F(lecun_slope), (real)(4 / 3.0), 1);
}

/* 1 / (1 + exp(-v)) = h or 1 - h; slope = h (1 - h); -slope tanh(v / 2), with the tanh of `tanh_sech2` */
ACTIVATION(sigmoid)
{
    F(ratio) x = F(exp_ratio)(fused, F(table_1), 1, F(exact)(F(min)(F(abs)(v), F(last_sigmoid))));
    real high = F(fma)(fused, -x.up_h, F(down), 1);
    real sum = F(fma)(fused, x.scale, F(down), 1), difference = F(fma)(fused, x.scale, -F(down), 1);
    real t = F(fma)(fused, x.C, difference, x.r * sum) * x.i, slope = x.up_h * (high * F(down));
    RETURN(v < 0 ? x.up_h * F(down) : high, slope, F(copysign)(t, -v) * slope);
}

/* v - tanh v, tanh^2 v, 2 tanh v sech^2 v. Of small y = v^2, v - tanh v = v y T(y) / (1 + d1 y + d2 y^2), and tanh v is
 * v less that; of large y, tanh^2 v = 1 - sech^2 v: nothing cancels */
ACTIVATION(tanhshrink)
{
    real z = F(abs)(v);
    F(triple) far = F(tanh_sech2)(fused, v, F(table_2), F(last_tanh), 1, 4, 2, 1);
    F(dd) y = F(mul)(fused, v, v), w = F(mul)(fused, v, y.hi);
    real den = F(fma)(fused, y.hi, F(fma)(fused, y.hi, F(tanhshrink_d2), F(tanhshrink_d1)), 1);
    real q = F(T)(fused, y.hi) / den, near = F(fma_exact)(fused, w.hi, q, F(fma)(fused, v, y.lo, w.lo) * q);
    RETURN(z < F(last_tanhshrink) ? near : v - far.f, z < 1 ? (v - near) * (v - near) : 1 - far.slope, -far.second);
}

/* log(1 + exp(alpha v)) / alpha = max(v, 0) + log1p(e) / alpha, e = exp(-alpha |v|);
 * 1 / (1 + exp(-alpha v)) = h or 1 - h; alpha h (1 - h).
 * log1p(e) = t + t^3 L(t^2), t = 2 e / (2 + e) */
ACTIVATION(softplus)
{
    real z = F(min)(F(abs)(v), F(min)(F(last_exponential) * a.inverse, F(huge)));
    F(dd) az = F(mul)(fused, z, a.value);
    az.lo = F(fma)(fused, z, a.rest, az.lo);
    F(ratio) x = F(exp_ratio)(fused, F(table_1), 0, az);
    real t = 2 * x.minus / F(fma)(fused, x.minus, F(down), 2 * x.plus), t1 = t * F(down), y = t1 * t1;
    real f = F(fma)(fused, t * y, F(L)(fused, y), t) * a.inverse * F(down);
    real h = x.up_h * F(down), high = F(fma)(fused, -x.up_h, F(down), 1);
    RETURN((v < 0 ? 0 : v) + f, v < 0 ? h : high, a.value * (h * high));
}

/* -log(1 + exp(-v)), 1 / (1 + exp(v)), -exp(v) / (1 + exp(v))^2 */
ACTIVATION(logsigmoid)
{
    F(parameters) one = {1, 0, 1, 0, 0, 0};
    F(triple) y = F(element_softplus)(fused, -v, one);
    RETURN(-y.f, y.slope, -y.second);
}
