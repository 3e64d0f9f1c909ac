"""A step of Levenberg-Marquardt, and what it converges to on the NIST sets."""

import os
import time
from pathlib import Path

import numpy as np

import deltanet as dn
from bench import floor, peers
from bench.dense import over
from bench.timing import interleave

try:
    import torch_levenberg_marquardt as levenberg
except ImportError:
    levenberg = None


class Steps:
    """Accepted steps of `dn.fit`; by its own clock, the first of a run not counted."""

    def __init__(self, net, X, Y):
        self.arguments = net, X, Y

    def __call__(self):
        self.timed(1)

    def timed(self, repeats):
        fit = dn.fit(*self.arguments, max_iter=repeats + 4, tol=1e-300)
        accepted = fit.history["accepted"]
        seconds = np.diff(fit.history["seconds"])[accepted[:-1]]
        return float(np.median(seconds))


class TorchSteps:
    """Steps of torch-levenberg-marquardt, Cholesky, one attempt each."""

    def __init__(self, net, X, Y):
        torch = peers.torch
        layers = []
        for W, b in peers.pairs(net):
            layer = torch.nn.Linear(W.shape[1], W.shape[0], dtype=torch.float64)
            layer.weight.data, layer.bias.data = torch.tensor(W), torch.tensor(b)
            layers += [layer, torch.nn.Tanh()]
        self.module = levenberg.training.LevenbergMarquardtModule(
            torch.nn.Sequential(*layers[:-1]),
            loss_fn=levenberg.loss.MSELoss(),
            learning_rate=1.0,
            attempts_per_step=1,
            solve_method="cholesky",
        )
        self.X, self.Y = torch.tensor(X), torch.tensor(Y)

    def __call__(self):
        self.module.training_step(self.X, self.Y)


def steps(report, seconds):
    """One step, beside dsyrk and dpotrf of its shapes and torch-levenberg-marquardt."""
    random = np.random.default_rng(0)
    for sizes, N in (([10, 50, 50, 1], 4096), ([1, 10, 1], 200)):
        net = dn.MLP(sizes, seed=0)
        X = random.standard_normal((N, sizes[0]))
        Y = np.tanh(X.sum(axis=1, keepdims=True)) + 0.1 * random.standard_normal((N, 1))
        calls = {
            "dsyrk + dpotrf": floor.normal_equations(net.num_params, N),
            "deltanet": Steps(net, X, Y),
        }
        if levenberg is not None and peers.torch is not None:
            calls["torch-levenberg-marquardt"] = TorchSteps(net, X, Y)
        times = interleave(calls, seconds)
        case = f"{'-'.join(map(str, sizes))} [{N}]"
        report.row("One step of `fit`", case, times)
        if N == 4096:
            ratio = times["deltanet"] / times["dsyrk + dpotrf"]
            report.claim(case, "a step of fit to dsyrk and dpotrf", ratio, "<= 1.3")
        else:
            ratio = over(times.get("torch-levenberg-marquardt"), times["deltanet"])
            report.claim(case, "torch-levenberg-marquardt to a step of fit", ratio, ">= 15")


def nist(report, seconds):
    """1-8-1 tanh on standardised NIST sets: the residual of the best of ten seeds, to the certified one."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("DELTANET_SHARED") or beside) / "data" / "nist_strd"
    if not folder.is_dir():
        return
    ratios, start = {}, time.perf_counter()
    for name in ("Thurber", "Hahn1", "Gauss3", "ENSO"):
        x, y, certified = read(folder / f"{name}.dat")
        X, Y = ((a - a.mean()) / a.std() for a in (x, y))
        best = min(
            dn.fit(dn.MLP([1, 8, 1], seed=s), X[:, None], Y[:, None]).loss for s in range(10)
        )
        ratios[name] = np.sqrt(2 * best * y.var() / certified)
    total = time.perf_counter() - start
    report.row(
        "Residual of `fit` to the certified one",
        "1-8-1, best of ten seeds",
        {"forty fits": total},
        **{name: f"{ratio:.2f}" for name, ratio in ratios.items()},
    )
    for name, ratio in ratios.items():
        report.claim(
            name,
            "residual of fit to the certified one",
            ratio,
            "<= 1.3" if name == "ENSO" else "<= 1.1",
        )
    report.claim("all four", "forty fits", total, "<= 10", "s")


def read(file):
    """(x, y, certified residual sum of squares) of a NIST file, whose data begin at line 61."""
    lines = file.read_text().splitlines()
    certified = next(float(line.split()[-1]) for line in lines if "Residual Sum of Squares" in line)
    y, x = np.loadtxt(lines[60:], usecols=(0, 1), unpack=True)
    return x, y, certified


def fit(report, seconds):
    steps(report, seconds)
    nist(report, seconds)
