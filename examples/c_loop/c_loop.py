"""A learned controller as a C file: learn, export, and the loop of main.c once more in Python.

A 3-24-24-1 network learns a law that swings up a pendulum, with a torque too weak to lift it at once, and
holds it there: `deltanet.fit` to states drawn at random. It is written as `controller.c` and `controller.h`,
and `main.c` calls it in every step of a simulation, without Python. `make` does all of this:

    make -C examples/c_loop
    examples/c_loop/loop 1000000

The state after 1000 steps in Python is printed, for comparison with that of `loop 1000`.
"""

import argparse
from pathlib import Path

import numpy as np

import deltanet as dn

DAMPING, TORQUE, STEP = (
    0.2,
    0.6,
    0.01,
)  # of main.c; its pendulum: theta'' = torque - sin theta - DAMPING theta'
START = 0.3, 0.0  # angle from hanging [rad], its rate [rad/s]


def law(angle, rate):
    """The torque to imitate."""
    energy = rate**2 / 2 - np.cos(angle)  # 1 where it is upright
    swing = np.tanh(5 * (1 - energy) * rate)
    off = (angle % (2 * np.pi)) - np.pi
    hold = np.tanh(-(3 * off + 2 * rate) / TORQUE)
    near = 1 / (1 + np.exp(np.clip(6 * ((off / 0.4) ** 2 + (rate / 0.6) ** 2 - 1), -30, 30)))
    return TORQUE * (near * hold + (1 - near) * swing)


def observed(angle, rate):
    """What the network sees: (..., 3)."""
    return np.stack([np.cos(angle), np.sin(angle), rate], axis=-1)


def learn(samples, hidden, max_iter):
    """A network that acts as the law does."""
    random = np.random.default_rng(0)
    angle, rate = random.uniform([-np.pi, -3], [np.pi, 3], (samples, 2)).T
    X, Y = observed(angle, rate), law(angle, rate)[:, None]
    net = dn.MLP.standardized(X, Y, hidden=[hidden, hidden], seed=0)
    net.input_names, net.output_names = ["cos", "sin", "rate"], ["torque"]
    return dn.fit(net, X, Y, max_iter=max_iter, prior=1e-4).net


def simulated(net, steps):
    """The state after so many steps from START, by Euler's method, as in main.c."""
    angle, rate = START
    for _ in range(steps):
        torque = min(max(net(observed(angle, rate))[0], -TORQUE), TORQUE)
        rate += STEP * (torque - np.sin(angle) - DAMPING * rate)
        angle += STEP * rate
    return angle, rate


def main(argv=None):
    """Learn and export; returns the network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), help="for controller.c")
    parser.add_argument("--short", action="store_true", help="a smaller network, less training")
    options = parser.parse_args(argv)
    net = learn(*((800, 12, 60) if options.short else (3000, 24, 150)))
    net.export_c(options.folder / "controller.c", header=True)
    angle, rate = simulated(net, 1000)
    print(f"after 1000 steps in Python: angle {angle:.12g} rad, rate {rate:.12g} rad/s")
    return net


if __name__ == "__main__":
    main()
