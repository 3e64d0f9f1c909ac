"""Each activation and its slope against mpmath, at ordinary and at extreme local fields."""

import re

import mpmath as mp
import numpy as np
import pytest
from dense_oracle import COUPLED, ELEMENTWISE, PARAMETRISED, SPECS, kinks, split
from second_oracle import SECOND

import deltanet as dn
from deltanet._activations import REGISTRY

mp.mp.dps = 40
LAMBDA = mp.mpf("1.0507009873554804934193349852946")
ALPHA = mp.mpf("1.6732632423543772848170429916717")


def sigmoid(v):
    return 1 / (1 + mp.exp(-v))


def tanhshrink(v):
    with mp.workdps(700):  # the terms cancel to their cube
        return v - mp.tanh(v)


def flat(v, *parameters):
    return mp.mpf(0)


def sigmoid_second(v):
    return sigmoid(v) * sigmoid(-v) * (sigmoid(-v) - sigmoid(v))


def silu_second(u):
    return sigmoid(u) * sigmoid(-u) * (2 + u * (sigmoid(-u) - sigmoid(u)))


def mish_second(v):
    """Of v t, t = tanh(p), p = log(1 + exp(v)): t' = sech(p)^2 s, t'' = sech(p)^2 (s' - 2 t s^2)."""
    p, s = mp.log1p(mp.exp(v)), sigmoid(v)
    return mp.sech(p) ** 2 * (2 * s + v * (s * sigmoid(-v) - 2 * mp.tanh(p) * s**2))


# name -> (f, f', f'') from their definitions; at a kink f' and f'' are the left ones.
EXACT = {
    "identity": (lambda v: v, lambda v: mp.mpf(1), flat),
    "tanh": (
        lambda v: mp.tanh(v),
        lambda v: mp.sech(v) ** 2,
        lambda v: -2 * mp.tanh(v) * mp.sech(v) ** 2,
    ),
    "lecun_tanh": (
        lambda v: mp.mpf("1.7159") * mp.tanh(2 * v / 3),
        lambda v: mp.mpf("1.7159") * 2 / 3 * mp.sech(2 * v / 3) ** 2,
        lambda v: -mp.mpf("1.7159") * 8 / 9 * mp.tanh(2 * v / 3) * mp.sech(2 * v / 3) ** 2,
    ),
    "sigmoid": (lambda v: sigmoid(v), lambda v: sigmoid(v) * sigmoid(-v), sigmoid_second),
    "relu": (lambda v: max(v, mp.mpf(0)), lambda v: mp.mpf(v > 0), flat),
    "leaky_relu": (
        lambda v, a: v if v > 0 else a * v,
        lambda v, a: mp.mpf(1) if v > 0 else a,
        flat,
    ),
    "elu": (
        lambda v, a: v if v > 0 else a * mp.expm1(v),
        lambda v, a: mp.mpf(1) if v > 0 else a * mp.exp(v),
        lambda v, a: mp.mpf(0) if v > 0 else a * mp.exp(v),
    ),
    "selu": (
        lambda v: LAMBDA * (v if v > 0 else ALPHA * mp.expm1(v)),
        lambda v: LAMBDA * (1 if v > 0 else ALPHA * mp.exp(v)),
        lambda v: mp.mpf(0) if v > 0 else LAMBDA * ALPHA * mp.exp(v),
    ),
    "softplus": (
        lambda v, a: mp.log1p(mp.exp(a * v)) / a,
        lambda v, a: sigmoid(a * v),
        lambda v, a: a * sigmoid(a * v) * sigmoid(-a * v),
    ),
    "gelu": (
        lambda v: v * mp.erfc(-v / mp.sqrt(2)) / 2,
        lambda v: mp.erfc(-v / mp.sqrt(2)) / 2 + v * mp.exp(-v * v / 2) / mp.sqrt(2 * mp.pi),
        lambda v: (2 - v * v) * mp.exp(-v * v / 2) / mp.sqrt(2 * mp.pi),
    ),
    "gelu_tanh": (
        lambda v: gelu_tanh(v),
        lambda v: gelu_tanh_slope(v),
        lambda v: gelu_tanh_second(v),
    ),
    "silu": (
        lambda v: v * sigmoid(v),
        lambda v: sigmoid(v) + v * sigmoid(v) * sigmoid(-v),
        silu_second,
    ),
    "softsign": (
        lambda v: v / (1 + abs(v)),
        lambda v: 1 / (1 + abs(v)) ** 2,
        lambda v: mp.mpf(-2 if v > 0 else 2) / (1 + abs(v)) ** 3,
    ),
    "gaussian": (
        lambda v: mp.exp(-v * v),
        lambda v: -2 * v * mp.exp(-v * v),
        lambda v: (4 * v * v - 2) * mp.exp(-v * v),
    ),
    "sin": (lambda v: mp.sin(v), lambda v: mp.cos(v), lambda v: -mp.sin(v)),
    "relu6": (lambda v: min(max(v, mp.mpf(0)), mp.mpf(6)), lambda v: mp.mpf(0 < v <= 6), flat),
    "hardtanh": (lambda v, a, b: min(max(v, a), b), lambda v, a, b: mp.mpf(a < v <= b), flat),
    "hardsigmoid": (
        lambda v: min(max(v + 3, mp.mpf(0)), mp.mpf(6)) / 6,
        lambda v: mp.mpf(-3 < v <= 3) / 6,
        flat,
    ),
    "hardswish": (
        lambda v: v * min(max(v + 3, mp.mpf(0)), mp.mpf(6)) / 6,
        lambda v: mp.mpf(1) if v > 3 else (2 * v + 3) / 6 if v > -3 else mp.mpf(0),
        lambda v: mp.mpf(-3 < v <= 3) / 3,
    ),
    "celu": (
        lambda v, a: v if v > 0 else a * mp.expm1(v / a),
        lambda v, a: mp.mpf(1) if v > 0 else mp.exp(v / a),
        lambda v, a: mp.mpf(0) if v > 0 else mp.exp(v / a) / a,
    ),
    "mish": (
        lambda v: v * mp.tanh(mp.log1p(mp.exp(v))),
        lambda v: mp.tanh(mp.log1p(mp.exp(v))) + v * mp.sech(mp.log1p(mp.exp(v))) ** 2 * sigmoid(v),
        mish_second,
    ),
    "exp": (mp.exp, mp.exp, mp.exp),
    "logsigmoid": (
        lambda v: -mp.log1p(mp.exp(-v)),
        lambda v: sigmoid(-v),
        lambda v: -sigmoid(v) * sigmoid(-v),
    ),
    "tanhshrink": (
        tanhshrink,
        lambda v: mp.tanh(v) ** 2,
        lambda v: 2 * mp.tanh(v) * mp.sech(v) ** 2,
    ),
    "softshrink": (
        lambda v, a: v - a if v > a else v + a if v < -a else mp.mpf(0),
        lambda v, a: mp.mpf(v > a or v <= -a),
        flat,
    ),
    "threshold": (lambda v, a, b: v if v > a else b, lambda v, a, b: mp.mpf(v > a), flat),
    "swish": (
        lambda v, a: v * sigmoid(a * v),
        lambda v, a: sigmoid(a * v) + a * v * sigmoid(a * v) * sigmoid(-a * v),
        lambda v, a: a * silu_second(a * v),
    ),
    "cos": (mp.cos, lambda v: -mp.sin(v), lambda v: -mp.cos(v)),
    "abs": (abs, lambda v: mp.mpf(1 if v > 0 else -1), flat),
    "square": (lambda v: v * v, lambda v: 2 * v, lambda v: mp.mpf(2)),
    "erf": (
        mp.erf,
        lambda v: 2 / mp.sqrt(mp.pi) * mp.exp(-v * v),
        lambda v: -4 * v / mp.sqrt(mp.pi) * mp.exp(-v * v),
    ),
    "atan": (mp.atan, lambda v: 1 / (1 + v * v), lambda v: -2 * v / (1 + v * v) ** 2),
}


def gelu_tanh(v):
    u = mp.sqrt(2 / mp.pi) * (v + mp.mpf("0.044715") * v**3)
    return v * sigmoid(2 * u)


def gelu_tanh_slope(v):
    u = mp.sqrt(2 / mp.pi) * (v + mp.mpf("0.044715") * v**3)
    du = mp.sqrt(2 / mp.pi) * (1 + 3 * mp.mpf("0.044715") * v**2)
    return sigmoid(2 * u) + 2 * v * sigmoid(2 * u) * sigmoid(-2 * u) * du


def gelu_tanh_second(v):
    """v s(w): 2 s' w' + v (s'' w'^2 + s' w'')"""
    r = 2 * mp.sqrt(2 / mp.pi)
    w, w1, w2 = (
        r * (v + mp.mpf("0.044715") * v**3),
        r * (1 + 3 * mp.mpf("0.044715") * v**2),
        r * 6 * mp.mpf("0.044715") * v,
    )
    return sigmoid(w) * sigmoid(-w) * (2 * w1 + v * w2) + v * sigmoid_second(w) * w1**2


GATED = ("gelu", "gelu_tanh", "silu", "mish", "swish")
POINTS = np.concatenate(
    [
        np.linspace(-8, 8, 161),
        [-1000, -700, -40, -20, -1e-5, -1e-12, 1e-300, 1e-12, 1e-5, 20, 40, 700, 1000],
    ]
)


def evaluate(spec, v, dtype):
    """(f, f') of local fields v"""
    net = dn.MLP.from_layers([[[1.0]]], [[0.0]], [spec], dtype=dtype)
    X = np.asarray(v, dtype)[:, None]
    return net(X)[:, 0], net.input_jacobian(X)[:, 0, 0]


def second(spec, v, dtype):
    """f'', as a batch's and as that of a sample alone"""
    net = dn.MLP.from_layers([[[1.0]]], [[0.0]], [spec], dtype=dtype)
    X = np.asarray(v, dtype)[:, None]
    return net.input_hessian(X).ravel(), np.array([net.input_hessian(x).item() for x in X])


def around(spec, dtype):
    """POINTS, the kinks and their neighbours"""
    at_kinks = [
        x for kink in kinks(spec) for x in (kink, np.nextafter(kink, 9), np.nextafter(kink, -9))
    ]
    return np.concatenate([POINTS, at_kinks]).astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_value_and_slope(spec, dtype):
    name, parameters = split(spec)
    parameters = [mp.mpf(parameter) for parameter in parameters]
    v = around(spec, dtype)
    tiny, eps, most = np.finfo(dtype).tiny, np.finfo(dtype).eps, np.finfo(dtype).max
    for computed, exact in zip(evaluate(spec, v, dtype), EXACT[name][:2], strict=True):
        for x, got in zip(v, computed, strict=True):
            want = exact(mp.mpf(float(x)), *parameters)
            if abs(want) > most:
                assert got == np.sign(want) * np.inf
                continue
            # near the isolated zero of a slope the terms cancel: there, eps of the terms counts
            scale = max(abs(want), mp.mpf("0.1") if name in GATED and -3 < x < 0 else 0)
            assert abs(mp.mpf(float(got)) - want) <= 8 * eps * scale + tiny, (spec, x, got, want)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_second_derivative(spec, dtype):
    """Within 8 eps of it, or of an eighth of the largest there is."""
    name, parameters = split(spec)
    parameters = [mp.mpf(parameter) for parameter in parameters]
    v = around(spec, dtype)
    tiny, eps, most = np.finfo(dtype).tiny, np.finfo(dtype).eps, np.finfo(dtype).max
    exact = [EXACT[name][2](mp.mpf(float(x)), *parameters) for x in v]
    largest = 0 if name == "exp" else max(abs(want) for want in exact)
    for computed in second(spec, v, dtype):
        for x, got, want in zip(v, computed, exact, strict=True):
            if abs(want) > most:
                assert got == np.sign(want) * np.inf
                continue
            scale = max(abs(want), largest / 8)
            assert abs(mp.mpf(float(got)) - want) <= 8 * eps * scale + tiny, (spec, x, got, want)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_oracles_second_derivative(spec):
    """second_oracle.py's formula in NumPy."""
    name, parameters = split(spec)
    v = np.linspace(-6, 6, 121) + 0.013
    exact = [EXACT[name][2](mp.mpf(x), *map(mp.mpf, parameters)) for x in v]
    exact = np.array(exact, float)
    deviation = abs(SECOND[name](v, *parameters) - exact).max()
    assert deviation <= 1e-14 * abs(exact).max()


# f and f' at infinity and at minus infinity; None: NaN
LIMITS = {
    "identity": (np.inf, -np.inf, 1, 1),
    "tanh": (1, -1, 0, 0),
    "lecun_tanh": (1.7159, -1.7159, 0, 0),
    "sigmoid": (1, 0, 0, 0),
    "relu": (np.inf, 0, 1, 0),
    "leaky_relu": (np.inf, -np.inf, 1, 0.3),
    "elu": (np.inf, -0.7, 1, 0),
    "selu": (np.inf, -float(LAMBDA * ALPHA), float(LAMBDA), 0),
    "softplus": (np.inf, 0, 1, 0),
    "gelu": (np.inf, 0, 1, 0),
    "gelu_tanh": (np.inf, 0, 1, 0),
    "silu": (np.inf, 0, 1, 0),
    "softsign": (1, -1, 0, 0),
    "gaussian": (0, 0, 0, 0),
    "sin": (None, None, None, None),
    "relu6": (6, 0, 0, 0),
    "hardtanh": (2, -0.5, 0, 0),
    "hardsigmoid": (1, 0, 0, 0),
    "hardswish": (np.inf, 0, 1, 0),
    "celu": (np.inf, -0.7, 1, 0),
    "mish": (np.inf, 0, 1, 0),
    "exp": (np.inf, 0, np.inf, 0),
    "logsigmoid": (0, -np.inf, 0, 1),
    "tanhshrink": (np.inf, -np.inf, 1, 1),
    "softshrink": (np.inf, -np.inf, 1, 1),
    "threshold": (np.inf, -0.4, 1, 0),
    "swish": (np.inf, 0, 1, 0),
    "cos": (None, None, None, None),
    "abs": (np.inf, np.inf, 1, -1),
    "square": (np.inf, np.inf, np.inf, -np.inf),
    "erf": (1, -1, 0, 0),
    "atan": (np.pi / 2, -np.pi / 2, 0, 0),
}


FAR = [*PARAMETRISED, *(name for name in LIMITS if name not in {each for each, *_ in PARAMETRISED})]


@pytest.mark.parametrize("lanes", [1, 2, 7, 40])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("spec", FAR, ids=str)
def test_nan_stays_nan_and_infinity_goes_to_the_limit(spec, dtype, lanes):
    h, slope = evaluate(spec, np.tile(np.array([np.nan, np.inf, -np.inf], dtype), lanes), dtype)
    limits = np.array(LIMITS[split(spec)[0]], float)
    assert np.isnan(h[::3]).all() and np.isnan(slope[::3]).all()
    for k in (1, 2):
        for got, limit in ((h[k::3], limits[k - 1]), (slope[k::3], limits[k + 1])):
            np.testing.assert_allclose(
                got, np.full(lanes, limit), rtol=4 * np.finfo(dtype).eps, atol=0
            )
    bends = {"sin": [np.nan] * 3, "cos": [np.nan] * 3, "exp": [np.nan, np.inf, 0]}
    bend = bends.get(spec, [np.nan, 2, 2] if spec == "square" else [np.nan, 0, 0])
    for computed in second(spec, np.tile(np.array([np.nan, np.inf, -np.inf], dtype), lanes), dtype):
        np.testing.assert_array_equal(computed, np.tile(bend, lanes))


@pytest.mark.parametrize(
    "spec, kink, value, slope",
    [
        ("relu", 0, 0, 0),
        (("leaky_relu", 0.3), 0, 0, 0.3),
        (("elu", 0.7), 0, 0, 0.7),
        ("selu", 0, 0, float(LAMBDA * ALPHA)),
        ("relu6", 0, 0, 0),
        ("relu6", 6, 6, 1),
        ("hardtanh", -1, -1, 0),
        ("hardtanh", 1, 1, 1),
        ("hardsigmoid", -3, 0, 0),
        ("hardsigmoid", 3, 1, 1 / 6),
        ("hardswish", -3, 0, 0),
        ("hardswish", 3, 3, 1.5),
        ("softshrink", -0.5, 0, 1),
        ("softshrink", 0.5, 0, 0),
        (("softshrink", 0), 0, 0, 1),
        (("threshold", 0.5, 20), 0.5, 20, 0),
        ("abs", 0, 0, -1),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_slope_at_a_kink_is_the_left_one(spec, kink, value, slope, dtype):
    for v in (kink, -0.0) if kink == 0 else (kink,):
        h, fprime = evaluate(spec, [v], dtype)
        eps = float(np.finfo(dtype).eps)
        assert h[0] == value and fprime[0] == pytest.approx(slope, rel=4 * eps)


def test_every_element_wise_activation_has_a_definition_here():
    """The message for an unknown one lists those that there are."""
    with pytest.raises(ValueError, match="known are") as error:
        dn.MLP([1, 1], output="unheard of")
    known = re.findall(r"\w+", str(error.value).split("known are")[1])
    own = [name for name in known if REGISTRY[name].functions is None]  # not of other tests
    assert sorted(own) == sorted([*EXACT, *COUPLED]) and list(EXACT) == list(ELEMENTWISE) == list(
        LIMITS
    )


@pytest.mark.parametrize("output", ["softmax", "log_softmax"])
@pytest.mark.parametrize("v", [(1000.0, -1000.0, 0.0), (1.0, 2.0, 3.0), (0.0, -40.0, -800.0)])
def test_coupled_outputs_keep_their_digits(output, v):
    net = dn.MLP.from_layers([np.eye(3)], [np.zeros(3)], [output])
    exps = [mp.exp(mp.mpf(x)) for x in v]
    p = [e / sum(exps) for e in exps]
    for o in range(3):
        y = p[o] if output == "softmax" else mp.log(p[o])
        assert float(net(v)[o]) == pytest.approx(float(y), rel=1e-14, abs=1e-300)
        for j in range(3):
            rest = sum(p[i] for i in range(3) if i != o) if j == o else -p[j]
            slope = rest * (p[o] if output == "softmax" else 1)
            got = float(net.input_jacobian(v)[o, j])
            assert got == pytest.approx(float(slope), rel=1e-13, abs=1e-300)
