"""Swing-up of a cart-pole by IPOPT with a learned model: the network exported, and traced by CasADi.

A 4-n-n-2 network learns the accelerations of a cart and its pole from noisy samples, by `deltanet.fit`.
Direct collocation then finds the plan that swings the pole up with the least force (Kelly 2017, "An
introduction to trajectory optimization"). IPOPT has the exact Hessian of

    minimize    int_0^T F(t)^2 dt                            trapezoidal rule, N intervals of length h
    subject to  q_{k+1} - q_k = h / 2 (dq_k + dq_{k+1}),     q = (x, angle, v, omega)
                dq = (v, omega, f(cos angle, sin angle, omega, F))

The network f is the exported one (`net.export_c(..., casadi=True)`), or an expression of CasADi's, MX or SX.
The problem, its derivatives by CasADi, the options and the start are the same for all.

    python examples/swing_up/swing_up.py

It needs Linux or macOS with a C compiler, and writes a figure. `pip install "deltanet[examples]"` brings
CasADi.
"""

import argparse
import contextlib
import os
import shlex
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp

import deltanet as dn

GRAVITY, CART, POLE, LENGTH = 9.81, 1.0, 0.3, 0.5  # m/s^2, kg, kg, m
END, DISTANCE, TRACK, FORCE = 2.0, 1.0, 2.0, 20.0  # s, m, m, N: the most
GOAL = np.array([DISTANCE, np.pi, 0.0, 0.0])  # upright, at rest; all zero is the start, hanging
EXPORTED, MX, SX, JIT = "exported by deltanet", "traced as MX", "traced as SX", "MX, compiled"
FLAGS = ["-O3", "-march=native"]


def accelerations(angle, omega, force):
    """(..., 2): those of the cart [m/s^2] and of the pole [rad/s^2]; the angle is 0 where it hangs."""
    s, c = np.sin(angle), np.cos(angle)
    mass = CART + POLE * s**2
    cart = (LENGTH * POLE * s * omega**2 + force + POLE * GRAVITY * c * s) / mass
    pole = LENGTH * POLE * c * s * omega**2 + force * c + (CART + POLE) * GRAVITY * s
    return np.stack([cart, -pole / (LENGTH * mass)], axis=-1)


def learn(hidden, samples, max_iter):
    """A network of the accelerations, and its root mean square error [m/s^2, rad/s^2] on other samples."""
    random = np.random.default_rng(0)
    high = np.array([np.pi, 12.0, 1.2 * FORCE])
    given, others = random.uniform(-high, high, (2, samples, 3))
    X, Y = observed(*given.T), accelerations(*given.T)
    noisy = Y + 0.05 * random.standard_normal(Y.shape)
    net = dn.MLP.standardized(X, noisy, hidden=[hidden, hidden], seed=0)
    net.input_names, net.output_names = ["cos", "sin", "omega", "F"], ["dv/dt", "domega/dt"]
    net.input_units, net.output_units = ["1", "1", "rad/s", "N"], ["m/s^2", "rad/s^2"]
    net = dn.fit(net, X, noisy, max_iter=max_iter, prior=1e-6).net
    error = net(observed(*others.T)) - accelerations(*others.T)
    return net, np.sqrt(np.mean(error**2, axis=0))


def observed(angle, omega, force):
    """What the network sees: (N, 4)."""
    return np.stack([np.cos(angle), np.sin(angle), omega, force], axis=-1)


def exported(net, folder):
    """The network as a function of CasADi: one file of C, compiled."""
    import casadi as ca

    name = f"net_{net.sizes[1]}"
    source, library = Path(folder, f"{name}.c"), Path(folder, f"{name}.so")
    net.export_c(source, casadi=True)
    subprocess.run(
        [*compiler(), *FLAGS, "-shared", "-fPIC", source, "-o", library, "-lm"], check=True
    )
    return ca.external(name, str(library))


def compiler():
    """$CC, or the compiler that made this Python."""
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


def traced(net, symbol):
    """The network as an expression of CasADi's; `symbol` is `casadi.MX.sym` or `casadi.SX.sym`."""
    import casadi as ca

    z = symbol("z", net.sizes[0])
    h = (z - net.input_shift) / net.input_scale
    for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        v = ca.mtimes(ca.DM(W), h) + ca.DM(b)
        h = v if k == len(net.weights) - 1 else ca.tanh(v)
    return ca.Function("net", [z], [h * net.output_scale + net.output_shift])


def planner(f, intervals, **options):
    """(solver, its arguments) of the plan; variables are q (4, N + 1), node after node, and F (N + 1,)."""
    import casadi as ca

    nodes, h = intervals + 1, END / intervals
    q, F = ca.MX.sym("q", 4, nodes), ca.MX.sym("F", 1, nodes)
    seen = ca.vertcat(ca.cos(q[1, :]), ca.sin(q[1, :]), q[3, :], F)
    dq = ca.vertcat(q[2:, :], f.map(nodes)(seen))
    defects = q[:, 1:] - q[:, :-1] - h / 2 * (dq[:, 1:] + dq[:, :-1])
    effort = h / 2 * (ca.sumsqr(F[1:]) + ca.sumsqr(F[:-1]))
    nlp = {"x": ca.vertcat(ca.vec(q), ca.vec(F)), "f": effort, "g": ca.vec(defects)}
    quiet = {"ipopt.print_level": 0, "ipopt.sb": "yes", "print_time": False}
    solver = ca.nlpsol("plan", "ipopt", nlp, {"ipopt.tol": 1e-10, **quiet, **options})

    low = np.tile([-TRACK, -np.inf, -np.inf, -np.inf], (nodes, 1))
    high = -low
    low[0] = high[0] = 0
    low[-1] = high[-1] = GOAL
    force = np.full(nodes, FORCE)
    start = np.linspace(0, 1, nodes)[:, None] * GOAL
    given = {"lbx": np.r_[low.ravel(), -force], "ubx": np.r_[high.ravel(), force]}
    return solver, {"x0": np.r_[start.ravel(), 0 * force], "lbg": 0, "ubg": 0, **given}


def contenders(net, intervals, folder, jit):
    """{name: (solver, arguments, seconds to make it)}; files of C are written into the folder."""
    import casadi as ca

    ways = {
        EXPORTED: lambda: planner(exported(net, folder), intervals),
        MX: lambda: planner(traced(net, ca.MX.sym), intervals),
        SX: lambda: planner(traced(net, ca.SX.sym), intervals),
    }
    if jit:
        how = {"jit_options": {"flags": " ".join(FLAGS), "compiler": compiler()[0]}}
        how |= {"jit": True, "compiler": "shell"}
        ways[JIT] = lambda: planner(traced(net, ca.MX.sym), intervals, **how)
    found = {}
    for name, make in ways.items():
        began = time.perf_counter()
        found[name] = (*make(), time.perf_counter() - began)
    return found


def compare(net, intervals, repeats, *how):
    """The table: one dict for each contender. Solves take turns; the first of each is not timed."""
    table, solvers = [], contenders(net, intervals, *how)
    for name, (_, _, making) in solvers.items():
        row = {"hidden": net.sizes[1], "by": name, "making": making}
        table.append(row | {"seconds": [], "functions": np.inf})
    for turn in range(repeats + 1):
        for row in table:
            solver, given, _ = solvers[row["by"]]
            began = time.perf_counter()
            found = solver(**given)
            row["seconds"] += [time.perf_counter() - began] * (turn > 0)
            row["plan"], row["effort"] = found["x"].full()[:, 0], float(found["f"])
            stats = solver.stats()
            row["iterations"], row["solved"] = stats["iter_count"], stats["success"]
            inside = sum(t for key, t in stats.items() if key.startswith("t_wall_nlp_"))
            row["functions"] = min(row["functions"], inside)
    for row in table:
        row["apart"] = np.abs(row["plan"] - table[0]["plan"]).max()
        row["median"] = np.median(row["seconds"])
    return table


def unpacked(plan):
    """(times (N + 1,), q (N + 1, 4), F (N + 1,))"""
    q, F = np.split(plan, [len(plan) // 5 * 4])
    return np.linspace(0, END, len(F)), q.reshape(-1, 4), F


def simulated(times, F):
    """States (N + 1, 4) of the true cart and pole under the planned force, without feedback."""

    def rate(t, q):
        return [q[2], q[3], *accelerations(q[1], q[3], np.interp(t, times, F))]

    return solve_ivp(rate, (0, END), np.zeros(4), t_eval=times, rtol=1e-9, atol=1e-9).y.T


def report(table):
    """The table as text, in Markdown."""
    print(
        "| net | network | iterations | solve [ms] | best [ms] | in the functions, best [ms] | "
        "time / exported | largest difference of the plan | making [s] |\n|" + "---|" * 9
    )
    for r in table:
        exported = next(o for o in table if o["hidden"] == r["hidden"])
        print(
            f"| 4-{r['hidden']}-{r['hidden']}-2 | {r['by']} | {r['iterations']} | "
            f"{1e3 * r['median']:.1f} | {1e3 * min(r['seconds']):.1f} | {1e3 * r['functions']:.1f} | "
            f"{r['median'] / exported['median']:.1f} | {r['apart']:.0e} | {r['making']:.1f} |"
        )


def draw(path, table):
    """The plan of the first row beside the true cart-pole; the times of all rows."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    times, q, F = unpacked(table[0]["plan"])
    true = simulated(times, F)
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for i, name in enumerate(("position [m]", "angle [rad]")):
        left.plot(times, q[:, i], f"C{i}.", markersize=3, label=name)
        left.plot(times, true[:, i], f"C{i}-")
    left.set(xlabel="time [s]", ylabel="position [m], angle from hanging [rad]")
    left.set_title("dots: plan by the network;\nlines: the true cart-pole, same force", fontsize=10)
    left.legend()
    middle.plot(times, F, "C2")
    middle.set(xlabel="time [s]", ylabel="force [N]")
    middle.set_title("the planned force", fontsize=10)
    labels = [f"4-{r['hidden']}-{r['hidden']}-2,\n{r['by']}" for r in table]
    colors = ["C0" if r["by"] == EXPORTED else "0.7" for r in table]
    bars = right.barh(labels, [1e3 * r["median"] for r in table], color=colors)
    right.bar_label(bars, fmt="%.0f", padding=2, fontsize=7)
    right.set_xlim(right=1.15e3 * max(r["median"] for r in table))
    right.set(xlabel="time of a solve [ms]", ylabel="network")
    right.set_title("IPOPT, exact Hessian", fontsize=10)
    right.tick_params(labelsize=7)
    right.invert_yaxis()
    with rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "deltanet"}
    ):  # small, and reproducible
        figure.savefig(path)


def main(argv=None):
    """Learn, plan, report, draw; returns the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hidden", type=int, nargs="+", default=[32, 64], help="units of a layer")
    parser.add_argument("--intervals", type=int, default=100, help="of the plan")
    parser.add_argument("--repeats", type=int, default=15, help="solves of each, in turns")
    parser.add_argument(
        "--short", action="store_true", help="a small network, a solve of each; no JIT"
    )
    parser.add_argument("--figure", type=Path, default=Path("swing_up.svg"))
    options = parser.parse_args(argv)
    learning = {"samples": 1500, "max_iter": 60}
    if options.short:
        options.hidden, options.intervals, options.repeats = [16], 80, 1
        learning = {"samples": 500, "max_iter": 60}

    table = []
    for hidden in options.hidden:
        net, error = learn(hidden, **learning)
        what = f"4-{hidden}-{hidden}-2, error of the accelerations"
        print(f"{what}: {error[0]:.3f} m/s^2, {error[1]:.3f} rad/s^2")
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            table += compare(net, options.intervals, options.repeats, folder, not options.short)
    report(table)
    draw(options.figure, table)
    return table


if __name__ == "__main__":
    main()
