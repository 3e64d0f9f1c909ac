"""The examples of fields that embed a network, in their short form: what they claim without a clock holds."""

import contextlib
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from exported_net import compiler
from worked_uses import load, run

import deltanet as dn

MINUTE = 60.0  # of a loaded machine that imports torch and JAX


@pytest.fixture
def others_as_they_were():
    """The examples choose JAX's precision and torch's threads for their process; here others follow."""
    with contextlib.ExitStack() as after:
        with contextlib.suppress(ImportError):
            import jax

            after.callback(jax.config.update, "jax_enable_x64", jax.config.jax_enable_x64)
        with contextlib.suppress(ImportError):
            import torch

            after.callback(torch.set_num_threads, torch.get_num_threads())
        yield


def differences(f, x, step):
    """df/dx (m, n) of f: (n,) -> (m,), by central differences."""
    return np.stack([(f(x + e) - f(x - e)) / (2 * step) for e in step * np.eye(len(x))], axis=-1)


# neural_ode


def test_stiff_solvers_agree_and_call_less(tmp_path, others_as_they_were):
    pytest.importorskip("sksundae", reason="CVODE needs the extra 'examples'")
    table, (adjoint, two_solves), error = run(load("neural_ode"), tmp_path, within=MINUTE)
    assert error < 2e-3
    assert {row["solver"] for row in table} == {"SciPy Radau", "SciPy BDF", "CVODE"}
    assert all(row["error"] < 1e-5 for row in table)
    calls = {(r["cells"], r["solver"], r["jacobian"]): r["calls"] for r in reversed(table)}
    for cells, saved in ((1, 1.0), (6, 1.2)):
        for method in ("SciPy Radau", "SciPy BDF"):
            exact = calls[cells, method, "exact"]
            assert saved * exact < calls[cells, method, "differences"]
    assert adjoint == pytest.approx(two_solves, rel=1e-5)


def test_network_follows_the_true_reaction():
    """At the end, after 10^5 times the time of the fastest species."""
    module = load("neural_ode")
    net, _ = module.learn(1000, 60)
    ends = [
        module.scipy_solve(module.Tube(f, None, 3), "BDF", False).y[:, -1]
        for f in (net, module.robertson)
    ]
    np.testing.assert_allclose(*ends, atol=5e-3)


def test_robertson_keeps_what_there_is():
    module = load("neural_ode")
    states = np.random.default_rng(0).uniform(size=(20, 3))
    gained = module.robertson(states) * module.UNIT
    np.testing.assert_allclose(gained.sum(axis=1), 0, atol=1e-12 * np.abs(gained).max())
    assert (
        np.abs(module.exchange(4).reshape(4, 3, 12).sum(axis=0)).max() < 1e-15
    )  # nor does exchange


@pytest.mark.parametrize("cells", [1, 2, 5])
def test_jacobian_of_the_tube(cells):
    module = load("neural_ode")
    net = dn.MLP([3, 6, 3], seed=0)
    tube = module.Tube(net, net.input_jacobian, cells)
    y = np.random.default_rng(0).uniform(size=3 * cells)
    numeric = differences(lambda y: tube(0, y), y, 1e-6)
    np.testing.assert_allclose(tube.jacobian(0, y), numeric, atol=1e-8)


# fmu


def test_fmus_are_the_nets_that_they_were(tmp_path):
    pytest.importorskip("fmpy", reason="FMUs are simulated by FMPy, of the extra 'examples'")
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler")
    first, second, (from_fmu, from_net) = run(load("fmu"), tmp_path, within=MINUTE)
    assert first["difference"] < 1e-14
    assert (np.abs(first["y"] - first["true"]).max(axis=0) < [0.3, 0.15]).all()
    assert np.ptp(second["fmu"][1]) > 5  # K
    for here, within in ((second["net"], (1e-6, 1e-4)), (second["true"], (2e-3, 0.1))):
        assert (np.abs(second["fmu"] - here).max(axis=1) < within).all()
    np.testing.assert_allclose(from_fmu, from_net, atol=1e-12 * np.abs(from_net).max())


def test_reactor_is_at_rest_where_it_starts():
    pytest.importorskip("fmpy", reason="the example imports FMPy, of the extra 'examples'")
    module = load("fmu")
    x = np.array([*module.START, module.COOLANT[0][2]])
    rates = module.reactor(x[None])[0]
    assert (np.abs(rates) < [2e-3, 0.1]).all()
    # warmer coolant: first warmer, then less of the substance
    assert module.reactor(np.array([[*x[:2], 303.0]]))[0, 1] > 5


# mujoco_control


def needs_mujoco():
    pytest.importorskip("mujoco", reason="the simulation needs the extra 'examples'")
    if sys.platform == "win32":
        pytest.skip("control.c is compiled on Linux and macOS")
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")[0]
    if not shutil.which(compiler):
        pytest.skip(f"no C compiler {compiler}")
    if not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
        pytest.skip("no Python.h")


def test_control_from_c_is_that_from_python(tmp_path, others_as_they_were):
    needs_mujoco()
    module = load("mujoco_control")
    paths, rates = run(module, tmp_path, within=MINUTE)
    swing = paths[module.FROM_C]
    x, angle, v, omega = swing[-1]
    assert np.cos(angle) > 0.999 and max(map(abs, (x, v, omega))) < 0.2  # it holds the pole upright
    assert np.cos(swing[0, 1]) < -0.9  # which hung
    np.testing.assert_array_equal(paths["Python, deltanet"], swing)
    np.testing.assert_allclose(paths["Python, NumPy"], swing, atol=1e-9)
    for name, path in paths.items():
        if "at once" in name:
            np.testing.assert_array_equal(path, np.tile(swing[-1], (8, 1)))
        elif name != module.NOTHING:
            np.testing.assert_allclose(path, swing, atol=1e-6, err_msg=name)
    assert np.abs(paths[module.NOTHING] - swing).max() > 1
    assert min(rates.values()) > 0


@pytest.mark.parametrize("sizes, dtype", [((4, 8, 1), "float64"), ((5, 8, 1), "float32")])
def test_control_refuses_another_net(tmp_path, sizes, dtype):
    needs_mujoco()
    module = load("mujoco_control")
    with pytest.raises(ValueError, match="must be of float64, 5 inputs, 1 output"):
        module.callback(module.compiled(tmp_path), dn.MLP(sizes, dtype=dtype, seed=0))


# ekf


def test_filter_needs_fewer_samples_than_descent(tmp_path, others_as_they_were):
    pytest.importorskip("jax", reason="the peers need the extra 'examples'")
    curves, tables = run(load("ekf"), tmp_path, within=MINUTE)
    errors = {name: np.median(errors[:, -1]) for name, errors in curves.items()}
    best, *rest = errors.values()
    assert len(rest) == 2 and 1.3 * best < min(rest)
    for found in tables.values():
        theta, _ = found["filter, deltanet"]
        filters = [other for name, (other, _) in found.items() if name.startswith("filter")]
        assert len(filters) >= 3
        for other in filters:
            np.testing.assert_allclose(other, theta, atol=1e-7)


def test_filter_of_a_linear_net_is_bayesian_regression(monkeypatch):
    """Without drift, theta and C are mean and covariance of the normal posterior, in closed form."""
    module, random = load("ekf"), np.random.default_rng(0)
    monkeypatch.setattr(module, "Q", 0.0)
    net = module.network((), 3)
    start = net.params.copy()
    X, Y = random.standard_normal((30, 5)), random.standard_normal(30)
    step = module.Filter(net)
    module.replay(step, X, Y)
    A = np.column_stack([X, np.ones(30)])
    covariance = np.linalg.inv(A.T @ A / module.R + np.eye(6) / module.C0)
    mean = covariance @ (A.T @ Y / module.R + start / module.C0)
    np.testing.assert_allclose(net.params, mean, rtol=1e-8)
    np.testing.assert_allclose(np.triu(step.C), np.triu(covariance), rtol=1e-6, atol=1e-12)


def test_drift_adds_to_the_diagonal(monkeypatch):
    module = load("ekf")
    monkeypatch.setattr(module, "Q", 0.5)
    steps = [module.Filter(module.network((), 3)) for _ in range(2)]
    steps[0](np.ones(5), 1.0)
    monkeypatch.setattr(module, "Q", 0.0)
    steps[1](np.ones(5), 1.0)
    np.testing.assert_allclose(np.triu(steps[0].C - steps[1].C), 0.5 * np.eye(6), atol=1e-15)


@pytest.mark.parametrize("adam", [False, True])
def test_descent_is_that_of_torch(adam):
    torch = pytest.importorskip("torch", reason="the reference is torch's")
    module = load("ekf")
    net, (X, Y) = module.network((4,), 1), module.plant(20, 0, 0.02)
    theirs = net.to_torch()
    method = torch.optim.Adam if adam else torch.optim.SGD
    optimizer = method(theirs.parameters(), lr=0.01)
    for x, y in zip(torch.from_numpy(X), torch.from_numpy(Y), strict=True):
        optimizer.zero_grad()
        (theirs(x)[0] - y).square().mul(0.5).backward()
        optimizer.step()
    module.replay(module.Descent(net, 0.01, adam), X, Y)
    vector = torch.nn.utils.parameters_to_vector(theirs.parameters()).detach().numpy()
    np.testing.assert_allclose(net.params, vector, rtol=1e-9)


def test_plant_is_that_of_the_paper():
    """y(k+1) = (y0 y1 y2 u1 (y2 - 1) + u0) / (1 + y1^2 + y2^2), of each row."""
    X, Y = load("ekf").plant(50, 0, 0.0)
    y0, y1, y2, u0, u1 = X.T
    np.testing.assert_allclose(
        Y, (y0 * y1 * y2 * u1 * (y2 - 1) + u0) / (1 + y1**2 + y2**2), rtol=1e-12
    )
    assert np.array_equal(X[1:, 1], X[:-1, 0]) and np.array_equal(X[1:, 0], Y[:-1])


# swing_up


def needs_casadi():
    if sys.platform == "win32":
        pytest.skip("the exported file is compiled on Linux and macOS")
    pytest.importorskip("casadi_external", reason="needs casadi")  # imports it without warnings
    compiler()


def test_plans_are_the_same(tmp_path):
    needs_casadi()
    module = load("swing_up")
    table = run(module, tmp_path, within=MINUTE)
    assert [row["by"] for row in table] == [module.EXPORTED, module.MX, module.SX]
    for row in table:
        assert row["solved"] and row["iterations"] == table[0]["iterations"] < 50
        np.testing.assert_allclose(row["plan"], table[0]["plan"], atol=1e-8)
        assert row["effort"] == pytest.approx(table[0]["effort"], rel=1e-10)
    times, q, F = module.unpacked(table[0]["plan"])
    np.testing.assert_allclose(q[[0, -1]], [np.zeros(4), module.GOAL], atol=1e-8)
    assert abs(F).max() <= module.FORCE + 1e-6
    # the true cart-pole follows, without feedback
    np.testing.assert_allclose(module.simulated(times, F)[:, :2], q[:, :2], atol=0.3)


def test_cart_and_pole_keep_their_energy():
    """Without a force; a force adds its work, F v."""
    module = load("swing_up")

    def energy(q):
        _, angle, v, omega = q.T
        along = v + module.LENGTH * omega * np.cos(angle)
        up = module.LENGTH * omega * np.sin(angle)
        height = -module.LENGTH * np.cos(angle)
        kinetic = module.CART * v**2 / 2 + module.POLE * (along**2 + up**2) / 2
        return kinetic + module.POLE * module.GRAVITY * height

    step, force = 1e-6, 3.0
    q = np.random.default_rng(0).uniform(-2, 2, (20, 4))
    rate = np.column_stack([q[:, 2:], module.accelerations(q[:, 1], q[:, 3], force)])
    gained = (energy(q + step * rate) - energy(q - step * rate)) / (2 * step)
    np.testing.assert_allclose(gained, force * q[:, 2], atol=1e-7)
