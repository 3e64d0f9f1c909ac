"""Memory of every verb but the dense ones, on a net whose dense Jacobian would take 100 GB."""

import math
import tracemalloc

import numpy as np
import pytest

import deltanet as dn
from deltanet import _memory

SIZES, N, m = (784, 512, 512, 32, 10), 1900, 10
EXTRA = (
    70e6  # bytes beyond the result and two temporaries of its size; the factors hold thrice that
)


@pytest.fixture(scope="module")
def given():
    """The Jacobian and the arguments of the verbs."""
    random = np.random.default_rng(0)
    net = dn.MLP(SIZES, seed=0)
    X = random.standard_normal((N, SIZES[0]))
    J, few = net.jacobian(X), net.jacobian(X[:8])
    assert math.prod(J.shape) * 8 > 100e9
    assert J.nbytes > 2 * EXTRA
    _memory.available_memory()  # its files are read once
    return {
        "J": J,
        "few": few,
        "operator": J.as_linear_operator(),
        "v": random.standard_normal(net.num_params),
        "u": random.standard_normal((N, m)),
        "h": random.standard_normal(N),
        "H": np.broadcast_to(np.diag([1.0] * 5 + [-1.0] * 5), (N, m, m)),
        "pairs": few.kfac(),
    }


VERBS = {
    "matvec": lambda g: g["J"] @ g["v"],
    "rmatvec": lambda g: g["J"].T @ g["u"],
    "operator": lambda g: g["operator"].H @ (g["operator"] @ g["v"]),
    "gram of a few": lambda g: g["J"].gram(g["few"]),
    "gram_trace of a few": lambda g: g["few"].gram_trace(g["J"]),
    "gram_diagonal": lambda g: g["J"].gram_diagonal(),
    "row_norms_squared": lambda g: g["J"].row_norms_squared(),
    "ggn, last layer": lambda g: g["J"].restrict("last").ggn(),
    "ggn, last layer, indefinite": lambda g: g["J"].restrict([-1]).ggn(g["H"]),
    "ggn, biases": lambda g: g["J"].restrict("biases").ggn(g["h"]),
    "ggn_diagonal": lambda g: g["J"].ggn_diagonal(),
    "ggn_diagonal, indefinite": lambda g: g["J"].ggn_diagonal(g["H"]),
    "kfac": lambda g: g["J"].kfac(),
    "kfac, indefinite": lambda g: g["J"].kfac(g["H"]),
    "covariance, scalar": lambda g: g["J"].covariance(0.1),
    "covariance, diagonal": lambda g: g["J"].covariance(g["v"]),
    "covariance, Kronecker pairs": lambda g: g["J"].covariance(g["pairs"]),
    "covariance, low rank": lambda g: g["J"].covariance(g["v"][:, None]),
    "covariance of a few, full": lambda g: g["few"].covariance(g["v"], full=True),
    "solve, a few": lambda g: g["few"].solve(g["u"][:8], 1.0),
    "solve, a few, Marquardt": lambda g: g["few"].solve(g["u"][:8], [1.0, 2.0], "marquardt"),
    "solve without a matrix": lambda g: g["J"].solve(g["u"], 1e6, solver="cg"),
}


def nbytes(result):
    if isinstance(result, np.ndarray):
        return result.nbytes
    return sum(nbytes(part) for part in result)


def traced_peak(call):
    """(result, bytes of NumPy's and the core's arrays at the worst moment)"""
    tracemalloc.start()
    try:
        result = call()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", VERBS)
def test_memory_is_bounded(given, name):
    result, peak = traced_peak(lambda: VERBS[name](given))
    assert peak < 3 * nbytes(result) + EXTRA, f"{peak / 1e6:.0f} MB"


def test_the_dense_ones_are_refused(given, monkeypatch):
    monkeypatch.setattr(_memory, "available_memory", lambda: 10**9)
    J = given["J"]
    for call, message in (
        (J.to_dense, "to_dense would need 10[0-9].. GB"),
        (J.ggn, r"ggn would need 3\.. TB .*ggn_diagonal\(\), kfac\(\)"),
        (J.gram, r"gram would need 2\.9 GB .*blocks of samples"),
        (lambda: J.covariance(1.0, full=True), r"the full covariance would need 2\.9 GB"),
        (
            lambda: J.T @ np.broadcast_to(np.ones((N, m, 1)), (N, m, 400)),
            r"J\^T u would need 2\.2 GB",
        ),
    ):
        _, peak = traced_peak(lambda call=call, message=message: refused(call, message))
        assert peak < 200e6


def refused(call, message):
    with pytest.raises(MemoryError, match=message):
        call()


@pytest.mark.parametrize("width", [64, 1024])
def test_memory_is_flat_in_the_parameters(width):
    """16 times the parameters, and no verb whose result does not grow needs 16 MiB of slabs and some."""
    net = dn.MLP([64, width, 256, 3], seed=0)
    J = net.jacobian(np.random.default_rng(0).standard_normal((200, 64)))
    v, u = np.ones(net.num_params), np.ones((200, 3))
    pairs = J.kfac()
    for call in (
        lambda: J @ v,
        lambda: J.gram(),
        lambda: J.gram_trace(),
        lambda: J.row_norms_squared(),
        lambda: J.restrict("last").ggn(),
        lambda: J.covariance(1.0),
        lambda: J.covariance(v),
        lambda: J.covariance(pairs),
        lambda: J.covariance(v[:, None]),
    ):
        result, peak = traced_peak(call)
        assert peak < nbytes(result) + 24e6
    result, peak = traced_peak(lambda: J.T @ u)  # one layer's gradient beside the whole
    assert peak < 2 * nbytes(result) + 24e6
