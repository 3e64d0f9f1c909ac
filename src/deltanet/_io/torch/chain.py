"""Steps of a torch module (`steps`) -> the chain that they are, or a refusal that names the step."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet._io._live import Builder, Refused, Spec
from deltanet._io.torch import patterns
from deltanet._io.torch.activations import ACTIVATIONS
from deltanet._io.torch.steps import FEATURES, REMEDY, SAMPLES, TRAINING, Ref, Step, Steps, named

FLOATS = (5, 6, 7, 15)  # half, float, double and bfloat16 in TorchScript


def follow(torch: Any, steps: Steps, model: str) -> Builder:
    """The chain from the input to the output."""
    reader = _Reader(torch)
    users: dict[Ref, list[Step]] = {}
    for step in steps.steps:
        for ref in dict.fromkeys(step.refs()):
            users.setdefault(ref, []).append(step)
    value = steps.input
    while value is not steps.output:
        after = users.get(value, [])
        if not after:
            raise Refused(f"{model} does not return one tensor: {REMEDY}")
        if len(after) == 1 and after[0].refs() == [value]:
            reader.step(after[0])
            value = after[0].out
        else:
            value = reader.pattern(value, users)
    if users.get(value):
        raise Refused(f"{users[value][0].part} comes after what {model} returns: {REMEDY}")
    return reader.builder


class _Reader:
    """What each operation does to the chain."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.builder = Builder()
        self.part = ""
        self.used: list[tuple[str, NDArray[Any]]] = []  # the weights so far, and by whom
        self.ended = False  # the axis of the features is gone

    def step(self, step: Step) -> None:
        self.part = step.part
        name = named(step)
        if self.ended:
            raise Refused(f"{self.part} follows a squeeze: only the last step may be one")
        handler: Callable[..., Any] | None = getattr(self, f"on_{name}", None)
        try:
            if name in ACTIVATIONS:
                self.activation(step, ACTIVATIONS[name])
            elif handler is None:
                raise Refused(
                    f"{self.part} is not a dense layer or an activation of deltanet: {REMEDY}"
                )
            else:
                handler(*step.args, **_renamed(step.kwargs))
        except TypeError as error:
            raise Refused(
                f"{self.part} has arguments that deltanet does not know: {error}"
            ) from error

    def activation(self, step: Step, function: Callable[..., Spec]) -> None:
        kwargs = _renamed(step.kwargs)
        first, *rest = step.args or (kwargs.pop("input"),)
        kwargs.pop("input", None)
        if not isinstance(first, Ref):
            raise Refused(f"{self.part} takes its input as a parameter: {REMEDY}")
        try:
            spec = function(*rest, **kwargs)
        except Refused as error:
            raise Refused(f"{self.part} {error}") from None
        self.builder.activate(self.part, spec)

    def pattern(self, value: Ref, users: dict[Ref, list[Step]]) -> Ref:
        names = ", ".join(step.part for step in users[value])
        found = patterns.match(self.torch, value, users)
        if found is None:
            raise Refused(f"a value goes into several operations ({names}): {REMEDY}")
        spec, end = found
        self.builder.activate(names, spec)
        return end

    # Layers

    def on_linear(self, input: Any, weight: Any, bias: Any = None) -> None:
        self.layer(weight, bias)

    def on_matmul(self, input: Any, other: Any) -> None:
        self.layer(other, None, transpose=True)

    def on_mm(self, input: Any, mat2: Any) -> None:
        self.layer(mat2, None, transpose=True)

    def on_addmm(self, input: Any, mat1: Any, mat2: Any, beta: float = 1, alpha: float = 1) -> None:
        if (beta, alpha) != (1, 1):
            raise Refused(f"{self.part} has factors {beta} and {alpha}: only 1 and 1 are known")
        self.layer(mat2, input, transpose=True)

    def layer(self, weight: Any, bias: Any, transpose: bool = False) -> None:
        if isinstance(weight, Ref) or isinstance(bias, Ref):
            raise Refused(f"{self.part} takes its weights from the samples: {REMEDY}")
        W, b = self.array(weight), None if bias is None else self.array(bias)
        # a layer that is used twice has one set of parameters in torch, and would have two here
        for part, before in self.used:
            same = part == self.part and part.startswith("module")
            if same or np.may_share_memory(W, before):
                raise Refused(
                    f"{self.part} uses weights that were used before: each layer must have its own"
                )
        self.used.append((self.part, W))
        self.builder.dense(self.part, W.T if transpose else W, b)

    def on_batch_norm(
        self,
        input: Any,
        running_mean: Any,
        running_var: Any,
        weight: Any = None,
        bias: Any = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
        cudnn_enabled: bool = True,
    ) -> None:
        if training:
            raise Refused(f"{self.part} is {TRAINING}")
        if running_mean is None:
            raise Refused(f"{self.part} keeps no running mean: its output depends on the batch")
        deviation = np.sqrt(self.array(running_var).astype(np.float64) + eps)
        gamma, beta = (
            np.float64(default) if c is None else self.array(c)
            for c, default in ((weight, 1), (bias, 0))
        )
        self.builder.normalize(self.part, self.array(running_mean), deviation, gamma, beta)

    def on_dropout(
        self,
        input: Any,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
        train: bool = True,
    ) -> None:
        if training and train and p:
            raise Refused(f"{self.part} is {TRAINING}")

    # What changes no number

    def on_identity(self, input: Any) -> None:
        """Nothing."""

    def on_contiguous(self, input: Any, memory_format: Any = None) -> None:
        """Nothing."""

    def on_float(self, input: Any) -> None:
        """Nothing, but for rounding: the net has one precision."""

    on_double = on_float

    def on_to(self, input: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing either, to a device or another float."""
        for given in (*args, kwargs.get("dtype")):
            kind = getattr(given, "is_floating_point", None)
            code = type(given) is int and given not in FLOATS
            if kind is False or code:
                raise Refused(f"{self.part} makes numbers of another kind than floats: {REMEDY}")

    def on_flatten(self, input: Any, start_dim: int = 0, end_dim: int = -1) -> None:
        if start_dim != 1 or end_dim not in (-1, 1):
            raise Refused(f"{self.part} must keep the axis of the samples: start_dim=1")

    def on_view(self, input: Any, *shape: Any, **named: Any) -> None:
        (given,) = named.values() or [shape]
        lead, last = _pair(given)
        width = self.builder.width
        if not (
            (lead is SAMPLES or lead == -1)
            and (last is FEATURES or last in (-1, width) or (width is None and last != lead))
            and (lead, last) != (-1, -1)
        ):
            raise Refused(f"{self.part} must only flatten the features: {REMEDY}")

    def on_squeeze(self, input: Any, dim: int | None = None) -> None:
        if dim not in (-1, 1) or self.builder.width != 1:
            raise Refused(f"{self.part} must take away the axis of one output: squeeze(-1)")
        self.ended = True

    # Arithmetic with constants

    def on_add(self, input: Any, other: Any, alpha: float = 1, out: None = None) -> None:
        if isinstance(input, Ref):
            self.builder.add(self.part, alpha * self.array(other))
        else:
            self.builder.multiply(self.part, alpha)
            self.builder.add(self.part, self.array(input))

    def on_sub(self, input: Any, other: Any, alpha: float = 1, out: None = None) -> None:
        if isinstance(input, Ref):
            self.builder.add(self.part, -alpha * self.array(other))
        else:
            self.builder.multiply(self.part, -alpha)
            self.builder.add(self.part, self.array(input))

    def on_rsub(self, input: Any, other: Any, alpha: float = 1) -> None:
        self.builder.multiply(self.part, -alpha)
        self.builder.add(self.part, self.array(other))

    def on_mul(self, input: Any, other: Any, out: None = None) -> None:
        self.builder.multiply(self.part, self.array(other if isinstance(input, Ref) else input))

    def on_div(self, input: Any, other: Any, rounding_mode: None = None, out: None = None) -> None:
        if not isinstance(input, Ref) or rounding_mode is not None:
            raise Refused(f"{self.part} divides by the samples, or rounds: {REMEDY}")
        self.builder.divide(self.part, self.array(other))

    def on_neg(self, input: Any) -> None:
        self.builder.multiply(self.part, -1)

    def on_pow(self, input: Any, exponent: Any) -> None:
        if not isinstance(input, Ref) or exponent != 2:
            raise Refused(f"{self.part} is not a square: {REMEDY}")
        self.builder.activate(self.part, "square")

    def array(self, value: Any) -> NDArray[Any]:
        """A tensor or number; half precision as single."""
        if not isinstance(value, self.torch.Tensor):
            return np.asarray(value)
        try:
            value = value.detach().cpu()
            if value.dtype in (self.torch.float16, self.torch.bfloat16):
                value = value.float()
            array: NDArray[Any] = value.numpy()
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            raise Refused(f"{self.part} has a tensor that cannot be read: {error}") from error
        return array


def _renamed(kwargs: dict[str, Any]) -> dict[str, Any]:
    """TorchScript calls the input of an operation self."""
    return {("input" if name == "self" else name): value for name, value in kwargs.items()}


def _pair(shape: Any) -> tuple[Any, Any]:
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        (shape,) = shape
    return tuple(shape) if len(shape) == 2 else (None, None)
