"""What a notebook shows of a net, a Jacobian and a fit: one small table each, with no style of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from deltanet._io._told import spelled
from deltanet._labels import captions
from deltanet._memory import human

if TYPE_CHECKING:
    from deltanet._fit import Fit
    from deltanet._jacobian import Jacobian
    from deltanet._mlp import MLP

LAYERS = 12  # rows of a table: of a deeper net the first and the last ones
NAMED = 8  # inputs or outputs that are named
LABEL_CHARACTERS = 60  # of one name


def net(net: MLP) -> str:
    """Layers, shapes, sizes, memory, scalings, names."""
    rows = [
        (
            k,
            n_in,
            n_out,
            spelled(f),
            "yes" if b is not None else "no",
            W.size + (0 if b is None else b.size),
        )
        for k, (n_in, n_out, f, W, b) in enumerate(
            zip(net.sizes, net.sizes[1:], net.activations, net.weights, net.biases, strict=False)
        )
    ]
    P = net.num_params
    facts = [f"{P} parameters, {net.dtype}, {human(net.params.nbytes)}"]
    dense = human(net.sizes[-1] * net.params.nbytes)
    facts += [f"dense Jacobian: {net.sizes[-1]} x {P} a sample, {dense}"]
    scaled = [side for side in ("input", "output") if getattr(net, f"{side}_scale") is not None]
    facts += [f"scalings: {' and '.join(scaled)}"] if scaled else []
    for side in ("input", "output"):
        if labels := captions(net, side):
            facts.append(f"{side}s: {listed(labels)}")
    return page(
        "MLP", facts, ("layer", "inputs", "outputs", "activation", "bias", "parameters"), rows
    )


def jacobian(J: Jacobian) -> str:
    """Shape, memory of the factors and of the dense array, the factors layer by layer."""
    rows = []
    for k, W, b in J._kept.layers:
        n_in, n_out = J._sizes[k : k + 2]
        delta, h = shape((*J.shape[:-1], n_out)), shape((*J.shape[:-2], n_in))
        rows.append((k, delta, h, kept(W, b), (W * n_in + b) * n_out))
    dense = math.prod(J.shape) * J.dtype.itemsize
    axes = ("samples", "outputs", "parameters")[-J.ndim :]
    sizes = " x ".join(f"{n} {axis}" for n, axis in zip(J.shape, axes, strict=True))
    facts = [f"{sizes}, {J.dtype}", f"{human(J.nbytes)} in factors, {human(dense)} dense"]
    return page("Jacobian", facts, ("layer", "delta", "input", "kept", "columns"), rows)


def fit(fit: Fit) -> str:
    """How it went, and the net."""
    steps = len(fit.history["loss"])
    seconds = fit.history["seconds"][-1] if steps else 0.0
    state = "converged" if fit.converged else "not converged"
    rows = [
        ("loss", f"{fit.start:.6g} to {fit.loss:.6g}"),
        ("stopped by", f"{fit.reason} ({state})"),
        ("steps", f"{steps}, of which {int(fit.history['accepted'].sum())} accepted"),
        ("seconds", f"{seconds:.3g}"),
    ]
    if not math.isnan(fit.explained):
        rows.append(("explained", f"{fit.explained:.6g} of the variance of Y"))
    if fit.scaled:
        rows.append(("scaled", " and ".join(fit.scaled)))
    return page("Fit", [], (), rows) + net(fit.net)


def shape(lengths: Iterable[int]) -> str:
    """3 x 2 x 8"""
    return " x ".join(map(str, lengths))


def kept(weights: bool, bias: bool) -> str:
    """Which parameters of a layer have columns."""
    return "W and b" if weights and bias else "W" if weights else "b"


def listed(labels: Sequence[str]) -> str:
    """The first names, shortened."""
    some = [
        label if len(label) <= LABEL_CHARACTERS else label[: LABEL_CHARACTERS - 1] + "…"
        for label in labels[:NAMED]
    ]
    return ", ".join(some) + (f", … ({len(labels)})" if len(labels) > NAMED else "")


def page(
    title: str, facts: Iterable[str], head: Sequence[str], rows: Sequence[Sequence[object]]
) -> str:
    """A title, lines and a table; every text is escaped."""
    if len(rows) > LAYERS:
        half = LAYERS // 2
        rows = [*rows[:half], ["⋮"] * len(head), *rows[-half:]]
    lines = [f"<div><strong>{escape(title)}</strong></div>"]
    lines += [f"<div>{escape(fact)}</div>" for fact in facts]
    lines.append("<table>")
    if head:
        lines.append(f"<thead>{cells('th', head)}</thead>")
    lines.append(f"<tbody>{''.join(cells('td', row) for row in rows)}</tbody>")
    return "<div>" + "".join(lines) + "</table></div>"


def cells(tag: str, values: Iterable[object]) -> str:
    """A row of a table."""
    return "<tr>" + "".join(f"<{tag}>{escape(str(value))}</{tag}>" for value in values) + "</tr>"
