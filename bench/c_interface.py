"""One sample through the C interface, called from C: beside CasADi's generated C and JAX's compiled call."""

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import deltanet as dn
from bench import casadi_c
from bench.cases import Case
from bench.dense import over
from bench.floor import compile_c
from bench.peers import Jax, jax
from bench.timing import once, rotate

WANTED = {"y": ("y",), "y + jx": ("y", "jx"), "y + jtheta": ("y", "jtheta")}
LIMITS_US = {"tiny": (0.60, 0.75, 1.0), "policy": (1.0, 2.5, 5.0)}
TO_CASADI = {"tiny": (1.6, 2.5, 2.6), "policy": (3.5, 8, 20)}
KINDS = {"tiny": ("SX", "MX"), "policy": ("MX",)}  # gcc needs minutes for an SX graph of policy
CALLS = 1_000_000


class Loop:
    """A call that repeats itself without Python between."""

    def __init__(self, loop):
        self.loop = loop

    def batch(self, seconds):
        repeats = max(1, int(0.01 / once(lambda: self.loop(100)) * 100))
        times = [once(lambda: self.loop(repeats)) / repeats for _ in range(int(seconds / 0.01))]
        return float(np.median(times[len(times) // 2 :]))


class Eval:
    """`eval` of one sample into arrays of its own."""

    def __init__(self, case, wanted):
        net, m = case.net, case.shape[1]
        shapes = {"y": (m,), "jx": (m, case.sizes[0]), "jtheta": (m, net.num_params)}
        self.results = {name: np.empty(shapes[name]) for name in wanted}
        self.case, self.x = case, np.ascontiguousarray(case.X[0])
        size = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
        bytes_ = size(net.c_functions["work_size"])(net.c_address, 1, 7)
        self.work = np.zeros(bytes_, np.uint8)
        results = [self.results.get(name) for name in shapes]
        arrays = [self.x, *results, self.work]
        pointers = [None if a is None else a.ctypes.data for a in arrays]
        self.arguments = [ctypes.c_void_p(p) for p in (net.c_address, *pointers)]
        self.function = ctypes.c_void_p(net.c_functions["eval"])

    def loop(self, library):
        return lambda repeats: library.eval_loop(
            self.function, *self.arguments, ctypes.c_ssize_t(repeats)
        )

    def times(self, library):
        """Nanoseconds of many calls one by one."""
        times = np.empty(CALLS, np.int64)
        library.eval_times(self.function, *self.arguments, *counted(times))
        return times


def throughput(report, case, library):
    """Two threads on one net, each with arrays of its own, beside one thread."""
    loops = [Eval(case, ("y", "jx")).loop(library) for _ in range(2)]
    repeats = max(1, int(0.05 / once(lambda: loops[0](100)) * 100))
    with ThreadPoolExecutor(2) as pool:
        both = lambda: list(pool.map(lambda loop: loop(repeats), loops))  # noqa: E731
        times = rotate({"one thread": lambda: loops[0](repeats), "two threads": both}, rounds=5)
    times = {who: t / repeats for who, t in times.items()}
    report.row("The same net from two threads of C, y + jx: a call of each", str(case), times)
    ratio = 2 * times["one thread"] / times["two threads"]
    report.claim(f"{case}, y + jx, from C", "calls a second, two threads to one", ratio, ">= 1.8")


def counted(array):
    return ctypes.c_void_p(array.ctypes.data), ctypes.c_ssize_t(len(array))


def c_interface(report, seconds):
    library = compile_c([Path(__file__).with_name("c_loop.c")], "-I", dn.get_include())
    for name in LIMITS_US:
        case = Case(name)
        expected = case.net(case.X[0]), case.net.input_jacobian(case.X[0])
        expected = dict(zip(("y", "jx"), expected, strict=True))
        expected["jtheta"] = case.net.jacobian_dense(case.X[0])
        for (what, wanted), limit, bound in zip(
            WANTED.items(), LIMITS_US[name], TO_CASADI[name], strict=True
        ):
            ours = Eval(case, wanted)
            calls = {"deltanet": ours} | generated(case, wanted)
            loops = {who: Loop(call.loop(library)) for who, call in calls.items()}
            for who, call in calls.items():
                loops[who].loop(1)
                for part, array in call.results.items():
                    np.testing.assert_allclose(array, expected[part], rtol=1e-9, atol=1e-12)
            if jax and what == "y + jtheta":
                loops["JAX"] = Jax(case.net, case.X).jacobian()
            times = rotate(loops, rounds=max(3, round(seconds / 0.6)))
            report.row("One sample from C", f"{case}, {what}", times)
            label = f"{case}, {what}, from C"
            report.claim(label, "a call", 1e6 * times["deltanet"], f"<= {limit}", "us")
            theirs = min((t for who, t in times.items() if "CasADi" in who), default=None)
            report.claim(label, "CasADi's C to it", over(theirs, times["deltanet"]), f">= {bound}")
            if name == "tiny" and "JAX" in times:
                ratio = over(times["JAX"], times["deltanet"])
                report.claim(label, "JAX's compiled call to it", ratio, ">= 30")
        tails(report, case, library)
        throughput(report, case, library)


def generated(case, wanted):
    if casadi_c.casadi is None:
        return {}
    return {f"CasADi {kind}": casadi_c.Casadi(case, wanted, kind) for kind in KINDS[case.name]}


def tails(report, case, library):
    """The slowest of many calls, on one core, beside as many waits of the same time."""
    ours, kept = Eval(case, ("y", "jx")), None
    if hasattr(os, "sched_setaffinity"):
        kept = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(kept)})
    try:
        times = {"deltanet": ours.times(library), "waiting": np.empty(CALLS, np.int64)}
        wait = ctypes.c_int64(int(np.median(times["deltanet"])))
        library.wait_times(wait, *counted(times["waiting"]))
    finally:
        if kept:
            os.sched_setaffinity(0, kept)
    for who, each in times.items():
        p50, p99, p999 = np.percentile(each, (50, 99, 99.9))
        row = {"p50": p50, "p99": p99, "p99.9": p999, "worst": each.max()}
        report.row(
            f"{CALLS} calls one by one, y + jx, on one core",
            f"{case}, {who}",
            {key: t * 1e-9 for key, t in row.items()},
        )
    p50, p999 = np.percentile(times["deltanet"], (50, 99.9))
    report.claim(f"{case}, y + jx, from C", "p99.9 of 10^6 calls to the median", p999 / p50, "<= 3")
