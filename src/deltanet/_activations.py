"""The one registry of activations: default parameter, gain of the first weights, kind, and the plain formula.

The formulas are of complex numbers in NumPy, so that a complex step can go through them; the compiled
functions (_core/vecmath.h) are held to them. Codes are the core's.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from deltanet._core.activation import NAMES

SELU = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def _positive(v):
    return v.real > 0


def _decay(v):
    """exp(-|v|), continued from the real axis."""
    return np.exp(np.where(_positive(v), -v, v))


def _sigmoid(v):
    e = _decay(v)
    return np.where(_positive(v), 1, e) / (1 + e)


def _softplus(v):
    return np.where(_positive(v), v, 0) + np.log1p(_decay(v))


def _elu(v, alpha):
    below = np.where(_positive(v), 0, v)
    return np.where(_positive(v), v, alpha * np.expm1(below))


def _gelu_tanh(v):
    return v * _sigmoid(np.sqrt(8 / np.pi) * (v + 0.044715 * v**3))


def _log_softmax(v):
    v = v - v.real.max(axis=-1, keepdims=True)
    return v - np.log(np.exp(v).sum(axis=-1, keepdims=True))


def _gelu(v, _):
    from scipy import special  # takes longer to import than all the rest

    return v * special.erfc(-v / np.sqrt(2)) / 2


class Activation(NamedTuple):
    """What is known of one of them.

    Attributes
    ----------
    formula : callable
        f(v, parameter) for complex v.
    default : float or None
        Of its parameter; None if it has none.
    gain : float
        Weights are drawn with variance gain / n_in.
    couples : bool
        Whether f of one output depends on the other ones: for the last layer only.
    """

    formula: Callable
    default: float | None = None
    gain: float = 1
    couples: bool = False


REGISTRY = {
    "identity": Activation(lambda v, _: v),
    "tanh": Activation(lambda v, _: np.tanh(v)),
    "lecun_tanh": Activation(lambda v, _: 1.7159 * np.tanh(v * (2 / 3))),
    "sigmoid": Activation(lambda v, _: _sigmoid(v)),
    "relu": Activation(lambda v, _: np.where(_positive(v), v, 0), gain=2),
    "leaky_relu": Activation(
        lambda v, slope: np.where(_positive(v), v, slope * v), default=0.01, gain=2
    ),
    "elu": Activation(_elu, default=1.0, gain=2),
    "selu": Activation(lambda v, _: SELU[0] * _elu(v, SELU[1])),
    "softplus": Activation(lambda v, beta: _softplus(beta * v) / beta, default=1.0),
    "gelu": Activation(_gelu),
    "gelu_tanh": Activation(lambda v, _: _gelu_tanh(v)),
    "silu": Activation(lambda v, _: v * _sigmoid(v)),
    "softsign": Activation(lambda v, _: v / (1 + np.where(_positive(v), v, -v))),
    "gaussian": Activation(lambda v, _: np.exp(-(v**2))),
    "sin": Activation(lambda v, _: np.sin(v)),
    "softmax": Activation(lambda v, _: np.exp(_log_softmax(v)), couples=True),
    "log_softmax": Activation(lambda v, _: _log_softmax(v), couples=True),
}
CODES = {name: NAMES.index(name) for name in REGISTRY}
