"""The bundled example: its files are sound, and its script makes such files."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import deltanet as dn

PENDULUM = Path(__file__).parents[1] / "examples" / "pendulum"


@pytest.fixture(scope="module")
def train():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("pendulum_train", PENDULUM / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def central_differences(f, z, step=1e-5):
    """df/dz of f: (n,) -> array, one coordinate at a time, in the last axis."""
    columns = [(f(z + step * e) - f(z - step * e)) / (2 * step) for e in np.eye(len(z))]
    return np.stack(columns, axis=-1)


def states(folder=PENDULUM):
    return np.loadtxt(folder / "states.csv", delimiter=",", skiprows=1)


def test_files_are_small_and_load():
    names = ("pendulum.npz", "states.csv", "train.py")
    assert sum((PENDULUM / name).stat().st_size for name in names) < 60_000
    net = dn.load(PENDULUM / "pendulum.npz")
    assert (net.sizes[0], net.sizes[-1], net.dtype) == (3, 2, np.float64)
    assert net.input_scale is not None and net.output_scale is not None
    assert states().shape == (200, 3)


def test_network_steps_the_pendulum(train):
    error = dn.load(PENDULUM / "pendulum.npz")(states()) - train.simulate(states())
    assert np.sqrt(np.mean(error**2)) < 5e-4


def test_simulation_is_a_pendulum(train):
    # At rest upside down or hanging it stays; a small swing is a damped oscillation, known exactly.
    assert np.allclose(train.simulate(np.array([[0.0, 0.0, 0.0], [np.pi, 0.0, 0.0]]))[:, 1], 0)
    decay, step, small = train.DAMPING / 2, train.STEP, 1e-5
    w = np.sqrt(1 - decay**2)
    swing = np.exp(-decay * step) * (np.cos(w * step) + decay / w * np.sin(w * step))
    assert train.simulate(np.array([[small, 0.0, 0.0]]))[0, 0] == pytest.approx(small * swing, 1e-4)


def test_jacobians_equal_differences():
    net = dn.load(PENDULUM / "pendulum.npz")

    def outputs(theta):
        moved = net.copy()
        moved.params[:] = theta
        return moved(states())

    numeric = central_differences(outputs, net.params)
    exact = net.jacobian_dense(states())
    np.testing.assert_allclose(exact, numeric, atol=1e-8 * np.abs(exact).max())
    for x in states()[:10]:
        np.testing.assert_allclose(net.input_jacobian(x), central_differences(net, x), atol=1e-8)


def test_script_trains_and_saves(train, tmp_path, capsys):
    short = "--steps 25 --samples 200 --hidden 8 --folder".split()
    error = train.main([*short, str(tmp_path)])
    assert error < 0.02
    assert "unseen" in capsys.readouterr().out
    assert dn.load(tmp_path / "pendulum.npz").sizes == (3, 8, 8, 2)
    np.testing.assert_array_equal(states(tmp_path), states())
