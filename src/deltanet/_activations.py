"""The one registry of activations: parameters, gain of the first weights, kind, and the plain formula.

The formulas are of complex numbers in NumPy, so that a complex step can go through them; the compiled
functions (_core/vecmath.h) are held to them. Codes are the core's. `register` adds a user's own.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deltanet._core.activation import NAMES

SELU = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
Array = npt.NDArray[np.inexact[Any]]  # real or complex


def _positive(v: Array) -> npt.NDArray[np.bool_]:
    return v.real > 0


def _absolute(v: Array) -> Array:
    return np.where(_positive(v), v, -v)


def _decay(v: Array) -> Array:
    """exp(-|v|), continued from the real axis."""
    return np.exp(-_absolute(v))


def _sigmoid(v: Array) -> Array:
    e = _decay(v)
    result: Array = np.where(_positive(v), 1, e) / (1 + e)
    return result


def _softplus(v: Array) -> Array:
    return np.where(_positive(v), v, 0) + np.log1p(_decay(v))


def _elu(v: Array, alpha: float) -> Array:
    below = np.where(_positive(v), 0, v)
    return np.where(_positive(v), v, alpha * np.expm1(below))


def _celu(v: Array, alpha: float) -> Array:
    below = np.where(_positive(v), 0, v)
    return np.where(_positive(v), v, alpha * np.expm1(below / alpha))


def _gelu_tanh(v: Array) -> Array:
    return v * _sigmoid(np.sqrt(8 / np.pi) * (v + 0.044715 * v**3))


def _clip(v: Array, low: float, high: float) -> Array:
    return np.where(v.real > high, high, np.where(v.real > low, v, low))


def _softshrink(v: Array, lam: float) -> Array:
    return np.where(v.real > lam, v - lam, np.where(v.real <= -lam, v + lam, 0))


def _threshold(v: Array, threshold: float, value: float) -> Array:
    return np.where(v.real > threshold, v, value)


def _log_softmax(v: Array) -> Array:
    v = v - v.real.max(axis=-1, keepdims=True)
    result: Array = v - np.log(np.exp(v).sum(axis=-1, keepdims=True))
    return result


def _gelu(v: Array) -> Array:
    from scipy import special  # takes longer to import than all the rest

    result: Array = v * special.erfc(-v / np.sqrt(2)) / 2
    return result


def _erf(v: Array) -> Array:
    from scipy import special

    result: Array = special.erf(v)
    return result


class Functions(NamedTuple):
    """The functions of a registered activation."""

    name: str
    f: Callable[[Array], Array]
    fprime: Callable[[Array], Array]
    fsecond: Callable[[Array], Array] | None
    c_code: str | None

    def evaluate(self, v: Array, second: bool = False) -> tuple[Array, ...]:
        """f(v), f'(v) and, if `second`, f''(v) of local fields (n,), for the core: checked, and contiguous.

        Overflow and the like are IEEE's, as those of the core's own activations are.
        """
        v.flags.writeable = False
        with np.errstate(all="ignore"):
            orders = ("f", "fprime", "fsecond") if second else ("f", "fprime")
            return tuple(self._checked(which, v) for which in orders)

    def _checked(self, which: str, v: Array) -> Array:
        result = getattr(self, which)(v)
        if type(result) is not np.ndarray or (result.shape, result.dtype) != (v.shape, v.dtype):
            got = (
                f"shape {result.shape} and dtype {result.dtype}"
                if type(result) is np.ndarray
                else f"a {type(result).__name__}"
            )
            raise ValueError(
                f"{which} of activation {self.name!r} must return an array of the shape and dtype it is "
                f"given, {v.shape} and {v.dtype}; got {got}"
            )
        return np.ascontiguousarray(result)

    def formula(self, v: Array) -> Array:
        """f of the real part, and fprime for a step along the imaginary one."""
        real = np.ascontiguousarray(v.real).ravel()
        f, slope = (part.reshape(v.shape) for part in self.evaluate(real))
        result: Array = f + 1j * slope * v.imag
        return result


class Activation(NamedTuple):
    """What is known of one of them.

    Attributes
    ----------
    formula : callable
        f(v, *parameters) for complex v.
    parameters : mapping of str to float or None
        Their names, in order, and defaults; None: must be given.
    rule : (str, callable)
        What finite parameters must be, and whether some are.
    gain : float
        Weights are drawn with variance gain / n_in.
    couples : bool
        Whether f of one output depends on the other ones: for the last layer only.
    functions : Functions or None
        Of a registered activation. What knows the core's activations only must refuse it.
    """

    formula: Callable[..., Array]
    parameters: Mapping[str, float | None] = {}
    rule: tuple[str, Callable[..., bool]] = ("a finite number", lambda *_: True)
    gain: float = 1
    couples: bool = False
    functions: Functions | None = None

    @property
    def defaults(self) -> tuple[float | None, ...]:
        return tuple(self.parameters.values())


POSITIVE = "positive and finite", lambda parameter: parameter > 0

REGISTRY = {
    "identity": Activation(lambda v: v),
    "tanh": Activation(np.tanh),
    "lecun_tanh": Activation(lambda v: 1.7159 * np.tanh(v * (2 / 3))),
    "sigmoid": Activation(_sigmoid),
    "relu": Activation(lambda v: np.where(_positive(v), v, 0), gain=2),
    "leaky_relu": Activation(
        lambda v, slope: np.where(_positive(v), v, slope * v), {"slope": 0.01}, gain=2
    ),
    "elu": Activation(_elu, {"alpha": 1.0}, gain=2),
    "selu": Activation(lambda v: SELU[0] * _elu(v, SELU[1])),
    "softplus": Activation(lambda v, beta: _softplus(beta * v) / beta, {"beta": 1.0}, POSITIVE),
    "gelu": Activation(_gelu),
    "gelu_tanh": Activation(_gelu_tanh),
    "silu": Activation(lambda v: v * _sigmoid(v)),
    "softsign": Activation(lambda v: v / (1 + _absolute(v))),
    "gaussian": Activation(lambda v: np.exp(-(v**2))),
    "sin": Activation(np.sin),
    "relu6": Activation(lambda v: _clip(v, 0, 6), gain=2),
    "hardtanh": Activation(
        _clip,
        {"min": -1.0, "max": 1.0},
        ("finite, the first below the second", lambda low, high: low < high),
    ),
    "hardsigmoid": Activation(lambda v: _clip(v + 3, 0, 6) / 6),
    "hardswish": Activation(lambda v: v * (_clip(v + 3, 0, 6) / 6)),
    "celu": Activation(_celu, {"alpha": 1.0}, POSITIVE, gain=2),
    "mish": Activation(lambda v: v * np.tanh(_softplus(v))),
    "exp": Activation(np.exp),
    "logsigmoid": Activation(lambda v: -_softplus(-v)),
    "tanhshrink": Activation(lambda v: v - np.tanh(v)),
    "softshrink": Activation(
        _softshrink, {"lambda": 0.5}, ("zero or positive, and finite", lambda lam: lam >= 0)
    ),
    "threshold": Activation(
        _threshold,
        {"threshold": None, "value": None},
        ("finite", lambda *_: True),
        gain=2,
    ),
    "swish": Activation(lambda v, beta: v * _sigmoid(beta * v), {"beta": 1.0}, POSITIVE),
    "cos": Activation(np.cos),
    "abs": Activation(_absolute),
    "square": Activation(lambda v: v * v),
    "erf": Activation(_erf),
    "atan": Activation(np.arctan),
    "softmax": Activation(lambda v: np.exp(_log_softmax(v)), couples=True),
    "log_softmax": Activation(_log_softmax, couples=True),
}
CODES = {name: NAMES.index(name) for name in REGISTRY}
REGISTERED = -1  # the code of every registered one

# Other names of exactly these functions. Where frameworks give one name to several, torch's meaning counts.
ALIASES: dict[str, tuple[Any, ...]] = {
    alias: (name,)
    for name, aliases in {
        "identity": "Identity linear purelin",  # torch, Keras, MATLAB
        "tanh": "Tanh tansig",
        "sigmoid": "Sigmoid logistic logsig",  # torch, scikit-learn, MATLAB
        "relu": "ReLU poslin",
        "leaky_relu": "LeakyReLU",
        "elu": "ELU",
        "selu": "SELU",
        "softplus": "Softplus",
        "gelu": "GELU",
        "silu": "SiLU",
        "softsign": "Softsign soft_sign elliotsig",  # torch, JAX, MATLAB
        "gaussian": "radbas",
        "relu6": "ReLU6",
        "hardtanh": "Hardtanh hard_tanh satlins",  # torch, Keras and JAX, MATLAB
        "hardsigmoid": "Hardsigmoid hard_sigmoid",
        "hardswish": "Hardswish hard_swish hard_silu",
        "celu": "CELU",
        "mish": "Mish",
        "exp": "exponential",
        "logsigmoid": "LogSigmoid log_sigmoid",
        "tanhshrink": "Tanhshrink tanh_shrink",
        "softshrink": "Softshrink soft_shrink",
        "threshold": "Threshold",
        "softmax": "Softmax",
        "log_softmax": "LogSoftmax",
    }.items()
    for alias in aliases.split()
}
ALIASES["satlin"] = ("hardtanh", 0.0, 1.0)
_LOCK = threading.Lock()


def registered(activations: Iterable[Any]) -> Iterator[tuple[int, Functions]]:
    """(layer, functions) of those activations of a net that Python functions compute."""
    for k, spec in enumerate(activations):
        functions = REGISTRY[spec if isinstance(spec, str) else spec[0]].functions
        if functions is not None:
            yield k, functions


def similar(name: str) -> list[str]:
    """The known names that look most like an unknown one."""
    import difflib  # for a message only

    known = {known.lower(): known for known in (*ALIASES, *REGISTRY)}
    return [known[close] for close in difflib.get_close_matches(name.lower(), known, cutoff=0.7)]


def register(name: str, activation: Activation) -> None:
    """Add a registered activation, or raise ValueError if the name is taken."""
    with _LOCK:
        if name in REGISTRY or name in ALIASES:
            raise ValueError(f"activation {name!r} exists already: choose another name")
        CODES[name] = REGISTERED
        REGISTRY[name] = activation
