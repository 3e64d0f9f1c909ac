"""A net as plain numbers, its dense rows in NumPy float64, and each verb as dense algebra on them.

Nothing of deltanet is imported here: activations, slopes and the chain are written out, theta is laid out by
hand. Rows are (N, m, P); every formula keeps the axis of samples, which the caller drops for a single sample.

Of the absolute values of its arguments, a formula gives the sum of absolute terms, by which rounding scales:
see `assert_close`.
"""

from itertools import pairwise

import numpy as np
from scipy.special import erf, expit, ndtr

SELU = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
DEFAULTS = {
    "leaky_relu": (0.01,),
    "elu": (1.0,),
    "softplus": (1.0,),
    "hardtanh": (-1.0, 1.0),
    "celu": (1.0,),
    "softshrink": (0.5,),
    "swish": (1.0,),
}
KINKS = {  # name -> parameters -> where
    **dict.fromkeys(("relu", "leaky_relu", "elu", "selu", "abs"), lambda *_: (0,)),
    "relu6": lambda: (0, 6),
    "hardtanh": lambda low, high: (low, high),
    "hardsigmoid": lambda: (-3, 3),
    "hardswish": lambda: (-3, 3),
    "softshrink": lambda lam: (-lam, lam),
    "threshold": lambda threshold, value: (threshold,),
}
COUPLED = ("softmax", "log_softmax")


def sech_squared(v):
    """1 / cosh^2 v, which is 0 where cosh overflows."""
    with np.errstate(over="ignore"):
        return np.cosh(v) ** -2.0


def elu(v, a):
    below = np.minimum(v, 0)
    return np.where(v > 0, v, a * np.expm1(below)), np.where(v > 0, 1, a * np.exp(below))


def gelu_tanh(v):
    u = np.sqrt(2 / np.pi) * (v + 0.044715 * v**3)
    du = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * v**2)
    return v * expit(2 * u), expit(2 * u) + 2 * v * expit(2 * u) * expit(-2 * u) * du


def clip(v, low, high):
    return np.clip(v, low, high), np.where((v > low) & (v <= high), 1.0, 0.0)


def hardsigmoid(v):
    f, slope = clip(v + 3, 0, 6)
    return f / 6, slope / 6


def hardswish(v):
    f, slope = hardsigmoid(v)
    return v * f, f + v * slope


def celu(v, a):
    f, slope = elu(v / a, 1)
    return a * f, slope


def silu(v):
    return v * expit(v), expit(v) + v * expit(v) * expit(-v)


def mish(v):
    t = np.tanh(np.logaddexp(0, v))
    return v * t, t + v * (1 - t) * (1 + t) * expit(v)


def softshrink(v, lam):
    return np.sign(v) * np.maximum(abs(v) - lam, 0), np.where((v > lam) | (v <= -lam), 1.0, 0.0)


def swish(v, beta):
    f, slope = silu(beta * v)
    return f / beta, slope


# name -> (v, *parameters) -> (f, f')
ELEMENTWISE = {
    "identity": lambda v: (v, np.ones_like(v)),
    "tanh": lambda v: (np.tanh(v), sech_squared(v)),
    "lecun_tanh": lambda v: (
        1.7159 * np.tanh(v * (2 / 3)),
        1.7159 * (2 / 3) * sech_squared(v * (2 / 3)),
    ),
    "sigmoid": lambda v: (expit(v), expit(v) * expit(-v)),
    "relu": lambda v: (np.maximum(v, 0), np.where(v > 0, 1.0, 0.0)),
    "leaky_relu": lambda v, a: (np.where(v > 0, v, a * v), np.where(v > 0, 1, a)),
    "elu": elu,
    "selu": lambda v: tuple(SELU[0] * part for part in elu(v, SELU[1])),
    "softplus": lambda v, a: (np.logaddexp(0, a * v) / a, expit(a * v)),
    "gelu": lambda v: (v * ndtr(v), ndtr(v) + v * np.exp(-(v**2) / 2) / np.sqrt(2 * np.pi)),
    "gelu_tanh": gelu_tanh,
    "silu": silu,
    "softsign": lambda v: (v / (1 + abs(v)), (1 + abs(v)) ** -2.0),
    "gaussian": lambda v: (np.exp(-(v**2)), -2 * v * np.exp(-(v**2))),
    "sin": lambda v: (np.sin(v), np.cos(v)),
    "relu6": lambda v: clip(v, 0, 6),
    "hardtanh": clip,
    "hardsigmoid": hardsigmoid,
    "hardswish": hardswish,
    "celu": celu,
    "mish": mish,
    "exp": lambda v: (np.exp(v), np.exp(v)),
    "logsigmoid": lambda v: (-np.logaddexp(0, -v), expit(-v)),
    "tanhshrink": lambda v: (v - np.tanh(v), np.tanh(v) ** 2),
    "softshrink": softshrink,
    "threshold": lambda v, t, value: (np.where(v > t, v, value), np.where(v > t, 1.0, 0.0)),
    "swish": swish,
    "cos": lambda v: (np.cos(v), -np.sin(v)),
    "abs": lambda v: (abs(v), np.where(v > 0, 1.0, -1.0)),
    "square": lambda v: (v**2, 2 * v),
    "erf": lambda v: (erf(v), 2 / np.sqrt(np.pi) * np.exp(-(v**2))),
    "atan": lambda v: (np.arctan(v), 1 / (1 + v**2)),
}
PARAMETRISED = [
    ("leaky_relu", 0.3),
    ("elu", 0.7),
    ("softplus", 2.5),
    ("hardtanh", -0.5, 2.0),
    ("celu", 0.7),
    ("softshrink", 0.2),
    ("threshold", 0.1, -0.4),
    ("swish", 2.5),
]
SPECS = [*(name for name in ELEMENTWISE if name != "threshold"), *PARAMETRISED]
SHAPES = [
    (1, 1),
    (4, 3),
    (1, 1, 1),
    (1, 7, 1),
    (5, 1, 4),
    (2, 9, 1, 6, 3),
    (17, 3, 2),
]


def split(spec):
    """(name, parameters) of a specification."""
    name, *parameters = (spec,) if isinstance(spec, str) else spec
    return name, tuple(parameters) or DEFAULTS.get(name, ())


def kinks(spec):
    """Where the slope jumps."""
    name, parameters = split(spec)
    return KINKS[name](*parameters) if name in KINKS else ()


def coupled(name, v):
    """(f (N, m), df/dv (N, m, m)); a diagonal entry is what the others of its row leave: rows sum to zero."""
    shifted = v - v.max(axis=-1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True)
    m = v.shape[-1]
    others = -p[:, None, :] * (1 - np.eye(m))
    slope = others - others.sum(axis=-1)[..., None] * np.eye(m)
    if name == "log_softmax":
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), slope
    return p, p[:, :, None] * slope


class AtKink(Exception):
    """A net that has no samples off its kinks: units that are 0 for all, and no bias behind them."""


class PlainNet:
    """Weights, biases, activations and scalings: input shift and scale, output shift and scale, or None.

    A bias of None is none: no entry in theta and no column.
    """

    def __init__(self, weights, biases, activations, scalings=(None,) * 4):
        self.weights, self.biases = weights, biases
        self.activations, self.scalings = activations, scalings
        self.sizes = (weights[0].shape[1], *(len(W) for W in weights))
        self.parts = [
            (W.size, 0 if b is None else b.size) for W, b in zip(weights, biases, strict=True)
        ]
        self.P = sum(map(sum, self.parts))

    @classmethod
    def random(cls, random, sizes, activations, biased, scaled, dtype):
        """Every number is rounded to dtype and held in float64; `biased` says which layers have a bias."""

        def draw(*shape):
            return random.standard_normal(shape).astype(dtype).astype(float)

        def between(a, b, *shape):
            return random.uniform(a, b, shape).astype(dtype).astype(float)

        weights = [
            (draw(n_out, n_in) / np.sqrt(n_in)).astype(dtype).astype(float)
            for n_in, n_out in pairwise(sizes)
        ]
        biases = [draw(n) / 2 if bias else None for n, bias in zip(sizes[1:], biased, strict=True)]
        n, m = sizes[0], sizes[-1]
        scalings = [None] * 4
        if scaled:
            scalings = [draw(n), between(0.5, 2, n), draw(m), between(-2, -0.5, m)]
        return cls(weights, biases, activations, scalings)

    def forward(self, X):
        """(y, [h of each layer's input], [v], [slope: (N, n), or (N, m, m) of a coupled output])"""
        shift, scale, out_shift, out_scale = self.scalings
        h = X if shift is None else (X - shift) / scale
        inputs, fields, slopes = [], [], []
        for W, b, spec in zip(self.weights, self.biases, self.activations, strict=True):
            name, parameters = split(spec)
            inputs.append(h)
            fields.append(h @ W.T + (0 if b is None else b))
            f = coupled if name in COUPLED else ELEMENTWISE[name]
            args = (name, fields[-1]) if name in COUPLED else (fields[-1], *parameters)
            h, slope = f(*args)
            slopes.append(slope)
        return h if out_scale is None else h * out_scale + out_shift, inputs, fields, slopes

    def differentiate(self, X):
        """(y (N, m), rows (N, m, P), dy/dx (N, m, n_0), inputs [(N, n_in)], deltas [(N, m, n_out)])"""
        y, inputs, _, slopes = self.forward(X)
        delta = slopes[-1]
        if delta.ndim == 2:
            delta = delta[:, :, None] * np.eye(self.sizes[-1])
        if self.scalings[3] is not None:
            delta = delta * self.scalings[3][:, None]
        deltas = [delta]
        for W, slope in zip(self.weights[:0:-1], slopes[-2::-1], strict=True):
            deltas.insert(0, (deltas[0] @ W) * slope[:, None, :])
        rows = []
        for delta, h, b in zip(deltas, inputs, self.biases, strict=True):
            W = delta[:, :, :, None] * h[:, None, None, :]
            rows += [W.reshape(*delta.shape[:2], delta.shape[2] * h.shape[1])]
            rows += [] if b is None else [delta]
        dx = deltas[0] @ self.weights[0]
        if self.scalings[1] is not None:
            dx = dx / self.scalings[1]
        return y, np.concatenate(rows, axis=-1), dx, inputs, deltas

    def samples(self, random, N, dtype):
        """(N, n_0) inputs whose local fields keep off the kinks: there, rounding would choose the slope."""
        distance = 1e-4 if dtype == "float32" else 1e-9
        X = np.empty((0, self.sizes[0]))
        for _ in range(200):
            more = random.standard_normal((N - len(X), self.sizes[0])).astype(dtype).astype(float)
            near = np.zeros(len(more), bool)
            for v, spec in zip(self.forward(more)[2], self.activations, strict=True):
                for kink in kinks(spec):
                    near |= (abs(v - kink) < distance).any(axis=1)
            X = np.concatenate([X, more[~near]])
            if len(X) == N:
                return X
        raise AtKink("every sample lies at a kink")

    # Columns of theta

    def columns(self):
        """Of each parameter: (its layer, whether it is a weight)"""
        layer = np.repeat(np.arange(len(self.parts)), [sum(part) for part in self.parts])
        weight = np.concatenate([np.repeat([True, False], part) for part in self.parts])
        return layer, weight

    def keep(self, wrt):
        """Which columns a `wrt` names, (P,) booleans."""
        layer, weight = self.columns()
        layers = len(self.weights)
        if isinstance(wrt, np.ndarray):
            return wrt
        if wrt is None:
            return np.ones(self.P, bool)
        if wrt == "last":
            return layer == layers - 1
        if wrt in ("weights", "biases"):
            return weight == (wrt == "weights")
        kept = np.zeros(self.P, bool)
        for item in wrt:
            kind, k = item if isinstance(item, tuple) else (None, item)
            kept |= (layer == k % layers) & (kind is None or weight == (kind == "weights"))
        return kept

    def whole_layers(self, wrt):
        """The layers a `wrt` keeps any part of, or None if it keeps a part of one only."""
        layer, kept = self.columns()[0], self.keep(wrt)
        parts = [kept[layer == k] for k in range(len(self.weights))]
        if any(part.any() and not part.all() for part in parts):
            return None
        return [k for k, part in enumerate(parts) if part.any()]


# The verbs. D (N, m, P) are rows, D2 (N', m, P) those of other samples, H (N, m, m).


def flat(D):
    """(N m, P); of an empty array NumPy cannot infer a size"""
    return D.reshape(D.shape[0] * D.shape[1], D.shape[2])


def matvec(D, v):
    return D @ v


def rmatvec(D, u):
    """u (N, m) or (N, m, r)"""
    return flat(D).T @ u.reshape(u.shape[0] * u.shape[1], *u.shape[2:])


def ggn(D, H):
    return flat(D).T @ flat(H @ D)


def ggn_diagonal(D, H):
    return (D * (H @ D)).sum(axis=(0, 1))


def ggn_vector(D, H, R):
    """J^T H R"""
    return rmatvec(D, (H @ R[:, :, None])[:, :, 0])


def row_norms_squared(D):
    return (D**2).sum(axis=-1)


def input_factor(h, bias):
    """A of kfac: [h 1]^T [h 1] / N; without a bias h^T h / N"""
    h1 = np.concatenate([h, np.ones((len(h), int(bias)))], axis=1)
    return h1.T @ h1 / max(1, len(h))


def gram(D, D2):
    """(N, m, N', m)"""
    return (flat(D) @ flat(D2).T).reshape(*D.shape[:2], *D2.shape[:2])


def gram_diagonal(D):
    return D @ D.swapaxes(1, 2)


def gram_per_output(D, D2):
    """(m, N, N')"""
    return D.swapaxes(0, 1) @ D2.transpose(1, 2, 0)


def gram_trace(D, D2):
    rows, rows2 = (rows.reshape(len(rows), rows.shape[1] * rows.shape[2]) for rows in (D, D2))
    return rows @ rows2.T / D.shape[1]


def applied(D, Sigma, parts=()):
    """D Sigma; if Sigma is Kronecker pairs, `parts` has (n_in, n_out, whether with a bias) of each layer."""
    if isinstance(Sigma, list):
        result, start = np.empty_like(D), 0
        for (A, B), (n_in, n_out, bias) in zip(Sigma, parts, strict=True):
            split, end = start + n_out * n_in, start + n_out * (n_in + bias)
            W = D[..., start:split].reshape(*D.shape[:2], n_out, n_in)
            b = D[..., split:end].reshape(*D.shape[:2], n_out, int(bias))
            product = B @ (np.concatenate([W, b], axis=-1) @ A)  # (B (x) A) of each row's [W b]
            result[..., start:split] = product[..., :n_in].reshape(*W.shape[:2], n_out * n_in)
            result[..., split:end] = product[..., n_in:].reshape(*W.shape[:2], end - split)
            start = end
        return result
    if Sigma.ndim < 2:
        return D * Sigma
    return D @ Sigma if Sigma.shape[0] == Sigma.shape[1] else (D @ Sigma) @ Sigma.T


def covariance(D, Sigma, parts=()):
    """(N, m, m)"""
    return applied(D, Sigma, parts) @ D.swapaxes(1, 2)


def full_covariance(D, Sigma, parts=()):
    """(N, m, N, m)"""
    return gram(applied(D, Sigma, parts), D)


def absolute(value):
    """The absolute values of an array, or of Kronecker pairs."""
    if isinstance(value, list):
        return [tuple(abs(part) for part in pair) for pair in value]
    return abs(value)


def assert_close(actual, exact, tolerance, terms=0.0):
    """Within `tolerance` of the largest entry of the result.

    `terms` is the largest sum of absolute terms. Where a result is a hundredth of its terms or less, they
    cancelled, and a hundredth of them counts in place of what is left: no order of summation does better.
    """
    assert actual.shape == exact.shape, f"shape {actual.shape}, not {exact.shape}"
    if exact.size:
        largest = max(np.abs(exact).max(), terms / 100)
        deviation = np.abs(actual - exact).max()
        denormal = np.finfo(actual.dtype).tiny
        assert deviation <= tolerance * largest + denormal, (
            f"off by {deviation:.1e}, largest {largest:.1e}"
        )
