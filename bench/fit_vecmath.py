"""Compute every constant of src/deltanet/core/vecmath.h: `python bench/fit_vecmath.py` prints them as C.

The polynomials are minimax: Remez's exchange in 60 digits, the error weighted so that it is the relative
error of the function that the polynomial serves. The bound printed beside each is the
error before rounding to double.
"""

import mpmath as mp

mp.mp.dps = 60


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


def c_hex(x):
    return float(x).hex().replace("0000000000000p", "p")


def show_poly(name, var, f, weight, a, b, degree):
    """The polynomial, of odd degree, as its odd and even chains in var^2, highest terms first."""
    c, bound = remez(f, weight, mp.mpf(a), mp.mpf(b), degree)
    print(
        f"/* {name}: degree {degree} on [{mp.nstr(mp.mpf(a), 5)}, {mp.nstr(mp.mpf(b), 5)}], "
        f"error 2^{mp.nstr(mp.log(bound, 2), 4)} */"
    )
    print(f"    odd = {c_hex(c[-1])}, even = {c_hex(c[-2])};")
    terms = [
        f"DN_TERMS({var}2, {c_hex(c[j])}, {c_hex(c[j - 1])})" for j in range(degree - 2, 0, -2)
    ]
    for term in terms:
        print("    " + term)


def show(name, x, head_bits=None):
    """x as hi + lo; head_bits limits hi to so many bits, so that integer multiples of it are exact."""
    if head_bits is None:
        hi = mp.mpf(float(x))
    else:
        ulp = mp.mpf(2) ** (mp.floor(mp.log(abs(x), 2)) + 1 - head_bits)
        hi = mp.nint(x / ulp) * ulp
    print(f"{name}: {c_hex(hi)}, {c_hex(x - hi)}")


# exp: expm1(r) = r + r^2 E(r)
show("log2(e)", 1 / mp.log(2))
show("ln 2", mp.log(2), head_bits=40)
E = lambda r: (mp.expm1(r) - r) / r**2 if abs(r) > 1e-8 else mp.mpf(1) / 2 + r / 6
show_poly("E(r)", "r", E, lambda r: abs(r) + mp.mpf(1) / 1000, -0.3467, 0.3467, 9)

# softplus: log1p(e) = t + t y L(y), t = e / (1 + e/2), y = t^2
L = lambda y: (
    (2 * mp.atanh(mp.sqrt(y) / 2) / mp.sqrt(y) - 1) / y if y > 1e-15 else mp.mpf(1) / 12 + y / 80
)
show_poly("L(y)", "y", L, lambda y: y + mp.mpf(1) / 1000, 0, mp.mpf(4) / 9, 9)

# silu: 1 + e^v + v = 0
r0 = mp.findroot(lambda v: 1 + mp.exp(v) + v, -1.278)
show("silu root r", r0)
show("silu e^r", mp.exp(r0))

# gelu_tanh: w(v) = a v + b v^3, 1 + e^w + v w' = 0
a = 2 * mp.sqrt(2 / mp.pi)
b = a * mp.mpf("0.044715")
w = lambda v: a * v + b * v**3
r0 = mp.findroot(lambda v: 1 + mp.exp(w(v)) + v * (a + 3 * b * v**2), -0.7525)
show("gelu_tanh root r", r0)
show("gelu_tanh e^w(r)", mp.exp(w(r0)))
show("gelu_tanh a", a)
show("gelu_tanh b", b)
show("gelu_tanh a + b r^2", a + b * r0**2)
show("gelu_tanh 2 b r^2", 2 * b * r0**2)

# gelu: R(z) = Phi(-z) / phi(z), R(z0) = z0; (z + K) R(z) / sqrt(2 pi) = N0 + t P(t), t = (z - z0) / (z + K)
K = 2
phi = lambda z: mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)
R = lambda z: mp.erfc(z / mp.sqrt(2)) / 2 / phi(z)
z0 = mp.findroot(lambda z: R(z) - z, 0.75)
N = lambda z: (z + K) * R(z) / mp.sqrt(2 * mp.pi)
z_of = lambda t: (z0 + K * t) / (1 - t)
P = lambda t: (N(z_of(t)) - N(z0)) / t
t_of = lambda z: (z - z0) / (z + K)
show("gelu z0", z0)
show("gelu N0", N(z0))
show("gelu c", 1 / mp.sqrt(2 * mp.pi))
show("gelu c z0", z0 / mp.sqrt(2 * mp.pi))
show_poly(
    "P(t)",
    "t",
    P,
    lambda t: max(abs(t) / N(z_of(t)), mp.sqrt(2 * mp.pi) / (z_of(t) + K) ** 2),
    t_of(0),
    t_of(40),
    27,
)

show("4/3", mp.mpf(4) / 3)
show("1.7159", mp.mpf("1.7159"))
show("1.7159 * 8/3", mp.mpf("1.7159") * 8 / 3)
lam, alp = mp.mpf("1.0507009873554804934193349852946"), mp.mpf("1.6732632423543772848170429916717")
show("selu lambda", lam)
show("selu lambda alpha", lam * alp)
