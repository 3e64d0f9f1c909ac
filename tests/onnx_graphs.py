"""Graphs for the tests of ONNX: written down node by node, loaded, and run by onnxruntime."""

import numpy as np
import pytest

import deltanet as dn

onnx = pytest.importorskip("onnx", reason="needs the extra deltanet[onnx]")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

RANDOM = np.random.default_rng(0)
W1, W2, SQUARE = (RANDOM.standard_normal(s).astype("f4") for s in ((3, 5), (5, 2), (5, 5)))
B1, B2 = (RANDOM.standard_normal(n).astype("f4") for n in (5, 2))
POSITIVE = RANDOM.uniform(0.5, 2, 3).astype("f4")
X = RANDOM.standard_normal((6, 3)).astype("f4")


def tensor(value, name):
    return numpy_helper.from_array(np.asarray(value, order="C"), name)


def node(operator, *inputs, out=None, **attributes):
    """(operator, inputs, output, attributes): a string is a value, "" the one of the node before."""
    domain = attributes.pop("domain", "")
    return operator, inputs or ("",), out, attributes, domain


def model(*nodes, shape=("N", 3), inputs=("x",), outputs=None, opset=20, kind=TensorProto.FLOAT):
    """A graph in which each node takes what the one before it makes, unless it says otherwise."""
    made, constants, last = [], [], "x"
    for k, (operator, operands, out, attributes, domain) in enumerate(nodes):
        names = []
        for i, operand in enumerate(operands):
            if isinstance(operand, str):
                names.append(operand or last)
            else:
                names.append(f"c{k}_{i}")
                constants.append(tensor(operand, names[-1]))
        out = (out,) if isinstance(out, str) else out or (f"v{k}",)
        made.append(helper.make_node(operator, names, out, f"n{k}", domain=domain, **attributes))
        last = out[0]
    ends = [helper.make_tensor_value_info(n, kind, None) for n in outputs or (last,)]
    starts = [helper.make_tensor_value_info(n, kind, shape) for n in inputs]
    graph = helper.make_graph(made, "g", starts, ends, constants)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def loaded(proto, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
    return dn.load(path)


def run(proto, X):
    """The first float output of onnxruntime, which has to be a table."""
    runtime = pytest.importorskip("onnxruntime", reason="compares with onnxruntime")
    content = proto if isinstance(proto, bytes) else proto.SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (name,) = (i.name for i in session.get_inputs())
    outputs = session.run(None, {name: X})
    return next(y for y in outputs if y.dtype.kind == "f")


FIRST, LAST = node("Gemm", "", W1, B1), node("Gemm", "", W2, B2)
TANH = node("Tanh")


def between(*nodes):
    """Of five features."""
    return FIRST, *nodes, LAST


def unary(operator, **attributes):
    return between(node(operator, **attributes))


def f4(*values):
    return np.array(values, "f4")
