"""From a file to the arguments of `MLP.from_layers`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from deltanet import _validate
from deltanet._activations import REGISTRY
from deltanet._io._affine import Chain, Spec
from deltanet._io._content import finite, labels, parse
from deltanet._io._files import regular_size
from deltanet._io._told import Content, Note
from deltanet._io.onnx.activations import Form
from deltanet._io.onnx.axes import Axes, in_order, starts
from deltanet._io.onnx.constants import MOST_AXES, Constants
from deltanet._io.onnx.follow import follow
from deltanet._io.onnx.graph import Graph, Node, Refused, naming
from deltanet._io.onnx.library import METADATA, package
from deltanet._io.onnx.patterns import GRID
from deltanet._io.onnx.values import Step, Value


def read(path: str | os.PathLike[str], output: str | None = None) -> Content:
    """The layers of the net, and what is to be said of them."""
    library = package()
    size = regular_size(path)
    with open(path, "rb") as file, np.errstate(all="ignore"):
        model = library.load_model_from_string(file.read(size))
        constants = Constants(library, model.graph, Path(path).parent, size)
        graph = Graph(library, model, constants.stored, output)
        value, found = _tried(graph, constants)
        layers, notes = _folded(value.steps, constants.doubles)
        _refine(layers, _header(model, size))
    return Content(layers, [*found, *notes, *_shared(value.steps)])


def _tried(graph: Graph, constants: Constants) -> tuple[Value, list[Note]]:
    """The output's value, by the first reading of the input's axes that goes through.

    Otherwise the error is raised that lies furthest in the graph.
    """
    refusals: list[Refused] = []
    for axes in starts(_shape(graph.input, constants)):
        try:
            value, notes = follow(graph, constants, axes)
            return _checked(value, axes), notes
        except Refused as error:
            refusals.append(error)
    raise max(refusals, key=lambda error: error.place)


def _shape(proto: Any, constants: Constants) -> list[int | None]:
    """Lengths of the input's axes, None where they are not declared; (N, features) if nothing is."""
    if not proto.type.HasField("tensor_type"):
        raise ValueError(f"the input {proto.name!r} must be a tensor")
    tensor = proto.type.tensor_type
    if not tensor.HasField("shape"):
        return [None, None]
    if len(tensor.shape.dim) > MOST_AXES:
        raise ValueError(f"the input {proto.name!r} must have up to {MOST_AXES} axes")
    return [each.dim_value if each.dim_value > 0 else None for each in tensor.shape.dim]


def _checked(value: Value, start: Axes) -> Value:
    """The value of the output, when it has one row a sample."""
    if value.is_mixed or in_order(value.axes):
        return value
    if not in_order(start):  # the samples are columns of both
        return value
    raise ValueError("the outputs are transposed: samples must be rows")


def _folded(steps: tuple[Step, ...], doubles: bool) -> tuple[dict[str, Any], list[Note]]:
    """The steps as layers."""
    chain = Chain()
    chain.kinds = {np.dtype(np.float64 if doubles else np.float32)}
    for step in steps:
        chain.label = step.node.label
        with naming(step.node):
            getattr(chain, step.verb)(*step.arguments)
    layers = chain.finish()
    for key in ("weights", "biases"):
        for k, array in enumerate(layers[key]):
            finite(array, f"{key}[{k}]")  # what was folded into them may overflow
    return layers, [Note(text) for text in chain.notes]


def _header(model: Any, size: int) -> Any:
    """What `save` has written beside the graph, or None."""
    texts = [entry.value for entry in model.metadata_props if entry.key == METADATA]
    return parse(texts[0], size) if texts else None


def _refine(layers: dict[str, Any], header: Any) -> None:
    """Parameters in double precision, names and units, of a header that fits the graph: the graph decides."""
    specs = header.get("activations") if isinstance(header, dict) else None
    if not isinstance(specs, list) or len(specs) != len(layers["activations"]):
        return
    exact = [_exact(found, spec) for found, spec in zip(layers["activations"], specs, strict=True)]
    sizes = [layers["weights"][0].shape[1], *(len(W) for W in layers["weights"])]
    if header.get("sizes") == sizes and None not in exact:
        layers["activations"] = exact
        layers["labels"] = labels(header, sizes)


def _exact(found: Spec, spec: Any) -> Spec | None:
    """The activation of a header, if it is that of the graph up to single precision."""
    try:
        name, parameters = _validate.activation(spec)
    except (ValueError, TypeError):
        return None
    exact: Spec = (name, *parameters) if parameters else name
    graph, numbers = _validate.activation(found)
    if graph == name:
        return exact if np.allclose(numbers, parameters, rtol=1e-5, atol=1e-7) else None
    if REGISTRY[name].couples or REGISTRY[graph].couples:
        return None
    same = np.allclose(
        Form(found).at(GRID), Form(exact).at(GRID), rtol=1e-5, atol=1e-6, equal_nan=True
    )
    return exact if same else None  # one function under two names, as swish(1) is silu


def _shared(steps: tuple[Step, ...]) -> list[Note]:
    """Which layers have the same constant for a weight: copies, with parameters of their own."""
    places: dict[str, list[Node]] = {}
    for step in steps:
        if step.verb == "product":
            for name in step.node.inputs:
                places.setdefault(name, []).append(step.node)
    return [
        Note(
            f"{name!r} is used by {' and '.join(node.label for node in nodes)}: each layer has a copy, "
            "with parameters of its own",
            warn=True,
        )
        for name, nodes in places.items()
        if len(nodes) > 1
    ]
