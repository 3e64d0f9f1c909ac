"""Learned models in a simulator: nets as FMUs, simulated by FMPy, beside the same nets in Python.

1. A static surrogate. The head and the power of a centrifugal pump, as functions of flow and speed, are
   fitted to noisy samples. The FMU runs in Co-Simulation along a profile of flow and speed.
2. A neural ODE. In a stirred-tank reactor a reaction heats the mixture that a jacket cools:

       dc/dt = q (c_f - c) - k(T) c                            k(T) = k_0 exp(-E / T)
       dT/dt = q (T_f - T) + h k(T) c + u (T_c - T)

   A 3-16-16-2 net is fitted to samples of these two rates. Its FMU has c and T as states, and the
   temperature T_c of the coolant as input, which jumps. FMPy solves it by CVODE; SciPy solves the net, and
   the reactor itself. Along the solution, the FMU's directional derivatives stand beside the net's Jacobian.

It writes a figure. `pip install "deltanet[examples]"` brings FMPy. A C compiler is needed.

    python examples/fmu/fmu.py
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import fmpy
import numpy as np
from fmpy.fmi3 import FMU3Model
from scipy.integrate import solve_ivp

import deltanet as dn

Q, C_FEED, T_FEED = 1.0, 1.0, 350.0  # 1/min, mol/l, K: the feed
K_0, E = 7.2e10, 8750.0  # 1/min, K: the reaction
HEAT, COOLING = 209.2, 2.092  # K l/mol, 1/min
START = 0.877, 324.5  # mol/l, K: at rest with the coolant at 300 K
COOLANT = ((0.0, 2.0, 300.0), (2.0, 12.0, 303.0))  # min, min, K: from, to, and T_c
TOLERANCE = 1e-8  # of the solvers, relative


def pump(X):
    """Head [m] and power [kW] from flow [l/s] and speed [1/min]: (N, 2) -> (N, 2)."""
    flow, speed = X[:, 0] / 50, X[:, 1] / 1450
    head = 32 * speed**2 + 2 * flow * speed - 10 * flow**2
    efficiency = 0.8 * (1 - (flow / (1.05 * speed) - 1) ** 2) + 0.02
    return np.column_stack([head, 9.81 * X[:, 0] * head / efficiency / 1e3])


def learned_pump(samples, hidden=(12, 12)):
    """A net of the pump, from samples with an error of 1 %."""
    random = np.random.default_rng(0)
    X = random.uniform([15.0, 900.0], [60.0, 1500.0], (samples, 2))
    Y = pump(X) * random.normal(1, 0.01, (samples, 2))
    net = dn.fit(dn.MLP.standardized(X, Y, hidden=hidden, seed=0), X, Y, max_iter=60).net
    net.input_names, net.input_units = ["flow", "speed"], ["l/s", "1/min"]
    net.output_names, net.output_units = ["head", "power"], ["m", "kW"]
    return net


def reactor(X):
    """dc/dt and dT/dt from c, T and T_c: (N, 3) -> (N, 2)."""
    c, T, T_c = X.T
    rate = K_0 * np.exp(-E / T) * c
    return np.column_stack(
        [Q * (C_FEED - c) - rate, Q * (T_FEED - T) + HEAT * rate + COOLING * (T_c - T)]
    )


def learned_reactor(samples, steps, hidden=(16, 16)):
    """A net of the two rates."""
    X = np.random.default_rng(1).uniform([0.4, 310, 295], [1.0, 365, 305], (samples, 3))
    Y = reactor(X)
    unit = Y.std(axis=0)
    # both rates count alike in the loss: they are learned in units of their own
    start = dn.MLP.standardized(X, Y / unit, hidden=hidden, seed=0)
    net = dn.fit(start, X, Y / unit, max_iter=steps).net
    scales = net.input_shift, net.input_scale, net.output_shift * unit, net.output_scale * unit
    net = dn.MLP.from_layers(net.weights, net.biases, net.activations, *scales)
    net.input_names, net.input_units = ["c", "T", "T_c"], ["mol/l", "K", "K"]
    net.output_names, net.output_units = ["der(c)", "der(T)"], ["mol/(l.min)", "K/min"]
    return net


def profile(count):
    """Times [s] and the flow and speed of the pump."""
    t = np.linspace(0, 60, count)
    return t, np.column_stack([35 + 15 * np.sin(t / 5), 1200 + 200 * np.sin(t / 11)])


def run_pump(net, folder, count):
    """The FMU along the profile, and the net of the same inputs: a dict."""
    path, (t, X) = folder / "pump.fmu", profile(count)
    net.export_fmu(path)
    began = time.perf_counter()
    found = fmpy.simulate_fmu(
        str(path),
        fmi_type="CoSimulation",
        input=np.rec.fromarrays([t, *X.T], names=["time", "flow", "speed"]),
        stop_time=t[-1],
        output_interval=t[1],
        output=["flow", "speed", "head", "power"],
    )
    seconds = time.perf_counter() - began
    inputs = np.column_stack([found["flow"], found["speed"]])
    y = np.column_stack([found["head"], found["power"]])
    expected = np.array([net(x) for x in inputs])
    difference = (np.abs(y - expected) / np.abs(expected).max(axis=0)).max()
    return {
        "t": found["time"],
        "y": y,
        "true": pump(inputs),
        "difference": difference,
        "seconds": seconds,
        "bytes": path.stat().st_size,
    }


def run_reactor(net, folder, count):
    """The neural ODE by FMPy and by SciPy, and the reactor itself: a dict, with c and T as (2, count)."""
    path, t = folder / "reactor.fmu", np.linspace(0, COOLANT[-1][1], count)
    net.export_fmu(path, states={"c": "der(c)", "T": "der(T)"})
    jumps = np.array([(t, T_c) for begin, end, T_c in COOLANT for t in (begin, end)])
    began = time.perf_counter()
    found = fmpy.simulate_fmu(
        str(path),
        input=np.rec.fromarrays(jumps.T, names=["time", "T_c"]),
        start_values={"c": START[0], "T": START[1]},
        stop_time=t[-1],
        output_interval=t[1],
        relative_tolerance=TOLERANCE,
        output=["c", "T"],
        record_events=False,
    )
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    here = solve(net, t, lambda x: net.input_jacobian(x)[:, :2])
    return {
        "t": t,
        "fmu": np.array([found["c"], found["T"]]),
        "net": here,
        "seconds": (seconds, time.perf_counter() - began),
        "true": solve(lambda x: reactor(x[None])[0], t),
        "path": path,
    }


def solve(rates, t, jacobian=None):
    """c and T at the times t, by SciPy's Radau from jump to jump of T_c."""
    z, found = np.array(START), [np.array([START]).T]
    for begin, end, T_c in COOLANT:
        part = solve_ivp(
            lambda t, z, T_c=T_c: rates(np.array([*z, T_c])),
            (begin, end),
            z,
            method="Radau",
            t_eval=t[(t > begin) & (t <= end)],
            rtol=TOLERANCE,
            atol=TOLERANCE,
            jac=jacobian and (lambda t, z, T_c=T_c: jacobian(np.array([*z, T_c]))),
        )
        z = part.y[:, -1]
        found.append(part.y)
    return np.concatenate(found, axis=1)


def jacobians(net, result):
    """d(dc/dt, dT/dt)/d(c, T, T_c) along the solution, from the FMU and from the net: (count, 2, 3) each."""
    path = result["path"]
    description = fmpy.read_model_description(str(path))
    folder = fmpy.extract(str(path), str(path.with_suffix("")))
    one = FMU3Model(
        guid=description.guid or description.instantiationToken,
        modelIdentifier=path.stem,
        unzipDirectory=folder,
        instanceName="reactor",
    )
    one.instantiate()
    one.enterInitializationMode()
    number = {v.name: v.valueReference for v in description.modelVariables}
    knowns, unknowns = (
        [number[name] for name in names] for names in (net.input_names, net.output_names)
    )
    T_c = [next(T_c for _, end, T_c in COOLANT if t <= end) for t in result["t"]]
    X, found = np.column_stack([*result["fmu"], T_c]), []
    for x in X:
        one.setFloat64(knowns, x.tolist())
        columns = [one.getDirectionalDerivative(unknowns, [known], [1.0]) for known in knowns]
        found.append(np.transpose(columns))
    one.exitInitializationMode()
    one.terminate()
    one.freeInstance()
    return np.array(found), net.input_jacobian(X)


def draw(path, first, second, slopes):
    """Head and temperature, FMU beside net and truth; and one derivative along the solution."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure((11, 3.2), layout="constrained")
    head, temperature, slope = figure.subplots(1, 3)
    head.plot(first["t"], first["y"][:, 0], label="FMU, Co-Simulation in FMPy")
    head.plot(first["t"], first["true"][:, 0], "k:", label="the pump")
    head.set(title="a surrogate of a pump", xlabel="time [s]", ylabel="head [m]")
    temperature.plot(second["t"], second["net"][1], lw=5, alpha=0.3, label="net, SciPy")
    temperature.plot(second["t"], second["fmu"][1], label="FMU, CVODE in FMPy")
    temperature.plot(second["t"], second["true"][1], "k:", label="the reactor, SciPy")
    temperature.set(title="a neural ODE of a reactor", xlabel="time [min]", ylabel="T [K]")
    T, c = second["fmu"][::-1]
    exact = HEAT * K_0 * np.exp(-E / T) * c * E / T**2 - Q - COOLING
    slope.plot(second["t"], slopes[:, 1, 1], label="from the FMU")
    slope.plot(second["t"], exact, "k:", label="of the reactor")
    slope.set(title="d(dT/dt)/dT along the solution", xlabel="time [min]", ylabel="1/min")
    for ax in figure.axes:
        ax.legend(fontsize=7)
        ax.tick_params(labelsize=7)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "deltanet"}):
        figure.savefig(path)


def main(argv=None):
    """Learn, export, simulate, report, draw; returns (pump, reactor, the two Jacobians)."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="less training, fewer points")
    parser.add_argument("--figure", type=Path, default=Path("fmu.svg"))
    options = parser.parse_args(argv)
    samples, steps, count = (600, 60, 121) if options.short else (2000, 150, 601)

    with TemporaryDirectory() as folder:
        net = learned_pump(samples)
        first = run_pump(net, Path(folder), count)
        net = learned_reactor(samples, steps)
        second = run_reactor(net, Path(folder), count)
        slopes = jacobians(net, second)
    print(
        f"pump: {first['bytes'] / 1e3:.0f} kB, {count - 1} steps in {1e3 * first['seconds']:.0f} ms"
    )
    print(f"  largest difference of FMU and net: {first['difference']:.1e} of the largest value")
    error = np.abs(first["y"] - first["true"]).max(axis=0)
    print(f"  largest error of the surrogate: {error[0]:.2f} m, {error[1]:.3f} kW")
    by_fmpy, by_scipy = second["seconds"]
    print(f"reactor: CVODE in FMPy {1e3 * by_fmpy:.0f} ms, SciPy's Radau {1e3 * by_scipy:.0f} ms")
    for what, other in (("net", "net"), ("reactor", "true")):
        c, T = np.abs(second["fmu"] - second[other]).max(axis=1)
        print(f"  largest difference of FMU and {what}: {c:.1e} mol/l, {T:.1e} K")
    difference = np.abs(slopes[0] - slopes[1]).max() / np.abs(slopes[1]).max()
    print(f"  derivatives, FMU and net: {difference:.1e} of the largest")
    draw(options.figure, first, second, slopes[0])
    return first, second, slopes


if __name__ == "__main__":
    main()
