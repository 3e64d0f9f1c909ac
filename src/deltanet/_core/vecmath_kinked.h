/* The activations with kinks, for one type: see vecmath_body.h. At a kink the slope is the left one. NaN stays NaN. */

/* v */
ACTIVATION(identity) { RETURN(v, v == v ? 1 : v); }

/* max(v, 0) */
ACTIVATION(relu) { RETURN(v <= 0 ? 0 : v, v > 0 ? 1 : v <= 0 ? 0 : v); }

/* max(v, 0) + a min(v, 0) */
ACTIVATION(leaky_relu) { RETURN(v > 0 ? v : a.value * v, v > 0 ? 1 : v <= 0 ? a.value : v); }

/* |v| */
ACTIVATION(abs) { RETURN(F(abs)(v), v > 0 ? 1 : v <= 0 ? -1 : v); }

/* v > alpha, of the exact alpha: a float may be its rounded value */
DN_INLINE int F(above)(real v, real value, real rest) { return v - value > rest; }

/* low, v or high */
DN_INLINE F(pair) F(clip)(real v, int above_low, int above_high, real low, real high)
{
    RETURN(above_high ? high : above_low ? v : v == v ? low : v, above_high ? 0 : above_low ? 1 : v == v ? 0 : v);
}

/* min(max(v, 0), 6) */
ACTIVATION(relu6) { return F(clip)(v, v > 0, v > 6, 0, 6); }

/* min(max(v, alpha), beta) */
ACTIVATION(hardtanh)
{
    return F(clip)(v, F(above)(v, a.value, a.rest), F(above)(v, a.second, a.second_rest), a.value, a.second);
}

/* relu6(v + 3) / 6 */
ACTIVATION(hardsigmoid)
{
    const real sixth = (real)(1 / 6.0);
    RETURN(v > 3 ? 1 : v > -3 ? (v + 3) * sixth : v == v ? 0 : v, v > 3 ? 0 : v > -3 ? sixth : v == v ? 0 : v);
}

/* v relu6(v + 3) / 6 */
ACTIVATION(hardswish)
{
    const real sixth = (real)(1 / 6.0);
    real slope = v > 3 ? 1 : v > -3 ? (2 * v + 3) * sixth : v == v ? 0 : v;
    RETURN(v > 3 ? v : v > -3 ? v * ((v + 3) * sixth) : v == v ? 0 : v, slope);
}

/* v > alpha ? v : beta */
ACTIVATION(threshold)
{
    int above = F(above)(v, a.value, a.rest);
    RETURN(above ? v : v == v ? a.second : v, above ? 1 : v == v ? 0 : v);
}

/* v - alpha above alpha, v + alpha below -alpha, else 0 */
ACTIVATION(softshrink)
{
    real high = (v - a.value) - a.rest, low = (v + a.value) + a.rest;
    RETURN(high > 0 ? high : low <= 0 ? low : v == v ? 0 : v, high > 0 || low <= 0 ? 1 : v == v ? 0 : v);
}
