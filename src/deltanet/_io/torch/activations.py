"""Activations of torch: operation -> that of deltanet, or a refusal. Arguments are those behind the input."""

from collections.abc import Callable
from typing import Any

from deltanet._io._live import Refused, Spec

SAME = (
    "tanh sigmoid relu relu6 selu silu mish softsign tanhshrink logsigmoid hardsigmoid hardswish exp sin cos "
    "abs square erf atan lecun_tanh gaussian"
).split()
ALIASES = {"log_sigmoid": "logsigmoid", "arctan": "atan", "absolute": "abs"}
LEAST_THRESHOLD = 20  # of softplus, beyond which it is the identity: 2e-9 off at 20
BOUNDED: dict[tuple[float, float], Spec] = {(-1, 1): "hardtanh", (0, 6): "relu6"}


def plain(name: str) -> Callable[..., Spec]:
    def activation(inplace: bool = False) -> Spec:
        return name

    return activation


def leaky_relu(negative_slope: float = 0.01, inplace: bool = False) -> Spec:
    return "leaky_relu", negative_slope


def rrelu(
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
    generator: Any = None,
) -> Spec:
    if training:
        raise Refused("draws its slope at random in training mode: call module.eval() before")
    return "leaky_relu", (lower + upper) / 2


def prelu(weight: Any) -> Spec:
    slopes = {float(each) for each in weight.reshape(-1)}
    if len(slopes) != 1:
        raise Refused("has a slope for each feature: deltanet has one for all")
    return "leaky_relu", slopes.pop()


def elu(
    alpha: float = 1.0, inplace: bool = False, scale: float = 1, input_scale: float = 1
) -> Spec:
    if (scale, input_scale) != (1, 1):
        raise Refused("has scales of its own: use SELU, or ELU without them")
    return "elu", alpha


def celu(alpha: float = 1.0, inplace: bool = False) -> Spec:
    return "celu", alpha


def softplus(beta: float = 1.0, threshold: float = 20.0) -> Spec:
    if threshold < LEAST_THRESHOLD:
        raise Refused(
            f"becomes the identity at {threshold}, where it is not yet softplus: use a threshold of at least "
            f"{LEAST_THRESHOLD}"
        )
    return "softplus", beta


def swish(beta: float) -> Spec:
    return "swish", beta


def softshrink(lambd: float = 0.5) -> Spec:
    return "softshrink", lambd


def gelu(approximate: str = "none") -> Spec:
    return "gelu_tanh" if approximate == "tanh" else "gelu"


def hardtanh(min_val: float = -1, max_val: float = 1, inplace: bool = False) -> Spec:
    return clamp(min_val, max_val)


def clamp(min: float | None = None, max: float | None = None) -> Spec:
    if min == 0 and max is None:
        return "relu"
    if min is None or max is None:
        raise Refused(
            f"holds its input between {min} and {max}: give both, or clamp at 0 as relu does"
        )
    return BOUNDED.get((min, max), ("hardtanh", min, max))


def threshold(threshold: float, value: float, inplace: bool = False) -> Spec:
    return "relu" if threshold == value == 0 else ("threshold", threshold, value)


def softmax(
    dim: int | None = None, _stacklevel: int = 3, dtype: Any = None, half_to_float: bool = False
) -> Spec:
    return _over_features("softmax", dim)


def log_softmax(
    dim: int | None = None, _stacklevel: int = 3, dtype: Any = None, half_to_float: bool = False
) -> Spec:
    return _over_features("log_softmax", dim)


def _over_features(name: str, dim: int | None) -> Spec:
    if dim not in (None, -1, 1):  # None is 1 for two axes
        raise Refused(f"must be over the features, dim=-1; got dim={dim}")
    return name


ACTIVATIONS: dict[str, Callable[..., Spec]] = {name: plain(name) for name in SAME}
ACTIVATIONS |= {alias: ACTIVATIONS[name] for alias, name in ALIASES.items()}
ACTIVATIONS |= {
    f.__name__: f
    for f in (
        *(leaky_relu, rrelu, prelu, elu, celu, softplus, swish, softshrink, gelu, hardtanh, clamp),
        *(threshold, softmax, log_softmax),
    )
}
