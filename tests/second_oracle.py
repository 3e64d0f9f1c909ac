"""Second derivatives of a plain net in NumPy, forward over forward: pairs of directions pass through layers.

    v_ab = W h_ab + W_a h_b + W_b h_a,    h_ab = f''(v) v_a v_b + f'(v) v_ab

A direction is one of theta and x together, (P + n_0,). Nothing of deltanet is imported here. The library goes
backward instead, and sums over layers.
"""

import numpy as np
from dense_oracle import COUPLED, SELU, sech_squared, split
from scipy.special import expit


def flat(v, *parameters):
    return np.zeros_like(v)


def below(v, second):
    """f'' of what is linear above zero."""
    return np.where(v > 0, 0.0, second(np.minimum(v, 0)))


def inside(v, low, high):
    return np.where((v > low) & (v <= high), 1.0, 0.0)


def bell(v):
    """The density of the normal distribution"""
    return np.exp(-(v**2) / 2) / np.sqrt(2 * np.pi)


def sigmoid_second(v):
    return expit(v) * expit(-v) * (expit(-v) - expit(v))


def tanh_second(v):
    return -2 * np.tanh(v) * sech_squared(v)


def silu_second(v):
    return 2 * expit(v) * expit(-v) + v * sigmoid_second(v)


def gelu_tanh_second(v):
    """v s(w), w a cubic: 2 s'(w) w' + v (s''(w) w'^2 + s'(w) w'')"""
    c = np.sqrt(8 / np.pi)
    w, w1, w2 = c * (v + 0.044715 * v**3), c * (1 + 3 * 0.044715 * v**2), c * 6 * 0.044715 * v
    slope = expit(w) * expit(-w)
    return 2 * slope * w1 + v * (sigmoid_second(w) * w1**2 + slope * w2)


def mish_second(v):
    """v t(p), t = tanh, p = softplus: 2 t'(p) s + v (t''(p) s^2 + t'(p) s')"""
    p, s = np.logaddexp(0, v), expit(v)
    return 2 * sech_squared(p) * s + v * (tanh_second(p) * s**2 + sech_squared(p) * s * expit(-v))


# name -> (v, *parameters) -> f''; at a kink the left one
SECOND = {
    **dict.fromkeys(
        (
            *("identity", "relu", "leaky_relu", "relu6", "hardtanh", "hardsigmoid"),
            *("softshrink", "threshold", "abs"),
        ),
        flat,
    ),
    "tanh": tanh_second,
    "lecun_tanh": lambda v: 1.7159 * (2 / 3) ** 2 * tanh_second(v * (2 / 3)),
    "sigmoid": sigmoid_second,
    "elu": lambda v, a: below(v, lambda v: a * np.exp(v)),
    "selu": lambda v: below(v, lambda v: SELU[0] * SELU[1] * np.exp(v)),
    "softplus": lambda v, a: a * expit(a * v) * expit(-a * v),
    "gelu": lambda v: (2 - v**2) * bell(v),
    "gelu_tanh": gelu_tanh_second,
    "silu": silu_second,
    "softsign": lambda v: np.where(v > 0, -2.0, 2.0) / (1 + abs(v)) ** 3,
    "gaussian": lambda v: (4 * v**2 - 2) * np.exp(-(v**2)),
    "sin": lambda v: -np.sin(v),
    "hardswish": lambda v: inside(v, -3, 3) / 3,
    "celu": lambda v, a: below(v, lambda v: np.exp(v / a) / a),
    "mish": mish_second,
    "exp": np.exp,
    "logsigmoid": lambda v: -expit(v) * expit(-v),
    "tanhshrink": lambda v: -tanh_second(v),
    "swish": lambda v, beta: beta * silu_second(beta * v),
    "cos": lambda v: -np.cos(v),
    "square": lambda v: np.full_like(v, 2),
    "erf": lambda v: -4 * v / np.sqrt(np.pi) * np.exp(-(v**2)),
    "atan": lambda v: -2 * v / (1 + v**2) ** 2,
}


def bilinear(net, X, A, B, size=np.array):
    """d2y along each pair of directions A (a, P + n_0) and B (b, P + n_0): (N, m, a, b)

    `size` = abs gives the sum of absolute terms.
    """
    scale = 1 if net.scalings[1] is None else net.scalings[1]
    _, inputs, fields, slopes = net.forward(X)
    at, ways = 0, [A, B]
    moved = [
        np.broadcast_to(size(way[:, net.P :] / scale).T, (len(X), X.shape[1], len(way)))
        for way in ways
    ]
    both = np.zeros((*moved[0].shape, len(B)))
    for k, (W, b, spec) in enumerate(zip(net.weights, net.biases, net.activations, strict=True)):
        h, Wd, fields_moved = size(inputs[k]), [], []
        for way, h_d in zip(ways, moved, strict=True):
            Wd.append(size(way[:, at : at + W.size]).reshape(-1, *W.shape))
            v_d = size(W) @ h_d + np.einsum("aji,si->sja", Wd[-1], h)
            if b is not None:
                v_d = v_d + size(way[:, at + W.size : at + W.size + b.size]).T
            fields_moved.append(v_d)
        at += W.size + (0 if b is None else b.size)
        both = np.einsum("ji,siab->sjab", size(W), both, optimize=True)
        both = both + np.einsum("aji,sib->sjab", Wd[0], moved[1], optimize=True)
        both = both + np.einsum("bji,sia->sjab", Wd[1], moved[0], optimize=True)
        through = coupled if split(spec)[0] in COUPLED else elementwise
        *moved, both = through(spec, fields[k], slopes[k], *fields_moved, both, size)
    return both if net.scalings[3] is None else both * size(net.scalings[3])[:, None, None]


def elementwise(spec, v, slope, v_a, v_b, v_ab, size):
    """(h_a, h_b, h_ab)"""
    name, parameters = split(spec)
    slope, second = size(slope)[:, :, None], size(SECOND[name](v, *parameters))[:, :, None, None]
    h_ab = second * v_a[..., None] * v_b[:, :, None] + slope[..., None] * v_ab
    return slope * v_a, slope * v_b, h_ab


def coupled(spec, v, slope, v_a, v_b, v_ab, size):
    """Of log p: v_ab - <v_ab> - <v_a v_b> + <v_a> <v_b>, where < > is the mean by p; of p itself times p."""
    p = np.exp(v - v.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    sign = -1 if size is not abs else 1
    mean_a, mean_b = (np.einsum("sj,sja->sa", p, v_d)[:, None] for v_d in (v_a, v_b))
    mean = np.einsum("sj,sjab->sab", p, v_ab + v_a[..., None] * v_b[:, :, None])[:, None]
    l_a, l_b = v_a + sign * mean_a, v_b + sign * mean_b
    l_ab = v_ab + sign * mean + mean_a[..., None] * mean_b[:, :, None]
    if split(spec)[0] == "log_softmax":
        return l_a, l_b, l_ab
    p = p[:, :, None]
    return p * l_a, p * l_b, p[..., None] * (l_ab + l_a[..., None] * l_b[:, :, None])


def input_directions(net):
    """(n_0, P + n_0)"""
    return np.eye(net.P + net.sizes[0])[net.P :]


def parameter_directions(net, kept=None):
    """(P, P + n_0), of those that are kept"""
    rows = np.eye(net.P, net.P + net.sizes[0])
    return rows if kept is None else rows[kept]


def input_hessian(net, X, size=np.array):
    """(N, m, n_0, n_0)"""
    return bilinear(net, X, input_directions(net), input_directions(net), size)


def weighted(u, H):
    """(N, n_0, n_0), of H (N, m, n_0, n_0)"""
    return np.einsum("so,soij->sij", u, H)


def mixed_hessian(net, X, u, kept=None, size=np.array):
    """(N, P, n_0)"""
    both = bilinear(net, X, parameter_directions(net, kept), input_directions(net), size)
    return np.einsum("so,sopi->spi", size(u), both)


def hvp(net, X, u, v, kept=None, size=np.array):
    """(P,), v (P,)"""
    along = v @ parameter_directions(net, kept)
    both = bilinear(net, X, parameter_directions(net, kept), along[None], size)
    return np.einsum("so,sop->p", size(u), both[..., 0])
