"""A step of Levenberg-Marquardt, beside the same in JAX, jitted whole, and its dsyrk and dpotrf."""

import time

import numpy as np

import deltanet as dn
from bench import floor, peers, structured_dense
from bench.dense import over
from bench.peers import Jax, jax
from bench.structured import VARIANTS
from bench.timing import rotate

try:
    import torch_levenberg_marquardt as levenberg
except ImportError:
    levenberg = None

CASES = {(10, 50, 50, 1): (4096, 2.0, 1.1), (1, 10, 1): (200, 3.0, 2.5)}


class Steps:
    """Accepted steps of `dn.fit`; by its own clock, the first of a run not counted."""

    def __init__(self, net, X, Y, max_iter):
        self.arguments, self.max_iter = (net, X, Y), max_iter

    def batch(self, seconds):
        medians, end = [], time.perf_counter() + seconds
        while not medians or time.perf_counter() < end:
            history = dn.fit(
                *self.arguments,
                solver="direct",
                max_iter=self.max_iter,
                tol=1e-300,
                scale=None,
            ).history
            accepted = np.diff(history["seconds"])[history["accepted"][1:]]
            medians.append(np.median(accepted))
        return float(np.median(medians[len(medians) // 2 :]))


class JaxSteps:
    """The same in JAX: a loop over one jitted step, which keeps theta, mu and the loss on the device."""

    def __init__(self, net, X, Y, variant):
        peer = Jax(net, X)
        f = lambda theta, X, Y, mu: structured_dense.levenberg_marquardt(  # noqa: E731
            theta, X, "flat", variant, Y, mu
        )
        self.step, self.X, self.Y = jax.jit(f), peer.X, jax.device_put(Y)
        self.state = peer.theta, jax.numpy.array(1e-3 * len(X)), None
        self.check(net, X, Y)

    def check(self, net, X, Y):
        """The first step against NumPy's on dense rows."""
        theta, mu, _ = self.state
        new, _, _ = self.step(theta, self.X, self.Y, mu)
        J = net.jacobian_dense(X).reshape(-1, net.num_params)
        A = J.T @ J + float(mu) * np.eye(net.num_params)
        expected = net.params - np.linalg.solve(A, J.T @ (net(X) - Y).ravel())
        theirs = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(new)])
        np.testing.assert_allclose(theirs, expected, atol=1e-7 * np.abs(expected).max())

    def __call__(self):
        theta, mu, _ = self.state
        self.state = jax.block_until_ready(self.step(theta, self.X, self.Y, mu))


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


def fit(report, seconds):
    random = np.random.default_rng(0)
    for sizes, (N, faster, to_shapes) in CASES.items():
        net = dn.MLP(list(sizes), seed=0)
        X = random.standard_normal((N, sizes[0]))
        Y = np.tanh(X.sum(axis=1, keepdims=True)) + 0.1 * random.standard_normal((N, 1))
        large = net.num_params > 1000
        calls = {
            "dsyrk + dpotrf": floor.normal_equations(net.num_params, N),
            "deltanet": Steps(net, X, Y, 4 if large else 60),
        }
        if jax:
            for variant in VARIANTS:
                calls[f"JAX {variant + 1}"] = JaxSteps(net, X, Y, variant)
        if levenberg is not None and peers.torch is not None:
            calls["torch-levenberg-marquardt"] = TorchSteps(net, X, Y)
        times = rotate(calls, rounds=3 if large else 7)
        case = f"{'-'.join(map(str, sizes))} [{N}]"
        report.row("One step of `fit`", case, times)
        peer = min((t for name, t in times.items() if name.startswith("JAX")), default=None)
        ours = times["deltanet"]
        report.claim(
            case, "the step in JAX, jitted whole, to one of fit", over(peer, ours), f">= {faster}"
        )
        ratio = ours / times["dsyrk + dpotrf"]
        report.claim(case, "a step of fit to dsyrk and dpotrf", ratio, f"<= {to_shapes}")
