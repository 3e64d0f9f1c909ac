"""The integral of a net's output over a box of inputs, by SciPy's nquad and a C function.

SciPy calls a `scipy.LowLevelCallable` without Python: quad, dblquad, tplquad and nquad of scipy.integrate
take one, and so do filters of scipy.ndimage. solve_ivp and the optimizers do not.

The integral over the box, divided by its volume, is the mean of the output if the inputs are uniform:

    mean = 1 / volume  int y_k(x) dx_1 ... dx_n

    python quadrature.py ./integrand.so      (integrand.c says how it is compiled)
"""

import ctypes
import sys

import numpy as np
from scipy import LowLevelCallable
from scipy.integrate import nquad

import deltanet as dn

DN_Y = 1  # of deltanet.h
WORK_SIZE = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)


class Context(ctypes.Structure):
    """The struct of integrand.c."""

    _fields_ = (
        ("eval", ctypes.c_void_p),
        ("net", ctypes.c_void_p),
        ("output", ctypes.c_ssize_t),
        ("y", ctypes.c_void_p),
        ("work", ctypes.c_void_p),
    )


def mean_output(net, library, box, output=0):
    """Mean of y[output] over a box, a list of (low, high) for each input; of a float64 net."""
    n_0, *_, m = net.sizes
    if len(box) != n_0 or not 0 <= output < m or net.dtype != np.float64:
        raise ValueError(f"a float64 net, {n_0} intervals and an output below {m} are needed")
    functions = net.c_functions
    y = np.empty(m)
    work = np.empty(WORK_SIZE(functions["work_size"])(net.c_address, 1, DN_Y), np.uint8)
    context = Context(functions["eval"], net.c_address, output, y.ctypes.data, work.ctypes.data)
    function = ctypes.CDLL(library).integrand
    function.restype = ctypes.c_double
    function.argtypes = ctypes.c_int, ctypes.POINTER(ctypes.c_double), ctypes.c_void_p
    integrand = LowLevelCallable(function, ctypes.cast(ctypes.pointer(context), ctypes.c_void_p))
    integral, _ = nquad(integrand, box)
    return integral / np.prod([high - low for low, high in box])


if __name__ == "__main__":
    net = dn.MLP([2, 16, 1], activation="tanh", seed=0)
    print("mean", mean_output(net, sys.argv[1], [(-1, 1), (0, 2)]))
