"""Each activation and its slope against mpmath, at ordinary and at extreme local fields."""

import re

import mpmath as mp
import numpy as np
import pytest
from dense_oracle import COUPLED, DEFAULTS, ELEMENTWISE

import deltanet as dn

mp.mp.dps = 40
LAMBDA = mp.mpf("1.0507009873554804934193349852946")
ALPHA = mp.mpf("1.6732632423543772848170429916717")


def sigmoid(v):
    return 1 / (1 + mp.exp(-v))


# name -> (f, f') from their definitions; the slope at a kink is the left one.
EXACT = {
    "identity": (lambda v, a: v, lambda v, a: mp.mpf(1)),
    "tanh": (lambda v, a: mp.tanh(v), lambda v, a: mp.sech(v) ** 2),
    "lecun_tanh": (
        lambda v, a: mp.mpf("1.7159") * mp.tanh(2 * v / 3),
        lambda v, a: mp.mpf("1.7159") * 2 / 3 * mp.sech(2 * v / 3) ** 2,
    ),
    "sigmoid": (lambda v, a: sigmoid(v), lambda v, a: sigmoid(v) * sigmoid(-v)),
    "relu": (lambda v, a: max(v, mp.mpf(0)), lambda v, a: mp.mpf(v > 0)),
    "leaky_relu": (lambda v, a: v if v > 0 else a * v, lambda v, a: mp.mpf(1) if v > 0 else a),
    "elu": (
        lambda v, a: v if v > 0 else a * mp.expm1(v),
        lambda v, a: mp.mpf(1) if v > 0 else a * mp.exp(v),
    ),
    "selu": (
        lambda v, a: LAMBDA * (v if v > 0 else ALPHA * mp.expm1(v)),
        lambda v, a: LAMBDA * (1 if v > 0 else ALPHA * mp.exp(v)),
    ),
    "softplus": (lambda v, a: mp.log1p(mp.exp(a * v)) / a, lambda v, a: sigmoid(a * v)),
    "gelu": (
        lambda v, a: v * mp.erfc(-v / mp.sqrt(2)) / 2,
        lambda v, a: mp.erfc(-v / mp.sqrt(2)) / 2 + v * mp.exp(-v * v / 2) / mp.sqrt(2 * mp.pi),
    ),
    "gelu_tanh": (lambda v, a: gelu_tanh(v), lambda v, a: gelu_tanh_slope(v)),
    "silu": (
        lambda v, a: v * sigmoid(v),
        lambda v, a: sigmoid(v) + v * sigmoid(v) * sigmoid(-v),
    ),
    "softsign": (lambda v, a: v / (1 + abs(v)), lambda v, a: 1 / (1 + abs(v)) ** 2),
    "gaussian": (lambda v, a: mp.exp(-v * v), lambda v, a: -2 * v * mp.exp(-v * v)),
    "sin": (lambda v, a: mp.sin(v), lambda v, a: mp.cos(v)),
}


def gelu_tanh(v):
    u = mp.sqrt(2 / mp.pi) * (v + mp.mpf("0.044715") * v**3)
    return v * sigmoid(2 * u)


def gelu_tanh_slope(v):
    u = mp.sqrt(2 / mp.pi) * (v + mp.mpf("0.044715") * v**3)
    du = mp.sqrt(2 / mp.pi) * (1 + 3 * mp.mpf("0.044715") * v**2)
    return sigmoid(2 * u) + 2 * v * sigmoid(2 * u) * sigmoid(-2 * u) * du


POINTS = np.concatenate(
    [
        np.linspace(-8, 8, 161),
        [-1000, -700, -40, -20, -1e-5, -1e-12, 1e-300, 1e-12, 1e-5, 20, 40, 700, 1000],
    ]
)


def evaluate(name, parameter, v, dtype):
    spec = name if parameter is None else (name, parameter)
    net = dn.MLP.from_layers([[[1.0]]], [[0.0]], [spec], dtype=dtype)
    X = np.asarray(v, dtype)[:, None]
    return net(X)[:, 0], net.input_jacobian(X)[:, 0, 0]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "name, parameter",
    [
        *((name, DEFAULTS.get(name)) for name in ELEMENTWISE),
        ("leaky_relu", 0.3),
        ("elu", 0.7),
        ("softplus", 2.5),
    ],
)
def test_value_and_slope(name, parameter, dtype):
    v = POINTS.astype(dtype)
    tiny, eps = np.finfo(dtype).tiny, np.finfo(dtype).eps
    for computed, exact in zip(evaluate(name, parameter, v, dtype), EXACT[name], strict=True):
        a = None if parameter is None else mp.mpf(parameter)
        for x, got in zip(v, computed, strict=True):
            want = exact(mp.mpf(float(x)), a)
            # near the isolated zero of a slope the terms cancel: there, eps of the terms counts
            scale = max(
                abs(want),
                mp.mpf("0.1") if name in ("gelu", "gelu_tanh", "silu") and -3 < x < 0 else 0,
            )
            assert abs(mp.mpf(float(got)) - want) <= 8 * eps * scale + tiny, (name, x, got, want)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", EXACT)
def test_nan_stays_nan_and_infinity_goes_to_the_limit(name, dtype):
    v = np.array([np.nan, np.inf, -np.inf], dtype)
    with np.errstate(invalid="ignore"):
        h, slope = evaluate(name, None, v, dtype)
    assert np.isnan(h[0])
    if name == "sin":
        assert np.isnan(h[1:]).all() and np.isnan(slope).all()
        return
    far = np.array([1, 1e4, -1e4], dtype)
    near_h, near_slope = evaluate(name, None, far, dtype)
    np.testing.assert_allclose(slope[1:], near_slope[1:], rtol=1e-3, atol=1e-3)
    bounded = np.abs(near_h[1:]) < 10
    np.testing.assert_allclose(h[1:][bounded], near_h[1:][bounded], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(h[1:][~bounded], np.sign(near_h[1:][~bounded]) * np.inf)


@pytest.mark.parametrize(
    "name, parameter, slope",
    [
        ("relu", None, 0),
        ("leaky_relu", 0.3, 0.3),
        ("elu", 0.7, 0.7),
        ("selu", None, float(LAMBDA * ALPHA)),
    ],
)
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_slope_at_a_kink_is_the_left_one(name, parameter, slope, zero):
    h, fprime = evaluate(name, parameter, [zero], "float64")
    assert h[0] == 0 and fprime[0] == pytest.approx(slope, rel=1e-15)


def test_every_element_wise_activation_has_a_definition_here():
    """The message for an unknown one lists those that there are."""
    with pytest.raises(ValueError, match="known are") as error:
        dn.MLP([1, 1], output="unheard of")
    known = re.findall(r"\w+", str(error.value).split("known are")[1])
    assert sorted(known) == sorted([*EXACT, *COUPLED]) and list(EXACT) == list(ELEMENTWISE)


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
