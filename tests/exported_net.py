"""A net exported as C, compiled, and called through ctypes in memory of exactly the size asked for."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
from c_client import Numbers

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")
C99 = ("-std=c99", *WARNINGS)


def compiler(*names):
    found = next(filter(None, map(shutil.which, names or ("cc", "gcc", "clang"))), None)
    if found is None:
        pytest.skip(f"needs {' or '.join(names) or 'a C compiler'}")
    return found


def compiled(target, sources, *flags, cc=None):
    command = [cc or compiler(), *flags, *map(str, sources), "-o", str(target), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return target


def library(target, sources, *flags):
    """Without optimization where speed does not matter: it changes no rounding that we promise."""
    flags = flags or (*C99, "-O1")
    return ctypes.CDLL(str(compiled(target, sources, *flags, "-shared", "-fPIC")))


class Exported:
    """The functions of one net in a library. Nothing beside their results may be written."""

    def __init__(self, net, name, library, theta=None):
        self.net, self.name, self.library = net, name, library
        self.theta = None if theta is None else Numbers(theta, net.dtype)
        size = getattr(library, f"{name}_work_size")
        size.restype = ctypes.c_size_t
        self.bytes = size()

    def empty(self, *shape):
        return Numbers(np.full(shape, np.nan), self.net.dtype)

    def call(self, function, *areas):
        given = [area for area in (self.theta, *areas) if area is not None]
        work = Numbers(np.full(self.bytes // self.net.dtype.itemsize, np.nan), self.net.dtype)
        first = [] if self.theta is None else [self.theta]
        arguments = [area and ctypes.c_void_p(area.address) for area in (*first, *areas, work)]
        getattr(self.library, f"{self.name}_{function}")(*arguments)
        for area in (*given, work):
            area.check()
        return [area.array for area in areas if area is not None]

    def eval(self, x, wanted=("y", "jx", "jtheta")):
        m, n_0, P = self.net.sizes[-1], self.net.sizes[0], self.net.num_params
        shapes = {"y": (m,), "jx": (m, n_0), "jtheta": (m, P)}
        areas = [self.empty(*shape) if key in wanted else None for key, shape in shapes.items()]
        return self.call("eval", Numbers(x, self.net.dtype), *areas)[1:]

    def vjp(self, x, u, theta=True, inputs=True):
        dtype = self.net.dtype
        areas = [
            self.empty(self.net.num_params) if theta else None,
            self.empty(self.net.sizes[0]) if inputs else None,
        ]
        return self.call("vjp", Numbers(x, dtype), Numbers(u, dtype), *areas)[2:]

    def hess(self, x, u):
        dtype, n_0 = self.net.dtype, self.net.sizes[0]
        return self.call("hess", Numbers(x, dtype), Numbers(u, dtype), self.empty(n_0, n_0))[2]


def check(exported, x, u, tolerance):
    """Everything, and each alone, against the net's own results."""
    net = exported.net
    y, Jx, J = net.linearize(x)
    right = {"y": y, "jx": Jx, "jtheta": J.to_dense()}
    for found, key in zip(exported.eval(x), right, strict=True):
        close(found, right[key], tolerance, key)
    for key, exact in right.items():
        close(exported.eval(x, (key,))[0], exact, tolerance, key)
    for found, exact in zip(exported.vjp(x, u), (net.vjp(x, u), u @ Jx), strict=True):
        close(found, exact, tolerance, "vjp")
    close(exported.vjp(x, u, theta=False)[0], u @ Jx, tolerance, "grad_x")
    close(exported.vjp(x, u, inputs=False)[0], net.vjp(x, u), tolerance, "grad_theta")
    H = exported.hess(x, u)
    close(H, net.input_hessian(x, u), tolerance, "hess")
    np.testing.assert_array_equal(H, H.T)


def close(found, exact, tolerance, what):
    """Within a part of the largest entry, and the same where that is not finite."""
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(exact), what)
    finite = np.isfinite(exact)
    most = abs(exact[finite]).max(initial=0)
    assert abs(found[finite] - exact[finite]).max(initial=0) <= tolerance * most, what
