"""What a file holds: a header and named arrays, the same in every format that `save` writes.

Header: {"format_version": 1, "sizes": [...], "activations": [name or [name, parameter], ...]}. Arrays:
layers.0.weight, layers.0.bias, ... and, where the net has them, input_shift, input_scale, output_shift,
output_scale. If a layer has no bias, the header says of each whether it has one: "biases": [true, ...]. Files
without a header are taken for the state_dict of a torch Sequential.
"""

import json
import re
from itertools import accumulate, pairwise

import numpy as np

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


def unpack(header, arrays, activation, output):
    """The arguments of `MLP.from_layers`."""
    if header is None:
        layers = state_dict(arrays, activation, output)
    elif activation is not None or output is not None:
        raise ValueError(
            "the file names its activations: activation= and output= must not be given"
        )
    else:
        layers = own(header, arrays)
    for key in ("weights", "biases"):
        for k, array in enumerate(layers[key]):
            finite(array, f"{key}[{k}]")
    return layers


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


def state_dict(arrays, activation, output):
    """Of a torch Sequential: 0.weight, 0.bias, 2.weight, ..., with any common prefix."""
    if activation is None:
        raise ValueError(
            "the file does not name its activations: give activation= for the hidden layers "
            "(and output= for the last one, 'identity' by default)"
        )
    found = {}
    for name, array in arrays.items():
        match = re.fullmatch(r"((?:.*\.)?)(\d+)\.(weight|bias)", name)
        if match is None:
            raise ValueError(f"array {name!r} is not of a Sequential of Linear layers")
        found.setdefault((match[1], int(match[2])), {})[match[3]] = array
    if len({prefix for prefix, _ in found}) > 1:
        raise ValueError(f"the arrays must have one common prefix; got {sorted(arrays)}")
    layers = [found[key] for key in sorted(found)]
    for key, layer in zip(sorted(found), layers, strict=True):
        if "weight" not in layer:
            raise ValueError(f"layer {key[1]} has a bias and no weight")
    hidden = activation if isinstance(activation, list) else [activation] * (len(layers) - 1)
    return {
        "weights": [layer["weight"] for layer in layers],
        "biases": [layer.get("bias") for layer in layers],
        "activations": [*hidden, "identity" if output is None else output],
    }
