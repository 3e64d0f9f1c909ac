"""ONNX graphs that are a chain of dense layers, through the `onnx` package (extra: onnx).

The chain is followed from the input to the output. What is passed on is an affine map of the last
activation (or of the input), collected by `Chain`; an activation, or the end, closes a layer. Constants
before the first layer become the input scaling, after the last the output scaling, in between they are
folded into the weights.
"""

import math
from contextlib import contextmanager

import numpy as np

from deltanet._io import _onnx_patterns
from deltanet._io._affine import Chain
from deltanet._io._content import finite
from deltanet._io._files import reading
from deltanet._io._onnx_constants import AXES, Constants

MOST_NODES = 4096
# Operators of one activation: name -> (activation, attribute that is its parameter, default of ONNX)
ACTIVATIONS = {
    "Tanh": ("tanh", None, None),
    "Sigmoid": ("sigmoid", None, None),
    "Relu": ("relu", None, None),
    "LeakyRelu": ("leaky_relu", "alpha", 0.01),
    "Elu": ("elu", "alpha", 1.0),
    "Selu": ("selu", None, None),
    "Softplus": ("softplus", None, None),
    "Softsign": ("softsign", None, None),
    "Sin": ("sin", None, None),
    "Gelu": ("gelu", None, None),
    "Softmax": ("softmax", None, None),
    "LogSoftmax": ("log_softmax", None, None),
}
SELU = {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}
INPUTS = dict.fromkeys(("Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Reshape", "PRelu"), 2)
INPUTS["Constant"] = 0


def package():
    try:
        import onnx.numpy_helper
    except ModuleNotFoundError as error:
        raise ImportError(
            "onnx files need the extra 'onnx': pip install \"deltanet[onnx]\""
        ) from error
    return onnx


def read(path):
    """The arguments of `MLP.from_layers`."""
    library = package()
    from google.protobuf.message import DecodeError

    with reading(path, DecodeError), open(path, "rb") as file, np.errstate(all="ignore"):
        graph = library.load_model_from_string(file.read()).graph
        return Reader(library, graph).layers()


class Refused(ValueError):
    """It names the node."""


class Reader:
    """Follows one graph."""

    def __init__(self, library, graph):
        self.library = library
        if len(graph.node) > MOST_NODES:
            raise ValueError(
                f"the graph must have at most {MOST_NODES} nodes; got {len(graph.node)}"
            )
        self.nodes = list(graph.node)
        self.chain, self.constants, self.users = Chain(), Constants(library, graph), {}
        self.input = self.only([i for i in graph.input if i.name not in self.constants], "input")
        self.output = self.choose_output(graph.output)
        self.columns = False  # a Transpose has made columns of the samples
        self.transposed = False  # the samples are the columns of the graph's input
        self.sort()

    def sort(self):
        """Collect constants, and who uses each value that is none, in the order of the file.

        Each value must be there before it is used, and be made once: then nothing is cyclic.
        """
        known = {self.input.name}
        for node in self.needed():
            for name in node.input:
                if name and name not in known and name not in self.constants:
                    raise self.error(
                        node, f"takes {name!r}, which nothing before it makes: cyclic or broken"
                    )
            for name in node.output:
                if name in known or name in self.constants:
                    raise self.error(
                        node, f"makes {name!r}, which is there already: cyclic or broken"
                    )
            if len(node.input) < INPUTS.get(node.op_type, 1) or not all(node.input[:1]):
                raise self.error(node, f"has {len(node.input)} inputs only")
            with self.naming(node):
                if self.constants.fold(node, self.attributes(node)):
                    continue
            known |= set(node.output) - {""}
            for name in dict.fromkeys(node.input):
                if name in known:
                    self.users.setdefault(name, []).append(node)

    def needed(self):
        """The nodes that the output depends on, in the order of the file."""
        wanted, nodes = {self.output}, []
        for node in reversed(self.nodes):
            if not wanted.isdisjoint(node.output):
                wanted.update(node.input)
                nodes.append(node)
        return nodes[::-1]

    # The ends of the chain

    def only(self, values, what):
        if len(values) != 1:
            names = ", ".join(repr(value.name) for value in values[:9])
            raise ValueError(f"the graph must have one {what}; got {len(values)}: {names}")
        return values[0]

    def choose_output(self, outputs):
        """The one output, or that of the probabilities of a classifier."""
        named = [o for o in outputs if o.name.startswith("probabilit")]
        return self.only(named if len(named) == 1 else list(outputs), "output").name

    def check_input(self, n):
        """The first layer must take the features of the input, as far as their number is declared."""
        axes = self.input.type.tensor_type.shape.dim
        lengths = [axis.dim_value for axis in axes if axis.WhichOneof("value") == "dim_value"]
        if len(axes) < 2 or len(lengths) < len(axes) - 1 or len(axes) > AXES:
            return
        features = lengths[1:] if len(lengths) == len(axes) else lengths
        if n not in (features[-1], math.prod(features)):
            raise ValueError(
                f"the input {self.input.name!r} has features of shape {tuple(features)}; the first "
                f"layer takes {n}"
            )

    # The chain

    def layers(self):
        value = self.input.name
        while value != self.output or value in self.users:
            users = self.users.get(value, [])
            if not users:
                raise ValueError(f"value {value!r} leads nowhere: the graph is no chain")
            with self.naming(users[0]):
                if len(users) > 1 or value in self.more_than_once(users[0]):
                    value = self.pattern(value, users)
                else:
                    value = self.step(users[0], value)
        if self.columns:
            raise ValueError("the outputs are transposed: samples must be rows")
        layers = self.chain.finish()
        if not self.transposed:
            self.check_input(layers["weights"][0].shape[1])
        for k, (W, b) in enumerate(zip(layers["weights"], layers["biases"], strict=True)):
            finite(W, f"weights[{k}]")  # what was folded into them may overflow
            finite(b, f"biases[{k}]")
        return layers

    def more_than_once(self, node):
        return [name for name in node.input if list(node.input).count(name) > 1]

    def pattern(self, value, users):
        """A known activation in several nodes, from the value where they begin to where they join."""
        found = _onnx_patterns.match(value, self.users, self.constants)
        if found is None:
            names = ", ".join(f"{self.called(u)} ({u.op_type})" for u in users)
            raise ValueError(f"value {value!r} branches into {names}: the graph is no chain")
        activation, end = found
        self.activate(users[0], activation)
        return end

    def step(self, node, value):
        """What one node does to the chain; returns the value behind it."""
        handler = getattr(self, f"on_{node.op_type}", None)
        if node.domain not in ("", "ai.onnx", "ai.onnx.ml"):
            raise self.error(node, f"is of the unknown domain {node.domain!r}")
        if self.columns and node.op_type not in (
            "Transpose",
            "Gemm",
            "Identity",
            "Cast",
            "Dropout",
        ):
            raise self.error(node, "follows a Transpose: samples must be rows")
        if any(name in self.users for name in node.output[1:]):
            raise self.error(node, "has a second output in use")
        if node.op_type in ACTIVATIONS:
            self.activate(node, self.activation(node))
        elif node.op_type in ("Add", "Sub", "Mul", "Div"):
            self.arithmetic(node, value)
        elif handler is not None:
            handler(node, value)
        else:
            found = _onnx_patterns.match(value, self.users, self.constants)
            if found is None:
                raise self.error(node, "is not supported in a chain of dense layers")
            self.activate(node, found[0])
            return found[1]
        return node.output[0]

    def activation(self, node):
        name, attribute, default = ACTIVATIONS[node.op_type]
        attributes = self.attributes(node)
        if node.op_type == "Selu" and any(
            not np.isclose(self.number(node, key, value), value, rtol=1e-6)
            for key, value in SELU.items()
        ):
            raise self.error(node, f"has other constants than {SELU}")
        if node.op_type in ("Softmax", "LogSoftmax") and attributes.get("axis", -1) not in (-1, 1):
            raise self.error(node, f"must be over the last axis; got {attributes['axis']}")
        if node.op_type == "Gelu" and attributes.get("approximate", b"none") == b"tanh":
            return "gelu_tanh"
        return (name, attributes.get(attribute, default)) if attribute else name

    def activate(self, node, activation):
        if self.chain.weight is None:
            raise self.error(node, "an activation must follow a dense layer")
        self.chain.close(activation)

    def arithmetic(self, node, value):
        first = node.input[0] == value
        c = self.vector(node, node.input[1] if first else node.input[0])
        chain = self.chain
        if node.op_type == "Add":
            chain.add(c)
        elif node.op_type == "Mul":
            if chain.before_layers:
                self.nonzero(node, c)
            chain.multiply(c)
        elif node.op_type == "Sub":
            if not first:
                chain.multiply(np.float64(-1))
            chain.add(-c if first else c)
        elif first:
            self.nonzero(node, c)
            chain.divide(c)
        else:
            raise self.error(node, "divides by the samples")

    def nonzero(self, node, c):
        if not np.all(c):
            raise self.error(node, "has a constant that is zero")

    def on_MatMul(self, node, value):
        if node.input[0] != value:
            raise self.error(node, "has its constant first: samples must be rows")
        self.product(node, self.matrix(node, node.input[1]).T)

    def on_Transpose(self, node, value):
        if self.attributes(node).get("perm", [1, 0]) != [1, 0]:
            raise self.error(node, "must exchange two axes: perm=[1, 0]")
        self.columns = not self.columns

    def on_Gemm(self, node, value):
        """alpha op(A) op(B) + beta C, the samples being A"""
        if node.input[0] != value:
            raise self.error(node, "has its constant first: samples must be rows")
        if bool(self.number(node, "transA", 0)) != self.columns:
            if value != self.input.name:
                raise self.error(node, "transposes the samples: they must be rows of A")
            self.transposed = True
        self.columns = False
        B = self.matrix(node, node.input[1])
        W = B if self.number(node, "transB", 0) else B.T
        alpha, beta = (np.float64(self.number(node, name, 1.0)) for name in ("alpha", "beta"))
        self.product(node, W if alpha == 1 else alpha * W)
        if len(node.input) > 2 and node.input[2]:
            self.chain.add(beta * self.vector(node, node.input[2]))

    def product(self, node, W):
        n = self.chain.width
        if n is not None and W.shape[1] != n:
            raise self.error(node, f"takes {W.shape[1]} features; the layer before has {n}")
        if 0 in W.shape:
            raise self.error(node, f"has no weight: shape {W.shape}")
        self.chain.product(W)

    def on_Identity(self, node, value):
        """Nothing."""

    def on_Cast(self, node, value):
        kinds = self.library.TensorProto
        if self.attributes(node).get("to") not in (kinds.FLOAT, kinds.DOUBLE, kinds.FLOAT16):
            raise self.error(node, "casts to another type than a float")

    def on_Dropout(self, node, value):
        training = node.input[2] if len(node.input) > 2 else ""
        if training and (training not in self.constants or self.constants[training].any()):
            raise self.error(node, "is in training mode")

    def on_Flatten(self, node, value):
        if self.attributes(node).get("axis", 1) != 1:
            raise self.error(node, "must keep the first axis: axis=1")

    def on_Reshape(self, node, value):
        shape, width = self.constants.shape(node), self.chain.width
        *lead, last = shape
        flat = all(n in (-1, 0, 1) for n in lead) and shape.count(-1) <= 1
        if flat and (last == -1 or (last > 0 and last == (width or last))):
            return
        # skl2onnx ends a regressor of several outputs so: sample after sample in one column
        if node.output[0] != self.output or shape not in ([-1, 1], [-1]):
            raise self.error(node, f"must only flatten the features; got shape {shape}")

    def on_PRelu(self, node, value):
        slope = self.vector(node, node.input[1])
        if slope.size != 1 and np.ptp(slope):
            raise self.error(node, "must have one slope for all")
        self.activate(node, ("leaky_relu", float(slope.ravel()[0])))

    def on_Scaler(self, node, value):
        """ai.onnx.ml: (x - offset) * scale"""
        a = self.attributes(node)
        offset, scale = (
            self.fitting(node, np.ravel(np.asarray(a.get(key, default), np.float64)))
            for key, default in (("offset", 0), ("scale", 1))
        )
        self.nonzero(node, scale)
        self.chain.add(-offset)
        self.chain.multiply(scale)

    # Operands

    def vector(self, node, name):
        """A constant that holds one number a feature, or one for all."""
        array = self.operand(node, name)
        if array.size > 1 and array.size != array.shape[-1]:
            raise self.error(
                node, f"its constant of shape {array.shape} is not one number a feature"
            )
        return self.fitting(node, array)

    def fitting(self, node, array):
        if array.size not in (1, self.chain.width or array.size):
            raise self.error(
                node, f"has a constant of {array.size} numbers for {self.chain.width} features"
            )
        return array.astype(np.float64).reshape(() if array.size == 1 else -1)

    def matrix(self, node, name):
        array = self.operand(node, name)
        if array.ndim != 2:
            raise self.error(node, f"its weights must be a matrix; got shape {array.shape}")
        return array

    def operand(self, node, name):
        if name not in self.constants:
            raise self.error(node, f"its operand {name!r} is not a constant")
        array = self.constants[name]
        if array.dtype.kind not in "fi":
            raise self.error(node, f"its operand {name!r} has dtype {array.dtype}")
        self.chain.kinds.add(array.dtype)
        return array

    def attributes(self, node):
        return {a.name: self.library.helper.get_attribute_value(a) for a in node.attribute}

    def number(self, node, name, default):
        """An attribute that is a number."""
        value = self.attributes(node).get(name, default)
        if not isinstance(value, (int, float)):
            raise self.error(node, f"attribute {name!r} must be a number; got {value!r:.80}")
        return value

    def called(self, node):
        """The name of a node, or its place in the file."""
        place = next(i for i, each in enumerate(self.nodes) if each is node)
        return repr(node.name or f"#{place}")

    def error(self, node, why):
        return Refused(f"node {self.called(node)} ({node.op_type}): {why}")

    @contextmanager
    def naming(self, node):
        """Name the node in what NumPy or a helper raises about its constants."""
        try:
            yield
        except Refused:
            raise
        except (ValueError, TypeError) as error:
            raise self.error(node, str(error)) from error
