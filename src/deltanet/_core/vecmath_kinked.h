/* The activations with kinks, for one type: see vecmath_body.h. At a kink f' and f'' are the left
 * ones. NaN stays NaN. f'' is 0 where nothing else is said. */

/* v */
ACTIVATION(identity) { RETURN(v, F(constant)(v, 1), F(constant)(v, 0)); }

/* max(v, 0) */
ACTIVATION(relu) { RETURN(v <= 0 ? 0 : v, v > 0 ? 1 : v <= 0 ? 0 : v, F(constant)(v, 0)); }

/* max(v, 0) + a min(v, 0) */
ACTIVATION(leaky_relu)
{
    RETURN(v > 0 ? v : a.value * v, v > 0 ? 1 : v <= 0 ? a.value : v, F(constant)(v, 0));
}

/* |v| */
ACTIVATION(abs) { RETURN(F(abs)(v), v > 0 ? 1 : v <= 0 ? -1 : v, F(constant)(v, 0)); }

/* v - alpha, whose sign says on which side of the exact alpha v is: a float holds a rounded alpha */
DN_INLINE real F(beyond)(real v, real value, real rest) { return (v - value) - rest; }

/* low, v or high, where `under` = v - low and `over` = v - high. One select after the other: nested ones may become
 * branches */
DN_INLINE F(triple) F(clip)(real v, real under, real over, real low, real high)
{
    real f = under <= 0 ? low : v, slope = F(constant)(v, 1);
    slope = under <= 0 ? 0 : slope;
    RETURN(over > 0 ? high : f, over > 0 ? 0 : slope, F(constant)(v, 0));
}

/* min(max(v, 0), 6) */
ACTIVATION(relu6) { return F(clip)(v, v, v - 6, 0, 6); }

/* min(max(v, alpha), beta) */
ACTIVATION(hardtanh)
{
    real under = F(beyond)(v, a.value, a.rest), over = F(beyond)(v, a.beta, a.beta_rest);
    return F(clip)(v, under, over, a.value, a.beta);
}

/* relu6(v + 3) / 6; 6 times the rounded 1 / 6 is 1 */
ACTIVATION(hardsigmoid)
{
    const real sixth = (real)(1 / 6.0);
    RETURN(F(min)(F(max)(v + 3, 0), 6) * sixth, v > 3 ? 0 : v <= -3 ? 0 : F(constant)(v, sixth), F(constant)(v, 0));
}

/* v relu6(v + 3) / 6; f'' = 1/3 for -3 < v <= 3 */
ACTIVATION(hardswish)
{
    const real sixth = (real)(1 / 6.0);
    real w = F(max)(v, -3), inner = F(min)(w, 3);
    RETURN(w * (F(min)(w + 3, 6) * sixth), v > 3 ? 1 : v <= -3 ? 0 : (2 * inner + 3) * sixth,
           v > 3 ? 0 : v <= -3 ? 0 : F(constant)(v, 2 * sixth));
}

/* v > alpha ? v : beta */
ACTIVATION(threshold)
{
    real over = F(beyond)(v, a.value, a.rest);
    RETURN(over > 0 ? v : over <= 0 ? a.beta : v, over > 0 ? 1 : over <= 0 ? 0 : v, F(constant)(v, 0));
}

/* v - alpha above alpha, v + alpha below -alpha, else 0 */
ACTIVATION(softshrink)
{
    real high = F(beyond)(v, a.value, a.rest), low = F(beyond)(v, -a.value, -a.rest), zero = F(constant)(v, 0);
    real f = low <= 0 ? low : zero, slope = low <= 0 ? 1 : zero;
    RETURN(high > 0 ? high : f, high > 0 ? 1 : slope, zero);
}
