"""What people use today: torch, JAX and CasADi on the same net. Each is None where it is not installed.

Every function returns a call that gives the peer's own natural result, computed to its end.
"""

import ctypes
import os
import tempfile
from pathlib import Path

import numpy as np

from bench.floor import compile_c

try:
    import torch
except ImportError:
    torch = None
try:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
except ImportError:
    jax = None
try:
    import casadi
except ImportError:
    casadi = None


def pairs(net):
    return list(zip(net.weights, net.biases, strict=True))


class Torch:
    """torch.func over a plain function of the parameters, torch's default threads."""

    name = "torch"

    def __init__(self, case):
        self.theta = [(torch.tensor(W), torch.tensor(b)) for W, b in pairs(case.net)]
        self.X = torch.tensor(case.X)

    @staticmethod
    def forward(theta, x):
        *hidden, (W, b) = theta
        for V, c in hidden:
            x = torch.tanh(torch.nn.functional.linear(x, V, c))
        return torch.nn.functional.linear(x, W, b)

    def jacobian(self):
        f = torch.func.vmap(torch.func.jacrev(self.forward), in_dims=(None, 0))
        return lambda: f(self.theta, self.X)

    def input_jacobian(self):
        f = torch.func.vmap(torch.func.jacrev(self.forward, argnums=1), in_dims=(None, 0))
        return lambda: f(self.theta, self.X)

    def row_norms_squared(self):
        jacobian = self.jacobian()
        return lambda: sum((D**2).flatten(2).sum(2) for pair in jacobian() for D in pair)

    def ggn_diagonal(self):
        jacobian = self.jacobian()
        return lambda: [(D**2).sum((0, 1)) for pair in jacobian() for D in pair]

    def gram(self):
        jacobian = self.jacobian()

        def call():
            blocks = [D.flatten(2).flatten(0, 1) for pair in jacobian() for D in pair]
            return sum(block @ block.T for block in blocks)

        return call

    def dense(self, blocks):
        N = len(self.X)
        return np.concatenate([D.reshape(N, D.shape[1], -1) for pair in blocks for D in pair], -1)


class Jax:
    """jit-compiled JAX; `threads` are XLA's own."""

    name = "JAX"

    def __init__(self, case):
        self.theta = [(jnp.asarray(W), jnp.asarray(b)) for W, b in pairs(case.net)]
        self.X = jnp.asarray(case.X)
        self.shape = case.shape

    @staticmethod
    def forward(theta, x):
        *hidden, (W, b) = theta
        for V, c in hidden:
            x = jnp.tanh(V @ x + c)
        return W @ x + b

    def compiled(self, f, *arguments):
        f = jax.jit(f)
        return lambda: jax.block_until_ready(f(*arguments))

    def jacobian(self):
        f = jax.vmap(jax.jacrev(self.forward), in_axes=(None, 0))
        return self.compiled(f, self.theta, self.X)

    def input_jacobian(self):
        f = jax.vmap(jax.jacrev(self.forward, argnums=1), in_axes=(None, 0))
        return self.compiled(f, self.theta, self.X)

    def row_norms_squared(self):
        def f(theta, X):
            J = jax.vmap(jax.jacrev(self.forward), in_axes=(None, 0))(theta, X)
            return sum((D.reshape(*D.shape[:2], -1) ** 2).sum(2) for pair in J for D in pair)

        return self.compiled(f, self.theta, self.X)

    def ggn_diagonal(self):
        def f(theta, X):
            J = jax.vmap(jax.jacrev(self.forward), in_axes=(None, 0))(theta, X)
            return [(D**2).sum((0, 1)) for pair in J for D in pair]

        return self.compiled(f, self.theta, self.X)

    def outputs(self, theta):
        return jax.vmap(self.forward, in_axes=(None, 0))(theta, self.X)

    def blocks(self, v):
        """A vector like theta as JAX's tree."""
        result, start = [], 0
        for W, b in self.theta:
            result.append((jnp.asarray(v[start : start + W.size].reshape(W.shape)),))
            start += W.size
            result[-1] += (jnp.asarray(v[start : start + b.size]),)
            start += b.size
        return result

    def jvp(self, v):
        def f(theta, v):
            return jax.jvp(self.outputs, (theta,), (v,))[1]

        return self.compiled(f, self.theta, self.blocks(v))

    def vjp(self, u):
        def f(theta, u):
            return jax.vjp(self.outputs, theta)[1](u)

        return self.compiled(f, self.theta, jnp.asarray(u))

    def dense(self, blocks):
        N = self.shape[0]
        return np.concatenate(
            [np.asarray(D).reshape(N, self.shape[1], -1) for pair in blocks for D in pair], -1
        )


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


def frameworks(case):
    """The peers that are installed, ready for a case."""
    return [peer(case) for peer, module in ((Torch, torch), (Jax, jax)) if module is not None]
