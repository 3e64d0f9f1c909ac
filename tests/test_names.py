"""Names and parameters of activations: aliases of the frameworks, hints, and what is refused."""

import re

import dense_oracle as plain
import numpy as np
import pytest

import deltanet as dn
from deltanet._activations import ALIASES, REGISTRY

V = np.linspace(-7, 7, 57)
SAME = {  # alias -> the function that it stands for, written out
    "linear": lambda v: v,
    "purelin": lambda v: v,
    "tansig": lambda v: 2 / (1 + np.exp(-2 * v)) - 1,
    "logsig": lambda v: 1 / (1 + np.exp(-v)),
    "logistic": lambda v: 1 / (1 + np.exp(-v)),
    "poslin": lambda v: np.maximum(v, 0),
    "satlin": lambda v: np.clip(v, 0, 1),
    "satlins": lambda v: np.clip(v, -1, 1),
    "radbas": lambda v: np.exp(-(v**2)),
    "elliotsig": lambda v: v / (1 + abs(v)),
    "soft_sign": lambda v: v / (1 + abs(v)),
    "exponential": np.exp,
    "log_sigmoid": lambda v: -np.log1p(np.exp(-v)),
    "hard_tanh": lambda v: np.clip(v, -1, 1),
    "hard_sigmoid": lambda v: np.clip(v / 6 + 0.5, 0, 1),
    "hard_silu": lambda v: v * np.clip(v / 6 + 0.5, 0, 1),
    "hard_swish": lambda v: v * np.clip(v / 6 + 0.5, 0, 1),
    "tanh_shrink": lambda v: v - np.tanh(v),
    "soft_shrink": lambda v: np.sign(v) * np.maximum(abs(v) - 0.5, 0),
    "swish": lambda v: v / (1 + np.exp(-v)),
}
# torch's module -> its arguments
TORCH = {alias: () for alias in ALIASES if alias[0].isupper() and "Softmax" not in alias}
TORCH["Threshold"] = (0.1, 20.0)


def net_of(spec, dtype="float64"):
    return dn.MLP.from_layers([np.eye(1)], [np.zeros(1)], [spec], dtype=dtype)


@pytest.mark.parametrize("alias", SAME)
def test_an_alias_means_what_its_framework_means(alias):
    np.testing.assert_allclose(
        net_of(alias)(V[:, None])[:, 0], SAME[alias](V), rtol=1e-13, atol=1e-15
    )


@pytest.mark.parametrize("name", TORCH)
def test_torch_modules_by_their_class_name(name):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    module = getattr(torch.nn, "LogSoftmax" if name == "LogSoftmax" else name)(*TORCH[name])
    v = torch.tensor(V, requires_grad=True)
    y = module(v)
    (slope,) = torch.autograd.grad(y.sum(), v) if y.requires_grad else (torch.zeros_like(v),)
    net = net_of((name, *TORCH[name]) if TORCH[name] else name)
    np.testing.assert_allclose(net(V[:, None])[:, 0], y.detach().numpy(), rtol=1e-8, atol=1e-15)
    off = np.ones(len(V), bool)  # torch has other slopes at some kinks
    for kink in plain.kinks(net.activations[0]):
        off &= abs(V - kink) > 1e-9
    np.testing.assert_allclose(
        net.input_jacobian(V[:, None])[off, 0, 0], slope.numpy()[off], rtol=1e-7, atol=1e-12
    )  # torch's slope of hardsigmoid is a rounded 1 / 6


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
def test_torch_modules_that_couple(name):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    net = dn.MLP.from_layers([np.eye(3)], [np.zeros(3)], [name])
    X = np.random.default_rng(0).standard_normal((4, 3))
    y = getattr(torch.nn, name)(dim=1)(torch.tensor(X)).numpy()
    np.testing.assert_allclose(net(X), y, rtol=1e-13)


@pytest.mark.parametrize("parameters", [(-2.0, 3.0), (0.0, 6.0)])
def test_torch_hardtanh_of_two_parameters(parameters):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    y = torch.nn.Hardtanh(*parameters)(torch.tensor(V)).numpy()
    np.testing.assert_array_equal(net_of(("hardtanh", *parameters))(V[:, None])[:, 0], y)


def test_aliases_are_other_names_of_known_ones():
    assert set(SAME) | set(TORCH) | {"Softmax", "LogSoftmax"} == set(ALIASES) | {"swish"}
    assert not set(ALIASES) & set(REGISTRY)
    assert net_of("tansig").activations == ("tanh",)
    assert net_of("satlin").activations == (("hardtanh", 0.0, 1.0),)
    assert net_of(("LeakyReLU", 0.2)).activations == (("leaky_relu", 0.2),)


PARAMETERS = {  # what is given -> net.activations
    "default": ("hardtanh", "hardtanh"),
    "both": (("hardtanh", -2, 3), ("hardtanh", -2.0, 3.0)),
    "the defaults": (("hardtanh", -1, 1), "hardtanh"),
    "the first": (("hardtanh", -2), ("hardtanh", -2.0, 1.0)),
    "a list": (["threshold", 1, 2], ("threshold", 1.0, 2.0)),
    "None": (("softshrink", None), "softshrink"),
    "swish": ("swish", "swish"),
    "NumPy": (("celu", np.float32(0.5)), ("celu", 0.5)),
}


@pytest.mark.parametrize("case", PARAMETERS)
def test_parameters(case):
    spec, activations = PARAMETERS[case]
    net = net_of(spec)
    assert net.activations == (activations,)
    assert net == net.copy() == net.astype("float64")
    assert dn.MLP([1, 2, 2, 1], activation=spec).activations[:2] == (activations,) * 2


REFUSED = {
    "no parameters": ("threshold", r"needs its parameters: \('threshold', threshold, value\)"),
    "one of two": (("threshold", 1), r"needs its parameters.*got \('threshold', 1\)"),
    "too many": (("elu", 1, 2), r"'elu' takes 1 parameters at most \(alpha\); got 2"),
    "three": (("hardtanh", 1, 2, 3), r"takes 2 parameters at most \(min, max\); got 3"),
    "none taken": (("mish", 1), "'mish' takes no parameter; got 1"),
    "of an alias": (("satlin", 1), "'satlin' takes no parameter; got 1"),
    "order": (("hardtanh", 1, 1), r"the first below the second; got \(1, 1\)"),
    "infinite": (("hardtanh", 0, np.inf), r"finite.*got \(0, inf\)"),
    "NaN": (("threshold", np.nan, 0), r"must be finite; got \(nan, 0\)"),
    "no number": (("threshold", "x", 0), r"must be finite; got \('x', 0\)"),
    "zero": (("celu", 0), "'celu' must be positive and finite; got 0"),
    "negative": (("swish", -1), "'swish' must be positive and finite; got -1"),
    "below zero": (("softshrink", -0.1), "zero or positive, and finite; got -0.1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_parameters(case):
    spec, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        net_of(spec)


@pytest.mark.parametrize(
    "name, meant",
    [
        ("thanh", "'tanh'"),
        ("TANH", "'tanh'"),
        ("relu7", "'relu6'"),
        ("Relu", "'relu'"),
        ("leakyrelu", "'leaky_relu'"),
        ("sigmiod", "'sigmoid'"),
        ("soft_max", "'softmax'"),
        ("hardswich", "'hardswish'"),
        ("Purelin", "'purelin'"),
    ],
)
def test_did_you_mean(name, meant):
    with pytest.raises(ValueError, match=f"unknown activation '{name}'; known are") as error:
        net_of(name)
    hint = str(error.value).split("; did you mean ")[1]
    assert meant in re.split(" or |\\?", hint)


def test_no_hint_where_nothing_is_near():
    with pytest.raises(ValueError, match=r"unknown activation 'os\.system'") as error:
        net_of("os.system")
    assert "mean" not in str(error.value)
