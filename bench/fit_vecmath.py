"""Write the constants of src/deltanet/_core/vecmath_body.h.

`python bench/fit_vecmath.py 64 > vecmath64.h`, or 32.

The polynomials are minimax: Remez's exchange in 60 digits, the error weighted so that it is the relative
error of the function that the polynomial serves. The bound printed beside each is the
error before its coefficients are rounded.
"""

import sys

import mpmath as mp

mp.mp.dps = 60
BITS = {"64": 53, "32": 24}[sys.argv[1]]
SUFFIX = {53: "", 24: "f"}[BITS]


def of(double, single):
    return double if BITS == 53 else single


def remez(f, weight, a, b, degree, grid=1200, rounds=12):
    """Coefficients c (lowest first) that minimise max |weight (f - c)| on [a, b], and that maximum."""
    xs = [(a + b) / 2 - (b - a) / 2 * mp.cos(mp.pi * i / grid) for i in range(grid + 1)]
    fs, ws = [f(x) for x in xs], [weight(x) for x in xs]
    refs = [round(grid * (i + 0.5) / (degree + 2)) for i in range(degree + 2)]
    for _ in range(rounds):
        A = mp.matrix(
            [
                [xs[i] ** j for j in range(degree + 1)] + [(-1) ** s / ws[i]]
                for s, i in enumerate(refs)
            ]
        )
        c = list(mp.lu_solve(A, mp.matrix([fs[i] for i in refs])))[:-1]
        err = [w * (y - mp.polyval(c[::-1], x)) for x, y, w in zip(xs, fs, ws, strict=True)]
        peaks = [0]  # the largest |error| of each run of one sign
        for i in range(1, grid + 1):
            if err[i] * err[peaks[-1]] < 0:
                peaks.append(i)
            elif abs(err[i]) > abs(err[peaks[-1]]):
                peaks[-1] = i
        while len(peaks) > degree + 2:
            peaks.pop(0 if abs(err[peaks[0]]) < abs(err[peaks[-1]]) else -1)
        if len(peaks) < degree + 2 or peaks == refs:
            break
        refs = peaks
    return c, max(abs(e) for e in err)


def rounded(x, bits=BITS):
    if x == 0:
        return mp.mpf(0)
    ulp = mp.mpf(2) ** (mp.floor(mp.log(abs(x), 2)) + 1 - bits)
    return mp.nint(x / ulp) * ulp


def c_hex(x):
    mantissa, exponent = float(rounded(x)).hex().split("p")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}p{exponent}{SUFFIX}"


def number(name, x):
    print(f"static const real F({name}) = {c_hex(x)};")


def pair(name, x):
    hi = rounded(x)
    print(f"static const F(dd) F({name}) = {{{c_hex(hi)}, {c_hex(x - hi)}}};")


def bound_of(bound, a, b):
    return f"on [{mp.nstr(mp.mpf(a), 5)}, {mp.nstr(mp.mpf(b), 5)}], error 2^{mp.nstr(mp.log(bound, 2), 4)}"


def polynomial(name, f, weight, a, b, degree):
    """The function F(name): its odd and even terms are two Horner chains in x^2, which run side by side."""
    c, bound = remez(f, weight, mp.mpf(a), mp.mpf(b), degree)
    print(f"\n/* degree {degree} {bound_of(bound, a, b)} */")
    print(f"DN_INLINE real F({name})(int fused, real x)\n{{")
    if degree % 2 == 0:
        top, c = c[-1], c[:-1]
    even = c_hex(c[-2]) if degree % 2 else f"F(fma)(fused, {c_hex(top)}, x2, {c_hex(c[-2])})"
    print(f"    real x2 = x * x, odd = {c_hex(c[-1])}, even = {even};")
    for j in range(len(c) - 3, 0, -2):
        print(f"    DN_TERMS({c_hex(c[j])}, {c_hex(c[j - 1])})")
    print("    return F(fma)(fused, odd, x, even);\n}")


def table(name, k):
    """exp(-k z) = 2^n (C - r) / (C + r), z = -n ln(2) / k + r, C = r coth(k r / 2) = c0 + c1 r^2 + ...

    c0 = 2 / k.
    """
    coth = lambda y: (
        (mp.sqrt(y) * mp.coth(k * mp.sqrt(y) / 2) - 2 / k) / y
        if y > 1e-20
        else k / 6 - k**3 * y / 360
    )
    end = (mp.mpf("0.3467") / k) ** 2
    c, bound = remez(coth, lambda y: y * k / 2 + mp.mpf(1) / 10000, mp.mpf(0), end, of(4, 1))
    hi = rounded(mp.log(2) / k, of(40, 16))  # its product with n is exact
    values = [-k / mp.log(2), hi, mp.log(2) / k - hi, 2 / k, *c]
    print(
        f"\n/* k = {mp.nstr(k, 5)}: -k / ln 2; ln(2) / k; c0, c1, ..., {bound_of(bound, 0, end)} */"
    )
    lines = [", ".join(map(c_hex, values[i : i + 4])) for i in range(0, len(values), 4)]
    print(f"static const real F({name})[] = {{")
    print(*(f"    {line}," for line in lines), "};", sep="\n")


print(
    f"/* The constants of vecmath_body.h for {of('double', 'float')}, written by bench/fit_vecmath.py. */\n"
)

# 2^n scaled by 2^K: see dn_reduced. The clamps are where f' is zero after rounding, and n + K is still an
# exponent.
K, bias, fraction = of(256, 48), of(1023, 127), of(52, 23)
number("round", mp.mpf(3) * 2 ** (fraction - 1) + bias + K)
number("round_large", mp.mpf(3) * 2 ** (fraction - 1) + bias - K)
number("up", mp.mpf(2) ** K)
number("down", mp.mpf(2) ** -K)
number("sqrt_down", mp.mpf(2) ** (-K // 2))
number("huge", of(mp.mpf(2) ** 1000, mp.mpf(2) ** 120))
for name, double, single in [
    ("softsign", 1e300, 1e30),
    ("gaussian", 28.2, 10.4),
    ("tanh", 398, 53.5),
    ("lecun_tanh", 597, 80),
    ("sigmoid", 797, 107),
    ("exponential", 797, 118),
    ("large", 710, 89),
    ("silu", 795, 112),
    ("gelu_tanh", 22, 11),
    ("gelu", 39.9, 14.6),
]:
    number("last_" + name, mp.mpf(of(double, single)))

# exp: expm1(-r) = r^2 E(r) - r
E = lambda r: (mp.expm1(-r) + r) / r**2 if abs(r) > 1e-8 else mp.mpf(1) / 2 - r / 6
polynomial("E", E, lambda r: abs(r) + mp.mpf(1) / 1000, -0.3467, 0.3467, of(9, 5))

table("table_1", mp.mpf(1))
table("table_2", mp.mpf(2))
table("table_4_3", mp.mpf(4) / 3)

# softplus: log1p(e) = t + t y L(y), t = e / (1 + e/2), y = t^2
L = lambda y: (
    (2 * mp.atanh(mp.sqrt(y) / 2) / mp.sqrt(y) - 1) / y if y > 1e-15 else mp.mpf(1) / 12 + y / 80
)
polynomial("L", L, lambda y: y + mp.mpf(1) / 1000, 0, mp.mpf(4) / 9, of(9, 3))

# silu: 1 + e^v + v = 0
print()
r0 = mp.findroot(lambda v: 1 + mp.exp(v) + v, -1.278)
pair("silu_r", r0)
pair("silu_c", mp.exp(r0))

# gelu_tanh: w(v) = a v + b v^3, 1 + e^w + v w' = 0
a = 2 * mp.sqrt(2 / mp.pi)
b = a * mp.mpf("0.044715")
w = lambda v: a * v + b * v**3
r0 = mp.findroot(lambda v: 1 + mp.exp(w(v)) + v * (a + 3 * b * v**2), -0.7525)
pair("gelu_tanh_r", r0)
pair("gelu_tanh_c", mp.exp(w(r0)))
pair("gelu_tanh_a", a)
pair("gelu_tanh_b", b)
pair("gelu_tanh_a_br2", a + b * r0**2)
number("gelu_tanh_2br2", 2 * b * r0**2)
pair("gelu_tanh_2_a", 2 / a)
number("gelu_tanh_aa", a**2)
number("gelu_tanh_6ab", 6 * a * b)
number("gelu_tanh_9bb", 9 * b**2)

# gelu: R(z) = Phi(-z) / phi(z), R(z0) = z0; (z + 2) R(z) / sqrt(2 pi) = N0 + t P(t), t = (z - z0) / (z + 2)
phi = lambda z: mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)
R = lambda z: mp.erfc(z / mp.sqrt(2)) / 2 / phi(z)
z0 = mp.findroot(lambda z: R(z) - z, 0.75)
N = lambda z: (z + 2) * R(z) / mp.sqrt(2 * mp.pi)
z_of = lambda t: (z0 + 2 * t) / (1 - t)
P = lambda t: (N(z_of(t)) - N(z0)) / t
t_of = lambda z: (z - z0) / (z + 2)
pair("gelu_z0", z0)
number("gelu_N0", N(z0))
number("gelu_c", 1 / mp.sqrt(2 * mp.pi))
number("gelu_cz0", z0 / mp.sqrt(2 * mp.pi))
polynomial(
    "P",
    P,
    lambda t: max(abs(t) / N(z_of(t)), mp.sqrt(2 * mp.pi) / (z_of(t) + 2) ** 2),
    t_of(0),
    t_of(of(40, mp.mpf("14.7"))),
    of(27, 11),
)

print()
number("lecun", mp.mpf("1.7159"))
number("lecun_slope", mp.mpf("1.7159") * 8 / 3)
lam, alp = mp.mpf("1.0507009873554804934193349852946"), mp.mpf("1.6732632423543772848170429916717")
number("selu_lambda", lam)
number("selu_alpha", lam * alp)


# mish: omega(v) / 4 = 1 + v + e (v + 3/2) + e^2 + e^3 / 4 = 0, e = e^v
print()
omega = lambda v: 1 + v + mp.exp(v) * (v + 1.5) + mp.exp(2 * v) + mp.exp(3 * v) / 4
r0 = mp.findroot(omega, -1.19)
pair("mish_r", r0)
pair("mish_c", mp.exp(r0))

# tanhshrink: v - tanh v = v y T(y) / (1 + d1 y + d2 y^2), y = v^2; the denominator has the two poles next
# to zero
poles = [4 / mp.pi**2, 4 / (9 * mp.pi**2)]
d1, d2 = sum(poles), poles[0] * poles[1]
last = mp.mpf("1.75")
T = lambda y: (
    (1 + d1 * y + d2 * y**2)
    * ((1 - mp.tanh(mp.sqrt(y)) / mp.sqrt(y)) / y if y > 1e-20 else mp.mpf(1) / 3 - 2 * y / 15)
)
print()
number("tanhshrink_d1", d1)
number("tanhshrink_d2", d2)
number("last_tanhshrink", last)
polynomial("T", T, lambda y: 1 / T(y), 0, last**2, of(8, 3))

# erf: v + v erf_small(y) where v^2 = y is small, else 1 - 2 phi(z) R(z), z = sqrt(2) v
print()
number("sqrt_2", mp.sqrt(2))
number("erf_slope", 2 / mp.sqrt(mp.pi))
last = mp.mpf("0.5")
number("last_erf_small", last)
erf_small = lambda y: mp.erf(mp.sqrt(y)) / mp.sqrt(y) - 1 if y > 1e-20 else 2 / mp.sqrt(mp.pi) - 1
polynomial("erf_small", erf_small, lambda y: 1 / (1 + erf_small(y)), 0, last**2, of(8, 4))

# atan: x + x^3 A(x^2), |x| <= tan(pi / 8)
print()
low, high = mp.tan(mp.pi / 8), mp.tan(3 * mp.pi / 8)
number("atan_low", low)
number("atan_high", high)
pair("quarter_turn", mp.pi / 4)
pair("half_turn", mp.pi / 2)
A = lambda y: (mp.atan(mp.sqrt(y)) / mp.sqrt(y) - 1) / y if y > 1e-15 else -mp.mpf(1) / 3 + y / 5
polynomial("A", A, lambda y: y + mp.mpf(1) / 1000, 0, low**2 + mp.mpf("0.001"), of(10, 4))

# sin x = x + x^3 S(x^2), cos x = 1 - x^2 / 2 + x^4 Q(x^2), x = v - n pi / 2
S = lambda y: (mp.sinc(mp.sqrt(y)) - 1) / y if y > 1e-20 else -mp.mpf(1) / 6 + y / 120
Q = lambda y: (mp.cos(mp.sqrt(y)) - 1 + y / 2) / y**2 if y > 1e-10 else mp.mpf(1) / 24 - y / 720
end = (mp.pi / 4 + mp.mpf(1) / 1000) ** 2
polynomial("S", S, lambda y: y + mp.mpf(1) / 1000, 0, end, of(5, 2))
polynomial("Q", Q, lambda y: y**2 + mp.mpf(1) / 1000, 0, end, of(5, 2))
# 2 / pi, and pi / 2 in parts whose products with n <= 2^20 are exact, but for the last; a float's x is
# formed in double
parts, rest = [2 / mp.pi], mp.pi / 2
for bits in of((33, 33, 33, 53), (33, 53)):
    parts.append(rounded(rest, bits))
    rest -= parts[-1]
print("\nstatic const double F(half_pi)[] = {")
for i in range(0, len(parts), 3):
    print(f"    {', '.join(float(x).hex() for x in parts[i : i + 3])},")
print("};")
number("last_sin", mp.mpf(2) ** of(20, 17))
