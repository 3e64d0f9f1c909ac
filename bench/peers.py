"""Who is compared: JAX with the structured formulas and with its usual tools, and torch.func.

Each module is None where it is not installed. Inputs are committed device arrays; every call is
computed to its end.
"""

from itertools import product

import numpy as np

from bench import structured
from bench.structured import LAYOUTS, VARIANTS, jax
from bench.timing import batch, once

if jax:
    import jax.numpy as jnp
try:
    import torch
except ImportError:
    torch = None


def pairs(net):
    return list(zip(net.weights, net.biases, strict=True))


def quick(call):
    """Seconds of a call, roughly; of one only where it is slow."""
    seconds = once(call)
    return seconds if seconds > 0.02 else batch(call, 0.05)


class Jax:
    """jit-compiled JAX; its threads are XLA's own."""

    name = "JAX"

    def __init__(self, net, X):
        self.theta = jax.tree.map(jnp.array, pairs(net))
        self.X = jnp.array(X)
        self.N, self.m = len(X), net.sizes[-1]

    def blocks(self, v):
        """A vector like theta as a tree of device arrays."""
        leaves, tree = jax.tree.flatten(self.theta)
        cuts = np.cumsum([leaf.size for leaf in leaves])[:-1]
        parts = np.split(np.asarray(v), cuts)
        return jax.tree.unflatten(
            tree, [jnp.array(p.reshape(a.shape)) for p, a in zip(parts, leaves, strict=True)]
        )

    def compiled(self, f, *arguments):
        f, arguments = jax.jit(f), jax.device_put((self.theta, self.X, *arguments))
        return lambda: jax.block_until_ready(f(*arguments))

    def formulations(self, formula, *arguments):
        """{(layout, variant): call} of all the ways in which a structured formula is written."""
        calls = {}
        for layout, variant in product(LAYOUTS, VARIANTS):
            f = lambda theta, X, *a, way=(layout, variant): formula(theta, X, *way, *a)  # noqa: E731
            if jax.eval_shape(f, self.theta, self.X, *arguments) is not None:
                calls[layout, variant] = self.compiled(f, *arguments)
        return calls

    def fastest(self, formula, *arguments, check=None):
        """The call of the formulation that is fastest here; each has passed `check` before."""
        calls = self.formulations(formula, *arguments)
        for call in calls.values():
            result = call()
            if check is not None:
                check(result)
        times = {way: min(quick(call), quick(call)) for way, call in calls.items()}
        way = min(times, key=times.get)
        calls[way].way = way
        return calls[way]

    def jacobian(self):
        """The usual tool: jit(vmap(jacrev)), a tree of (N, m, n_out, n_in)."""
        row = jax.jacrev(lambda theta, x: structured.output(theta, x[None])[0])
        return self.compiled(jax.vmap(row, in_axes=(None, 0)))

    def contracted(self, verb):
        row = jax.jacrev(lambda theta, x: structured.output(theta, x[None])[0])
        rows = jax.vmap(row, in_axes=(None, 0))
        return self.compiled(
            lambda theta, X: contract(jax.tree.leaves(rows(theta, X)), verb, jnp.concatenate)
        )

    def dense(self, blocks):
        parts = [np.asarray(D).reshape(self.N, self.m, -1) for D in jax.tree.leaves(blocks)]
        return np.concatenate(parts, -1)


class Torch:
    """torch.func over a plain function of the parameters, torch's default threads."""

    name = "torch"

    def __init__(self, net, X):
        self.theta = [(torch.tensor(W), torch.tensor(b)) for W, b in pairs(net)]
        self.X = torch.tensor(X)
        self.N, self.m = len(X), net.sizes[-1]

    @staticmethod
    def forward(theta, x):
        *hidden, (W, b) = theta
        for V, c in hidden:
            x = torch.tanh(torch.nn.functional.linear(x, V, c))
        return torch.nn.functional.linear(x, W, b)

    def jacobian(self):
        f = torch.func.vmap(torch.func.jacrev(self.forward), in_dims=(None, 0))
        return lambda: f(self.theta, self.X)

    def contracted(self, verb):
        jacobian = self.jacobian()
        return lambda: contract([D for pair in jacobian() for D in pair], verb, torch.cat)

    def dense(self, blocks):
        parts = [D.reshape(self.N, self.m, -1) for pair in blocks for D in pair]
        return np.concatenate(parts, -1)


def contract(blocks, verb, concatenate):
    """What is made of dense blocks (N, m, ...) by who has no factors; the result without its shape."""
    rows = [D.reshape(D.shape[0] * D.shape[1], -1) for D in blocks]
    if verb == "row_norms_squared":
        return sum((D**2).sum(1) for D in rows)
    if verb == "ggn_diagonal":
        return concatenate([(D**2).sum(0) for D in rows])
    return sum(D @ D.T for D in rows)


def frameworks(net, X):
    """The peers that are installed, with their usual tools."""
    return [peer(net, X) for peer, module in ((Torch, torch), (Jax, jax)) if module is not None]
