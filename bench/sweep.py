"""Time against N and against P: lines of slope one, no jumps."""

import math

import numpy as np

import deltanet as dn
from bench.cases import Case
from bench.machine import available_memory
from bench.peers import frameworks
from bench.plots import plot_times
from bench.timing import rotate

SAMPLES = (1, 10, 100, 1000, 10000)
WIDTHS = (8, 16, 32, 64, 128, 256, 512)


def sweep(report, seconds, output=None):
    series = {
        "N, samples of small": over_samples(report),
        "P, parameters of 16-n-n-4 [64]": over_parameters(),
    }
    of_a_sample(report)
    if output:
        plot_times(series, output / "results.svg")


def over_samples(report):
    lines = {"jacobian_dense": ([], []), "jacobian": ([], [])}
    for N in SAMPLES:
        case = Case("small", N)
        out = np.zeros(case.shape, case.dtype)
        calls = {
            "jacobian_dense": lambda c=case, out=out: c.net.jacobian_dense(c.X, out=out),
            "jacobian": lambda c=case: c.net.jacobian(c.X),
        }
        for peer in frameworks(case.net, case.X):
            calls[peer.name] = peer.jacobian()
        times = rotate(calls, rounds=3)
        report.row("small, N from 1 to 10000", case, times)
        for name, (x, y) in lines.items():
            x.append(N)
            y.append(times[name])
        del calls, out
    return lines


def over_parameters():
    x, y = [], []
    for width in WIDTHS:
        net = dn.MLP([16, width, width, 4], seed=0)
        X = np.random.default_rng(0).standard_normal((64, 16))
        out = np.zeros((64, 4, net.num_params))
        call = lambda net=net, X=X, out=out: net.jacobian_dense(X, out=out)  # noqa: E731
        x.append(net.num_params)
        y.append(rotate({"deltanet": call}, rounds=3)["deltanet"])
    return {"jacobian_dense": (x, y)}


def of_a_sample(report):
    """Dense rows of a large batch take as long a sample as those of a small one."""
    for name in ("tiny", "lm", "small"):
        case = Case(name, 100_000)
        if 8 * math.prod(case.shape) > 0.6 * available_memory():
            continue
        out = np.ones(case.shape)
        calls = {
            N: lambda N=N, c=case, out=out: c.net.jacobian_dense(c.X[:N], out=out[:N])
            for N in (1000, 10000, 100000)
        }
        times = {f"N = {N}": t / N for N, t in rotate(calls, rounds=3).items()}
        report.row("Time of a sample, dense rows", name, times)
        ratio = max(times.values()) / min(times.values())
        measure = "time of a sample, N = 1000 to 100000, longest to shortest"
        report.claim(name, measure, ratio, "<= 1.15")
        del calls, out
