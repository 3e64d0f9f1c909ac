"""The nets that are timed, and the Jacobian that a careful NumPy user writes by hand."""

from itertools import pairwise

import numpy as np

import deltanet as dn

SIZES = {
    "tiny": ([4, 32, 32, 2], 1, "float64"),
    "policy": ([10, 64, 64, 6], 1, "float64"),
    "small": ([8, 64, 64, 3], 256, "float64"),
    "lm": ([10, 50, 50, 1], 4096, "float64"),
    "wide": ([784, 512, 512, 10], 16, "float32"),
    "deep": ([32] + 8 * [64] + [8], 256, "float64"),
}


class Case:
    """A tanh net with identity output and N inputs."""

    def __init__(self, name, N=None):
        self.name = name
        self.sizes, default, self.dtype = SIZES[name]
        self.N = N or default
        self.net = dn.MLP(self.sizes, activation="tanh", dtype=self.dtype, seed=0)
        self.random = np.random.default_rng(1)
        self.X = self.normal(self.N, self.sizes[0])
        self.shape = (self.N, self.sizes[-1], self.net.num_params)

    def __str__(self):
        return f"{self.name} [{self.N}]"

    def normal(self, *shape):
        return self.random.standard_normal(shape).astype(self.dtype)

    def directional(self, v):
        """J v by a complex step along v: an oracle that shares nothing with what is timed."""
        h, start, step = self.X.astype(complex), 0, 1e-30
        theta = self.net.params + 1j * step * v
        for k, (n_in, n_out) in enumerate(pairwise(self.sizes)):
            W = theta[start : start + n_in * n_out].reshape(n_out, n_in)
            start += W.size + n_out
            h = h @ W.T + theta[start - n_out : start]
            h = h if k == len(self.sizes) - 2 else np.tanh(h)
        return h.imag / step

    def check(self, D):
        """Raise where a dense Jacobian (N, m, P) disagrees with the complex step along two directions."""
        for _ in range(2):
            v = self.random.standard_normal(self.shape[-1])
            expected = self.directional(v)
            limit = (1e-10 if self.dtype == "float64" else 1e-3) * np.abs(expected).max()
            np.testing.assert_allclose(D @ v.astype(self.dtype), expected, rtol=0, atol=limit)


def by_hand(net, X, out):
    """The chain of local gradients, and each layer's outer products written into `out`."""
    h = [X]
    for W, b in zip(net.weights[:-1], net.biases[:-1], strict=True):
        h.append(np.tanh(h[-1] @ W.T + b))
    m = len(net.weights[-1])
    delta, stop = np.broadcast_to(np.eye(m, dtype=X.dtype), (len(X), m, m)), out.shape[-1]
    for k in reversed(range(len(h))):
        n_out, n_in = net.weights[k].shape
        out[..., stop - n_out : stop] = delta
        start = stop - n_out - n_out * n_in
        np.multiply(
            delta[..., None],
            h[k][:, None, None, :],
            out=out[..., start : stop - n_out].reshape(len(X), m, n_out, n_in),
        )
        stop = start
        if k:
            delta = (delta @ net.weights[k]) * (1 - h[k] ** 2)[:, None, :]
    return out
