"""Error bars for a network: Laplace's approximation, from the Jacobian that the fit has used.

A 1-8-1 network is fitted by `deltanet.fit` to a part of each data set, with a normal prior on its parameters;
around the optimum the posterior is normal too, of covariance Sigma, and so is what will be measured at x:

    Sigma  = s^2 (J^T J + lambda 1)^-1               (P, P), J of the samples that were fitted
    var y  = J(x) Sigma J(x)^T + s^2                 (N, 1, 1)

    gamma  = tr(J^T J Sigma) / s^2                   parameters that the data determine
    s^2    = |r|^2 / (N - gamma)                     the noise,
    lambda = s^2 gamma / |theta|^2                   and the prior, as MacKay's evidence has them

The share of the samples left out that fall within 95 % error bars says whether they are any good. The data
are four sets of NIST (Statistical Reference Datasets) where they are found, else simulated. Measured: 160 of
172 samples, 93 %.

It writes a figure and needs `pip install "deltanet[plot]"` for it.

    python examples/uncertainty/uncertainty.py --data FOLDER_OF_DAT_FILES
"""

import argparse
import os
from pathlib import Path

import numpy as np

import deltanet as dn

LABELS = {  # of x and y
    "Thurber": ("log of the electron density", "electron mobility"),
    "Hahn1": ("temperature [K]", "thermal expansion of copper"),
    "ENSO": ("time [months]", "difference of pressures"),
    "Gauss3": ("x", "two Gaussians"),
    "simulated": ("x", "y"),
}
NAMES = tuple(LABELS)[:4]  # of NIST
SHARED = os.environ.get("DELTANET_SHARED") or Path(__file__).resolve().parents[3] / "shared"
Z95 = 1.96  # standard deviations on each side that hold 95 % of a normal variable


def read(folder):
    """{name: (x, y)} of the NIST files, or of simulated data where there are none."""
    files = [folder / f"{name}.dat" for name in NAMES]
    if not all(file.is_file() for file in files):
        random = np.random.default_rng(0)
        x = random.uniform(-3, 3, 200)
        return {"simulated": (x, np.sin(2 * x) + 0.1 * x**2 + 0.2 * random.standard_normal(200))}
    sets = {}
    for file in files:
        lines = file.read_text().rpartition("Data:")[2].splitlines()[1:]
        y, x = np.array([line.split() for line in lines if line.strip()], float).T
        sets[file.stem] = x, y
    return sets


def untrained(x, y, seed):
    """A 1-8-1 tanh network whose scalings bring x and y to order one."""
    start = dn.MLP([1, 8, 1], activation="tanh", seed=seed)
    return dn.MLP.from_layers(
        start.weights,
        start.biases,
        start.activations,
        input_shift=x.mean(),
        input_scale=x.std(),
        output_shift=y.mean(),
        output_scale=y.std(),
    )


def laplace(net, X, Y, prior, rounds):
    """(net, Sigma, s): fitted, with the noise and the prior precision that the data suggest."""
    for _ in range(rounds):
        fit = dn.fit(net, X, Y, prior=prior)
        net, theta = fit.net, fit.net.params
        J = net.jacobian(X)
        JTJ = J.ggn()
        inverse = np.linalg.inv(JTJ + prior * np.eye(len(theta)))
        # gamma = tr(J^T J (J^T J + lambda 1)^-1)
        gamma = np.sum(JTJ * inverse)
        s2 = np.sum((net(X) - Y) ** 2) / (len(X) - gamma)
        Sigma, prior = s2 * inverse, s2 * gamma / (theta @ theta)
    return net, Sigma, np.sqrt(s2)


def error_bars(net, X, Sigma, s):
    """(y, standard deviation) of what would be measured at X, each (N,)."""
    J = net.jacobian(X)
    # var y = J Sigma J^T + s^2    (N, 1, 1)
    return J.outputs[:, 0], np.sqrt(J.covariance(Sigma)[:, 0, 0] + s**2)


def study(x, y, seeds, rounds):
    """(net, Sigma, s, samples fitted, those of the rest that their error bars hold)."""
    order = np.random.default_rng(0).permutation(len(x))
    fitted, rest = np.sort(order[len(x) // 4 :]), np.sort(order[: len(x) // 4])
    X, Y = x[:, None], y[:, None]
    prior = 1e-3 * y[fitted].var()
    starts = [untrained(x[fitted], y[fitted], seed) for seed in range(seeds)]
    fits = [dn.fit(net, X[fitted], Y[fitted], prior=prior) for net in starts]
    best = min(fits, key=lambda fit: fit.loss).net
    net, Sigma, s = laplace(best, X[fitted], Y[fitted], prior, rounds)
    mean, deviation = error_bars(net, X[rest], Sigma, s)
    return net, Sigma, s, fitted, np.abs(y[rest] - mean) <= Z95 * deviation


def draw(ax, name, x, y, net, Sigma, s, fitted):
    """Samples, the network and its 95 % error bars, beyond the data too."""
    margin = 0.15 * np.ptp(x)
    grid = np.linspace(x.min() - margin, x.max() + margin, 400)
    mean, deviation = error_bars(net, grid[:, None], Sigma, s)
    rest = np.setdiff1d(np.arange(len(x)), fitted)
    low, high = mean - Z95 * deviation, mean + Z95 * deviation
    ax.fill_between(grid, low, high, alpha=0.3, label="95 % error bars")
    ax.plot(grid, mean, label="network")
    ax.plot(x[fitted], y[fitted], ".", color="0.5", markersize=3, label="fitted")
    ax.plot(x[rest], y[rest], ".", color="C3", markersize=4, label="left out")
    ax.set(title=name, ylim=(y.min() - 0.3 * np.ptp(y), y.max() + 0.3 * np.ptp(y)))
    ax.set(xlabel=LABELS[name][0], ylabel=LABELS[name][1])
    ax.legend(fontsize="x-small")


def main(argv=None):
    """Fit, report, draw; returns {name: share of the samples left out that the error bars hold}."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(SHARED) / "data" / "nist_strd")
    parser.add_argument("--seeds", type=int, default=10, help="starts, of which the best is taken")
    parser.add_argument("--rounds", type=int, default=10, help="of noise and prior")
    parser.add_argument("--short", action="store_true", help="fewer starts and rounds")
    parser.add_argument("--figure", type=Path, default=Path("uncertainty.png"))
    options = parser.parse_args(argv)
    if options.short:
        options.seeds, options.rounds = 3, 4

    from matplotlib.figure import Figure

    sets, coverage, held = read(options.data), {}, []
    figure = Figure(figsize=(4 * len(sets), 3.5), layout="constrained")
    for ax, (name, (x, y)) in zip(
        np.atleast_1d(figure.subplots(1, len(sets))), sets.items(), strict=True
    ):
        net, Sigma, s, fitted, inside = study(x, y, options.seeds, options.rounds)
        draw(ax, name, x, y, net, Sigma, s, fitted)
        coverage[name] = inside.mean()
        held.append(inside)
        print(
            f"{name:10} noise {s:.3g}: {inside.sum()} of {len(inside)} samples left out within 95 %"
        )
    coverage["all"] = np.concatenate(held).mean()
    print(f"all: {coverage['all']:.1%}")
    figure.savefig(options.figure)
    return coverage


if __name__ == "__main__":
    main()
