"""A network that learns from each sample once: the extended Kalman filter, with dy/dtheta in its loop.

The plant is that of Narendra and Parthasarathy (1990, example 4), driven by random inputs and measured with
noise; the network predicts its next output from the last three outputs and two inputs. The weights are the
state of a global extended Kalman filter (Singhal and Wu 1989), with h = dy/dtheta (P,) by `jacobian_dense`:

    g = C h,   s = r + h^T g,   theta <- theta + g (y - net(x)) / s,   C <- C - g g^T / s + q 1

The same filter runs in JAX, the whole step jitted and its arguments donated, sample by sample and as one
`lax.scan` of a stream that is known beforehand; and in Numba, whose loop calls deltanet's C interface.
Stochastic gradient descent and Adam learn from the same stream, each with the best of seven rates.

It writes a figure. `pip install "deltanet[examples]"` brings what it compares with.

    python examples/ekf/ekf.py
"""

import argparse
import ctypes
import time
from functools import partial
from pathlib import Path

import numpy as np
from scipy.linalg.blas import dsymv, dsyr
from threadpoolctl import threadpool_limits

import deltanet as dn

NOISE = 0.02  # standard deviation of a measurement
R, Q, C0 = (
    NOISE**2,
    1e-8,
    1.0,
)  # variances: of a measurement, of theta's drift a step, of theta at first
RATES = (2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1, 2e-1)


def plant(count, seed, noise):
    """(X (count, 5), y (count,)): what the plant does after three outputs and two inputs."""
    random = np.random.default_rng(seed)
    u, true = random.uniform(-1, 1, count + 3), np.zeros(count + 3)
    for k in range(2, count + 2):
        a, b, c = true[k], true[k - 1], true[k - 2]
        true[k + 1] = (a * b * c * u[k - 1] * (c - 1) + u[k]) / (1 + b * b + c * c)
    seen = true + noise * random.standard_normal(count + 3)
    X = np.column_stack([seen[2:-1], seen[1:-2], seen[:-3], u[2:-1], u[1:-2]])
    return X, seen[3:]


def network(hidden, seed):
    return dn.MLP([5, *hidden, 1], activation="tanh", seed=seed)


class Filter:
    """The extended Kalman filter on a net of one output, which it changes in place."""

    def __init__(self, net):
        self.net, self.theta = net, net.params
        # symmetric; only its upper triangle is kept up to date
        self.C = np.asfortranarray(C0 * np.eye(net.num_params))
        self.diagonal = np.einsum("ii->i", self.C)  # a view
        self.H = np.empty((1, net.num_params))

    def __call__(self, x, y):
        h = self.net.jacobian_dense(x, out=self.H)[0]
        error = y - self.net(x)[0]
        # g = C h    (P,)
        g = dsymv(1.0, self.C, h)
        s = R + h @ g
        self.theta += g * (error / s)
        # C = C - g g^T / s + q 1
        dsyr(-1 / s, g, a=self.C, overwrite_a=True)
        self.diagonal += Q


class Descent:
    """Stochastic gradient descent on (net(x) - y)^2 / 2, or Adam (Kingma and Ba 2015)."""

    def __init__(self, net, rate, adam):
        self.net, self.theta, self.rate, self.adam = net, net.params, rate, adam
        self.count, self.mean, self.square = 0, np.zeros(net.num_params), np.zeros(net.num_params)

    def __call__(self, x, y):
        g = self.net.vjp(x, self.net(x) - y)
        if not self.adam:
            self.theta -= self.rate * g
            return
        self.count += 1
        self.mean += 0.1 * (g - self.mean)
        self.square += 0.001 * (g * g - self.square)
        root = np.sqrt(self.square / (1 - 0.999**self.count)) + 1e-8
        self.theta -= self.rate / (1 - 0.9**self.count) * self.mean / root


def replay(step, X, Y):
    for x, y in zip(X, Y, strict=True):
        step(x, y)


def jax_filter(net, scan):
    """replay(X, Y) -> theta of the same filter in JAX: a jitted step a sample, or one scan of all."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    layers = list(zip(net.weights, net.biases, strict=True))
    cuts = np.cumsum([a.size for pair in layers for a in pair])[:-1]

    def predict(theta, x):
        parts, h = jnp.split(theta, cuts), x
        for k, (W, _) in enumerate(layers):
            v = parts[2 * k].reshape(W.shape) @ h + parts[2 * k + 1]
            h = v if k == len(layers) - 1 else jnp.tanh(v)
        return h[0]

    def step(state, sample):
        (theta, C), (x, y) = state, sample
        output, h = jax.value_and_grad(predict)(theta, x)
        g = C @ h
        s = R + h @ g
        C = C - jnp.outer(g, g / s) + Q * jnp.eye(len(theta))
        return (theta + g * ((y - output) / s), C), None

    start = net.params.copy()  # the filter above works in place
    begin = lambda: (jnp.array(start), C0 * jnp.eye(len(start)))  # noqa: E731
    if scan:
        whole = jax.jit(lambda state, X, Y: jax.lax.scan(step, state, (X, Y))[0])
        return lambda X, Y: np.asarray(whole(begin(), X, Y)[0])
    one = jax.jit(lambda state, x, y: step(state, (x, y))[0], donate_argnums=0)

    def run(X, Y):
        state = begin()
        for x, y in zip(X, Y, strict=True):
            state = one(state, x, y)
        return np.asarray(state[0])

    return run


def deltanet_filter(net):
    def run(X, Y):
        step = Filter(net.copy())
        with threadpool_limits(1, "blas"):  # more threads only wait for each other at this size
            replay(step, X, Y)
        return step.theta

    return run


def numba_filter(net):
    """The same, compiled by Numba around the function `eval` of deltanet's C interface."""
    from numba import njit

    pointer, functions = ctypes.c_void_p, net.c_functions
    # eval(net, theta, x, N, y, jx, jtheta, work)
    evaluate = ctypes.CFUNCTYPE(ctypes.c_int, *3 * [pointer], ctypes.c_ssize_t, *4 * [pointer])(
        functions["eval"]
    )
    sizes = ctypes.CFUNCTYPE(ctypes.c_size_t, pointer, ctypes.c_ssize_t, ctypes.c_int)
    wanted = 1 | 4  # DN_Y | DN_JTHETA of deltanet.h
    work = np.empty(sizes(functions["work_size"])(net.c_address, 1, wanted), np.uint8)
    address = net.c_address

    @njit
    def loop(theta, C, X, Y, work):
        P = len(theta)
        h, g, gain, output = np.empty(P), np.empty(P), np.empty(P), np.empty(1)
        for k in range(len(X)):
            evaluate(
                address,
                theta.ctypes.data,
                X[k].ctypes.data,
                1,
                output.ctypes.data,
                0,
                h.ctypes.data,
                work.ctypes.data,
            )
            g[:] = 0.0
            for i in range(P):  # C is symmetric: C h as a sum of its rows
                for j in range(P):
                    g[j] += h[i] * C[i, j]
            s = R + np.sum(h * g)
            gain[:] = g / s
            theta += gain * (Y[k] - output[0])
            for i in range(P):
                for j in range(P):
                    C[i, j] -= g[i] * gain[j]
                C[i, i] += Q

    def run(X, Y):
        theta = net.params.copy()
        loop(theta, C0 * np.eye(len(theta)), X, Y, work)
        return theta

    return run


def torch_adam(net):
    """Adam as torch has it, a step a sample: for its time."""
    import torch

    torch.set_num_threads(1)  # more of them only wait for each other at this size

    def run(X, Y):
        module = net.to_torch()
        optimizer = torch.optim.Adam(module.parameters(), lr=0.01, fused=True)
        for x, y in zip(torch.from_numpy(X), torch.from_numpy(Y), strict=True):
            optimizer.zero_grad()
            (module(x)[0] - y).square().mul(0.5).backward()
            optimizer.step()
        with torch.no_grad():
            return torch.nn.utils.parameters_to_vector(module.parameters()).numpy()

    return run


def adam(net):
    def run(X, Y):
        step = Descent(net.copy(), 0.01, adam=True)
        replay(step, X, Y)
        return step.theta

    return run


MAKERS = {
    "filter, deltanet": deltanet_filter,
    "filter, deltanet's C interface in Numba": numba_filter,
    "filter, JAX, a jitted step a sample": partial(jax_filter, scan=False),
    "filter, JAX, one lax.scan": partial(jax_filter, scan=True),
    "Adam, deltanet": adam,
    "Adam, torch": torch_adam,
}


def least(call, spend=0.05):
    """The shortest of the runs of `call` that fit into so many seconds; at least one."""
    end, best = time.perf_counter() + spend, np.inf
    while (began := time.perf_counter()) < end:
        call()
        best = min(best, time.perf_counter() - began)
    return best


def compare(hidden, X, Y, repeats):
    """{who: (theta at the end, seconds a step)} of what is installed; the best of runs that take turns."""
    net, ways, found = network(hidden, 0), {}, {}
    for name, maker in MAKERS.items():
        try:
            ways[name] = maker(net)
        except ImportError as error:
            print(f"{name} is left out: {error}")
            continue
        found[name] = ways[name](X, Y), np.inf  # compiles, too
    for _ in range(repeats):
        for name, run in ways.items():
            theta, seconds = found[name]
            found[name] = theta, min(seconds, least(lambda run=run: run(X, Y)) / len(X))
    return found


def curve(step, X, Y, marks, unseen):
    """Root mean square errors on unseen samples after so many steps."""
    errors, done = [], 0
    for mark in marks:
        replay(step, X[done:mark], Y[done:mark])
        done = mark
        errors.append(np.sqrt(np.mean((step.net(unseen[0])[:, 0] - unseen[1]) ** 2)))
    return np.array(errors)


def learn(hidden, X, Y, marks, seeds):
    """{method: errors (seeds, marks)}; descent with the rate whose last error is the least."""
    unseen = plant(2000, 99, 0.0)
    run = lambda make: np.array(  # noqa: E731
        [curve(make(network(hidden, seed)), X, Y, marks, unseen) for seed in range(seeds)]
    )
    found = {"extended Kalman filter": run(Filter)}
    for name, is_adam in (("Adam", True), ("gradient descent", False)):
        tried = {rate: run(partial(Descent, rate=rate, adam=is_adam)) for rate in RATES}
        rate = min(tried, key=lambda r: np.median(np.nan_to_num(tried[r][:, -1], nan=np.inf)))
        found[f"{name}, rate {rate:g}"] = tried[rate]
    return found


def draw(path, marks, curves, times, hidden):
    """Error against samples; microseconds a step."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, errors in curves.items():
        (line,) = left.loglog(marks, np.median(errors, axis=0), ".-", label=name)
        left.fill_between(marks, errors.min(0), errors.max(0), alpha=0.2, color=line.get_color())
    left.set(xlabel="samples seen, each once", ylabel="error of prediction, unseen (rms) [1]")
    left.set_title("median of the seeds, and their range", fontsize=10)
    left.legend()
    microseconds = [1e6 * seconds for _, seconds in times.values()]
    names = [name.replace(", ", ",\n", 1) for name in times]
    bars = right.barh(
        names, microseconds, color=["C0" if "deltanet" in n else "0.7" for n in times]
    )
    right.bar_label(bars, fmt="%.1f", padding=2)
    right.invert_yaxis()
    right.set(xlabel="time of a step [us]", ylabel="method, by", xscale="log")
    right.set_xlim(1, 3 * max(microseconds))
    right.set_title("-".join(map(str, (5, *hidden, 1))), fontsize=10)
    right.tick_params(axis="y", labelsize=8)
    with rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "deltanet"}
    ):  # small, and reproducible
        figure.savefig(path)


def report(hidden, found):
    """The times as text, in Markdown; theta of the filters is compared with deltanet's."""
    first, seconds = found["filter, deltanet"]
    shape = "-".join(map(str, (5, *hidden, 1)))
    print(
        f"| {shape}, P = {len(first)} | us a step | time / filter, deltanet | difference of theta |"
    )
    print("|---" * 4 + "|")
    for name, (theta, taken) in found.items():
        apart = f"{np.abs(theta - first).max():.0e}" if name.startswith("filter") else ""
        print(f"| {name} | {1e6 * taken:.2f} | {taken / seconds:.2f} | {apart} |")


def main(argv=None):
    """Learn, compare, report, draw; returns (the errors, and the table of each network)."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=5000, help="of the stream")
    parser.add_argument("--seeds", type=int, default=3, help="networks to begin with")
    parser.add_argument("--timed", type=int, default=1000, help="samples of a run that is timed")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each; the best run counts")
    parser.add_argument("--short", action="store_true", help="fewer samples, seeds and runs")
    parser.add_argument("--figure", type=Path, default=Path("ekf.svg"))
    options = parser.parse_args(argv)
    if options.short:
        options.samples, options.seeds, options.timed, options.repeats = 1000, 1, 200, 1

    X, Y = plant(options.samples, 0, NOISE)
    marks = np.unique(np.geomspace(10, options.samples, 20).astype(int))
    small, large = (10,), (16, 16)
    curves = learn(small, X, Y, marks, options.seeds)
    for name, errors in curves.items():
        print(f"{name}: error {np.median(errors[:, -1]):.4f} after {options.samples} samples")
    timed = X[: options.timed], Y[: options.timed]
    tables = {hidden: compare(hidden, *timed, options.repeats) for hidden in (small, large)}
    for hidden, found in tables.items():
        report(hidden, found)
    draw(options.figure, marks, curves, tables[small], small)
    return curves, tables


if __name__ == "__main__":
    main()
