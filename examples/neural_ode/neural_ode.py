"""A learned right-hand side in stiff solvers: its Jacobian exact, or by finite differences.

The reaction of Robertson (1966), three species whose rates span nine orders of magnitude, runs in a tube of K
cells that exchange what they hold. The chemistry is a 3-20-3 network, fitted by `deltanet.fit` to samples of
the rates; the exchange stays as it is (a universal differential equation; with one cell, a neural ODE):

    dy_i/dt = f(y_i) + D / h^2 (y_{i-1} - 2 y_i + y_{i+1})        i = 1 .. K, y_i (3,), no flux at the ends

SciPy's Radau and BDF and SUNDIALS' CVODE solve it with the Jacobian from `net.input_jacobian`, one call for
all cells, and with the finite differences that they make themselves. In CVODE the same network also runs in
JAX (one jitted function for the rates, one for their Jacobian) and in torch. The gradient of the yield by all
weights comes from the adjoint equation, whose integral over time is one call of `net.vjp`.

It writes a figure. `pip install "deltanet[examples]"` brings what it compares with.

    python examples/neural_ode/neural_ode.py
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp

import deltanet as dn

UNIT = np.array([1.0, 4e-5, 1.0])  # of the three species: so each stays between 0 and 1
END = 100.0  # s
DIFFUSION = 1e-3  # 1/s, of a tube of length 1
RTOL, ATOL = 1e-6, 1e-8
SPECIES = ("A", "B", "C")


def robertson(z):
    """The rates of A -> B, B + C -> A + C, 2 B -> B + C, in units of UNIT / s: (N, 3) -> (N, 3)."""
    a, b, c = (z * UNIT).T
    first, second, third = 0.04 * a, 1e4 * b * c, 3e7 * b * b
    return np.column_stack([second - first, first - second - third, third]) / UNIT


def learn(samples, steps, hidden=20):
    """A 3-hidden-3 network of the rates, and its error on unseen samples in units of their deviation."""
    states = np.random.default_rng(0).uniform([0.3, 0, 0], [1.02, 1, 0.7], (samples + 500, 3))
    rates = robertson(states)
    unit = rates.std(axis=0)
    start = dn.MLP([3, hidden, 3], activation="tanh", seed=0)
    # dn.fit's loss is in the units of Y: those of the three rates are too far apart for one sum
    net = dn.fit(start, states[500:], rates[500:] / unit, max_iter=steps, scale=None).net
    error = np.sqrt(np.mean((net(states[:500]) - rates[:500] / unit) ** 2))
    layers = net.weights, net.biases, net.activations
    return dn.MLP.from_layers(*layers, output_scale=unit), error


def begin(cells):
    """Fresh A in the first half of the tube, partly used up in the second: (cells, 3), flat."""
    z = np.tile([1.0, 0.0, 0.0], (cells, 1))
    z[(cells + 1) // 2 :] = 0.6, 0.0, 0.4
    return z.ravel()


def exchange(cells):
    """D / h^2 times the second difference of each species, h = 1 / cells: (3 cells, 3 cells)."""
    ends = np.r_[1.0, np.full(cells - 2, 2.0), 1.0] if cells > 1 else np.zeros(1)
    second = np.eye(cells, k=1) + np.eye(cells, k=-1) - np.diag(ends)
    return DIFFUSION * cells**2 * np.kron(second, np.eye(3))


class Tube:
    """dy/dt of the whole tube and its Jacobian, from the rates of the cells; counts the calls."""

    def __init__(self, rates, slopes, cells):
        self.rates, self.slopes = rates, slopes  # (K, 3) -> (K, 3), and -> (K, 3, 3)
        self.exchange, self.cells = exchange(cells), np.arange(cells)
        self.calls = self.jacobians = 0

    def __call__(self, t, y):
        self.calls += 1
        return self.rates(y.reshape(-1, 3)).ravel() + self.exchange @ y

    def jacobian(self, t, y):
        self.jacobians += 1
        J = self.exchange.copy()
        # the blocks on the diagonal, (K, 3, 3): df/dy_i
        J.reshape(len(self.cells), 3, -1, 3)[self.cells, :, self.cells] += self.slopes(
            y.reshape(-1, 3)
        )
        return J


class Jax(Tube):
    """The same in JAX: one compiled function for the whole right-hand side, one for its Jacobian."""

    def __init__(self, net, cells):
        import jax
        import jax.numpy as jnp

        super().__init__(None, None, cells)
        jax.config.update("jax_enable_x64", True)
        (W1, W2), (b1, b2), D = net.weights, net.biases, jnp.array(self.exchange)
        W2, b2 = net.output_scale[:, None] * W2, net.output_scale * b2
        cell = lambda z: jnp.array(W2) @ jnp.tanh(jnp.array(W1) @ z + b1) + b2  # noqa: E731
        i = self.cells

        def slopes(y):
            J = D.reshape(cells, 3, cells, 3)
            blocks = jax.vmap(jax.jacfwd(cell))(y.reshape(-1, 3))
            return J.at[i, :, i].add(blocks).reshape(D.shape)

        self.rate = jax.jit(lambda y: jax.vmap(cell)(y.reshape(-1, 3)).ravel() + D @ y)
        self.slope = jax.jit(slopes)

    def __call__(self, t, y):
        self.calls += 1
        return np.asarray(self.rate(y))

    def jacobian(self, t, y):
        self.jacobians += 1
        return np.asarray(self.slope(y))


def torch_tube(net, cells):
    """The same by torch: the module that `to_torch` gives, its Jacobian by torch.func."""
    import torch

    torch.set_num_threads(1)  # more of them only wait for each other at this size
    module = net.to_torch()
    slopes = torch.func.vmap(torch.func.jacrev(module))

    def rates(z):
        with torch.inference_mode():
            return module(torch.tensor(z)).numpy()

    return Tube(rates, lambda z: slopes(torch.tensor(z)).detach().numpy(), cells)


def scipy_solve(tube, method, exact, rtol=RTOL, atol=ATOL, sparsity=None, **more):
    """The solution by SciPy's Radau or BDF; exact: with the tube's Jacobian, else by differences."""
    jac = {"jac": tube.jacobian} if exact else {"jac_sparsity": sparsity}
    y0 = begin(len(tube.cells))
    found = solve_ivp(tube, (0, END), y0, method=method, rtol=rtol, atol=atol, **jac, **more)
    if not found.success:
        raise RuntimeError(f"{method}: {found.message}")
    return found


def cvode_solve(tube, exact):
    """The same by CVODE's BDF; neighbors are three entries apart, so its Jacobian is banded."""
    from sksundae.cvode import CVODE

    def rate(t, y, yp):
        yp[:] = tube(t, y)

    def jacobian(t, y, yp, JJ):
        JJ[:] = tube.jacobian(t, y)

    options = {"rtol": RTOL, "atol": ATOL, "linsolver": "band", "lband": 3, "uband": 3}
    solver = CVODE(rate, jacfn=jacobian if exact else None, max_num_steps=10_000, **options)
    found = solver.solve(np.array([0.0, END]), begin(len(tube.cells)))
    if not found.success:
        raise RuntimeError(f"CVODE: {found.message}")
    found.y = found.y.T
    return found


def runs(net, cells):
    """[(solver, right-hand side, Jacobian, tube, call)] of what is installed here."""
    make = partial(Tube, net, net.input_jacobian, cells)
    pattern = (exchange(cells) != 0) | np.kron(np.eye(cells), np.ones((3, 3))).astype(bool)
    found = []
    ways = [("exact", True, None), ("differences", False, None)]
    ways += [("differences, sparse", False, pattern)] * (cells > 1)
    for method in ("Radau", "BDF"):
        for jacobian, exact, sparsity in ways:
            tube = make()
            call = partial(scipy_solve, tube, method, exact, sparsity=sparsity)
            found.append((f"SciPy {method}", "deltanet", jacobian, tube, call))
    try:
        import sksundae  # noqa: F401
    except ImportError:
        print("scikit-sundae is not installed: nothing is solved by CVODE")
        return found
    tubes = [("exact", make), ("differences, banded", make)]
    makers = [("deltanet", *one) for one in tubes]
    makers += [("JAX", "exact", partial(Jax, net, cells))]
    makers += [("torch", "exact", partial(torch_tube, net, cells))]
    for name, jacobian, maker in makers:
        try:
            tube = maker()
        except ImportError:
            print(f"{name} is not installed: it is left out")
            continue
        call = partial(cvode_solve, tube, jacobian == "exact")
        found.append(("CVODE", name, jacobian, tube, call))
    return found


def least(call, spend=0.05):
    """The shortest of the runs of `call` that fit into so many seconds; at least one."""
    end, best = time.perf_counter() + spend, np.inf
    while (began := time.perf_counter()) < end:
        call()
        best = min(best, time.perf_counter() - began)
    return best


def compare(net, cells, repeats):
    """The table: one dict a run. Times are the best of all; the runs take turns."""
    tight = scipy_solve(Tube(net, net.input_jacobian, cells), "Radau", True, 1e-10, 1e-12)
    table = []
    for solver, name, jacobian, tube, call in runs(net, cells):
        y = call().y[:, -1]
        row = {"cells": cells, "solver": solver, "by": name, "jacobian": jacobian}
        row |= {"calls": tube.calls, "jacobians": tube.jacobians, "seconds": np.inf, "call": call}
        row["error"] = np.abs(y - tight.y[:, -1]).max()
        table.append(row)
    for _ in range(repeats):
        for row in table:
            row["seconds"] = min(row["seconds"], least(row["call"]))
    for row in table:
        best = next(r for r in table if r["solver"] == row["solver"] and r["jacobian"] == "exact")
        row["ratio"] = row["seconds"] / best["seconds"]
    return table


def yield_gradient(net, cells, nodes=4):
    """(G, dG/dtheta) of the yield G = mean of C over the cells at END, by the adjoint equation.

    d lambda/dt = -J^T lambda,  lambda(END) = dG/dy,  dG/dtheta = int (df/dtheta)^T lambda dt
    """
    tube = Tube(net, net.input_jacobian, cells)
    forward = scipy_solve(tube, "Radau", True, 1e-9, 1e-11, dense_output=True)
    end = np.tile([0.0, 0.0, 1 / cells], cells)
    slope = lambda s, _=None: tube.jacobian(None, forward.sol(END - s)).T  # noqa: E731
    backward = solve_ivp(
        lambda s, u: slope(s) @ u,
        (0, END),
        end,
        method="Radau",
        jac=slope,
        rtol=1e-8,
        atol=1e-12,
        dense_output=True,
    )
    # Gauss-Legendre nodes in each step of the two solutions
    edges = np.union1d(forward.t, END - backward.t)
    x, w = np.polynomial.legendre.leggauss(nodes)
    half = np.diff(edges)[:, None] / 2
    t, w = (edges[:-1, None] + half * (1 + x)).ravel(), (half * w).ravel()
    y, u = forward.sol(t).T.reshape(-1, 3), (w * backward.sol(END - t)).T.reshape(-1, 3)
    # sum over nodes and cells of w (df/dtheta)^T lambda    (P,)
    return end @ forward.y[:, -1], net.vjp(y, u)


def check_gradient(net, cells):
    """dG/dtheta along a direction v: by the adjoint equation, and by differences of two solves."""
    v = np.random.default_rng(1).standard_normal(net.num_params) * np.abs(net.params)
    v *= 1e-4 / np.abs(v).max()
    moved = []
    for sign in (1, -1):
        other = net.copy()
        other.params = net.params + sign * v
        tube = Tube(other, other.input_jacobian, cells)
        y = scipy_solve(tube, "Radau", True, 1e-11, 1e-13).y[:, -1]
        moved.append(y.reshape(-1, 3)[:, 2].mean())
    return yield_gradient(net, cells)[1] @ v, (moved[0] - moved[1]) / 2


def draw(path, net, cells, tables):
    """The solution beside that of the true rates; evaluations and times of the largest tube."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    true = Tube(robertson, None, cells)
    path_true = scipy_solve(true, "Radau", False, 1e-9, 1e-11, dense_output=True).sol
    path_net = scipy_solve(
        Tube(net, net.input_jacobian, cells), "Radau", True, dense_output=True
    ).sol
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    t, few = np.geomspace(1e-4, END, 300), np.geomspace(1e-4, END, 25)
    for i, color in enumerate(("C0", "C1", "C2")):
        for cell, line in ((0, "-"), (cells - 1, "--")):
            left.plot(t, path_true(t)[3 * cell + i], line, color=color)
            left.plot(few, path_net(few)[3 * cell + i], ".", color=color)
        left.plot([], [], color=color, label=SPECIES[i])
    left.set(xscale="log", xlabel="time [s]", ylabel="concentration [mol/l; B: 4e-5 mol/l]")
    left.set_title("first (-) and last cell (--);\nlines: true rates, dots: network", fontsize=10)
    left.set_ylim(top=1.2)
    left.legend(loc="upper center", ncols=3)
    labels = [f"{r['solver']}, {r['by']},\n{r['jacobian']}" for r in tables]
    colors = ["C0" if r["by"] == "deltanet" and r["jacobian"] == "exact" else "0.7" for r in tables]
    middle.barh(labels, [r["calls"] for r in tables], color=colors)
    right.barh(labels, [1e3 * r["seconds"] for r in tables], color=colors)
    right.set_yticklabels([])
    middle.set(xlabel="evaluations of dy/dt", ylabel="solver, right-hand side, Jacobian")
    right.set(xlabel="time of a solve [ms]", ylabel="the same rows")
    for ax, what in ((middle, "evaluations"), (right, "time")):
        ax.set_title(f"{what}, {cells} cell{'s' * (cells > 1)}", fontsize=10)
        ax.tick_params(labelsize=7)
        ax.invert_yaxis()
    with rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "deltanet"}
    ):  # small, and reproducible
        figure.savefig(path)


def report(table):
    """The table as text, in Markdown."""
    print(
        "| cells | solver | right-hand side | Jacobian | evaluations | exact Jacobians | time [ms] "
        "| time / deltanet exact | error of the solver |\n|" + "---|" * 9
    )
    for r in table:
        print(
            f"| {r['cells']} | {r['solver']} | {r['by']} | {r['jacobian']} | {r['calls']} | "
            f"{r['jacobians']} | {1e3 * r['seconds']:.1f} | {r['ratio']:.2f} | {r['error']:.1e} |"
        )


def main(argv=None):
    """Learn, solve, report, draw; returns (the rows, the two derivatives, the error of the network)."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[1, 20], help="of the tube")
    parser.add_argument(
        "--repeats", type=int, default=9, help="turns of each; the best solve counts"
    )
    parser.add_argument("--short", action="store_true", help="less training, one solve of a kind")
    parser.add_argument("--figure", type=Path, default=Path("neural_ode.svg"))
    options = parser.parse_args(argv)
    if options.short:
        options.cells, options.repeats = [1, 6], 1

    net, error = learn(*((1000, 60) if options.short else (2000, 200)))
    print(f"error of the learned rates, unseen: {error:.1e} of their standard deviation")
    tables = [compare(net, cells, options.repeats) for cells in options.cells]
    for table in tables:
        report(table)
    adjoint, differences = check_gradient(net, options.cells[-1])
    print(f"derivative of the yield: {adjoint:.6e} adjoint, {differences:.6e} by two solves")
    draw(options.figure, net, options.cells[-1], tables[-1])
    return [row for table in tables for row in table], (adjoint, differences), error


if __name__ == "__main__":
    main()
