"""Nets that the tests write as FMUs."""

import shutil

import numpy as np
import pytest

import deltanet as dn


def needs_compiler():
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler")


def plain():
    return dn.MLP([3, 8, 5, 2], activation=["tanh", "gelu"], seed=0)


def scaled():
    """With scalings, names and units that XML must escape, and a name that is that of time."""
    random = np.random.default_rng(1)
    X = random.normal([300.0, -2.0], [10.0, 0.1], (50, 2))
    net = dn.MLP.standardized(X, 1e3 * random.standard_normal((50, 3)), hidden=[6], seed=2)
    net.input_names, net.output_names = ["T & <p>", "time"], ['"flow"', "größe", "q'"]
    net.input_units, net.output_units = ["K", ""], ["m3/s", "µm", "K"]
    return net


def classes():
    net = dn.MLP([4, 6, 3], activation="silu", output="softmax", dtype="float32", seed=3)
    net.output_names = ["a", "b", "c"]
    return net


def linear():
    return dn.MLP([1, 1], bias=False, seed=4)


def pendulum():
    """dangle/dt = speed, not learned; dspeed/dt and a reading by a net of random weights."""
    net = dn.MLP.standardized(
        np.random.default_rng(9).normal([0.5, 0.0, 1.0], [1.0, 2.0, 0.5], (40, 3)),
        np.random.default_rng(10).standard_normal((40, 3)),
        hidden=[12],
        seed=11,
    )
    net.input_names = ["angle", "speed", "torque"]
    net.output_names = ["reading", "acceleration", "rate"]
    net.input_units, net.output_units = ["rad", "rad/s", "N.m"], ["V", "rad/s2", "rad/s"]
    return net


STATES = {"speed": "acceleration", 0: 2}  # by names or numbers
NETS = [plain, scaled, classes, linear]


def labels(net):
    return (
        net.input_names or [f"x{i}" for i in range(net.sizes[0])],
        net.output_names or [f"y{o}" for o in range(net.sizes[-1])],
    )


def samples(net, count):
    X = np.random.default_rng(5).standard_normal((count, net.sizes[0]))
    return X if net.input_scale is None else X * net.input_scale + net.input_shift


def maker(folder):
    """make(net, version, states) -> the net in double precision, its FMU, a folder to extract that to."""
    needs_compiler()
    known = {}

    def make(net, version, states=None):
        key = net.__name__, version, str(states)
        if key not in known:
            path = folder / f"unit{len(known)}.fmu"
            net().export_fmu(path, version=version, states=states)
            known[key] = net().astype("float64"), path, path.with_suffix("")
        return known[key]

    return make


def close(found, expected):
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * abs(expected).max())
