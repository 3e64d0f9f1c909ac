"""CasADi's generated C of one sample: y, dense dy/dx, dense dy/dtheta, the Hessian of u^T y in x."""

import ctypes
import os
import tempfile
from pathlib import Path

import numpy as np

from bench.floor import compile_c

try:
    import casadi
except ImportError:
    casadi = None


class Casadi:
    """Some of y, jx, jtheta, hxx of one sample as generated C, gcc -O3 -march=native; kind "SX" or "MX".

    With `constant`, the weights are constants of the C. u is of ones.
    """

    def __init__(self, case, wanted=("y", "jtheta"), kind="SX", constant=False):
        net, symbol = case.net, getattr(casadi, kind).sym
        x, theta = symbol("x", net.sizes[0]), symbol("theta", net.num_params)
        h, start = x, 0
        for k, W in enumerate(net.weights):
            n_out, n_in = W.shape
            V = casadi.reshape(theta[start : start + W.size], n_in, n_out).T
            start += W.size + n_out
            h = V @ h + theta[start - n_out : start]
            h = h if k == len(net.weights) - 1 else casadi.tanh(h)
        # column-major: rows of J are contiguous
        jacobians = {"jx": x, "jtheta": theta}
        results = {"y": h}
        for name in wanted:
            if name in jacobians:
                results[name] = casadi.densify(casadi.jacobian(h, jacobians[name])).T
            elif name == "hxx":
                results[name] = casadi.densify(casadi.hessian(casadi.sum1(h), x)[0])
        function = casadi.Function("dense", [x, theta], [results[name] for name in wanted])
        if constant:
            outputs = function(x, casadi.DM(net.params))
            outputs = outputs if len(wanted) > 1 else [outputs]
            function = casadi.Function("dense", [x], outputs)
        folder = Path(tempfile.mkdtemp(prefix="deltanet-bench-"))
        here = os.getcwd()
        os.chdir(folder)  # CasADi writes beside the caller only
        try:
            function.generate("dense.c", {"casadi_int": "long long"})
        finally:
            os.chdir(here)
        self.function = compile_c([folder / "dense.c"], "-march=native").dense
        m = net.sizes[-1]
        n_0 = net.sizes[0]
        shapes = {"y": (m,), "jx": (m, n_0), "jtheta": (m, net.num_params), "hxx": (n_0, n_0)}
        self.results = {name: np.empty(shapes[name]) for name in wanted}
        self.inputs = [np.ascontiguousarray(case.X[0]), net.params]
        self.work = np.empty(max(1, function.sz_w())), np.empty(max(1, function.sz_iw()), np.int64)
        pointers = ctypes.c_void_p * 16  # room for what CasADi keeps behind them
        self.arg = (ctypes.c_void_p * max(16, function.sz_arg()))(
            *[a.ctypes.data for a in self.inputs]
        )
        self.res = pointers(*[a.ctypes.data for a in self.results.values()])

    def loop(self, library):
        """A function of `repeats` that evaluates so often; the results are in `results`."""
        w, iw = (ctypes.c_void_p(a.ctypes.data) for a in self.work)
        return lambda repeats: library.casadi_loop(
            self.function, self.arg, self.res, iw, w, ctypes.c_ssize_t(repeats)
        )
