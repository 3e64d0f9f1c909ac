"""Pictures of a Jacobian and of a fit. matplotlib is imported when one is drawn, pyplot never."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltanet import _validate
from deltanet._extras import package
from deltanet._labels import captions, joined

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from deltanet._fit import Fit
    from deltanet._jacobian import Jacobian
    from deltanet._mlp import MLP

POINTS = 2000  # samples whose residuals a fit keeps for its picture, and
NUMBERS = 20_000  # f(x) of these samples and all outputs, but one sample at least
STRIPS = 400  # columns of a block that are drawn
LABELED_ROWS = 30  # outputs with a label each
FLAT_BLOCKS = 8  # blocks whose labels fit side by side
IN_LEGEND = 8  # outputs
DECADES = 3  # below the largest entry, where the scale of colors begins to be linear

Array = NDArray[np.floating[Any]]


class Points(NamedTuple):
    """What a fit keeps for the picture of its residuals: never X or Y."""

    outputs: Array  # (few samples, m), f(x)
    residuals: Array  # f(x) - y


def points(net: MLP, X: Array, Y: Array, sample_weight: Array | None = None) -> Points:
    """Of all samples that count, or of some that are drawn at random: not each n-th, as data have periods."""
    count = min(POINTS, max(1, NUMBERS // Y.shape[1]))
    if sample_weight is not None or len(X) > count:
        counted = np.arange(len(X)) if sample_weight is None else np.flatnonzero(sample_weight)
        if len(counted) > count:
            counted = np.random.default_rng(0).choice(counted, count, replace=False, shuffle=False)
        chosen = np.sort(counted)
        X, Y = X[chosen], Y[chosen]
    y = net(X)
    return Points(y, y - Y)


def new_axes(count: int = 1) -> Any:
    """Axes of a figure that pyplot does not know: no window, nothing to close."""
    matplotlib = package("matplotlib.figure", "plot", "plot()")
    size = (4.5 * count, 3.5) if count > 1 else None
    return matplotlib.figure.Figure(figsize=size, layout="constrained").subplots(1, count)


def jacobian(J: Jacobian, sample: int, ax: Axes | None) -> Axes:
    """Blocks side by side: (m, columns) each, W and b of each layer that J has."""
    sample = _validate.sample(sample, len(J) if J.ndim == 3 else 1)
    drawn: Axes = new_axes() if ax is None else ax
    from matplotlib.colors import SymLogNorm

    with np.errstate(invalid="ignore", over="ignore"):  # of infinity
        blocks = labeled_blocks(J[sample] if J.ndim == 3 else J)
    largest = max((largest_of(block) for _, block in blocks), default=0.0) or 1.0
    norm = SymLogNorm(largest * 10.0**-DECADES, vmin=-largest, vmax=largest)
    m, at, ticks, names, image = J.shape[-2], 0.0, [], [], None
    for name, block in blocks:
        width = 2 + np.log2(1 + block.shape[1])
        image = drawn.imshow(
            strips(block),
            extent=(at, at + width, m - 0.5, -0.5),
            aspect="auto",
            cmap="RdBu_r",
            norm=norm,
            interpolation="nearest",
        )
        if at:
            drawn.axvline(at, color="k", linewidth=0.8)
        ticks.append(at + width / 2)
        names.append(name)
        at += width
    drawn.set_xlim(0, at or 1.0)
    drawn.set_ylim(m - 0.5, -0.5)
    drawn.set_xticks(ticks, names, rotation=0 if len(names) <= FLAT_BLOCKS else 90)
    label_rows(drawn, J)
    which = f" of sample {sample}" if J.ndim == 3 else ""
    drawn.set(xlabel="parameters, layer by layer", title=f"Jacobian dy/dtheta{which}")
    if image is not None:
        drawn.figure.colorbar(image, ax=drawn, label="dy/dtheta")
    return drawn


def labeled_blocks(J: Jacobian) -> list[tuple[str, Array]]:
    """[(label, (m, columns))] of a single sample."""
    blocks = []
    for k, W, b in J._kept.layers:
        if W:
            n_in, n_out = J._sizes[k : k + 2]
            blocks.append((f"W{k}\n{n_out} x {n_in}", J.weight(k).reshape(J.shape[0], -1)))
        if b:
            blocks.append((f"b{k}\n{J._sizes[k + 1]}", J.bias(k)))
    return blocks


def largest_of(block: Array) -> float:
    """The largest absolute value that is finite, or 0."""
    return float(np.max(abs(block), where=np.isfinite(block), initial=0.0))


def strips(block: Array) -> Array:
    """At most STRIPS columns: of each strip the entry that is largest in absolute value."""
    count = block.shape[1]
    if count <= STRIPS:
        return block
    starts = np.arange(STRIPS) * count // STRIPS
    high, low = (side.reduceat(block, starts, axis=1) for side in (np.maximum, np.minimum))
    return np.where(-low > high, low, high)


def label_rows(ax: Axes, J: Jacobian) -> None:
    """The outputs by their names and units, or by number."""
    m = J.shape[-2]
    labels = joined(J._labels.get("output_names"), J._labels.get("output_units"))
    if m <= LABELED_ROWS:
        ax.set_yticks(range(m), labels or [str(o) for o in range(m)])
    ax.set_ylabel("output" if m == J._sizes[-1] else "row")


def fit(fit: Fit, axes: Sequence[Axes] | None) -> NDArray[np.object_]:
    """The three pictures of `Fit.plot`."""
    if axes is None:
        axes = new_axes(3)
    three = np.asarray(axes, object).reshape(-1)
    if len(three) != 3:
        raise ValueError(f"axes must be three, for loss, damping and residuals; got {len(three)}")
    loss(three[0], fit)
    damping(three[1], fit)
    residuals(three[2], fit)
    return three


def loss(ax: Axes, fit: Fit) -> None:
    """F after each trial step, and what was refused."""
    after, refused = fit.history["loss"], ~fit.history["accepted"]
    steps = np.arange(1, 1 + len(after))
    ax.plot(np.arange(1 + len(after)), [fit.start, *after], label="loss")
    if np.isfinite(fit.history["validation"]).any():
        ax.plot(steps, fit.history["validation"], label="validation loss")
    ax.plot(steps[refused], after[refused], "x", color="C0", label="refused")
    ax.set(xlabel="step", ylabel="loss F", title=f"stopped by: {fit.reason}")
    scale_of_steps(ax)


def damping(ax: Axes, fit: Fit) -> None:
    """mu of each trial step, and the gradient where it began."""
    steps = np.arange(1, 1 + len(fit.history["damping"]))
    ax.plot(steps, fit.history["damping"], label="damping")
    ax.plot(steps, fit.history["gradient"], label="gradient", linewidth=1)
    ax.set(xlabel="step", ylabel="damping mu, gradient |g|", title="damping")
    scale_of_steps(ax)


def scale_of_steps(ax: Axes) -> None:
    """Logarithmic if there is a positive number, as without one matplotlib warns; a legend."""
    if any(np.any(np.asarray(line.get_ydata()) > 0) for line in ax.lines):
        ax.set_yscale("log")
    ax.legend()


def residuals(ax: Axes, fit: Fit) -> None:
    """f(x) - y over f(x): one output as it is, several in units of their own."""
    y, r = fit._points or Points(np.empty((0, 1)), np.empty((0, 1)))
    names = captions(fit.net, "output") or [f"output {o}" for o in range(y.shape[1])]
    ax.axhline(0, color="0.5", linewidth=0.8)
    ax.set_title("residuals")
    if y.shape[1] == 1:
        ax.plot(y[:, 0], r[:, 0], ".", markersize=3)
        unit = (fit.net.output_units or [""])[0]
        ax.set(xlabel=f"fitted {names[0]}", ylabel=f"residual [{unit}]" if unit else "residual")
        return
    for o, name in enumerate(names):
        size = float(np.sqrt(np.mean(r[:, o].astype(float) ** 2)))
        centered = y[:, o] - y[:, o].mean()
        label = f"{name}: {size:.2g}" if o < IN_LEGEND else None
        scaled = centered / (centered.std() or 1.0), r[:, o] / (size or 1.0)
        ax.plot(*scaled, ".", markersize=3, label=label)
    ax.set(xlabel="fitted output, standardized", ylabel="residual / its root mean square")
    ax.legend(title="root mean square", fontsize="small")
