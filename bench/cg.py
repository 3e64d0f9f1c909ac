"""A fit of 784-30-10 to 60,000 rows made by a teacher net, with noise: one step, and loss against time."""

import time

import numpy as np

import deltanet as dn
from bench import structured_dense
from bench.peers import Jax, jax, pairs, torch
from bench.plots import plot_losses
from bench.report import duration
from bench.timing import once

SIZES, N, NOISE = [784, 30, 10], 60_000, 0.1
FIT_SECONDS = 40
STEPS = 5
SHARES = (0.05, 0.1, 0.25, 0.5, 1)
ADAM = {"rows": 256, "lr": 1e-3}


def data():
    """(net, X, Y): an untrained net, and what another of its shape makes of normal inputs."""
    random = np.random.default_rng(0)
    X = random.standard_normal((N, SIZES[0]))
    teacher = dn.MLP(SIZES, seed=1)
    teacher.params *= 2  # else its hidden layer is almost linear
    Y = teacher(X) + NOISE * random.standard_normal((N, SIZES[-1]))
    return dn.MLP(SIZES, seed=2), X, Y


def iterations(history):
    """Conjugate-gradient iterations of the first step of a fit."""
    return int(history["iterations"][0])


def cg(report, seconds, output=None):
    net, X, Y = data()
    step(report, net, X, Y)
    end = seconds / 3 * FIT_SECONDS
    losses = {"dn.fit, conjugate gradients": fitted(net, X, Y, end)}
    if torch:
        losses[f"torch, Adam, batches of {ADAM['rows']}"] = adam(net, X, Y, end)
    for name, (at, loss) in losses.items():
        cells = {duration(s * end): f"{best_until(at, loss, s * end):.6g}" for s in SHARES}
        report.row(
            "784-30-10, 60000 rows: mean squared residual of a row, after", name, {}, **cells
        )
    if output:
        plot_losses(losses, NOISE**2 * SIZES[-1], output / "loss.svg")


def best_until(at, loss, end):
    return min(value for when, value in zip(at, loss, strict=True) if when <= end or when == at[0])


def step(report, net, X, Y):
    """A step of ours, and one in JAX of as many iterations: the best of some in turns, after one of each."""

    def ours():
        return dn.fit(net, X, Y, solver="cg", max_iter=1, scale=None)

    fit = ours()
    calls, K = {"deltanet": [ours]}, iterations(fit.history)
    if jax:
        peer = Jax(net, X)
        mu = float(fit.history["damping"][0])

        def formula(theta, X, layout, variant, Y, mu):
            return structured_dense.conjugate_gradients(theta, X, layout, variant, Y, mu, K)

        calls["JAX"] = list(peer.formulations(formula, jax.device_put(Y), mu).values())
        for call in calls["JAX"]:
            theta, loss = call()
            check(net, theta, float(loss), X, Y)
    times = dict.fromkeys(calls, np.inf)
    for _ in range(STEPS):
        for name, ways in calls.items():
            times[name] = min(times[name], *map(once, ways))
    case = "784-30-10 [60000]"
    report.row("One matrix-free step of `fit`", f"{case}, {K} iterations", times)
    ratio = times["JAX"] / times["deltanet"] if jax else None
    report.claim(case, "JAX's jvp and vjp to a matrix-free step of fit", ratio, ">= 2")
    report.claim(case, "a matrix-free step of fit", times["deltanet"], "<= 10", "s")


def check(net, theta, loss, X, Y):
    """JAX's step lowers the loss, and its loss is that of its parameters."""
    moved = net.copy()
    moved.params = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(theta)])
    before, after = (0.5 * ((n(X) - Y) ** 2).sum() for n in (net, moved))
    np.testing.assert_allclose(loss, after, rtol=1e-9)
    assert after < before, "JAX's step does not lower the loss"


def fitted(net, X, Y, end):
    """(seconds, mean squared residual of a row) after each step."""
    fit = dn.fit(net, X, Y, solver="cg", max_seconds=end, scale=None)
    losses = np.array([fit.start, *fit.history["loss"]])
    return [0, *fit.history["seconds"]], list(2 * losses / len(X))


def adam(net, X, Y, end):
    """The same with torch's Adam; the loss of all rows is not on its clock."""
    X, Y = torch.tensor(X), torch.tensor(Y)
    layers = []
    for W, b in pairs(net):
        layer = torch.nn.Linear(W.shape[1], W.shape[0], dtype=torch.float64)
        layer.weight.data, layer.bias.data = torch.tensor(W), torch.tensor(b)
        layers += [layer, torch.nn.Tanh()]
    module = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(module.parameters(), lr=ADAM["lr"])
    generator = torch.Generator().manual_seed(0)

    def loss():
        with torch.no_grad():
            return float(((module(X) - Y) ** 2).sum(1).mean())

    at, losses, taken = [0], [loss()], 0
    while taken < end:
        start = time.perf_counter()
        for rows in torch.randperm(len(X), generator=generator).split(ADAM["rows"]):
            optimizer.zero_grad()
            ((module(X[rows]) - Y[rows]) ** 2).sum(1).mean().backward()
            optimizer.step()
        taken += time.perf_counter() - start
        at.append(taken)
        losses.append(loss())
    return at, losses
