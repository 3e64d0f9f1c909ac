"""Operators that are an activation, as one of ours with numbers before and behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltanet import _validate
from deltanet._activations import REGISTRY
from deltanet._io._affine import Spec
from deltanet._io.onnx.graph import Node
from deltanet._io.onnx.join import Branch
from deltanet._io.onnx.values import Operand, Operator, Value, constant, numbers, value_of

Array = NDArray[Any]
LARGEST = 3e38  # a limit beyond it is none: ONNX's default is the largest float32
SELU = {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}
INFINITE = np.inf
RANGES = {  # what an activation returns lies between these
    "tanh": (-1, 1),
    "sigmoid": (0, 1),
    "relu": (0, INFINITE),
    "relu6": (0, 6),
    "hardsigmoid": (0, 1),
    "softsign": (-1, 1),
    "softplus": (0, INFINITE),
    "gaussian": (0, 1),
    "exp": (0, INFINITE),
    "sin": (-1, 1),
    "cos": (-1, 1),
    "erf": (-1, 1),
    "softmax": (0, 1),
    "log_softmax": (-INFINITE, 0),
}


class Form(NamedTuple):
    """f(scale v + offset) * out_scale + out_offset"""

    activation: Spec
    scale: Any = 1.0
    offset: Any = 0.0
    out_scale: Any = 1.0
    out_offset: Any = 0.0

    def apply(self, node: Node, value: Value) -> Value:
        """The steps of it."""
        _validate.activation(self.activation)
        for verb, number, nothing in (("multiply", self.scale, 1), ("add", self.offset, 0)):
            if np.any(number != nothing):
                value = value.apply(node, verb, np.asarray(number, np.float64))
        value = value.then(node, ("close", self.activation))
        for verb, number, nothing in (("multiply", self.out_scale, 1), ("add", self.out_offset, 0)):
            if np.any(number != nothing):
                value = value.apply(node, verb, np.asarray(number, np.float64))
        return value

    def at(self, v: Array) -> Array:
        """Its values, when all of its numbers are single ones."""
        name, parameters = _validate.activation(self.activation)
        f = REGISTRY[name].formula(self.scale * v + self.offset + 0j, *parameters)
        return np.asarray(np.asarray(f).real * self.out_scale + self.out_offset)


def plain(name: str) -> Callable[[Node], Form]:
    return lambda node: Form(name)


def with_parameter(name: str, key: str, default: float) -> Callable[[Node], Form]:
    """One whose parameter is an attribute."""
    return lambda node: Form((name, node.number(key, default)))


def selu(node: Node) -> Form:
    if any(not np.isclose(node.number(key, n), n, rtol=1e-6) for key, n in SELU.items()):
        raise ValueError(f"has other constants than {SELU}")
    return Form("selu")


def gelu(node: Node) -> Form:
    return Form("gelu_tanh" if node.attributes.get("approximate", b"none") == b"tanh" else "gelu")


def hard_sigmoid(node: Node) -> Form:
    """max(0, min(1, alpha v + beta)); ours is that of v / 6 + 1/2"""
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    usual = np.float32(alpha) == np.float32(1 / 6)
    return Form("hardsigmoid", 1.0 if usual else 6 * alpha, 6 * (beta - 0.5))


def shrink(node: Node) -> Form:
    """v + bias below -lambd, v - bias above lambd, else 0"""
    lambd, bias = node.number("lambd", 0.5), node.number("bias", 0.0)
    if lambd != bias:
        raise ValueError(f"must be a soft shrink: lambd {lambd} is not bias {bias}")
    return Form(("softshrink", lambd))


FORMS: dict[str, Callable[[Node], Form]] = {
    "Tanh": plain("tanh"),
    "Sigmoid": plain("sigmoid"),
    "Relu": plain("relu"),
    "LeakyRelu": with_parameter("leaky_relu", "alpha", 0.01),
    "Elu": with_parameter("elu", "alpha", 1.0),
    "Celu": with_parameter("celu", "alpha", 1.0),
    "Selu": selu,
    "Softplus": plain("softplus"),
    "Softsign": plain("softsign"),
    "Sin": plain("sin"),
    "Cos": plain("cos"),
    "Gelu": gelu,
    "Swish": with_parameter("swish", "alpha", 1.0),
    "Mish": plain("mish"),
    "Exp": plain("exp"),
    "Abs": plain("abs"),
    "Erf": plain("erf"),
    "Atan": plain("atan"),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": plain("hardswish"),
    "ThresholdedRelu": lambda node: Form(("threshold", node.number("alpha", 1.0), 0.0)),
    "Shrink": shrink,
}


def activation(node: Node, operands: list[Operand], given: int) -> Value:
    return FORMS[node.operator](node).apply(node, value_of(operands))


# Limits


def between(low: Array, high: Array) -> Form | None:
    """max(low, min(high, v)), None if it is v"""
    below, above = np.isfinite(low).all(), np.isfinite(high).all()
    if below and above:
        if not np.all(low < high):
            raise ValueError(f"must have a lower limit below the upper one; got {low} and {high}")
        if low.size == high.size == 1:
            ends = float(low.reshape(())), float(high.reshape(()))
            return Form("relu6" if ends == (0, 6) else ("hardtanh", *ends))
        half, middle = (high - low) / 2, (high + low) / 2
        return Form("hardtanh", 1 / half, -middle / half, half, middle)
    if below:
        return Form("relu", 1.0, -low, 1.0, low)
    return Form("relu", -1.0, high, -1.0, high) if above else None


def limits(node: Node, operands: list[Operand]) -> tuple[Array, Array]:
    """Of a Clip, a Min or a Max: infinite where there is none."""
    low, high = np.array(-INFINITE), np.array(INFINITE)
    if node.operator == "Clip":
        pair = [numbers(operands, k, optional=True) for k in (1, 2)]
        keys = zip(pair, ("min", "max"), (low, high), strict=True)
        low, high = (
            np.asarray(node.number(key, float(end)) if c is None else c, np.float64)
            for c, key, end in keys
        )
    else:
        if len(operands) != 2:
            raise ValueError("must have one limit")
        c = constant(operands, 1 if isinstance(operands[0], Value) else 0).astype(np.float64)
        low, high = (c, high) if node.operator == "Max" else (low, c)
    low, high = (
        np.where(abs(each) >= LARGEST, np.sign(each) * INFINITE, each) for each in (low, high)
    )
    return low, high


def clip(node: Node, operands: list[Operand], given: int) -> Value:
    """An activation; nothing, if the activation before it keeps within the limits."""
    value = next((each for each in operands if isinstance(each, Value)), None)
    if value is None or sum(isinstance(each, Value) for each in operands) > 1:
        raise ValueError("compares two values that come from the samples")
    low, high = limits(node, operands)
    within = outcome(value)
    if within is not None and np.all(low <= within[0]) and np.all(within[1] <= high):
        return value
    form = between(low, high)
    return value if form is None else form.apply(node, value)


def outcome(value: Value) -> tuple[Array, Array] | None:
    """The range of a value that an activation and numbers behind it make, or None."""
    last = max((k for k, s in enumerate(value.steps) if s.verb == "close"), default=None)
    if last is None:
        return None
    (spec,) = value.steps[last].arguments
    behind = value.steps[last + 1 :]
    name, parameters = _validate.activation(spec)
    ends_of = parameters if name == "hardtanh" else RANGES.get(name)
    if ends_of is None or any(step.verb in ("product", "take") for step in behind):
        return None
    map_behind = Branch(1)
    for step in behind:
        getattr(map_behind, step.verb)(*step.arguments)
    ends = [
        np.where(map_behind.scale == 0, 0, map_behind.scale * end) + map_behind.shift
        for end in ends_of
    ]
    return np.minimum(*ends), np.maximum(*ends)


def parametric_relu(node: Node, operands: list[Operand], given: int) -> Value:
    slope = constant(operands, 1)
    if slope.size != 1 and np.ptp(slope):
        raise ValueError("must have one slope for all")
    return Form(("leaky_relu", float(slope.reshape(-1)[0]))).apply(node, value_of(operands))


OPERATORS: dict[str, Operator] = {
    **dict.fromkeys(FORMS, activation),
    "Clip": clip,
    "Min": clip,
    "Max": clip,
    "PRelu": parametric_relu,
}
