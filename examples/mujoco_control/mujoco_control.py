"""A learned controller in a MuJoCo loop: the network called from C in every step, and from Python.

A 5-24-24-1 network swings the pole of a cart up and holds it. It imitates a law of two parts, energy for the
swing and a linear-quadratic regulator on top, by `deltanet.fit` to states that the law and then the network
itself run through (Ross, Gordon, Bagnell 2011: DAgger). It then controls the cart, 500 times a second:

    from C       `control.c` beside this script, compiled here, is MuJoCo's control callback and calls
                 deltanet's C interface: `mj_step(model, data, nstep)` runs without Python and its lock
    from Python  before each `mj_step`, the network by deltanet, by NumPy, in ONNX Runtime and in torch

It needs Linux or macOS with a C compiler and Python's headers, and writes a figure.
`pip install "deltanet[examples]"` brings what it compares with.

    python examples/mujoco_control/mujoco_control.py
"""

import argparse
import ctypes
import math
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from scipy.linalg import solve_discrete_are

import deltanet as dn

CARTPOLE = """
<mujoco model="cartpole">
  <option timestep="0.002" integrator="implicitfast"/>
  <default><geom contype="0" conaffinity="0"/></default>
  <worldbody>
    <body name="cart">
      <joint name="slide" type="slide" axis="1 0 0" damping="0.1"/>
      <geom type="box" size="0.12 0.08 0.06" mass="1"/>
      <body name="pole">
        <joint name="hinge" type="hinge" axis="0 1 0" damping="0.002"/>
        <geom type="capsule" fromto="0 0 0 0 0 1" size="0.025" mass="0.1"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="slide" ctrlrange="-15 15" ctrllimited="true"/></actuator>
</mujoco>"""
FORCE = 15.0  # N, at most
STEP = 0.002  # s
CHUNK = 50  # steps between two looks at the state
FROM_C, NOTHING = "C, deltanet", "no control: MuJoCo alone"
START = np.array(
    [0.0, math.pi - 0.1, 0.0, 0.0]
)  # position, angle from upright, their rates: hanging


def observe(q):
    """What the network sees of states: (..., 4) -> (..., 5)."""
    x, angle, v, omega = np.moveaxis(q, -1, 0)
    return np.stack([x, np.cos(angle), np.sin(angle), v, omega], axis=-1)


def teacher(model):
    """The law to imitate, forces (N,) of states (N, 4)."""
    data, A, B = simulation(model, np.zeros(4)), np.empty((4, 4)), np.empty((4, 1))
    mujoco().mjd_transitionFD(model, data, 1e-6, True, A, B, None, None)
    R = np.array([[0.1]])
    P = solve_discrete_are(A, B, np.diag([1.0, 10.0, 0.1, 0.1]), R)
    # u = -K q,  K = (R + B^T P B)^-1 B^T P A    (4,)
    K = np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)[0]
    mass, length = model.body("pole").mass[0], 0.5  # of the pole, and to its center
    inertia = model.body("pole").inertia[0] + mass * length**2

    def law(q):
        x, angle, v, omega = q.T
        angle = (angle + np.pi) % (2 * np.pi) - np.pi
        # the energy to gain until upright, zero there; a push along the pole's own motion gives it
        energy = inertia * omega**2 / 2 + 9.81 * mass * length * (np.cos(angle) - 1)
        swing = 12 * np.tanh(6 * energy * omega * np.cos(angle)) - 2 * x - 2 * v
        hold = -(K[0] * x + K[1] * angle + K[2] * v + K[3] * omega)
        far = np.clip(8 * ((angle / 0.5) ** 2 + (omega / 3) ** 2 - 1), -30, 30)
        near = 1 / (1 + np.exp(far))
        return np.clip(near * hold + (1 - near) * swing, -FORCE, FORCE)

    return law


def mujoco():
    """The package, imported when it is needed."""
    import mujoco

    return mujoco


def simulation(model, q):
    """A simulation that begins at the state q (4,)."""
    data = mujoco().MjData(model)
    data.qpos[:], data.qvel[:] = q[:2], q[2:]
    return data


def visited(model, policy, starts, seconds, every=40):
    """States (T, N, 4), every so many steps, of N simulations that a policy (N, 4) -> (N,) controls."""
    runs, seen = [simulation(model, q) for q in starts], []
    for step in range(round(seconds / STEP)):
        states = np.array([[*run.qpos, *run.qvel] for run in runs])
        if step % every == 0:
            seen.append(states)
        for run, force in zip(runs, policy(states), strict=True):
            run.ctrl[0] = force
            mujoco().mj_step(model, run)
    return np.array(seen)


def imitate(model, rounds, count, hidden):
    """A network that acts as the teacher does, and its root mean square error [N] where it goes itself."""
    random, law = np.random.default_rng(0), teacher(model)
    high = np.array([0.5, np.pi, 0.5, 2.0])
    starts = lambda: random.uniform(-high, high, (count, 4))  # noqa: E731
    S = visited(model, law, starts(), 5.0).reshape(-1, 4)
    S = np.concatenate([S, S + random.standard_normal(S.shape) * [0.1, 0.1, 0.2, 0.3]])
    net = dn.MLP.standardized(observe(S), law(S)[:, None], hidden=[hidden, hidden], seed=0)
    for _ in range(rounds):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a plateau is as good as max_iter here
            net = dn.fit(net, observe(S), law(S)[:, None], max_iter=25).net
        own = visited(model, lambda q, net=net: net(observe(q))[:, 0], starts(), 5.0)
        own = own[:, np.abs(own[..., 0]).max(axis=0) < 4].reshape(-1, 4)
        S = np.concatenate([S, own])
    return net, np.sqrt(np.mean((net(observe(own))[:, 0] - law(own)) ** 2))


def compiled(folder):
    """control.c as a library: compiled by the compiler that made this Python, or $CC."""
    source, library = Path(__file__).with_name("control.c"), Path(folder) / "control.so"
    includes = [sysconfig.get_paths()["include"], dn.get_include()]
    includes.append(str(Path(mujoco().__file__).parent / "include"))
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    command = [*compiler, "-std=c11", "-O2", "-shared", "-fPIC", *(f"-I{i}" for i in includes)]
    if sys.platform == "darwin":
        command += ["-undefined", "dynamic_lookup"]  # Python's own functions, of this process
    subprocess.run([*command, str(source), "-o", str(library), "-lm"], check=True)
    return library


def callback(library, net):
    """The function `control` of the library as MuJoCo takes it, with this net."""
    control = ctypes.PyDLL(str(library))  # with the interpreter's lock, for `use` alone
    control.use.argtypes, control.use.restype = [ctypes.py_object], ctypes.c_int
    control.use(net)
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(("control", control))


def from_c(model, control, data):
    """Advances the simulation by CHUNK steps, with C between."""
    mujoco().set_mjcb_control(control)

    def advance():
        mujoco().mj_step(model, data, CHUNK)

    return advance


def from_python(model, policy, data):
    """The same with Python between; policy takes x (5,) and returns the force."""
    q, v, u, x = data.qpos, data.qvel, data.ctrl, np.empty(5)
    mj_step = mujoco().mj_step
    mujoco().set_mjcb_control(None)

    def advance():
        for _ in range(CHUNK):
            angle = q[1]
            x[:] = q[0], math.cos(angle), math.sin(angle), v[0], v[1]
            u[0] = policy(x)
            mj_step(model, data)

    return advance


def by_deltanet(net):
    y = np.empty(1)
    return lambda x: net(x, out=y)[0]


def folded(net):
    """The weights and biases with the scalings inside: [(W, b), ...] of a plain network."""
    W, b = ([array.copy() for array in arrays] for arrays in (net.weights, net.biases))
    W[0] /= net.input_scale
    b[0] -= W[0] @ net.input_shift
    W[-1] *= net.output_scale[:, None]
    b[-1] = net.output_scale * b[-1] + net.output_shift
    return list(zip(W, b, strict=True))


def by_numpy(net):
    (W1, b1), (W2, b2), (W3, b3) = folded(net)
    return lambda x: (W3 @ np.tanh(W2 @ np.tanh(W1 @ x + b1) + b2) + b3)[0]


def by_torch_module(net):
    """The module, without a tape; it reads x where it lies."""
    import torch

    torch.set_num_threads(1)  # more of them only wait for each other at this size
    module = net.to_torch().requires_grad_(False).eval()
    return lambda x: module(torch.from_numpy(x)).item()


def by_torch(net):
    """The fastest that we found in torch: no module, three calls of addmv."""
    import torch

    torch.set_num_threads(1)
    (W1, b1), (W2, b2), (W3, b3) = [map(torch.from_numpy, layer) for layer in folded(net)]

    def policy(x):
        h = torch.addmv(b1, W1, torch.from_numpy(x)).tanh_()
        return torch.addmv(b3, W3, torch.addmv(b2, W2, h).tanh_()).item()

    return policy


def by_onnxruntime(net, folder):
    import onnxruntime

    path, options = Path(folder) / "net.onnx", onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    dn.save(net, path)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda x: session.run(None, {given.name: x[None]})[0][0, 0]


def loops(model, net, control, folder):
    """{who computes the control: a function of a simulation that returns its `advance`}."""
    found = {FROM_C: partial(from_c, model, control)}
    makers = {"deltanet": by_deltanet, "NumPy": by_numpy}
    makers["ONNX Runtime"] = partial(by_onnxruntime, folder=folder)
    makers |= {"torch, addmv": by_torch, "torch, module": by_torch_module}
    for name, maker in makers.items():
        try:
            found[f"Python, {name}"] = partial(from_python, model, maker(net))
        except ImportError as error:
            print(f"{name} is left out: {error}")
    found[NOTHING] = partial(from_c, model, None)
    return found


def trajectory(prepare, model, seconds):
    """(times, states (T, 4), steps a second) of one simulation from START."""
    data, states = simulation(model, START), []
    advance = prepare(data)
    began = time.perf_counter()
    for _ in range(round(seconds / STEP / CHUNK)):
        advance()
        states.append([*data.qpos, *data.qvel])
    taken = time.perf_counter() - began
    mujoco().set_mjcb_control(None)
    return CHUNK * STEP * np.arange(1, len(states) + 1), np.array(states), data.time / STEP / taken


def on_threads(model, control, seconds, count):
    """(last states (S, 4), steps a second) of 8 simulations from C on `count` threads, by `rollout`."""
    from mujoco import rollout

    whole = mujoco().mjtState.mjSTATE_FULLPHYSICS  # time, position, angle, their rates
    starts = np.empty((8, mujoco().mj_stateSize(model, whole)))
    for row in starts:
        mujoco().mj_getState(model, simulation(model, START), row, whole)
    data, steps = [mujoco().MjData(model) for _ in range(count)], round(seconds / STEP)
    mujoco().set_mjcb_control(control)
    with rollout.Rollout(nthread=count) as pool:
        began = time.perf_counter()
        states = pool.rollout(model, data, starts, nstep=steps)[0]
        taken = time.perf_counter() - began
    mujoco().set_mjcb_control(None)
    return states[:, -1, 1:], len(starts) * steps / taken


def report(paths, rates):
    """The table as text, in Markdown; of the simulations at once, the last states are compared."""
    print("| control from | steps/s | time a step / C | largest difference of the states |")
    print("|---" * 4 + "|")
    for name, rate in rates.items():
        first = paths[FROM_C] if paths[name].shape == paths[FROM_C].shape else paths[FROM_C][-1]
        apart = "" if name == NOTHING else f"{np.abs(paths[name] - first).max():.0e}"
        print(f"| {name} | {rate:,.0f} | {rates[FROM_C] / rate:.2f} | {apart} |")


def draw(path, times, states, rates):
    """The swing from C, and the rates of all."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(times, states[:, 1], label="angle from upright [rad]")
    left.plot(times, states[:, 0], label="position [m]")
    left.set(xlabel="time [s]", ylabel="angle [rad], position [m]", title="the swing, from C")
    left.legend()
    bars = right.barh(list(rates), [rate / 1e3 for rate in rates.values()], color="0.7")
    bars[0].set_color("C0")
    right.bar_label(bars, fmt="%.0f", padding=2)
    right.invert_yaxis()
    right.set(xlabel="thousand steps a second", ylabel="control from", title="one simulation")
    right.set_xlim(right=1.15 * max(rates.values()) / 1e3)
    with rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "deltanet"}
    ):  # small, and reproducible
        figure.savefig(path)


def main(argv=None):
    """Learn, simulate, report, draw; returns ({who: states}, {who: steps a second})."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of simulated time")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each; the best run counts")
    parser.add_argument("--short", action="store_true", help="less training, one turn of each")
    parser.add_argument("--figure", type=Path, default=Path("mujoco_control.svg"))
    options = parser.parse_args(argv)
    learning = {"rounds": 3, "count": 25, "hidden": 24}
    if options.short:
        options.repeats, learning = 1, {"rounds": 2, "count": 12, "hidden": 16}

    model = mujoco().MjModel.from_xml_string(CARTPOLE)
    net, error = imitate(model, **learning)
    print(f"the network's force differs from its teacher's by {error:.2f} N (root mean square)")
    paths, rates = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        control = callback(compiled(folder), net)
        ways = loops(model, net, control, folder)
        for _ in range(options.repeats):
            for name, prepare in ways.items():
                end = time.perf_counter() + 0.05
                while time.perf_counter() < end:  # fast ones run more often in their turn
                    times, paths[name], rate = trajectory(prepare, model, options.seconds)
                    rates[name] = max(rates.get(name, 0), rate)
            for count in (1, 2):
                name = f"C, deltanet, 8 at once, {count} thread{'s' * (count > 1)}"
                paths[name], rate = on_threads(model, control, options.seconds, count)
                rates[name] = max(rates.get(name, 0), rate)
    report(paths, rates)
    draw(options.figure, times, paths[FROM_C], {name: rates[name] for name in ways})
    return paths, rates


if __name__ == "__main__":
    main()
