/* f, f' and f'' of a local field v by the functions of libm, which work in double: see `net.export_c`, math="libm". The
 * signature of each is that of the core's own (_core/vecmath.h); what has no such function in it is taken from there.
 * |v| is held to where nothing changes any more, so that no 0 * infinity arises.
 */

DN_INLINE F(triple) F(rounded)(double f, double slope, double second)
{
    F(triple) result = {(real)f, (real)slope, (real)second};
    return result;
}

DN_INLINE double F(held)(double v, double most) { return v > most ? most : v < -most ? -most : v; }

/* s = 1 / (1 + exp(-v)), r = 1 - s */
typedef struct { double s, r; } F(logistic);

DN_INLINE F(logistic) F(gate)(double v)
{
    const double e = exp(-fabs(v)), high = 1 / (1 + e), low = e / (1 + e);
    F(logistic) result = {v < 0 ? low : high, v < 0 ? high : low};
    return result;
}

/* v s(w), of w with its derivatives w1 and w2 */
DN_INLINE F(triple) F(gated)(double v, double w, double w1, double w2)
{
    const double z = F(held)(v, 800);
    const F(logistic) g = F(gate)(w);
    return F(rounded)(v < 0 ? z * g.s : v * g.s, g.s + z * w1 * g.s * g.r,
                      g.s * g.r * (2 * w1 + z * w2 + z * w1 * w1 * (g.r - g.s)));
}

/* c tanh(k v) */
DN_INLINE F(triple) F(tanh_of)(double v, double c, double k)
{
    const double t = tanh(k * v), e = exp(-2 * fabs(k * v)), slope = 4 * c * k * e / ((1 + e) * (1 + e));
    return F(rounded)(c * t, slope, -2 * k * t * slope);
}

ACTIVATION(tanh) { return F(tanh_of)((double)v, 1, 1); }

ACTIVATION(lecun_tanh) { return F(tanh_of)((double)v, 1.7159, 2 / 3.0); }

ACTIVATION(sigmoid)
{
    const F(logistic) g = F(gate)((double)v);
    return F(rounded)(g.s, g.s * g.r, g.s * g.r * (g.r - g.s));
}

/* scale v, or scale alpha expm1(v / width) */
DN_INLINE F(triple) F(exponential_of)(double v, double scale, double alpha, double width)
{
    const double e = v > 0 ? 1 : exp(v / width) * alpha / width;
    return F(rounded)(scale * (v > 0 ? v : alpha * expm1(v / width)), scale * e, v > 0 ? 0 : scale * e / width);
}

ACTIVATION(elu) { return F(exponential_of)((double)v, 1, (double)a.value + (double)a.rest, 1); }

ACTIVATION(selu) { return F(exponential_of)((double)v, 1.0507009873554804934, 1.6732632423543772848, 1); }

ACTIVATION(celu)
{
    const double alpha = (double)a.value + (double)a.rest;
    return F(exponential_of)((double)v, 1, alpha, alpha);
}

DN_INLINE F(triple) F(softplus_of)(double v, double beta)
{
    const F(logistic) g = F(gate)(beta * v);
    return F(rounded)((v > 0 ? v : v < 0 ? 0 : v) + log1p(exp(-fabs(beta * v))) / beta, g.s, beta * g.s * g.r);
}

ACTIVATION(softplus) { return F(softplus_of)((double)v, (double)a.value + (double)a.rest); }

ACTIVATION(logsigmoid)
{
    const F(triple) y = F(softplus_of)(-(double)v, 1);
    return F(rounded)(-(double)y.f, (double)y.slope, -(double)y.second);
}

ACTIVATION(gelu)
{
    const double z = F(held)((double)v, 40), Phi = erfc(-z * 0.70710678118654752440) / 2;
    const double phi = exp(-z * z / 2) * 0.39894228040143267794;
    return F(rounded)((v < 0 ? z : (double)v) * Phi, Phi + z * phi, (2 - z * z) * phi);
}

/* w = sqrt(8 / pi) (v + 0.044715 v^3) */
ACTIVATION(gelu_tanh)
{
    const double c = 1.5957691216057307117, z = F(held)((double)v, 40), y = 0.044715 * z * z;
    return F(gated)((double)v, c * z * (1 + y), c * (1 + 3 * y), c * 0.26829 * z);
}

ACTIVATION(silu) { return F(gated)((double)v, F(held)((double)v, 800), 1, 0); }

/* s in units of beta v */
ACTIVATION(swish)
{
    const double beta = (double)a.value + (double)a.rest, z = F(held)(beta * (double)v, 800);
    const F(logistic) g = F(gate)(z);
    return F(rounded)((v < 0 ? z / beta : (double)v) * g.s, g.s + z * g.s * g.r, g.s * g.r * beta * (2 + z * (g.r - g.s)));
}

ACTIVATION(gaussian)
{
    const double z = F(held)((double)v, 40), e = exp(-z * z);
    return F(rounded)(e, -2 * z * e, (4 * z * z - 2) * e);
}

ACTIVATION(sin) { return F(far_sin)(v); }

ACTIVATION(cos) { return F(far_cos)(v); }

/* tanh(log(1 + exp(v))) = t, whose derivative is (1 - t^2) s */
ACTIVATION(mish)
{
    const double z = F(held)((double)v, 800), t = tanh((z > 0 ? z : 0) + log1p(exp(-fabs(z))));
    const F(logistic) g = F(gate)(z);
    const double slope = (1 - t * t) * g.s;
    return F(rounded)((v < 0 ? z : (double)v) * t, t + z * slope, slope * (2 + z * (g.r - 2 * t * g.s)));
}

ACTIVATION(exp)
{
    const double e = exp((double)v);
    return F(rounded)(e, e, e);
}

ACTIVATION(tanhshrink)
{
    const F(triple) y = F(tanh_of)((double)v, 1, 1);
    const double t = tanh((double)v);
    return F(rounded)((double)v - t, t * t, -(double)y.second);
}

ACTIVATION(erf)
{
    const double z = F(held)((double)v, 40), slope = 1.1283791670955125739 * exp(-z * z);
    return F(rounded)(erf((double)v), slope, -2 * z * slope);
}

ACTIVATION(atan)
{
    const double z = F(held)((double)v, 1e100), slope = 1 / (1 + z * z);
    return F(rounded)(atan((double)v), slope, -2 * z * slope * slope);
}
