"""`deltanet info` and `deltanet check`: what a model or a store is, and whether derivatives are right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

import deltanet as dn
from deltanet._cli import samples, stores
from deltanet._cli.options import Json, ModelOptions, TableOptions, argument, typer
from deltanet._io._told import spelled
from deltanet._labels import captions
from deltanet._memory import human
from deltanet._store.read import Stored, opened
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


Source = Annotated[
    str, argument(metavar="MODEL|STORE", help="Network, or a store (.zarr).", show_default=False)
]


@dataclass
class SourceOptions(ModelOptions):
    """A net, or a store."""

    model: Source


def info(model: SourceOptions, as_json: Json = False) -> None:
    """Print the layers of MODEL, the size of its Jacobian, and what was folded or left out.

    Of a STORE (.zarr): what is in it, how much of it is finished, and on what it was computed.
    """
    if stores.is_store(model.model) or Path(model.model).is_dir():
        stored = opened(model.model)
        net, facts, lines = stored.net, *_of_store(model.model, stored)
    else:
        net, notes = model.load_and_tell()
        facts, lines = _of_model(net)
        lines += [("note", note.text) for note in notes]
        facts["notes"] = [note.text for note in notes]
    layers = _layers(net)
    if as_json:
        print(json.dumps({"command": "info", **facts, "layers": layers, "status": 0}))
        return
    _print_table([*layers[0]], [tuple(layer.values()) for layer in layers])
    for name, text in lines:
        print(f"{name:<20}{text}")


def _of_model(net: dn.MLP) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What is said of a net, by key and in lines."""
    scaled = [side for side in ("input", "output") if getattr(net, f"{side}_scale") is not None]
    labels = {f"{side}s": captions(net, side) for side in ("input", "output")}
    nbytes = 1000 * net.sizes[-1] * net.num_params * net.dtype.itemsize
    lines = [
        ("parameters", str(net.num_params)),
        ("dtype", str(net.dtype)),
        ("scalings", " and ".join(scaled) or "none"),
        *((name, _first(found)) for name, found in labels.items() if found),
        ("dense Jacobian", f"{human(nbytes)} per 1000 samples"),
    ]
    facts = {"parameters": net.num_params, "dtype": str(net.dtype), "scalings": scaled, **labels}
    return facts, lines


def _of_store(path: str, stored: Stored) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What is said of a store."""
    layout, about = stored.layout, stored.about
    done, shape = stores.blocks_done(stored), dn.open(path).shape
    nbytes = layout.samples * stores.bytes_of_sample(stored)
    facts = {key: about.get(key) for key in ("form", "wrt", "dtype", "version", "machine")}
    facts |= {"shape": list(shape), "bytes": nbytes}
    facts |= {"blocks": layout.blocks, "blocks_done": done, "block_rows": layout.rows}
    lines = [
        ("form", f"{layout.form} by {layout.wrt}" if layout.form != "outputs" else layout.form),
        ("shape", str(shape)),
        ("dtype", str(layout.dtype)),
        ("blocks", f"{done} of {layout.blocks} done, {layout.rows} samples each"),
        ("bytes", f"{human(nbytes)} when all are done"),
        ("written by", f"deltanet {about.get('version')}"),
        *((str(key), str(value)) for key, value in (about.get("machine") or {}).items()),
    ]
    return facts, lines


def _first(labels: list[str]) -> str:
    return ", ".join(labels[:NAMED]) + (", ..." if len(labels) > NAMED else "")


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


def _layers(net: dn.MLP) -> list[dict[str, Any]]:
    return [
        {
            "layer": k,
            "inputs": W.shape[1],
            "outputs": W.shape[0],
            "activation": spelled(net.activations[k]),
            "parameters": W.size + (0 if b is None else b.size),
        }
        for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True))
    ]
