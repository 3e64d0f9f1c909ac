"""Random chains of layers, and how nets read from live models are compared with them."""

import numpy as np

import deltanet as dn

TOLERANCES = {"float64": 1e-9, "float32": 2e-4}


def supported(names):
    """Those of a table {activation of deltanet: ...} that this version of deltanet has."""

    def known(name):
        try:
            dn.MLP([1, 1], output=name)
        except ValueError:
            return False
        return True

    return {name: each for name, each in names.items() if known(name)}


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
