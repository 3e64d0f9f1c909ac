"""The file of `Jacobian.save`: an .npz of the factors, with a header of what they are.

Header: {"holds": "Jacobian", "format_version": 1, "dtype": "float64", "sizes": [...], "biases": [...],
"layers": [[k, W, b], ...], "rows": [N, m] or [m]}. Arrays: outputs, inputs.0, deltas.0, ..., first_weight,
input_scale, as far as there are.
"""

from pathlib import Path
from typing import Any

import numpy as np

from deltanet import _factors, _limits, _validate
from deltanet._factors import Parts
from deltanet._io import npz
from deltanet._io._files import reading

VERSION = 1
HOLDS = "Jacobian"


def write(path: Any, parts: Parts) -> None:
    """Write a Jacobian, whole or not at all."""
    suffixed(path)
    header = {
        "holds": HOLDS,
        "format_version": VERSION,
        "sizes": parts.sizes,
        "biases": parts.biases,
        "layers": parts.layers,
        "rows": parts.rows,
        "dtype": parts.dtype.name,
    }
    arrays = {name: getattr(parts, name) for name in ("outputs", "first_weight", "input_scale")}
    for k, *_ in parts.layers:
        arrays |= {f"inputs.{k}": parts.inputs[k], f"deltas.{k}": parts.deltas[k]}
    npz.write(path, header, {name: array for name, array in arrays.items() if array is not None})


def read(path: Any) -> Parts:
    """The parts of a Jacobian. No code from the file is run."""
    suffixed(path)
    with reading(path):
        return unpack(*npz.read(path))


def suffixed(path: Any) -> None:
    if Path(path).suffix.lower() != ".npz":
        raise ValueError(f"{path} must end in .npz")


def unpack(header: Any, arrays: dict[str, Any]) -> Parts:
    """The parts, if header and arrays agree."""
    if not isinstance(header, dict) or header.get("holds") != HOLDS:
        raise ValueError("it must hold a Jacobian, as Jacobian.save writes it")
    if header.get("format_version") != VERSION:
        raise ValueError(f"format_version must be {VERSION}; got {header.get('format_version')!r}")
    sizes, rows = counts(header, "sizes", 2), counts(header, "rows", 1)
    kind = _validate.dtype(str(header.get("dtype")))
    L, m = len(sizes) - 1, rows[-1]
    if len(rows) > 2 or not m:
        raise ValueError(f"'rows' must be [N, m] or [m], m > 0; got {list(rows)}")
    biases = _validate.flags(header.get("biases"), L, "'biases'")
    _factors.countable(sizes, biases)
    layers = kept_layers(header.get("layers"), biases)
    shapes: dict[str, tuple[int, ...]] = {"outputs": rows}
    for k, *_ in layers:
        if not sizes[k] * sizes[k + 1]:
            raise ValueError(f"'sizes' must be positive at layer {k}, which is kept")
        shapes |= {f"inputs.{k}": (*rows[:-1], sizes[k]), f"deltas.{k}": (*rows, sizes[k + 1])}
    if layers and layers[0][0] == 0:
        shapes |= {"first_weight": sizes[1::-1], "input_scale": sizes[:1]}
    check(arrays, shapes, kind)
    ready = {name: np.require(array, kind, ["C", "A"]) for name, array in arrays.items()}
    scale = ready.get("input_scale")
    if scale is not None and not (np.isfinite(scale).all() and scale.all()):
        raise ValueError("input_scale must be finite and not zero")
    inputs, deltas = (
        tuple(ready.get(f"{name}.{k}") for k in range(L)) for name in ("inputs", "deltas")
    )
    outputs, weight = ready.get("outputs"), ready.get("first_weight")
    return Parts(sizes, biases, layers, rows, outputs, inputs, deltas, weight, scale, kind)


def counts(header: dict[str, Any], name: str, least: int) -> tuple[int, ...]:
    """A list of integers of the header."""
    value = header.get(name)
    if (
        not isinstance(value, list)
        or len(value) < least
        or not all(type(n) is int and 0 <= n <= _limits.WIDEST_LAYER for n in value)
    ):
        raise ValueError(f"{name!r} must be a list of counts, at least {least}; got {value!r:.60}")
    return tuple(value)


def kept_layers(value: Any, biases: tuple[bool, ...]) -> list[tuple[int, bool, bool]]:
    """[(k, W, b)] of the header: in order, of layers and biases that there are."""
    layers, last = [], -1
    for entry in value if isinstance(value, list) else [None]:
        if not isinstance(entry, list) or [type(x) for x in entry] != [int, bool, bool]:
            raise ValueError(f"'layers' must be a list of [layer, bool, bool]; got {value!r:.60}")
        k, W, b = entry
        if not last < k < len(biases) or not (W or b) or b > biases[k]:
            raise ValueError(f"'layers' must name layers and biases that there are; got {entry}")
        layers.append((k, W, b))
        last = k
    return layers


def check(arrays: dict[str, Any], shapes: dict[str, tuple[int, ...]], kind: np.dtype[Any]) -> None:
    """Refuse arrays that are not those of `shapes`; of the names without a dot, each may be missing."""
    for name in shapes:
        if "." in name and name not in arrays:
            raise ValueError(f"{name} is missing")
    for name, array in arrays.items():
        if name not in shapes:
            raise ValueError(f"unknown array {name!r}")
        if array.shape != shapes[name] or array.dtype.newbyteorder("=") != kind:
            raise ValueError(
                f"{name} must have shape {shapes[name]} and dtype {kind}; got {array.shape} and "
                f"{array.dtype}"
            )
