"""The constants of an ONNX graph: initializers, Constant nodes, and what only moves these about.

A tensor is read when it is used, and checked before anything is allocated for it.
"""

import math

import numpy as np

from deltanet._io._content import finite

FOLDS = ("Identity", "Cast", "Transpose", "Reshape", "Unsqueeze", "Squeeze", "Flatten")
# ONNX type -> (dtype of its raw bytes, field that holds the numbers where there are no raw bytes)
TYPES = {
    "FLOAT": ("<f4", "float_data"),
    "DOUBLE": ("<f8", "double_data"),
    "FLOAT16": ("<f2", None),
    "INT64": ("<i8", "int64_data"),
    "INT32": ("<i4", "int32_data"),
    "BOOL": ("?", "int32_data"),
}
SMALL = 64  # entries of a shape or a flag: integers in a field of variable length may have no more
AXES = 8


class Constants:
    """name -> array, by `in` and `[]`."""

    def __init__(self, library, graph):
        self.library = library
        kinds = library.TensorProto
        self.types = {getattr(kinds, name): (name, *value) for name, value in TYPES.items()}
        self.tensors, self.arrays = {}, {}
        for tensor in graph.initializer:
            if tensor.name in self.tensors:
                raise ValueError(f"constant {tensor.name!r} is there twice")
            self.tensors[tensor.name] = tensor
        if graph.sparse_initializer:
            raise ValueError("sparse initializers are not supported")

    def __contains__(self, name):
        return name in self.tensors or name in self.arrays

    def __getitem__(self, name):
        if name not in self.arrays:
            self.arrays[name] = self.read(self.tensors[name], name)
        return self.arrays[name]

    def read(self, tensor, name):
        """A tensor as an array, when its numbers are in the file and as many as its shape says."""
        what = f"constant {name!r}"
        if tensor.data_location == tensor.EXTERNAL or tensor.external_data:
            raise ValueError(
                f"{what} lies in another file, which is never opened: export the model as one file "
                "(torch.onnx.export: external_data=False)"
            )
        if tensor.data_type not in self.types:
            raise ValueError(f"{what} must hold numbers; got ONNX type {tensor.data_type}")
        if len(tensor.dims) > AXES or any(n < 0 for n in tensor.dims):
            raise ValueError(f"{what} must have up to {AXES} axes, none of negative length")
        kind, dtype, field = self.types[tensor.data_type]
        shape, dtype = tuple(tensor.dims), np.dtype(dtype)
        numbers = None if field is None or tensor.raw_data else getattr(tensor, field)
        found = len(tensor.raw_data) / dtype.itemsize if numbers is None else len(numbers)
        if math.prod(shape) != found:
            raise ValueError(f"{what} of shape {shape} and type {kind} holds {found:g} numbers")
        if numbers is None:
            array = np.frombuffer(tensor.raw_data, dtype)
        elif dtype.kind != "f" and len(numbers) > SMALL:
            raise ValueError(f"{what} has {len(numbers)} integers: more than {SMALL}")
        else:
            array = np.fromiter(numbers, dtype, len(numbers))
        if dtype.kind == "f":
            finite(array, what)
        return array.reshape(shape)

    def fold(self, node, attributes):
        """Whether the node is constant; its value is known from now on."""
        if node.op_type == "Constant":
            self.arrays[node.output[0]] = self.constant(node)
        elif node.op_type in FOLDS and node.domain in ("", "ai.onnx") and node.input[0] in self:
            self.arrays[node.output[0]] = self.moved(node, self[node.input[0]], attributes)
        else:
            return False
        return True

    def constant(self, node):
        for attribute in node.attribute:
            if attribute.name == "value":
                return self.read(attribute.t, node.output[0])
            if attribute.name in ("value_float", "value_int", "value_floats", "value_ints"):
                value = self.library.helper.get_attribute_value(attribute)
                return np.asarray(value, np.float32 if "float" in attribute.name else np.int64)
        raise ValueError("it holds no numeric tensor")

    def moved(self, node, value, attributes):
        """Only the numbers and their order matter here."""
        if node.op_type == "Transpose":
            return value.transpose(attributes.get("perm"))
        if node.op_type == "Reshape":
            return value.reshape(self.shape(node, value.shape))
        if node.op_type == "Flatten":
            return value.reshape(value.shape[0] if value.ndim else 1, -1)
        if node.op_type == "Cast":
            name, dtype, _ = self.types.get(attributes.get("to"), ("", None, None))
            if name not in ("FLOAT", "DOUBLE", "FLOAT16"):
                raise ValueError("it casts a constant to another type than a float")
            return value.astype(dtype, copy=False)
        return np.squeeze(value) if "queeze" in node.op_type else value

    def shape(self, node, old=()):
        """The target of a Reshape; a zero in it is the length that the axis has in `old`, if it is given."""
        target = self[node.input[1]] if node.input[1] in self else None
        if target is None or target.dtype.kind != "i" or not 0 < target.size <= SMALL:
            raise ValueError("its shape is not a constant")
        lengths = [int(n) for n in target.ravel()]
        return [old[i] if n == 0 and i < len(old) else n for i, n in enumerate(lengths)]
