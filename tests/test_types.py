"""What a type checker sees: `.ci/check_types.py` reads this file, and pytest runs it.

A line with `type: ignore` is one that a checker must refuse; where it does not, mypy reports the comment.
"""

from typing import Any, assert_type

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

import deltanet as dn

Array = NDArray[np.floating[Any]]
X = np.linspace(-1, 1, 8).reshape(4, 2)
Y = np.ones((4, 1))


def net_of_two_layers() -> dn.MLP:
    return dn.MLP([2, 3, 1], activation="tanh", seed=0)


def test_what_is_returned() -> None:
    net = net_of_two_layers()
    J = assert_type(net.jacobian(X), dn.Jacobian)
    K = assert_type(J.kfac(), dn.KFAC)
    assert_type(net(X), Array)
    assert_type(net.linearize(X), tuple[Array, Array, dn.Jacobian])
    assert_type(net.normal_equations(X, Y), tuple[Array, Array])
    mixed = assert_type(net.mixed_hessian(X, Y), dn.MixedHessian)
    assert_type(mixed.to_dense(), Array)
    assert_type(net.input_hessian(X), Array)
    assert_type(net.hvp(X, Y, net.params), Array)
    assert_type(net.c_address, int)
    assert_type(net.c_functions, dict[str, int])
    assert_type(dn.get_include(), str)
    assert_type(J[1:], dn.Jacobian)
    assert_type(J.T @ Y, Array)
    assert_type(net.sizes, tuple[int, ...])
    assert_type(K.damped(1.0).inverse().logdet(), float)
    assert_type(dn.fit(net, X, Y, max_iter=1).net, dn.MLP)
    assert_type(dn.testing.check_jacobian(net, X).passed, bool)
    assert J.deltas[0].shape == (4, 1, 3) and net.biases[0].shape == (3,)  # without a test for None


def test_what_depends_on_an_argument() -> None:
    net = net_of_two_layers()
    K = net.kfac(X)
    assert_type(K[0], tuple[Array, Array])
    assert_type(K[:1], list[tuple[Array, Array]])
    assert_type(dn.show_config("dicts"), dict[str, str])
    assert_type(dn.residuals(net, X, Y).jac(net.params), Array)
    assert_type(dn.residuals(net, X, Y, jac="operator").jac(net.params), LinearOperator)
    assert_type(net.input_names, list[str] | None)


def test_what_is_taken() -> None:
    net = dn.MLP(
        (2, 3, 3, 1), ["relu", ("leaky_relu", 0.1)], output=("swish", 2.0), dtype=np.float32
    )
    net.input_names = ("a", "b")
    J = net.jacobian(X.tolist(), wrt=[0, ("weights", 1)])
    for index in (0, slice(2), [0, 1], np.array([True, False, True, False])):
        assert J[index].shape[-1] == J.shape[-1]
    for damping in (1.0, [0.1, 1.0], np.array([0.1, 1.0])):
        J.solve(Y, damping)
    net.jacobian(X, wrt=np.ones(net.num_params, bool)).covariance(2)
    net.covariance(X, list(net.kfac(X)), progress=lambda done, total: None)
    dn.fit(net, X, Y, validation=(X, Y), max_iter=1, callback=lambda step, net: step.loss > 0)


def test_what_is_refused() -> None:
    """By the checker, and when it runs."""
    net = net_of_two_layers()
    with pytest.raises(TypeError, match="wrt"):
        net.jacobian(X, wrt="first")  # type: ignore[arg-type]  # no such choice
    with pytest.raises(ValueError, match="solver"):
        dn.fit(net, X, Y, solver="lu")  # type: ignore[arg-type]  # no such choice
    with pytest.raises(ValueError, match="jac"):
        dn.residuals(net, X, Y, jac="sparse")  # type: ignore[call-overload]  # no such choice
    with pytest.raises(AttributeError):
        net.sizes = (2, 1)  # type: ignore[misc]  # it cannot be set
    with pytest.raises((TypeError, ImportError)):
        dn.from_torch(net)  # type: ignore[arg-type]  # not a module of torch
