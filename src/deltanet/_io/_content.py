"""What a file holds: a header and named arrays, the same in every format that `save` writes.

Header: {"format_version": 1, "sizes": [...], "activations": [name or [name, parameter], ...]}. Arrays:
layers.0.weight, layers.0.bias, ... and, where the net has them, input_shift, input_scale, output_shift,
output_scale. If a layer has no bias, the header says of each whether it has one: "biases": [true, ...]. Files
without a header are taken for the state_dict of a torch Sequential.
"""

import json
import re
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet._io._state_dict import state_dict
from deltanet._io._told import Content

VERSION = 1
LONGEST = 2**14  # characters of a header, and a sixteenth of the file
DEEPEST = 8  # brackets that are open at once: ours need three, Python 3.13 would read thousands
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
SCALINGS = ("input_shift", "input_scale", "output_shift", "output_scale")


def pack(net):
    """(header, arrays) of a net."""
    header = {
        "format_version": VERSION,
        "sizes": list(net.sizes),
        "activations": [spec if isinstance(spec, str) else list(spec) for spec in net.activations],
    }
    biases = [b is not None for b in net.biases]
    if not all(biases):
        header["biases"] = biases
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


def longest(size):
    """Characters that the header may have in a file of `size` bytes."""
    return LONGEST + size // 16


def parse(text, size):
    """The header from its JSON."""
    if len(text) > longest(size):
        raise ValueError(f"the header of {len(text)} characters is too long")
    brackets = re.sub(r"[^\[\]{}]", "", STRING.sub("", text))
    if max(accumulate(1 if c in "[{" else -1 for c in brackets), default=0) > DEEPEST:
        raise ValueError(f"the header nests deeper than {DEEPEST}")
    return json.loads(text)


def unpack(
    header: Any,
    arrays: dict[str, NDArray[Any]],
    activation: Any = None,
    output: Any = None,
    prefix: Any = None,
    keys: Any = None,
) -> Content:
    """The arguments of `MLP.from_layers`, and what is to be said of them."""
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


def finite(array, name):
    """Refuse NaN and infinity, and what is no real number."""
    if array is None:
        return
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must hold real numbers; got dtype {array.dtype}")
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        raise ValueError(f"{name} must be finite; it holds NaN or infinity")


def own(header, arrays):
    """Of a file that `save` wrote."""
    version = header.get("format_version") if isinstance(header, dict) else None
    if version != VERSION:
        raise ValueError(f"format_version must be {VERSION}; got {version!r}")
    sizes, activations = header.get("sizes"), header.get("activations")
    if not isinstance(sizes, list) or not isinstance(activations, list):
        raise ValueError("the header must hold lists 'sizes' and 'activations'")
    biases = header.get("biases", [True] * (len(sizes) - 1))
    if (
        not isinstance(biases, list)
        or len(biases) != len(sizes) - 1
        or not all(isinstance(each, bool) for each in biases)
    ):
        raise ValueError("'biases' of the header must be a list of true and false, one a layer")
    arrays = dict(arrays)
    layers = {"weights": [], "biases": [], "activations": activations}
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
    return layers
