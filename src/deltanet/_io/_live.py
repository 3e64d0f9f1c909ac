"""What the readers of live models share: the chain in the making, and the comparison with the model itself.

Messages name the part of the model that they are about, as its reader calls it: "module 'actor.2' (Conv1d)".
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deltanet import _validate
from deltanet._io._affine import Chain
from deltanet._io._content import finite
from deltanet._mlp import MLP

SAMPLES = 16  # of a comparison
SPREADS = np.repeat([0.5, 3.0], SAMPLES // 2)[
    :, None
]  # of its inputs, in units of the input scaling
# Largest deviation, of the largest output, by the bytes of a number: rounding in chains whose constants were
# folded, and the softplus of torch, which is the identity beyond 20
TOLERANCES = {2: 0.05, 4: 2e-4, 8: 1e-7}

Spec = str | tuple[str, float] | tuple[str, float, float]


class Refused(ValueError):
    """It names the part of the model, and what to do."""


class Builder:
    """A chain in the making, one part of the model after the other.

    Attributes
    ----------
    width : int or None
        Features of the value behind the chain; None before the first layer.
    """

    def __init__(self) -> None:
        self.chain = Chain()
        self.width: int | None = None
        self.kind = np.dtype(np.float32)  # float64 if a weight is
        self.open = False  # a layer has no activation yet

    def dense(self, part: str, W: NDArray[Any], b: NDArray[Any] | None) -> None:
        """W h + b, W (n_out, n_in)"""
        if W.ndim != 2 or 0 in W.shape or self.width not in (None, W.shape[1]):
            after = "" if self.width is None else f" behind {self.width} features"
            raise Refused(f"{part} has weights of shape {W.shape}{after}: they do not fit")
        self.width, self.open = W.shape[0], True
        self.kind = np.result_type(self.kind, W.dtype)
        bias = None if b is None else np.broadcast_to(self._fitting(part, b), W.shape[:1])
        self.chain.product(W, bias)

    def activate(self, part: str, spec: Spec) -> None:
        if spec == "identity":
            return
        if not self.open:
            way = "put a dense layer before it"
            if self.width is None:
                way = "apply it to X yourself, with what stands before it, and pass the part behind it"
            raise Refused(f"{part} is an activation that does not follow a dense layer: {way}")
        try:
            _validate.activation(spec)
        except (ValueError, TypeError) as error:
            raise Refused(f"{part} cannot be read: {error}") from None
        self.chain.close(spec)
        self.open = False

    def multiply(self, part: str, c: ArrayLike) -> None:
        factors = self._fitting(part, c)
        if np.any(factors != 1):
            self.chain.multiply(factors)

    def divide(self, part: str, c: ArrayLike) -> None:
        divisors = self._fitting(part, c)
        if not np.all(divisors):
            raise Refused(f"{part} divides by zero")
        if np.any(divisors != 1):
            self.chain.divide(divisors)

    def add(self, part: str, c: ArrayLike) -> None:
        summands = self._fitting(part, c)
        if np.any(summands != 0):
            self.chain.add(summands)

    def normalize(
        self,
        part: str,
        mean: ArrayLike,
        deviation: ArrayLike,
        gamma: ArrayLike = 1,
        beta: ArrayLike = 0,
    ) -> None:
        """(h - mean) / deviation * gamma + beta"""
        shift, scale, factor, offset = (
            self._fitting(part, c) for c in (mean, deviation, gamma, beta)
        )
        if self.width is None:  # the input scaling: a mean and a deviation keep their digits
            self.add(part, -shift)
            self.divide(part, scale)
            self.multiply(part, factor)
            self.add(part, offset)
        else:
            self.divide(part, scale)
            self.multiply(part, factor)
            self.add(part, offset - shift * (factor / scale))

    def _fitting(self, part: str, c: ArrayLike) -> NDArray[np.float64]:
        """One number a feature, or one for all, in double precision."""
        array = np.asarray(c)
        if array.dtype.kind not in "fiu":
            raise Refused(f"{part} has constants of dtype {array.dtype}: they must be real numbers")
        if array.size != 1 and array.size != array.shape[-1]:
            raise Refused(f"{part} has constants of shape {array.shape}: not one number a feature")
        if array.size not in (1, self.width or array.size):
            raise Refused(f"{part} has {array.size} constants for {self.width} features")
        return array.astype(np.float64).reshape(() if array.size == 1 else -1)

    def net(self, model: str, outputs: Callable[[NDArray[Any]], NDArray[Any]]) -> MLP:
        """The net, once it was seen to give what the model gives."""
        net = self.unchecked(model)
        compare(net, model, outputs)
        return net

    def unchecked(self, model: str) -> MLP:
        """The net of the parts so far."""
        if self.width is None:
            raise Refused(f"{model} has no dense layer")
        self.chain.kinds = {self.kind}
        layers = self.chain.finish()
        for key in ("weights", "biases"):
            for k, array in enumerate(layers[key]):
                finite(array, f"{key}[{k}] of {model}")
        return MLP.from_layers(**layers)


def compare(net: MLP, model: str, outputs: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    """Refuse a net whose outputs are not those of the model on a few random inputs."""
    random = np.random.default_rng(0)
    X = random.standard_normal((SAMPLES, net.sizes[0])) * SPREADS
    if net.input_scale is not None and net.input_shift is not None:
        X = X * net.input_scale + net.input_shift
    X = X.astype(net.dtype)
    try:
        with np.errstate(all="ignore"):
            exact = np.asarray(outputs(X))
    except Exception as error:  # whatever the model raises: it is not code of ours
        why = str(error).strip().split("\n")[0]
        raise Refused(f"{model} cannot be called with X of shape {X.shape}: {why}") from error
    y = net(X)
    if exact.shape != y.shape:
        raise Refused(
            f"{model} gives {exact.shape} for X of shape {X.shape}, where its layers give {y.shape}: "
            "it does more than they say"
        )
    tolerance = TOLERANCES[min(exact.dtype.itemsize, net.dtype.itemsize)]
    largest = np.max(np.abs(exact), where=np.isfinite(exact), initial=0)
    with np.errstate(all="ignore"):
        deviations = np.where(y == exact, 0, np.abs(y - exact))  # infinity is equal to itself
    wrong = ~(deviations <= tolerance * largest) & ~(np.isnan(y) & np.isnan(exact))
    if wrong.any():
        deviation = deviations[wrong].max()
        raise Refused(
            f"{model} gives other outputs than its layers alone (by {deviation:.1e} of {largest:.1e}): its "
            "forward does more than chain them; pass a part of it that does not"
        )
