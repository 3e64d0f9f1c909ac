"""Nets as files of C, called from C: beside the same functions of CasADi, weights as constants in both."""

import ctypes
import tempfile
import time
from pathlib import Path

import numpy as np

import deltanet as dn
from bench import casadi_c
from bench.c_interface import KINDS, Loop
from bench.cases import Case
from bench.dense import over
from bench.floor import compile_c
from bench.timing import rotate

WANTED = {"y": ("y",), "y + jx": ("y", "jx"), "y + jtheta": ("y", "jtheta"), "Hessian": ("hxx",)}
TO_CASADI = {"tiny": (1.8, 2.8, 3, 3.5), "policy": (4, 8, 22, 8)}
COMPILED = {(10, 64, 64, 6): 2, (784, 512, 512, 10): 30}  # seconds of gcc


class Exported:
    """Some results of one sample, by the functions of a file of C."""

    def __init__(self, case, wanted, library):
        net, m, n_0 = case.net, case.shape[1], case.sizes[0]
        shapes = {"y": (m,), "jx": (m, n_0), "jtheta": (m, net.num_params), "hxx": (n_0, n_0)}
        self.results = {name: np.empty(shapes[name]) for name in wanted}
        self.x, self.u = np.ascontiguousarray(case.X[0]), np.ones(m)
        self.library = library
        size = library.net_work_size
        size.restype = ctypes.c_size_t
        self.work = np.empty(size() // 8)

    def loop(self, library):
        given = [self.results.get(name) for name in ("y", "jx", "jtheta")]
        run, function, arrays = (
            library.exported_loop,
            self.library.net_eval,
            [self.x, *given, self.work],
        )
        if "hxx" in self.results:
            run, function = library.hess_loop, self.library.net_hess
            arrays = [self.x, self.u, self.results["hxx"], self.work]
        pointers = [ctypes.c_void_p(None if a is None else a.ctypes.data) for a in arrays]
        return lambda repeats: run(function, *pointers, ctypes.c_ssize_t(repeats))


def exported(report, seconds):
    library = compile_c([Path(__file__).with_name("c_loop.c")], "-I", dn.get_include())
    for name, bounds in TO_CASADI.items():
        case = Case(name)
        x, u = case.X[0], np.ones(case.shape[1])
        y, jx, J = case.net.linearize(x)
        expected = {"y": y, "jx": jx, "jtheta": J.to_dense(), "hxx": case.net.input_hessian(x, u)}
        file = written(case.net)
        built = compile_c([file], "-std=c99", "-march=native")
        for (what, wanted), bound in zip(WANTED.items(), bounds, strict=True):
            calls = {"deltanet": Exported(case, wanted, built)}
            if casadi_c.casadi is not None:
                for kind in KINDS[name]:
                    calls[f"CasADi {kind}"] = casadi_c.Casadi(case, wanted, kind, constant=True)
            loops = {who: Loop(call.loop(library)) for who, call in calls.items()}
            for who, call in calls.items():
                loops[who].loop(1)
                for part, array in call.results.items():
                    np.testing.assert_allclose(array, expected[part], rtol=1e-9, atol=1e-12)
            times = rotate(loops, rounds=max(3, round(seconds / 0.6)))
            report.row("A net as a file of C, one sample", f"{case}, {what}", times)
            theirs = min((t for who, t in times.items() if "CasADi" in who), default=None)
            ratio = over(theirs, times["deltanet"])
            report.claim(f"{case}, {what}, exported", "CasADi's C to it", ratio, f">= {bound}")
    for sizes, most in COMPILED.items():
        net = dn.MLP(sizes, seed=0)
        file = written(net)
        start = time.perf_counter()
        compile_c([file], "-std=c99", "-march=native")
        label = f"{'-'.join(map(str, sizes))}, exported"
        report.claim(label, "gcc's time", time.perf_counter() - start, f"<= {most}", "s")
        letters = file.stat().st_size / net.num_params
        report.claim(label, "characters a parameter", letters, "<= 32", "")


def written(net):
    file = Path(tempfile.mkdtemp(prefix="deltanet-bench-")) / "net.c"
    net.export_c(file)
    return file
