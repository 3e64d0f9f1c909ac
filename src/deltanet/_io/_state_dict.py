"""Arrays with names, as torch's `state_dict` gives them, as dense layers.

A layer is a matrix and the vector beside it: 0.weight and 0.bias, fc1.weight and fc1.bias, W1 and b1; kernel
and bias of Flax and Keras, whose matrix is turned. `prefix` and `keys` choose among them. Without these, all
must be one chain: layers of one numbered sequence in its order, others where their shapes leave one place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from deltanet._io._told import Content, Note

Array = NDArray[Any]
WEIGHT = re.compile(r"(?P<head>|.*[._/])(?P<word>weight|kernel|[Ww])(?P<tail>_?\d*)")
BIASES = {"weight": "bias", "kernel": "bias", "W": "b", "w": "b"}
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
MOST_TRIES = 10_000  # of an order
LISTED = 12  # names in a message
REMEDY = "choose the layers with prefix= or keys="


class Layer(NamedTuple):
    """A matrix (n_out, n_in) and a vector, with their names in the file."""

    name: str
    weight: Array
    bias: Array | None
    names: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(n_out, n_in)"""
        return self.weight.shape[0], self.weight.shape[1]


def state_dict(
    arrays: Mapping[str, Array], activation: Any, output: Any, prefix: Any, keys: Any
) -> Content:
    """The arguments of `MLP.from_layers`, and which arrays were left out."""
    if activation is None:
        raise ValueError(
            "the file does not name its activations: give activation= for the hidden layers "
            "(and output= for the last one, 'identity' by default)"
        )
    prefixes = _texts(prefix, "prefix") if prefix is not None else [""]
    notes: list[Note] = []
    if keys is not None:
        layers = _named(arrays, keys, prefixes)
    else:
        layers, notes = _found(arrays, prefixes)
    used = {name for layer in layers for name in layer.names}
    left = sorted(set(arrays) - used)
    if left:
        chosen = keys is not None or prefix is not None
        text = f"left out {_listed(left)}: no part of the layers {_listed(x.name for x in layers)}"
        notes.append(Note(text, warn=not chosen))
    hidden = activation if isinstance(activation, list) else [activation] * (len(layers) - 1)
    content = {
        "weights": [layer.weight for layer in layers],
        "biases": [layer.bias for layer in layers],
        "activations": [*hidden, "identity" if output is None else output],
    }
    return Content(content, notes)


def _texts(value: Any, name: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not all(isinstance(each, str) for each in texts):
        raise TypeError(f"{name} must be a string or several; got {value!r}")
    return list(texts)


def _listed(names: Any) -> str:
    names = list(names)
    rest = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _layer(arrays: Mapping[str, Array], weight: str, bias: str | None = None) -> Layer:
    """The layer of a weight; its bias by name, or the vector that belongs to it."""
    match = WEIGHT.fullmatch(weight)
    if bias is None and match is not None:
        beside = match["head"] + BIASES[match["word"]] + match["tail"]
        bias = beside if beside in arrays else None
    W = arrays[weight]
    if W.ndim != 2:
        raise ValueError(
            f"array {weight!r} of shape {W.shape} is not the weight of a dense layer: if it is a part of the "
            "net, such as BatchNorm, make the net of the live model; if not, name the layers by keys="
        )
    if match is not None and match["word"] == "kernel":
        W = W.T
    name = weight if match is None else (match["head"].rstrip("._/") + match["tail"]) or weight
    names = (weight,) if bias is None else (weight, bias)
    return Layer(name, W, None if bias is None else arrays[bias], names)


# Chosen by keys


def _named(arrays: Mapping[str, Array], keys: Any, prefixes: list[str]) -> list[Layer]:
    """The layers of these keys: of modules, of weights, with their biases behind them, or of pairs."""
    if isinstance(keys, str) or not isinstance(keys, Sequence) or not keys:
        raise TypeError(f"keys must be a sequence of names, one a layer; got {keys!r}")
    layers: list[Layer] = []
    for key in keys:
        if isinstance(key, str):
            name = _weight_of(arrays, key, prefixes)
            if arrays[name].ndim == 1 and layers:
                weight = layers[-1].names[0]
                layers[-1] = _layer(arrays, weight, name)
            else:
                layers.append(_layer(arrays, name))
        elif isinstance(key, Sequence) and len(key) == 2 and isinstance(key[0], str):
            weight = _weight_of(arrays, key[0], prefixes)
            bias = None if key[1] is None else _weight_of(arrays, key[1], prefixes)
            layer = _layer(arrays, weight, bias)
            layers.append(layer if bias else layer._replace(bias=None, names=(weight,)))
        else:
            raise TypeError(f"keys must hold names or pairs (weight, bias); got {key!r}")
    return layers


def _weight_of(arrays: Mapping[str, Array], key: str, prefixes: list[str]) -> str:
    """The array of this name, or the weight of the module of this name."""
    for prefix in ["", *prefixes]:
        if prefix + key in arrays:
            return prefix + key
        for between in "._/":
            for word in BIASES:
                if f"{prefix}{key}{between}{word}" in arrays:
                    return f"{prefix}{key}{between}{word}"
    raise ValueError(f"there is no layer or array {key!r}; there are {_listed(sorted(arrays))}")


# Found by names and shapes


def _found(arrays: Mapping[str, Array], prefixes: list[str]) -> tuple[list[Layer], list[Note]]:
    """All layers whose names begin with one of the prefixes, in their order."""
    order: list[Layer] = []
    notes: list[Note] = []
    for prefix in prefixes:
        chosen = {name: a for name, a in arrays.items() if name.startswith(prefix)}
        layers = [_layer(chosen, name) for name in chosen if WEIGHT.fullmatch(name)]
        _check_rest(chosen, layers)
        if not layers:
            where = f" whose name begins with {prefix!r}" if prefix else ""
            raise ValueError(f"no layer{where}; the arrays are {_listed(sorted(arrays))}")
        ordered = _ordered(layers)
        if len(_sequences(layers)) > 1:
            names = _listed(layer.name for layer in ordered)
            notes.append(Note(f"layers in the only order that their shapes allow: {names}"))
        order += ordered
    return order, notes


def _check_rest(arrays: Mapping[str, Array], layers: list[Layer]) -> None:
    """Refuse what cannot be left out without another net coming of it."""
    used = {name for layer in layers for name in layer.names}
    bare = [layer for layer in layers if layer.bias is None]
    for name, array in arrays.items():
        if name in used:
            continue
        what = f"array {name!r} of shape {array.shape}"
        if name.rpartition(".")[2] in STATISTICS:
            raise ValueError(
                f"{what} belongs to a normalization layer, which a state_dict does not describe: use "
                "from_torch, or export the model as ONNX"
            )
        if re.fullmatch(r"(.*[._/])?bias", name):
            raise ValueError(f"{what} has no weight; {REMEDY}")
        if array.ndim > 1:
            raise ValueError(f"{what} is not of a dense layer; {REMEDY}")
        for layer in bare:
            if array.shape == layer.weight.shape[:1]:
                raise ValueError(
                    f"{what} may be the bias of {layer.name!r}: say so with keys=, as pairs (weight, bias)"
                )


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers in a name by value: 10 behind 9."""
    return [
        (int(part), "") if part.isdigit() else (0, part)
        for part in re.split(r"([0-9]{1,18})", name)
    ]


def _sequences(layers: list[Layer]) -> list[list[Layer]]:
    """Layers whose names differ in numbers only, each in the order of these."""
    found: dict[str, list[Layer]] = {}
    for layer in sorted(layers, key=lambda each: _natural(each.name)):
        found.setdefault(re.sub("[0-9]+", "#", layer.name), []).append(layer)
    return list(found.values())


def _ordered(layers: list[Layer]) -> list[Layer]:
    """The layers in the one order in which each takes what the one before makes."""
    sequences = _sequences(layers)
    orders = []
    if sum(len(each) > 1 for each in sequences) <= 1:
        for order in _orders(sequences):
            orders.append(order)
            if len(orders) > 1:
                break
    if len(orders) != 1:
        shapes = _listed(f"{x.name} {x.shape}" for each in sequences for x in each)
        what = "more than one order" if orders else "no one order"
        raise ValueError(f"the layers follow each other in {what}: {shapes}; {REMEDY}")
    return orders[0]


def _orders(sequences: list[list[Layer]]) -> Iterator[list[Layer]]:
    """Every order that keeps those of the sequences and whose shapes follow each other."""
    total, tries = sum(map(len, sequences)), 0
    stack: list[tuple[tuple[int, ...], list[Layer]]] = [((0,) * len(sequences), [])]
    while stack:
        places, order = stack.pop()
        tries += 1
        if tries > MOST_TRIES:
            raise ValueError(f"the layers may follow each other in too many ways; {REMEDY}")
        if len(order) == total:
            yield order
            continue
        for k, (place, sequence) in enumerate(zip(places, sequences, strict=True)):
            fits = place < len(sequence) and (
                not order or sequence[place].shape[1] == order[-1].shape[0]
            )
            if fits:
                ahead = (*places[:k], place + 1, *places[k + 1 :])
                stack.append((ahead, [*order, sequence[place]]))
