"""What a fit stands on: the scalings it gives to a net without any, the best constant, and its own units.

::

    constant = min_c sum_s w_s |c - y_s|^2 / 2          what a net has to beat
    y = sigma y' + shift,    F = sigma^2 F'             the units of a fit: y' is of size 1

A descent works on F'. So neither an offset of Y costs digits of the residuals, nor does the size of Y move a
limit of the arithmetic; and for one output scaled by its deviation, the net of F' is the one that
standardized data have, to the last bit.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltanet import _scaling
from deltanet._mlp import MLP
from deltanet._types import Array

STANDARD = (
    1e-6  # of a deviation: data whose mean is 0 and deviation 1 to this are standardized already
)
CERTAIN = 0.7  # of the variance: what no new net explains by chance
SIGMAS = 1e-150, 1e150  # whose squares and their inverses are in the range of a double


class Data(NamedTuple):
    """Samples of a fit, finite and float64."""

    X: Array
    Y: Array
    sample_weight: Array | None = None

    def some(self, which: NDArray[Any]) -> "Data":
        """Some of the samples."""
        w = self.sample_weight
        return Data(self.X[which], self.Y[which], None if w is None else w[which])


def double(net: MLP) -> MLP:
    """The net in float64."""
    return net if net.dtype == np.float64 else net.astype("float64")


def moments(data: Data) -> tuple[Array, Array, float]:
    """(Y - its mean, w (N, 1), twice the loss of the best constant)."""
    w = np.ones(len(data.Y)) if data.sample_weight is None else data.sample_weight
    if not varies(data).any():
        return np.zeros_like(data.Y), w[:, None], 0.0
    away = data.Y - np.average(data.Y, axis=0, weights=w)
    return away, w[:, None], float(np.einsum("s,so,so->", w, away, away))


def varies(data: Data) -> NDArray[np.bool_]:
    """Which columns of Y are not constant to rounding, of the samples that count."""
    w = data.sample_weight
    Y = data.Y if w is None else data.Y[w > 0]
    if not len(Y):
        return np.zeros(Y.shape[1], bool)
    columns = np.ascontiguousarray(Y.T)  # NumPy is slow along short rows
    most, least = columns.max(axis=1), columns.min(axis=1)
    limit = 2 * _scaling.ROUNDING * np.finfo(float).eps * np.maximum(abs(most), abs(least))
    return np.asarray(most - least > limit)


def constant_loss(data: Data) -> float:
    """sum_s w_s |c - y_s|^2 / 2 of the best c: 0 where Y is constant."""
    return 0.5 * moments(data)[2]


def beats_a_constant(net: MLP, data: Data) -> bool:
    """Whether the net explains some of Y's variance, and not by chance.

    Outputs of size 1 that happen to rise with a Y in the thousands explain a thousandth of its variance: an
    accident that a better size would multiply. So a net must explain half at least of what its outputs would
    explain after the best shift and factor, which a net that was fitted does. If its biases are all zero, as
    those of a new net are, it must explain CERTAIN of the variance.
    """
    unit = abs(data.Y).max() or 1.0
    with np.errstate(all="ignore"):
        y = double(net)(data.X) / unit
        away, w, total = moments(data._replace(Y=data.Y / unit))
        if not total:
            return bool((abs(y - data.Y / unit) <= np.finfo(float).eps).all())
        explained = total - np.sum(w * (y - data.Y / unit) ** 2)
        y -= np.average(y, axis=0, weights=w[:, 0])
        parts = np.sum(w * y * away, axis=0) ** 2 / np.sum(w * y * y, axis=0)
        return enough(net, total, explained, np.nansum(parts))


def enough(net: MLP, total: float, explained: float, after: float) -> bool:
    """Whether a net explains enough of a total; `after` is what its outputs do after shift and factor."""
    biases = [b for b in net.biases if b is not None]
    is_new = len(net.sizes) > 2 and bool(biases) and not any(b.any() for b in biases)
    least = max(0.5 * after, CERTAIN * total if is_new else 0)
    return bool(explained > 0 and explained >= least)


def scaled(net: MLP, data: Data) -> tuple[MLP, tuple[str, ...]]:
    """The net with the scalings of the data, and the names of the sides that got one.

    A side that is standardized already gets none.
    """
    identity = net.activations[-1] == "identity"
    pairs = _scaling.from_data(data.X, data.Y, identity, data.sample_weight)
    return with_scalings(net, pairs, varies(data), abs(data.Y).max(axis=0))


def with_scalings(
    net: MLP,
    pairs: tuple[Array, Array, Array | None, Array | None],
    some: NDArray[np.bool_],
    size: Array,
) -> tuple[MLP, tuple[str, ...]]:
    """The same, from what `_scaling.from_data` gives; `some` columns of Y vary, and all have this size."""
    sides = [("input", pairs[0], pairs[1])]
    if pairs[2] is not None and pairs[3] is not None:
        sides.append(("output", pairs[2], of_constants(pairs[3], some, size)))
    found: dict[str, NDArray[Any]] = {}
    for side, shift, scale in sides:
        if (abs(shift) > STANDARD * scale).any() or (abs(scale - 1) > STANDARD).any():
            found |= {f"{side}_shift": shift, f"{side}_scale": scale}
    with np.errstate(over="ignore", under="ignore"):
        cast = {name: array.astype(net.dtype) for name, array in found.items()}
    if not all(
        np.isfinite(array).all() and (array.all() or "shift" in name)
        for name, array in cast.items()
    ):
        return net, ()  # its dtype cannot hold them, and so not the data either
    other = MLP.from_layers(net.weights, net.biases, net.activations, **cast, dtype=net.dtype)
    other._labels = net._labels.copy()
    return other, tuple(side for side in ("input", "output") if f"{side}_scale" in cast)


def of_constants(scale: NDArray[Any], some: NDArray[np.bool_], size: NDArray[Any]) -> NDArray[Any]:
    """The deviations of Y; a column that is constant has the largest of the others, or its own size."""
    if some.any():
        return np.where(some, scale, scale[some].max())
    return np.where(size == 0, 1.0, size)


class Units:
    """A net in the units of its fit.

    Attributes
    ----------
    net : MLP
        In float64, with outputs y': its parameters are those that are fitted.
    sigma : float
        The largest output scale, 1 without one.
    square : float
        sigma^2: F = square F'.
    """

    def __init__(self, given: MLP) -> None:
        scale = np.ones(1) if given.output_scale is None else given.output_scale.astype(float)
        self.shift = None if given.output_shift is None else given.output_shift.astype(float)
        self.sigma = float(np.clip(abs(scale).max(), *SIGMAS))
        self.square = self.sigma**2
        rest = scale / self.sigma
        self.net = MLP.from_layers(
            given.weights,
            given.biases,
            given.activations,
            given.input_shift,
            given.input_scale,
            output_scale=None if (rest == 1).all() else rest,
            dtype="float64",
        )
        self.given = given
        self.copy: MLP | None = None

    def inner(self, data: Data) -> Data:
        """The same samples with y' for y."""
        if self.shift is None:
            return data
        return data._replace(Y=(data.Y - self.shift) / self.sigma)

    def shown(self) -> MLP:
        """The net that runs, in the units of X and Y, to read."""
        if self.shift is None:
            return self.net
        if self.copy is None:
            self.copy = self.given.astype("float64")
        self.copy.params = self.net.params
        return self.copy
