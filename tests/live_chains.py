"""Random chains of layers, and how nets read from live models are compared with them."""

import numpy as np
import pytest

TOLERANCES = {"float64": 1e-9, "float32": 2e-4}


def seeds(few):
    """Of random chains: so many, and 200 more that the nightly run tries."""
    return [
        *range(few),
        *(pytest.param(s, marks=pytest.mark.nightly) for s in range(few, few + 200)),
    ]


def widths(random, least=2):
    """n_0, ..., n_L: neighbors differ, so that a transposed weight is noticed."""
    sizes = [int(random.integers(2, 7))]
    for _ in range(int(random.integers(least, 5))):
        sizes.append(int(random.choice([n for n in range(1, 8) if n != sizes[-1]])))
    return sizes


def assert_equal(actual, exact, what, tolerance, noise=0.0):
    """Equal to a part of the largest entry, and to an absolute error of `exact` itself."""
    actual, exact = np.asarray(actual), np.asarray(exact)
    assert actual.shape == exact.shape, f"{what}: {actual.shape} is not {exact.shape}"
    deviation = np.abs(actual - exact).max()
    assert deviation <= tolerance * np.abs(exact).max() + noise, f"{what}: {deviation:.1e}"


def check(net, X, y, Jx, J=None, tolerance=None):
    """A net against the outputs and derivatives of the model; J (N, m, P), if nothing was folded."""
    tolerance = tolerance or TOLERANCES[net.dtype.name]
    assert_equal(net(X), y, "outputs", tolerance)
    assert_equal(net.input_jacobian(X), Jx, "dy/dx", tolerance)
    if J is not None:
        assert_equal(net.jacobian_dense(X), J, "dy/dtheta", tolerance)
