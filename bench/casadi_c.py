"""CasADi's generated C of one sample: y and dense dy/dtheta."""

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
    """y and dense dy/dtheta of one sample as generated C, gcc -O3 -march=native, called in a loop in C."""

    LOOP = """
    #include <stddef.h>
    int dense(const double **arg, double **res, long long *iw, double *w, int mem);
    void loop(const double **arg, double **res, long long *iw, double *w, ptrdiff_t repeats) {
        for (ptrdiff_t i = 0; i < repeats; i++) dense(arg, res, iw, w, 0);
    }
    """

    def __init__(self, case):
        net = case.net
        x, theta = casadi.SX.sym("x", net.sizes[0]), casadi.SX.sym("theta", net.num_params)
        h, start = x, 0
        for k, W in enumerate(net.weights):
            n_out, n_in = W.shape
            V = casadi.reshape(theta[start : start + W.size], n_in, n_out).T
            start += W.size + n_out
            h = V @ h + theta[start - n_out : start]
            h = h if k == len(net.weights) - 1 else casadi.tanh(h)
        dense = casadi.densify(
            casadi.jacobian(h, theta)
        ).T  # column-major: rows of J are contiguous
        function = casadi.Function("dense", [x, theta], [h, dense])
        folder = Path(tempfile.mkdtemp(prefix="deltanet-bench-"))
        here = os.getcwd()
        os.chdir(folder)  # CasADi writes beside the caller only
        try:
            function.generate("dense.c", {"casadi_int": "long long"})
        finally:
            os.chdir(here)
        folder.joinpath("loop.c").write_text(self.LOOP)
        library = compile_c([folder / "dense.c", folder / "loop.c"], "-march=native")
        self.y, self.J = np.empty(net.sizes[-1]), np.empty(case.shape)
        self.inputs = [np.ascontiguousarray(case.X[0]), net.params]
        self.work = np.empty(max(1, function.sz_w())), np.empty(max(1, function.sz_iw()), np.int64)
        pointers = ctypes.c_void_p * 8  # room for what CasADi keeps behind them
        self.arg = (ctypes.c_void_p * max(8, function.sz_arg()))(
            *[a.ctypes.data for a in self.inputs]
        )
        self.res = pointers(self.y.ctypes.data, self.J.ctypes.data)
        self.library = library

    def loop(self, repeats):
        """Evaluate `repeats` times; the result is in `J`."""
        w, iw = self.work
        self.library.loop(
            self.arg,
            self.res,
            ctypes.c_void_p(iw.ctypes.data),
            ctypes.c_void_p(w.ctypes.data),
            ctypes.c_ssize_t(repeats),
        )
