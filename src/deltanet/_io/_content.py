"""What a file holds: a header and named arrays, the same in every format that `save` writes.

Header: {"format_version": 1, "sizes": [...], "activations": [name or [name, parameter], ...]}. Arrays:
layers.0.weight, layers.0.bias, ... and, where the net has them, input_shift, input_scale, output_shift,
output_scale. If a layer has no bias, the header says of each whether it has one: "biases": [true, ...].
Where the net has input_names, output_names, input_units or output_units, each is one string in the header,
with a line for each label. Files without a header are taken for the state_dict of a torch Sequential.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deltanet._io._state_dict import state_dict
from deltanet._io._told import Content
from deltanet._labels import LABELS

if TYPE_CHECKING:
    from deltanet._mlp import MLP

Array = NDArray[Any]
VERSION = 1
LONGEST = 2**14  # characters of a header beside its strings, or quotes, and a sixteenth of the file
DEEPEST = 8  # brackets that are open at once: ours need three, Python 3.13 would read thousands
STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"')
SCALINGS = ("input_shift", "input_scale", "output_shift", "output_scale")


def pack(net: MLP) -> tuple[dict[str, Any], dict[str, Array]]:
    """(header, arrays) of a net."""
    header = {
        "format_version": VERSION,
        "sizes": list(net.sizes),
        "activations": [spec if isinstance(spec, str) else list(spec) for spec in net.activations],
    }
    biases = [b is not None for b in net.biases]
    if not all(biases):
        header["biases"] = biases
    for name in LABELS:
        if getattr(net, name) is not None:
            header[name] = "\n".join(getattr(net, name))
    arrays = {}
    for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        finite(W, f"weights[{k}]")
        finite(b, f"biases[{k}]")
        arrays[f"layers.{k}.weight"] = W
        if b is not None:
            arrays[f"layers.{k}.bias"] = b
    for name in SCALINGS:
        if getattr(net, name) is not None:
            arrays[name] = getattr(net, name)
    return header, arrays


def text(header: dict[str, Any], arrays: Mapping[str, Array]) -> str:
    """The JSON of a header, if `parse` takes it."""
    content = json.dumps(header)
    without_strings(content, sum(array.nbytes for array in arrays.values()))
    return content


def longest(size: int) -> int:
    """Characters beside its strings that the header may have in a file of `size` bytes."""
    return LONGEST + size // 16


def without_strings(text: str, size: int) -> str:
    """The rest of a header; its length bounds what the parsed one takes beside the characters of strings."""
    most = longest(size)
    if text.count('"') > most or len(rest := STRING.sub("", text)) > most:
        raise ValueError(f"the header of {len(text)} characters is too long")
    return rest


def parse(text: str, size: int) -> Any:
    """The header from its JSON."""
    if not text.isascii():
        raise ValueError("the header must hold ASCII characters only")
    brackets = re.sub(r"[^\[\]{}]", "", without_strings(text, size))
    if max(accumulate(1 if c in "[{" else -1 for c in brackets), default=0) > DEEPEST:
        raise ValueError(f"the header nests deeper than {DEEPEST}")
    return json.loads(text)


def unpack(
    header: Any,
    arrays: dict[str, Array],
    activation: Any = None,
    output: Any = None,
    prefix: Any = None,
    keys: Any = None,
) -> Content:
    """The arguments of `MLP.from_layers`, `labels` of what `save` wrote, and what is to be said of them."""
    given = {"activation": activation, "output": output, "prefix": prefix, "keys": keys}
    if header is None:
        content = state_dict(arrays, **given)
    elif any(each is not None for each in given.values()):
        raise ValueError(
            "the file names its activations and layers: activation=, output=, prefix= and keys= must not "
            "be given"
        )
    else:
        content = Content(own(header, arrays), [])
    for key in ("weights", "biases"):
        for k, array in enumerate(content.layers[key]):
            finite(array, f"{key}[{k}]")
    return content


def finite(array: Array | None, name: str) -> None:
    """Refuse NaN and infinity, and what is no real number."""
    if array is None:
        return
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must hold real numbers; got dtype {array.dtype}")
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        raise ValueError(f"{name} must be finite; it holds NaN or infinity")


def own(header: Any, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Of a file that `save` wrote."""
    if isinstance(header, dict) and header.get("holds") == "Jacobian":
        raise ValueError("it holds a Jacobian: use dn.Jacobian.load")
    version = header.get("format_version") if isinstance(header, dict) else None
    if version != VERSION:
        raise ValueError(f"format_version must be {VERSION}; got {version!r}")
    sizes, activations = header.get("sizes"), header.get("activations")
    if not isinstance(sizes, list) or len(sizes) < 2 or not isinstance(activations, list):
        raise ValueError("the header must hold lists 'sizes', of two or more, and 'activations'")
    biases = header.get("biases", [True] * (len(sizes) - 1))
    if (
        not isinstance(biases, list)
        or len(biases) != len(sizes) - 1
        or not all(isinstance(each, bool) for each in biases)
    ):
        raise ValueError("'biases' of the header must be a list of true and false, one a layer")
    arrays = dict(arrays)
    layers: dict[str, Any] = {"weights": [], "biases": [], "activations": activations}
    for k, (n_in, n_out) in enumerate(pairwise(sizes)):
        for part, shape in (("weight", (n_out, n_in)), ("bias", (n_out,))):
            if part == "bias" and not biases[k]:
                layers["biases"].append(None)
                continue
            name = f"layers.{k}.{part}"
            if name not in arrays:
                raise ValueError(f"{name} is missing")
            array = arrays.pop(name)
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}; got {array.shape}")
            layers["weights" if part == "weight" else "biases"].append(array)
    for name in SCALINGS:
        if name in arrays:
            layers[name] = arrays.pop(name)
    if arrays:
        raise ValueError(f"unknown array {min(arrays)!r}")
    layers["labels"] = labels(header, sizes)
    return layers


def labels(header: dict[str, Any], sizes: list[int]) -> dict[str, list[str]]:
    """The names and units in a header."""
    return {
        name: lines(header[name], sizes[0 if name.startswith("input") else -1], name)
        for name in LABELS
        if name in header
    }


def lines(value: object, count: int, name: str) -> list[str]:
    """The labels in a string, which are counted before they are made."""
    if not isinstance(value, str) or value.count("\n") + 1 != count:
        raise ValueError(f"{name} of the header must be a string of {count} lines")
    return value.split("\n")
