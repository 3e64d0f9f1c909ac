"""Nets that are exported, compiled and loaded by CasADi, beside their plain formulas."""

import warnings
from functools import cached_property

import numpy as np
import pytest
import second_oracle
from dense_oracle import PlainNet, assert_close
from door_tools import as_net
from exported_net import C99, compiled

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of SWIG, about Python 3.12 and newer
    ca = pytest.importorskip("casadi", reason="needs casadi")

TOLERANCE = 1e-12
# name -> (widths, activations, whether all layers have a bias, scalings, params, dtype)
CASES = {
    "tanh": ((4, 9, 6, 2), ["tanh", "tanh", "identity"], True, False, "constant", "float64"),
    "scaled": ((3, 7, 4), ["gelu", "identity"], True, True, "constant", "float64"),
    "softmax": ((3, 6, 4), ["sin", "softmax"], True, True, "constant", "float64"),
    "curved": ((2, 5, 3), ["softplus", "sigmoid"], False, False, "constant", "float64"),
    "one": ((1, 6, 1), ["tanh", "identity"], True, True, "constant", "float64"),
    "linear": ((3, 2), ["identity"], True, False, "constant", "float64"),
    "float32": ((3, 5, 2), ["silu", "log_softmax"], True, True, "constant", "float32"),
    "theta": ((3, 7, 5, 2), ["tanh", "mish", "identity"], True, True, "argument", "float64"),
    "theta, log_softmax": ((2, 5, 3), ["atan", "log_softmax"], True, True, "argument", "float64"),
    "theta, softmax": ((2, 4, 3), ["tanh", "softmax"], False, False, "argument", "float64"),
    "theta, one": ((1, 4, 1), ["tanh", "sin"], False, False, "argument", "float64"),
    "theta, float32": ((2, 4, 2), ["tanh", "identity"], True, True, "argument", "float32"),
}


class External:
    """A net that was exported and compiled, as CasADi finds it."""

    def __init__(self, case, folder):
        sizes, specs, biased, scaled, params, dtype = case
        random = np.random.default_rng(len(specs))
        self.plain = PlainNet.random(random, sizes, specs, [biased] * len(specs), scaled, dtype)
        self.net = as_net(self.plain).astype(dtype)
        self.argument = params == "argument"
        self.n_0, self.m, self.P = sizes[0], sizes[-1], self.plain.P
        self.source, self.path = folder / "net.c", folder / "net.so"
        self.net.export_c(self.source, casadi=True, params=params)
        self.x, self.u = random.standard_normal(self.n_0), random.standard_normal(self.m)

    def compile(self, *flags, cc=None):
        return compiled(self.path, [self.source], *C99, *flags, "-shared", "-fPIC", cc=cc)

    @cached_property
    def f(self):
        return ca.external("net", str(self.compile("-O1")))

    @property
    def theta(self):
        return self.net.params.astype(float)

    @property
    def arguments(self):
        """{name: value} of the arguments x, or x and theta."""
        return {"x": self.x} | ({"theta": self.theta} if self.argument else {})

    def derived(self, make):
        """The value of make(y, x) or make(y, x, theta), an expression in symbols."""
        symbols = [ca.MX.sym(name, len(value)) for name, value in self.arguments.items()]
        function = ca.Function("derived", symbols, [make(self.f(*symbols), *symbols)])
        return function(*self.arguments.values()).full()

    @cached_property
    def exact(self):
        """(y, dy/dx, dy/dtheta) and d2(u^T y) in (theta, x) together."""
        X = self.x[None]
        y, rows, dx, *_ = self.plain.differentiate(X)
        every = np.eye(self.P + self.n_0)
        second = second_oracle.bilinear(self.plain, X, every, every)[0]
        return y[0], dx[0], rows[0], np.tensordot(self.u, second, 1)

    def close(self, found, exact):
        assert_close(np.reshape(found, np.shape(exact)), np.asarray(exact), TOLERANCE)
