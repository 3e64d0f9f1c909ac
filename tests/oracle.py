"""The Jacobian by a complex step of the plain formula, one parameter after the other.

Nothing here calls the code under test: theta is unpacked by hand, and the activations are the NumPy
formulas of deltanet.testing, which test_activations.py holds against mpmath.
"""

from itertools import pairwise

import numpy as np
from dense_oracle import kinks, split

from deltanet.testing import FORMULAS

STEP = 1e-30


class Case:
    """A net written out as plain numbers, with what the library should say of it.

    `biased` says which layers have a bias, all by default; the others have None.
    """

    def __init__(self, sizes, activations, scaled=False, seed=0, biased=None):
        random = np.random.default_rng(seed)
        self.sizes, self.activations = sizes, activations
        self.weights = [
            random.standard_normal((n_out, n_in)) / np.sqrt(n_in) for n_in, n_out in pairwise(sizes)
        ]
        self.biases = [random.standard_normal(n) / 2 for n in sizes[1:]]
        if biased is not None:
            self.biases = [b if one else None for b, one in zip(self.biases, biased, strict=True)]
        n, m = sizes[0], sizes[-1]
        self.scalings = (
            [
                random.standard_normal(n),
                random.uniform(0.5, 2, n),
                random.standard_normal(m),
                random.uniform(-2, -0.5, m),
            ]
            if scaled
            else [None] * 4
        )

    def rounded(self, dtype):
        """The same case with every number rounded to dtype, still held in double precision."""

        def to(a):
            return None if a is None else a.astype(dtype).astype(float)

        self.weights, self.biases, self.scalings = (
            [to(a) for a in group] for group in (self.weights, self.biases, self.scalings)
        )
        return self

    @property
    def theta(self):
        pairs = zip(self.weights, self.biases, strict=True)
        return np.concatenate([part.ravel() for pair in pairs for part in pair if part is not None])

    def evaluate(self, X, theta=None):
        """(y, [v of each layer]) with complex numbers if need be."""
        theta = self.theta if theta is None else theta
        shift, scale, out_shift, out_scale = self.scalings
        h, start, fields = (X if shift is None else (X - shift) / scale), 0, []
        for W, b, spec in zip(self.weights, self.biases, self.activations, strict=True):
            W = theta[start : start + W.size].reshape(W.shape)
            start += W.size
            if b is not None:
                b = theta[start : start + b.size]
                start += b.size
            name, parameters = split(spec)
            fields.append((spec, h @ W.T + (0 if b is None else b)))
            h = FORMULAS[name](fields[-1][1] + 0j, *parameters)
        return (h if out_scale is None else h * out_scale + out_shift), fields

    def inputs(self, N, seed=1, distance=1e-4):
        """(N, n_0) random inputs whose local fields keep off the kinks."""
        random = np.random.default_rng(seed)
        X = random.standard_normal((N + 50, self.sizes[0])).astype(np.float32).astype(float)
        near = np.zeros(len(X), bool)
        for spec, v in self.evaluate(X)[1]:
            for kink in kinks(spec):
                near |= (abs(v - kink) < distance).any(axis=1)
        return X[~near][:N]

    def jacobian(self, X):
        """(N, m, P)"""
        J = np.empty((len(X), self.sizes[-1], self.theta.size))
        for p in range(self.theta.size):
            theta = self.theta.astype(complex)
            theta[p] += 1j * STEP
            J[:, :, p] = self.evaluate(X, theta)[0].imag / STEP
        return J

    def input_jacobian(self, X):
        """(N, m, n_0)"""
        columns = [self.evaluate(X + 1j * STEP * e)[0].imag / STEP for e in np.eye(self.sizes[0])]
        return np.stack(columns, axis=-1)

    def blocks(self):
        """Column ranges of theta, one a layer."""
        pairs = zip(self.weights, self.biases, strict=True)
        ends = np.cumsum([0] + [W.size + (0 if b is None else b.size) for W, b in pairs])
        return [slice(a, b) for a, b in pairwise(ends)]


def assert_close(actual, exact, tolerance, blocks=(slice(None),)):
    """Equal to `tolerance` of the largest entry of each block of columns."""
    assert actual.shape == exact.shape
    for columns in blocks:
        if exact.size:
            largest = np.abs(exact[..., columns]).max()
            deviation = np.abs(actual[..., columns] - exact[..., columns]).max()
            assert deviation <= tolerance * largest, f"{deviation:.1e} of {largest:.1e}"
