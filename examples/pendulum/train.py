"""Train a small network to step a damped, driven pendulum, by Levenberg-Marquardt.

The pendulum obeys  theta'' = -sin(theta) - DAMPING theta' + torque. The network learns the map
(theta, omega, torque) -> (theta, omega) over STEP seconds with the torque held. Beside this script
it writes `pendulum.npz`, the network, and `states.csv`, a table of states it was not trained on.

    python examples/pendulum/train.py
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp

import deltanet as dn

DAMPING = 0.2
STEP = 0.2
LOW, HIGH = np.array([-np.pi, -3.0, -1.0]), np.array([np.pi, 3.0, 1.0])  # theta, omega, torque


def simulate(states):
    """(theta, omega) after STEP seconds from each row (theta, omega, torque); shape (N, 2)."""
    theta0, omega0, torque = states.T

    def field(_, z):
        theta, omega = np.split(z, 2)
        return np.concatenate([omega, -np.sin(theta) - DAMPING * omega + torque])

    path = solve_ivp(field, (0.0, STEP), np.concatenate([theta0, omega0]), rtol=1e-9, atol=1e-9)
    return path.y[:, -1].reshape(2, -1).T


def untrained(Y, hidden, seed):
    """A 3-hidden-hidden-2 tanh network whose scalings bring inputs and targets to order one."""
    start = dn.MLP([3, hidden, hidden, 2], activation="tanh", seed=seed)
    return dn.MLP.from_layers(
        start.weights,
        start.biases,
        start.activations,
        input_shift=(LOW + HIGH) / 2,
        input_scale=(HIGH - LOW) / 2,
        output_shift=Y.mean(axis=0),
        output_scale=Y.std(axis=0),
    )


def train(net, X, Y, steps):
    """Minimise |net(X) - Y|^2 over the parameters, in place; returns the root mean square error."""
    damping, residual = 1e-2, net(X) - Y
    D = np.empty((*residual.shape, net.num_params))
    for _ in range(steps):
        J = net.jacobian_dense(X, out=D).reshape(residual.size, -1)
        before = net.params.copy()
        # (J^T J + damping I) p = J^T r
        normal = J.T @ J + damping * np.eye(net.num_params)
        net.params[:] = before - np.linalg.solve(normal, J.T @ residual.ravel())
        trial = net(X) - Y
        if np.sum(trial**2) < np.sum(residual**2):
            residual, damping = trial, damping / 4
        else:
            net.params[:], damping = before, damping * 4
    return np.sqrt(np.mean(residual**2))


def main(argv=None):
    """Simulate, train, save; returns the trained network's error on the table of unseen states."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=60, help="Levenberg-Marquardt steps")
    parser.add_argument("--samples", type=int, default=1000, help="states to train on")
    parser.add_argument("--hidden", type=int, default=16, help="width of the two hidden layers")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help="where to write")
    options = parser.parse_args(argv)

    X = np.random.default_rng(0).uniform(LOW, HIGH, (options.samples, 3))
    Y = simulate(X)
    unseen = np.round(np.random.default_rng(1).uniform(LOW, HIGH, (200, 3)), 4)

    net = untrained(Y, options.hidden, seed=0)
    fitted = train(net, X, Y, options.steps)
    error = np.sqrt(np.mean((net(unseen) - simulate(unseen)) ** 2))
    print(f"root mean square error: {fitted:.2e} on {len(X)} states, {error:.2e} on 200 unseen")

    dn.save(net, options.folder / "pendulum.npz")
    np.savetxt(
        options.folder / "states.csv",
        unseen,
        fmt="%.4f",
        delimiter=",",
        header="theta,omega,torque",
        comments="",
    )
    return error


if __name__ == "__main__":
    main()
