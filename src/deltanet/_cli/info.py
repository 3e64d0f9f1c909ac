"""`deltanet info` and `deltanet check`: what a model or a store is, and whether derivatives are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np

import deltanet as dn
from deltanet._cli import samples
from deltanet._cli.options import ModelOptions, TableOptions, argument, typer
from deltanet._io._told import spelled
from deltanet._labels import captions
from deltanet._memory import human
from deltanet._types import Array

NAMED = 16  # inputs or outputs that `info` names
CHECKED = 8  # random samples that `check` draws

Samples = Annotated[
    list[str] | None,
    argument(
        metavar="[INPUTS]...",
        help="Samples to check at, as for jacobian; random ones if not given.",
    ),
]


def info(model: ModelOptions) -> None:
    """Print the layers of MODEL, the size of its Jacobian, and what was folded or left out."""
    net, notes = model.load_and_tell()
    rows = [
        (k, *W.shape[::-1], spelled(net.activations[k]), W.size + (0 if b is None else b.size))
        for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True))
    ]
    _print_table(["layer", "inputs", "outputs", "activation", "parameters"], rows)
    scaled = [side for side in ("input", "output") if getattr(net, f"{side}_scale") is not None]
    print(f"parameters          {net.num_params}")
    print(f"dtype               {net.dtype}")
    print(f"scalings            {' and '.join(scaled) or 'none'}")
    for side in ("input", "output"):
        if labels := captions(net, side):
            more = ", ..." if len(labels) > NAMED else ""
            print(f"{side + 's':<20}{', '.join(labels[:NAMED])}{more}")
    nbytes = 1000 * net.sizes[-1] * net.num_params * net.dtype.itemsize
    print(f"dense Jacobian      {human(nbytes)} per 1000 samples")
    for note in notes:
        print(f"note                {note.text}")


def check(model: ModelOptions, table: TableOptions, inputs: Samples = None) -> None:
    """Compare the Jacobian of MODEL with independent derivatives; status 1 if they differ."""
    net = model.load()
    if not inputs:
        X = _random_inputs(net)
    else:
        with samples.opened(inputs, table, net.sizes[0], None) as given:
            X = given.table[:]
    if not len(X):
        raise ValueError(f"{', '.join(inputs or ())} holds no sample to check at")
    report = dn.testing.check_jacobian(net, X)
    rows = [*enumerate(report.errors), ("inputs", report.input_error)]
    _print_table(["layer", "largest relative error"], [(k, f"{error:.1e}") for k, error in rows])
    verdict = "passed" if report.passed else "FAILED"
    print(f"{verdict}: tolerance {report.tolerance:.0e}, {len(X)} samples, against {report.oracle}")
    raise typer.Exit(0 if report.passed else 1)


def _print_table(columns: list[str], rows: Sequence[tuple[object, ...]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


def _random_inputs(net: dn.MLP) -> Array:
    """A few samples that are standard normal after the input scaling."""
    z = np.random.default_rng(0).standard_normal((CHECKED, net.sizes[0]))
    if net.input_scale is None or net.input_shift is None:
        return z
    return z * net.input_scale + net.input_shift
