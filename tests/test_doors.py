"""The examples of examples/doors: built as their comments say, against the installed package, and right.

Each runs in a process of its own, in a scratch folder. What it computes is compared with the complex step of
plain NumPy formulas (oracle.py). A door is skipped where its tool or a compiler is not installed.
"""

import json
import subprocess
import sys
import sysconfig
from itertools import product

import numpy as np
import pytest
from door_tools import EXAMPLES, as_net, copied, include, need, run
from oracle import Case, assert_close

import deltanet as dn

PENDULUM = EXAMPLES / "pendulum" / "pendulum.npz"
CASES = {
    "tanh": Case([3, 8, 2], ["tanh", "identity"]),
    "softmax": Case([4, 7, 5, 3], ["softplus", "sigmoid", "softmax"], seed=1),
    "scaled": Case([2, 6, 1], ["sin", "identity"], scaled=True, seed=2),
    "no bias": Case([5, 4, 2], ["gelu", "identity"], seed=3, biased=[False, True]),
    "one layer": Case([3, 2], ["identity"], seed=4),
}
FILLED = """
def linearize(net, X):
    N, (n_0, *_, m) = len(X), net.sizes
    y, jx = np.empty((N, m)), np.empty((N, m, n_0))
    door.linearize(net, X, y, jx)
    return y, jx
"""
RETURNED = "linearize = door.linearize"
LINEARIZE = {  # the folder or script, what it needs, the module in there, what its linearize does
    "ctypes": ("with_ctypes.py", [], "with_ctypes", RETURNED),
    "cffi": ("with_cffi.py", ["cffi"], "with_cffi", RETURNED),
    "cython": ("cython_module", ["Cython", "setuptools"], "batch", RETURNED),
    "c": ("c_module", ["setuptools"], "batch", FILLED),
    "pybind11": ("pybind11_module", ["pybind11", "setuptools"], "batch", RETURNED),
    "nanobind": ("nanobind_module", ["nanobind"], "batch", FILLED),
}
EACH_CASE = """
import json, sys
import numpy as np, deltanet as dn
sys.path.insert(0, sys.argv[1])
import {module} as door
{linearize}
def refused(*arguments):
    try:
        linearize(*arguments)
    except ValueError as error:
        return str(error)

for name in json.loads(sys.argv[2]):
    net, X = dn.load(name + ".npz"), np.load(name + ".npy")
    np.savez(name + "_done.npz", *linearize(net, X))
dn.register_activation("ours", lambda v: v, lambda v: np.ones_like(v))
print(json.dumps({{
    "shape": refused(net, X[:, 1:].copy()),
    "dtype": refused(net.astype("float32"), X),
    "python": refused(dn.MLP([X.shape[1], 2], output="ours"), X),
    "empty": [a.shape for a in linearize(net, X[:0])],
}}))
"""


def build(folder):
    """Compile what is in a copy of an example's folder; where the module is."""
    if (folder / "setup.py").exists():
        run(sys.executable, "setup.py", "build_ext", "--inplace", cwd=folder)
        return folder
    cmake(folder)
    return folder / "build"


def cmake(folder):
    run("cmake", "-S", ".", "-B", "build", f"-DPython_EXECUTABLE={sys.executable}", cwd=folder)
    run("cmake", "--build", "build", cwd=folder)


def meson(folder):
    run("meson", "setup", "build", cwd=folder)
    run("meson", "compile", "-C", "build", cwd=folder)


@pytest.fixture
def folder(tmp_path):
    return copied(tmp_path)


@pytest.mark.parametrize("door", LINEARIZE)
def test_linearize(door, folder, tmp_path):
    place, needed, module, linearize = LINEARIZE[door]
    compiled = (folder / place).is_dir()
    need(*needed, compiler=compiled, programs=["cmake"] if door == "nanobind" else [])
    where = build(folder / place) if compiled else folder
    for name, case in CASES.items():
        dn.save(as_net(case), tmp_path / f"{name}.npz")
        np.save(tmp_path / f"{name}.npy", case.inputs(6))
    code = EACH_CASE.format(module=module, linearize=linearize)
    answers = json.loads(
        run(sys.executable, "-c", code, str(where), json.dumps(list(CASES)), cwd=tmp_path)
    )
    for name, case in CASES.items():
        y, jx = np.load(tmp_path / f"{name}_done.npz").values()
        X = case.inputs(6)
        assert_close(y, case.evaluate(X)[0].real, 1e-13)
        assert_close(jx, case.input_jacobian(X), 1e-12)
    assert answers["empty"] == [[0, 2], [0, 2, 3]]
    assert "X" in answers["shape"]
    assert "Python functions" in answers["python"]
    if door == "ctypes":  # which has both types
        assert answers["dtype"] is None
    else:
        assert "float" in answers["dtype"]


def test_ctypes_of_floats(folder):
    code = """
import numpy as np, deltanet as dn, with_ctypes
net, X = dn.load("net.npz").astype("float32"), np.load("X.npy").astype("float32")
np.savez("done.npz", *with_ctypes.linearize(net, X))
"""
    case = CASES["softmax"].rounded(np.float32)
    X = case.inputs(6)
    dn.save(as_net(case), folder / "net.npz")
    np.save(folder / "X.npy", X)
    run(sys.executable, "-c", code, cwd=folder)
    y, jx = np.load(folder / "done.npz").values()
    assert y.dtype == jx.dtype == np.float32
    assert_close(y, case.evaluate(X)[0].real, 1e-5)
    assert_close(jx, case.input_jacobian(X), 1e-4)


def pendulum(x):
    """The net of the example by plain formulas: y and dy/dx at one x."""
    net, case = dn.load(PENDULUM), Case([3, 1, 2], ["tanh", "identity"])
    case.sizes, case.activations = list(net.sizes), list(net.activations)
    case.weights, case.biases = net.weights, net.biases
    case.scalings = [net.input_shift, net.input_scale, net.output_shift, net.output_scale]
    X = np.reshape(x, (1, 3))
    return case.evaluate(X)[0][0].real, case.input_jacobian(X)[0]


def follow(start, controls):
    """The last state, dy/dx there, and the state's derivative by the start."""
    state, S = np.array(start, float), np.eye(2)
    for torque in controls:
        state, jx = pendulum([*state, torque])
        S = jx[:, :2] @ S
    return state, jx, S


def test_numba(folder):
    need("numba")
    code = """
import json, runpy, sys, numpy as np, deltanet as dn
simulate = runpy.run_path("with_numba.py", run_name="__main__")["simulate"]
states, S = simulate(dn.load(sys.argv[1]), [1.0, 0.2], np.cos(np.arange(30))[:, None])
try:
    simulate(dn.load(sys.argv[1]), [1.0, 0.2], np.zeros((3, 2)))
except ValueError as error:
    print(json.dumps([states[-1].tolist(), S.tolist(), str(error)]))
"""
    printed = run(sys.executable, "-c", code, str(PENDULUM), cwd=folder).splitlines()
    assert printed[0].startswith("the pendulum after 10 s")
    state, S, error = json.loads(printed[-1])
    exact, _, sensitivity = follow([1.0, 0.2], np.cos(np.arange(30)))
    assert_close(np.array(state), exact, 1e-12)
    assert_close(np.array(S), sensitivity, 1e-12)
    assert "controls" in error and "(3, 2)" in error


@pytest.mark.parametrize(("tool", "needed"), [(cmake, ["cmake"]), (meson, ["meson", "ninja"])])
def test_embedded(tool, needed, folder, tmp_path):
    need(compiler=True, programs=needed)
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        pytest.skip("this Python has no shared library to embed")
    tool(folder / "embedded")
    build = folder / "embedded" / "build"
    numbers = run(str(build / "simulate"), str(PENDULUM), "40", cwd=tmp_path).split()
    state, jx, _ = follow([1.0, 0.0], 0.2 * np.cos(0.1 * np.arange(40)))
    assert_close(np.array(numbers[:2], float), state, 1e-12)
    assert_close(np.array(numbers[2:], float).reshape(2, 3), jx, 1e-12)
    assert run(str(build / "simulate"), str(PENDULUM), "1000000", cwd=tmp_path).count("\n") == 2
    rows = run(str(build / "threads"), str(PENDULUM), "30", "5", cwd=tmp_path).splitlines()
    states = np.array([row.split() for row in rows], float)
    exact = [follow([0.1 * (i + 1), 0.0], np.zeros(30))[0] for i in range(5)]
    assert_close(states, np.array(exact), 1e-12)
    for program in ("simulate", "threads"):
        command = [build / program, tmp_path / "none.npz", "1", "1"][: 3 + (program == "threads")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1 and "none.npz" in done.stderr


def test_quadrature(folder):
    """Against Gauss-Legendre points on the plain formula."""
    need(compiler=True)
    folder /= "quadrature"
    run("cc", "-shared", "-fPIC", include(), "integrand.c", "-o", "integrand.so", cwd=folder)
    case = Case([2, 6, 3], ["tanh", "identity"], scaled=True)
    dn.save(as_net(case), folder / "net.npz")
    code = """
import sys, runpy, deltanet as dn
sys.argv[1:] = ["./integrand.so"]
mean_output = runpy.run_path("quadrature.py", run_name="__main__")["mean_output"]
print(mean_output(dn.load("net.npz"), sys.argv[1], [(-1, 0.5), (0, 2)], output=2))
"""
    first, mean = run(sys.executable, "-c", code, cwd=folder).splitlines()
    assert first.startswith("mean")
    nodes, weights = np.polynomial.legendre.leggauss(30)
    points = product(0.75 * nodes - 0.25, nodes + 1)
    y = case.evaluate(np.array(list(points)))[0].real[:, 2]
    assert float(mean) == pytest.approx(np.outer(weights, weights).ravel() @ y / 4, rel=1e-9)


@pytest.mark.parametrize("name", ["ctypes", "cffi"])
def test_script(name, folder):
    need(name)
    printed = run(sys.executable, f"with_{name}.py", cwd=folder).splitlines()
    assert printed[0] == "y" and "dy/dx" in printed
