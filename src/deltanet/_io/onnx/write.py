"""A net as an ONNX graph that onnxruntime runs, in the net's own precision.

The input "x" (N, n_0) goes through Sub and Div for the input scaling, a Gemm and an activation for each
layer, and Mul and Add for the output scaling; "y" (N, m) is the output. Parameters of activations are single
precision in ONNX, and names of features have no place in a graph: the model's metadata hold both, as `save`
writes them to other formats.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet import _validate
from deltanet._activations import SELU
from deltanet._io._content import pack, text
from deltanet._io._files import replacing
from deltanet._io.onnx.library import METADATA, package
from deltanet._mlp import MLP

Array = NDArray[Any]
OPSET, IR_VERSION = 20, 9
LARGEST_BYTES = 2**31 - 2**20  # protobuf's limit, and room for the rest


class Builder:
    """Nodes and constants of a graph."""

    def __init__(self, library: Any, dtype: np.dtype[Any]) -> None:
        self.library, self.dtype = library, dtype
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    @property
    def double(self) -> bool:
        return self.dtype == np.float64

    def constant(self, value: Any, name: str | None = None) -> str:
        """The name of a constant."""
        name = name or f"constant{len(self.constants)}"
        array = np.ascontiguousarray(value, self.dtype).reshape(np.shape(value))
        self.constants.append(self.library.numpy_helper.from_array(array, name))
        return name

    def node(self, operator: str, *inputs: str | float, **attributes: Any) -> str:
        """The name of what a further node makes; its inputs are names or numbers."""
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        name, made = f"node{len(self.nodes)}", f"value{len(self.nodes)}"
        self.nodes.append(
            self.library.helper.make_node(operator, names, [made], name, **attributes)
        )
        return made

    def in_single(self, operator: str, value: str) -> str:
        """An operator that onnxruntime has for float32 only."""
        kinds = self.library.TensorProto
        if not self.double:
            return self.node(operator, value)
        single = self.node(operator, self.node("Cast", value, to=kinds.FLOAT))
        return self.node("Cast", single, to=kinds.DOUBLE)


Writer = Callable[..., str]  # of a builder, the local field, and the parameters


def plain(name: str, **attributes: Any) -> Writer:
    """An operator with fixed attributes."""
    return lambda graph, v: graph.node(name, v, **attributes)


def swish(graph: Builder, v: str, beta: float = 1.0) -> str:
    scaled = v if beta == 1 else graph.node("Mul", v, beta)
    return graph.node("Mul", v, graph.node("Sigmoid", scaled))


def softplus(graph: Builder, v: str, beta: float) -> str:
    if beta == 1:
        return soft(graph, v)
    return graph.node("Div", soft(graph, graph.node("Mul", v, beta)), beta)


def soft(graph: Builder, v: str) -> str:
    """log(1 + exp v)"""
    if not graph.double:
        return graph.node("Softplus", v)
    decay = graph.node("Exp", graph.node("Neg", graph.node("Abs", v)))
    return graph.node(
        "Add", graph.node("Max", v, 0.0), graph.node("Log", graph.node("Add", decay, 1.0))
    )


def lecun_tanh(graph: Builder, v: str) -> str:
    return graph.node("Mul", graph.node("Tanh", graph.node("Mul", v, 2 / 3)), 1.7159)


def gaussian(graph: Builder, v: str) -> str:
    return graph.node("Exp", graph.node("Neg", graph.node("Mul", v, v)))


def log_sigmoid(graph: Builder, v: str) -> str:
    return graph.node("Neg", soft(graph, graph.node("Neg", v)))


def celu(graph: Builder, v: str, alpha: float) -> str:
    if alpha == 1:
        return elu(graph, v, 1.0)
    inner = elu(graph, graph.node("Div", v, alpha), 1.0)
    return graph.node("Mul", inner, alpha)


def mish(graph: Builder, v: str) -> str:
    return graph.node("Mul", v, graph.node("Tanh", soft(graph, v)))


def above(graph: Builder, v: str, limit: float, below: str | float) -> str:
    """v above a limit, else another value"""
    return graph.node("Where", graph.node("Greater", v, limit), v, below)


def softshrink(graph: Builder, v: str, limit: float) -> str:
    above_zero = graph.node("Max", graph.node("Sub", v, limit), 0.0)
    return graph.node("Add", above_zero, graph.node("Min", graph.node("Add", v, limit), 0.0))


# Of float64, by operators that onnxruntime has for it


def leaky(graph: Builder, v: str, slope: float) -> str:
    return above(graph, v, 0.0, graph.node("Mul", v, slope))


def elu(graph: Builder, v: str, alpha: float) -> str:
    if not graph.double:
        return graph.node("Elu", v, alpha=alpha)
    below = graph.node("Sub", graph.node("Exp", graph.node("Min", v, 0.0)), 1.0)
    return above(graph, v, 0.0, graph.node("Mul", below, alpha))


def selu(graph: Builder, v: str) -> str:
    return graph.node("Mul", elu(graph, v, SELU[1]), SELU[0])


def softsign(graph: Builder, v: str) -> str:
    return graph.node("Div", v, graph.node("Add", graph.node("Abs", v), 1.0))


def hard_sigmoid(graph: Builder, v: str) -> str:
    return graph.node("Clip", graph.node("Add", graph.node("Div", v, 6.0), 0.5), 0.0, 1.0)


def hard_swish(graph: Builder, v: str) -> str:
    return graph.node("Mul", v, hard_sigmoid(graph, v))


def gelu(graph: Builder, v: str) -> str:
    erf = graph.in_single("Erf", graph.node("Mul", v, np.sqrt(0.5)))
    return graph.node("Mul", graph.node("Mul", v, 0.5), graph.node("Add", erf, 1.0))


def gelu_tanh(graph: Builder, v: str) -> str:
    cube = graph.node("Mul", graph.node("Mul", graph.node("Mul", v, v), v), 0.044715)
    inner = graph.node("Mul", graph.node("Add", v, cube), np.sqrt(8 / np.pi))
    return graph.node("Mul", v, graph.node("Sigmoid", inner))


WRITERS: dict[str, Writer] = {
    "identity": lambda graph, v: v,
    "tanh": plain("Tanh"),
    "lecun_tanh": lecun_tanh,
    "sigmoid": plain("Sigmoid"),
    "relu": plain("Relu"),
    "leaky_relu": lambda graph, v, slope: graph.node("LeakyRelu", v, alpha=slope),
    "elu": elu,
    "selu": plain("Selu"),
    "softplus": softplus,
    "gelu": plain("Gelu"),
    "gelu_tanh": plain("Gelu", approximate="tanh"),
    "silu": swish,
    "swish": swish,
    "softsign": plain("Softsign"),
    "gaussian": gaussian,
    "sin": plain("Sin"),
    "cos": plain("Cos"),
    "relu6": lambda graph, v: graph.node("Clip", v, 0.0, 6.0),
    "hardtanh": lambda graph, v, low, high: graph.node("Clip", v, low, high),
    "hardsigmoid": plain("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hardswish": plain("HardSwish"),
    "celu": celu,
    "mish": mish,
    "exp": plain("Exp"),
    "logsigmoid": log_sigmoid,
    "tanhshrink": lambda graph, v: graph.node("Sub", v, graph.node("Tanh", v)),
    "softshrink": softshrink,
    "threshold": above,
    "abs": plain("Abs"),
    "square": lambda graph, v: graph.node("Mul", v, v),
    "erf": lambda graph, v: graph.in_single("Erf", v),
    "atan": lambda graph, v: graph.in_single("Atan", v),
    "softmax": plain("Softmax", axis=-1),
    "log_softmax": plain("LogSoftmax", axis=-1),
}
IN_DOUBLE: dict[str, Writer] = {
    **WRITERS,
    "leaky_relu": leaky,
    "selu": selu,
    "softsign": softsign,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "hardsigmoid": hard_sigmoid,
    "hardswish": hard_swish,
}


def write(path: str | os.PathLike[str], net: MLP) -> None:
    """Write a net, whole or not at all."""
    library = package()
    header, arrays = pack(net)  # which refuses NaN and infinity
    if net.params.nbytes > LARGEST_BYTES:
        raise ValueError(
            f"{net.params.nbytes} bytes of parameters exceed the 2 GB of an ONNX file: save as .npz"
        )
    model = _model(library, net)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA, text(header, arrays)
    with replacing(path) as partial:
        partial.write_bytes(model.SerializeToString())


def _model(library: Any, net: MLP) -> Any:
    """The graph."""
    graph = Builder(library, net.dtype)
    value, writers = "x", IN_DOUBLE if graph.double else WRITERS
    if net.input_scale is not None:
        value = graph.node("Sub", value, graph.constant(net.input_shift, "input_shift"))
        value = graph.node("Div", value, graph.constant(net.input_scale, "input_scale"))
    for k, (W, b, spec) in enumerate(zip(net.weights, net.biases, net.activations, strict=True)):
        operands = [graph.constant(W, f"layers.{k}.weight")]
        if b is not None:
            operands.append(graph.constant(b, f"layers.{k}.bias"))
        value = graph.node("Gemm", value, *operands, transB=1)
        name, parameters = _validate.activation(spec)
        if name not in writers:
            raise ValueError(f"activation {name!r} cannot be written to an ONNX file")
        value = writers[name](graph, value, *parameters)
    if net.output_scale is not None:
        value = graph.node("Mul", value, graph.constant(net.output_scale, "output_scale"))
        value = graph.node("Add", value, graph.constant(net.output_shift, "output_shift"))
    graph.nodes[-1].output[0] = "y"
    helper = library.helper
    kind = helper.np_dtype_to_tensor_dtype(net.dtype)
    ends = [
        helper.make_tensor_value_info(name, kind, ["N", n])
        for name, n in (("x", net.sizes[0]), ("y", net.sizes[-1]))
    ]
    proto = helper.make_graph(graph.nodes, "deltanet", ends[:1], ends[1:], graph.constants)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(
        proto, opset_imports=[opset], ir_version=IR_VERSION, producer_name="deltanet"
    )
