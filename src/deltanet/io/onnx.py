"""ONNX graphs that are a chain of dense layers, through the `onnx` package (extra: onnx).

The chain is followed from the input to the output. What is passed on is an affine map of the last
activation (or of the input), collected by `Chain`; an activation, or the end, closes a layer. Constants
before the first layer become the input scaling, after the last the output scaling, in between they are
folded into the weights.
"""

import numpy as np

from deltanet.io import _onnx_patterns
from deltanet.io._affine import Chain
from deltanet.io._content import finite
from deltanet.io._files import reading

SMALL_CONSTANT = 64  # entries of a shape or a flag that is looked into
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
CONSTANT_FOLDS = ("Identity", "Cast", "Transpose", "Reshape", "Unsqueeze", "Squeeze", "Flatten")


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

    with reading(path, DecodeError), open(path, "rb") as file:
        graph = library.load_model_from_string(file.read()).graph
        return Reader(library, graph).layers()


def refuse(node, index, why):
    """A ValueError that names the node."""
    return ValueError(f"node {node.name or f'#{index}'!r} ({node.op_type}): {why}")


class Reader:
    """Follows one graph."""

    def __init__(self, library, graph):
        self.library, self.graph = library, graph
        self.index = {id(node): i for i, node in enumerate(graph.node)}
        self.chain = Chain()
        self.constants = {}
        for tensor in [*graph.initializer]:
            self.constants[tensor.name] = self.array(tensor, tensor.name)
        if graph.sparse_initializer:
            raise ValueError("sparse initializers are not supported")
        self.input = self.only(
            [i for i in graph.input if i.name not in self.constants], "inputs", graph.input
        )
        self.output = self.choose_output()
        self.users = {}
        self.fold_constants()

    # What is constant

    def array(self, tensor, name):
        """A tensor as an array, when its bytes are in the file and as many as its shape says."""
        if tensor.data_location == self.library.TensorProto.EXTERNAL or tensor.external_data:
            raise ValueError(f"constant {name!r} lies in another file, which is never opened")
        try:
            array = self.library.numpy_helper.to_array(tensor)
        except (TypeError, KeyError) as error:
            raise ValueError(f"constant {name!r} cannot be read: {error}") from error
        if array.dtype.kind == "f" or array.dtype.kind == "V":
            finite(array, f"constant {name!r}")
        return array

    def fold_constants(self):
        """Collect constants; count who uses each value that is none."""
        for node in self.needed():
            if node.op_type == "Constant":
                self.constants[node.output[0]] = self.constant(node)
            elif node.op_type in CONSTANT_FOLDS and node.input[0] in self.constants:
                self.constants[node.output[0]] = self.folded(node)
            else:
                for name in dict.fromkeys(node.input):
                    if name and name not in self.constants:
                        self.users.setdefault(name, []).append(node)

    def needed(self):
        """The nodes that the output depends on, in the order of the file."""
        wanted, nodes = {self.output}, []
        for node in reversed(self.graph.node):
            if wanted & set(node.output):
                wanted |= set(node.input)
                nodes.append(node)
        return nodes[::-1]

    def constant(self, node):
        for attribute in node.attribute:
            if attribute.name == "value":
                return self.array(attribute.t, node.output[0])
            if attribute.name in ("value_float", "value_int", "value_floats", "value_ints"):
                value = self.library.helper.get_attribute_value(attribute)
                return np.asarray(value, np.float32 if "float" in attribute.name else np.int64)
        raise self.error(node, "holds no numeric tensor")

    def folded(self, node):
        """A constant moved about: only its numbers and their order matter here."""
        value = self.constants[node.input[0]]
        if node.op_type == "Transpose":
            return value.transpose(self.attributes(node).get("perm"))
        if node.op_type == "Reshape":
            target = self.constants.get(node.input[1])
            if target is None:
                raise self.error(node, "its shape is not a constant")
            return value.reshape([int(n) or value.shape[i] for i, n in enumerate(target)])
        if node.op_type == "Flatten":
            return value.reshape(value.shape[0], -1)
        return np.squeeze(value) if "queeze" in node.op_type else value

    # The ends of the chain

    def only(self, values, what, every):
        if len(values) != 1:
            names = [value.name for value in every]
            raise ValueError(f"the graph must have one of {what}; got {len(values)} in {names}")
        return values[0]

    def choose_output(self):
        """The one output, or that of the probabilities of a classifier."""
        outputs = [o for o in self.graph.output if o.name.startswith("probabilit")]
        if len(self.graph.output) == 1:
            outputs = self.graph.output
        return self.only(outputs, "outputs", self.graph.output).name

    # The chain

    def layers(self):
        value = self.input.name
        for _ in self.graph.node:
            users = self.users.get(value, [])
            if value == self.output and not users:
                break
            if not users:
                raise ValueError(f"value {value!r} leads nowhere: the graph is no chain")
            if len(users) > 1 or value in self.more_than_once(users[0]):
                value = self.pattern(value, users)
            else:
                value = self.step(users[0], value)
        if value != self.output:
            raise ValueError(
                f"output {self.output!r} is not reached: the graph is cyclic or broken"
            )
        return self.chain.finish()

    def more_than_once(self, node):
        return [name for name in node.input if list(node.input).count(name) > 1]

    def pattern(self, value, users):
        """A known activation in several nodes, from the value that branches to where it joins."""
        found = _onnx_patterns.match(value, self.users, self.constants)
        if found is None:
            names = ", ".join(f"{u.name or self.index[id(u)]} ({u.op_type})" for u in users)
            raise ValueError(f"value {value!r} branches into {names}: the graph is no chain")
        activation, end = found
        self.activate(users[0], activation)
        return end

    def step(self, node, value):
        """What one node does to the chain; returns the value behind it."""
        handler = getattr(self, f"on_{node.op_type}", None)
        if node.domain not in ("", "ai.onnx", "ai.onnx.ml"):
            raise self.error(node, f"is of the unknown domain {node.domain!r}")
        if node.op_type in ACTIVATIONS:
            self.activate(node, self.activation(node))
        elif node.op_type in ("Add", "Sub", "Mul", "Div"):
            self.arithmetic(node, value)
        elif handler is not None:
            handler(node, value)
        else:
            raise self.error(node, "is not supported in a chain of dense layers")
        if any(name in self.users for name in node.output[1:]):
            raise self.error(node, "has a second output in use")
        return node.output[0]

    def activation(self, node):
        name, attribute, default = ACTIVATIONS[node.op_type]
        attributes = self.attributes(node)
        if node.op_type == "Selu" and any(
            not np.isclose(attributes.get(key, value), value, rtol=1e-6)
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
        if self.chain.before_layers and not np.all(c):
            raise self.error(node, "scales an input by zero")

    def on_MatMul(self, node, value):
        if node.input[0] != value:
            raise self.error(node, "has its constant first: samples must be rows")
        self.product(node, self.matrix(node, node.input[1]).T)

    def on_Gemm(self, node, value):
        a = self.attributes(node)
        if node.input[0] != value or a.get("transA", 0):
            raise self.error(node, "transposes the samples: they must be rows of A")
        B = self.matrix(node, node.input[1])
        W = (B if a.get("transB", 0) else B.T) * a.get("alpha", 1.0)
        self.product(node, W)
        if len(node.input) > 2 and node.input[2]:
            self.chain.add(self.vector(node, node.input[2]) * a.get("beta", 1.0))

    def product(self, node, W):
        n = self.chain.done[-1][0].shape[0] if self.chain.done else None
        n = n if self.chain.weight is None else self.chain.weight.shape[0]
        if n is not None and W.shape[1] != n:
            raise self.error(node, f"takes {W.shape[1]} features; the layer before has {n}")
        self.chain.product(W)

    def on_Identity(self, node, value):
        """Nothing."""

    def on_Cast(self, node, value):
        kinds = self.library.TensorProto
        if self.attributes(node).get("to") not in (kinds.FLOAT, kinds.DOUBLE, kinds.FLOAT16):
            raise self.error(node, "casts to another type than a float")

    def on_Dropout(self, node, value):
        training = self.constants.get(node.input[2]) if len(node.input) > 2 else None
        if len(node.input) > 2 and node.input[2] and (training is None or training.any()):
            raise self.error(node, "is in training mode")

    def on_Flatten(self, node, value):
        if self.attributes(node).get("axis", 1) != 1:
            raise self.error(node, "must keep the first axis: axis=1")

    def on_Squeeze(self, node, value):
        self.keeps_features(node)

    def on_Unsqueeze(self, node, value):
        self.keeps_features(node)

    def keeps_features(self, node):
        """Axes of length 1 come and go; the features stay the last that is longer."""

    def on_Reshape(self, node, value):
        target = self.constants.get(node.input[1])
        if target is None or target.size > SMALL_CONSTANT or target.size < 1:
            raise self.error(node, "its shape is not a constant")
        *lead, last = (int(n) for n in target.ravel())
        if last == 0 or [n for n in lead if n not in (-1, 0, 1)] or [*lead, last].count(-1) > 1:
            raise self.error(node, f"must only flatten the features; got shape {target.tolist()}")

    def on_Scaler(self, node, value):
        """ai.onnx.ml: (x - offset) * scale"""
        a = self.attributes(node)
        offset, scale = (
            np.asarray(a.get(key, d), np.float64) for key, d in (("offset", 0), ("scale", 1))
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
        self.chain.constants.append(array)
        return array.astype(np.float64).reshape(() if array.size == 1 else -1)

    def matrix(self, node, name):
        array = self.operand(node, name)
        if array.ndim != 2:
            raise self.error(node, f"its weights must be a matrix; got shape {array.shape}")
        self.chain.constants.append(array)
        return array.astype(np.float64)

    def operand(self, node, name):
        if name not in self.constants:
            raise self.error(node, f"its operand {name!r} is not a constant")
        array = self.constants[name]
        if array.dtype.kind not in "fiu":
            raise self.error(node, f"its operand {name!r} has dtype {array.dtype}")
        return array

    def attributes(self, node):
        return {a.name: self.library.helper.get_attribute_value(a) for a in node.attribute}

    def error(self, node, why):
        return refuse(node, self.index[id(node)], why)
