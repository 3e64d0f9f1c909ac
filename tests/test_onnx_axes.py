"""Axes of ONNX values: samples and features are told apart, or the graph is refused."""

import numpy as np
import pytest
from onnx_graphs import (
    B1,
    B2,
    FIRST,
    LAST,
    SQUARE,
    TANH,
    W1,
    W2,
    between,
    f4,
    loaded,
    model,
    node,
    run,
)

from deltanet._io.onnx.axes import Axis, Count, reshaped

RANDOM = np.random.default_rng(3)
IMAGE = RANDOM.standard_normal((2, 3)).astype("f4")
SIX = RANDOM.standard_normal((6, 5)).astype("f4")


def i8(*values):
    return np.array(values, "i8")


def seen(last):
    """x.view(x.shape[0], last), as torch's exporter writes it."""
    return (
        node("Shape", out="s"),
        node("Gather", "s", np.array(0), out="n", axis=0),
        node("Unsqueeze", "n", i8(0), out="n1"),
        node("Concat", "n1", i8(last), out="shape", axis=0),
    )


CASES = {  # declared shape, shape of the samples that onnxruntime is given, nodes
    "flat": (("N", 3), (4, 3), between(TANH)),
    "nothing declared": (None, (4, 3), (*between(TANH), node("Softmax", axis=1))),
    "features not declared": (("N", None), (4, 3), (node("Sub", "", B1[:3]), *between(TANH))),
    "features not declared, a number": (
        ("N", None),
        (4, 3),
        (node("Mul", "", f4(2)), node("Reshape", "", i8(0, -1)), *between(TANH)),
    ),
    "one sample": ((1, 3), (1, 3), (node("Reshape", "", i8(1, -1)), *between(TANH))),
    "one sample, its axis dropped": (
        (1, 3),
        (1, 3),
        (node("Squeeze", "", i8(0)), node("MatMul", "", W1), TANH, node("MatMul", "", W2)),
    ),
    "a vector": ((3,), (3,), (node("MatMul", "", W1), node("Add", "", B1), TANH)),
    "W times a vector": ((3,), (3,), (node("MatMul", W1.T, ""), node("Add", "", B1), TANH)),
    "an axis between": (
        ("N", 1, 3),
        (4, 1, 3),
        (node("MatMul", "", W1), node("Add", "", B1), node("Softmax", axis=-1)),
    ),
    "rows of rows": (
        ("N", 7, 3),
        (4, 7, 3),
        (node("MatMul", "", W1), node("Add", "", B1), node("Softmax", axis=2)),
    ),
    "rows of rows, both free": (
        ("N", "T", 3),
        (4, 7, 3),
        (node("MatMul", "", W1), node("Add", "", B1), TANH),
    ),
    "image": (
        ("N", 2, 3),
        (4, 2, 3),
        (node("Sub", "", IMAGE), node("Flatten"), node("Gemm", "", SIX, B1), TANH, LAST),
    ),
    "image, its channels scaled": (
        ("N", 2, 3),
        (4, 2, 3),
        (
            node("BatchNormalization", "", f4(1, 2), f4(3, 4), f4(0.5, 1), f4(2, 3)),
            node("Reshape", "", i8(0, -1)),
            node("Gemm", "", SIX, B1),
            TANH,
        ),
    ),
    "image, turned": (
        ("N", 2, 3),
        (4, 2, 3),
        (node("Transpose", perm=[0, 2, 1]), node("Flatten"), node("Gemm", "", SIX, B1), TANH),
    ),
    "image, its axes to the front": (
        ("N", 2, 3),
        (4, 2, 3),
        (
            node("Transpose", perm=[2, 0, 1]),
            node("Transpose", perm=[1, 0, 2]),
            node("Flatten"),
            node("Gemm", "", SIX, B1),
        ),
    ),
    "image, one row of it": (
        ("N", 2, 3),
        (4, 2, 3),
        (node("Gather", "", np.array(1), axis=1), *between(TANH)),
    ),
    "view": (
        ("N", 2, 3),
        (4, 2, 3),
        (*seen(-1), node("Reshape", "x", "shape"), node("Gemm", "", SIX)),
    ),
    "view of a number": (
        ("N", 2, 3),
        (4, 2, 3),
        (*seen(6), node("Reshape", "x", "shape"), node("Gemm", "", SIX)),
    ),
    "there and back": (
        ("N", 3),
        (4, 3),
        (
            FIRST,
            node("Unsqueeze", "", i8(1)),
            TANH,
            node("Squeeze", "", i8(-2)),
            node("Reshape", "", i8(-1, 1, 5)),
            node("Reshape", "", i8(0, 5)),
            node("Flatten", axis=-1),
            LAST,
        ),
    ),
    "squeezed at the end": (
        ("N", 3),
        (4, 3),
        (FIRST, TANH, node("Gemm", "", W2[:, :1]), node("Squeeze", "", i8(-1))),
    ),
    "a product that leaves no axis": (
        ("N", 3),
        (4, 3),
        (FIRST, TANH, node("MatMul", "", W2[:, 0])),
    ),
    "outputs in one column": (("N", 3), (4, 3), (*between(TANH), node("Reshape", "", i8(-1, 1)))),
    "outputs in two axes": (
        ("N", 3),
        (4, 3),
        (FIRST, TANH, node("Gemm", "", SIX.T), node("Reshape", "", i8(-1, 2, 3))),
    ),
    "softmax over all of an image": (
        ("N", 3),
        (4, 3),
        (FIRST, node("Unsqueeze", "", i8(1)), node("Softmax", axis=-1)),
    ),
    "samples turned twice": (
        ("N", 3),
        (4, 3),
        (
            node("Transpose"),
            node("MatMul", W1.T, ""),
            node("Add", "", B1[:, None]),
            TANH,
            node("MatMul", W2.T, ""),
            node("Add", B2[:, None], ""),
            node("Transpose"),
        ),
    ),
    "rows of B": (
        ("N", 3),
        (4, 3),
        (node("Gemm", W1, "", B1[:, None], transA=1, transB=1), node("Transpose"), TANH, LAST),
    ),
    "all axes of one squeezed": (("N", 1, 3), (4, 1, 3), (node("Squeeze"), *between(TANH))),
    "one sample, picked": (
        (1, 3),
        (1, 3),
        (node("Gather", "", np.int64(0), axis=0), node("MatMul", "", W1), TANH),
    ),
    "one sample, reshaped": (
        (1, 3),
        (1, 3),
        (node("Reshape", "", i8(3)), node("MatMul", "", W1), TANH),
    ),
    "features extracted": (
        ("N", 3),
        (4, 3),
        (node("ArrayFeatureExtractor", "", i8(2, 0, 1), domain="ai.onnx.ml"), *between(TANH)),
    ),
    "split into nearly equal parts": (
        ("N", 3),
        (4, 3),
        between(
            TANH,
            node("Split", axis=1, num_outputs=2, out=("a", "b")),
            node("Concat", "b", "a", axis=1),
        ),
    ),
    "a head, and some of another": (
        ("N", 3),
        (4, 3),
        (
            FIRST,
            node("Tanh", out="h"),
            node("MatMul", "h", SIX.T, out="a"),
            node("Gather", "a", i8(4, 0, 4), axis=1, out="b"),
            node("Gather", "h", i8(3, 1), axis=1, out="c"),
            node("MatMul", "c", W2[:2], out="d"),
            node("Concat", "b", "d", axis=1),
        ),
    ),
    "constants moved": (
        ("N", 3),
        (4, 3),
        (
            node("Slice", np.concatenate([W1, -W1])[:, :, None], i8(1), i8(4), i8(0), out="s"),
            node("Flatten", "s", out="w"),
            node("Squeeze", B1[None], i8(0), out="b"),
            node("Gemm", "x", "w", "b"),
            TANH,
        ),
    ),
    "a constant as a list": (
        ("N", 3),
        (4, 3),
        (
            node("Constant", value_floats=B1.tolist(), out="b"),
            node("Gemm", "x", W1, "b"),
            TANH,
        ),
    ),
    "the number of samples declared": (
        (8, 3),
        (8, 3),
        (FIRST, node("Reshape", "", i8(8, 1, 5)), node("Reshape", "", i8(8, -1)), TANH, LAST),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_onnxruntime(tmp_path, case):
    declared, given, nodes = CASES[case]
    proto = model(*nodes, shape=declared)
    net = loaded(proto, tmp_path)
    X = RANDOM.standard_normal(given).astype("f4")
    y = run(proto, X)
    np.testing.assert_allclose(
        net(X.reshape(-1, net.sizes[0])), y.reshape(-1, net.sizes[-1]), rtol=1e-5, atol=1e-5
    )


COLUMNS = {  # declared shape, samples, nodes: samples are columns of the input and of the output
    "free": ((3, "N"), 4, (node("MatMul", W1.T, ""), node("Add", "", B1[:, None]), TANH)),
    "one": ((3, 1), 1, (node("MatMul", W1.T, ""), node("Add", "", B1[:, None]), TANH)),
    "Gemm": ((3, "N"), 4, (node("Gemm", W1, "", B1[:, None], transA=1), TANH)),
    "softmax": ((3, "N"), 4, (node("MatMul", W1.T, ""), node("Softmax", axis=0))),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_samples_may_be_columns(tmp_path, case):
    declared, N, nodes = COLUMNS[case]
    proto = model(*nodes, shape=declared)
    X = RANDOM.standard_normal((3, N)).astype("f4")
    np.testing.assert_allclose(loaded(proto, tmp_path)(X.T), run(proto, X).T, rtol=1e-5, atol=1e-5)


REFUSED = {  # declared shape, opset, nodes, words
    "softmax over an axis of one": (
        ("N", 1, 3),
        20,
        (node("MatMul", "", W1), node("Softmax", axis=1)),
        r"'n1' \(Softmax\).*axis 1 of 3",
    ),
    "softmax over rows of rows": (
        ("N", 7, 3),
        20,
        (node("MatMul", "", W1), node("Softmax", axis=1)),
        r"'n1' \(Softmax\)",
    ),
    "softmax over all rows, before opset 13": (
        ("N", 7, 3),
        11,
        (node("MatMul", "", W1), node("Softmax", axis=1)),
        r"'n1' \(Softmax\)",
    ),
    "log softmax over samples": (
        ("N", 3),
        20,
        (FIRST, node("LogSoftmax", axis=0)),
        r"'n1' \(LogSoftmax\)",
    ),
    "softmax behind a mixture": (
        ("N", 3),
        20,
        (FIRST, node("Reshape", "", i8(1, -1)), node("Softmax", axis=-1)),
        r"'n2' \(Softmax\).*'n1' \(Reshape\), which mixes",
    ),
    "features mixed with samples": (
        ("N", 4, 3),
        20,
        (node("Reshape", "", i8(-1, 6)), node("Gemm", "", SIX)),
        r"'n1' \(Gemm\).*'n0' \(Reshape\), which mixes",
    ),
    "samples flattened": (("N", 3), 20, (node("Flatten", axis=0), *between()), r"'n0' \(Flatten\)"),
    "a fixed number of samples": (
        ("N", 3),
        20,
        (FIRST, node("Reshape", "", i8(1, 5)), LAST),
        r"'n2' \(Gemm\).*'n1' \(Reshape\)",
    ),
    "squeezed samples": (
        ("N", 3),
        20,
        (FIRST, node("Squeeze", "", i8(0)), LAST),
        r"'n1' \(Squeeze\).*axis 0",
    ),
    "batch norm of samples": (
        (3, "N"),
        20,
        (node("MatMul", W1.T, ""), node("BatchNormalization", "", *[f4(1, 1, 1, 1)] * 4)),
        r"'n1' \(BatchNorm",
    ),
    "more features than are declared": (("N", 4), 20, between(), r"'n0' \(Gemm\).*takes 3.*has 4"),
    "a constant that makes samples": (
        ("N", 3),
        20,
        (node("Add", "", np.ones((4, 1, 3), "f4")), node("MatMul", "", W1)),
        r"'n0' \(Add\)",
    ),
    "a constant that makes features": (
        ("N", 3),
        20,
        (FIRST, TANH, node("Gemm", "", W2[:, :1]), node("Add", "", B2)),
        r"'n3' \(Add\).*2 numbers.*1 features",
    ),
    "two axes of features": (
        ("N", 3),
        20,
        (FIRST, node("Gemm", "", SIX.T), node("Reshape", "", i8(-1, 2, 3)), node("MatMul", "", W1)),
        r"'n3' \(MatMul\).*\(2, 3\)",
    ),
    **{
        name: (("N", 3), 20, (FIRST, *nodes), words)
        for name, (words, *nodes) in {
            "an axis too many": (
                "names axis 5 of a value that has 2",
                node("Gather", "", i8(0), axis=5),
            ),
            "flattened from nowhere": ("names axis 4 of a", node("Flatten", axis=4)),
            "an activation over nothing": ("names axis 4 of a", node("Softmax", axis=4)),
            "an axis twice": ("each axis once", node("Transpose", perm=[0, 0])),
            "a shape of two unknowns": ("shape that is not known", node("Reshape", "", i8(-1, -1))),
            "a third axis copied": ("the length of axis 2", node("Reshape", "", i8(0, 0, 0))),
            "a shape of floats": ("its shape is not a constant", node("Reshape", "", f4(1, 5))),
            "no feature": ("leaves no feature", node("Gather", "", i8(), axis=1)),
            "parts": (
                r"splits 5 features into \[2, 2\]",
                node("Split", "", i8(2, 2), axis=1, out=("a", "b")),
                node("Add", "a", "b"),
            ),
            "a step of 0": (
                "a start, an end and a step",
                node("Slice", "", i8(0), i8(2), i8(1), i8(0)),
            ),
            "places as floats": ("indices are not constant", node("Gather", "", f4(1), axis=1)),
            "features as floats": (
                "indices are not constant",
                node("ArrayFeatureExtractor", "", f4(1), domain="ai.onnx.ml"),
            ),
            "samples as places": ("input 0 must come from the samples", node("Gather", W1, "")),
            "axes as floats": ("its axes must be constant integers", node("Squeeze", "", f4(1))),
            "a hard shrink": ("must be a soft shrink", node("Shrink", lambd=1.0, bias=0.0)),
            "two limits in one": ("must have one limit", node("Max", "", f4(0), f4(1))),
            "the larger of two": (
                "compares two values",
                node("Tanh", out="h"),
                node("Max", "v0", "h"),
            ),
            "a sine of constants": (
                "computes with constants in a way that is not supported",
                node("Sin", B1, out="c"),
                node("Add", "v0", "c"),
            ),
            "a constant of text": (
                "it holds no numeric tensor",
                node("Constant", value_string="a", out="c"),
                node("Add", "v0", "c"),
            ),
            "a constant cast to text": (
                "casts a constant to a type",
                node("Cast", B1, to=8, out="c"),
                node("Add", "v0", "c"),
            ),
            "a branch divided by zero": (
                "divides by zero",
                node("Tanh", out="h"),
                node("Div", "h", f4(0), out="a"),
                node("Concat", "a", "h", axis=1),
            ),
            "joined along a fourth axis": (
                "along one of their 2 axes; got axis 3",
                node("Tanh", out="h"),
                node("Concat", "h", "h", axis=3),
            ),
            "joined along the samples": (
                "must join features",
                node("Tanh", out="h"),
                node("Concat", "h", "h", axis=0),
            ),
            "a weight of nothing": ("has no weight", node("MatMul", "", SIX[:0].T)),
            "an axis of broadcasting": ("before opset 7", node("Add", "", B1, axis=1)),
            "a factor of text": ("'alpha' must be a number", node("Gemm", "", SQUARE, alpha="a")),
            "one number as axes": ("'perm' must be a list of int", node("Transpose", perm=1)),
            "spatial": (
                "spatial=0",
                node("BatchNormalization", "", *[abs(B1)] * 4, spatial=0),
            ),
        }.items()
    },
    "axes not named": (("N", 3), 11, (node("Unsqueeze"),), "names no axes"),
    "no ends": (("N", 3), 9, (node("Slice", starts=[0]),), "names no starts or no ends"),
    "a table for Gemm": (("N", 1, 3), 20, (FIRST,), "must be given two axes; got 3"),
    "parts of an unknown number": (
        ("N", None),
        20,
        (node("Split", "", i8(1, 2), axis=1, out=("a", "b")), node("MatMul", "a", W1[:1])),
        "must split features, of a number that is known",
    ),
    "columns flattened": (
        (3, "N"),
        20,
        (node("MatMul", W1.T, ""), node("Flatten")),
        "the samples are not the rows",
    ),
    "columns reshaped": (
        (3, "N"),
        20,
        (node("MatMul", W1.T, ""), node("Reshape", "", i8(1, -1))),
        "reshapes a value in which the samples are not the rows",
    ),
    "turned outputs": (("N", 3), 20, (*between(), node("Transpose")), "samples must be rows"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_by_name(tmp_path, case):
    declared, opset, nodes, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        loaded(model(*nodes, shape=declared, opset=opset), tmp_path)


@pytest.mark.parametrize("opset", [9, 11, 12])
def test_a_softmax_of_old_takes_all_axes_from_its_own_on(tmp_path, opset):
    """(N, 1, 5) from axis 1 on is the features; in opset 13 it would be an axis of length 1."""
    nodes = node("MatMul", "", W1), node("Softmax", axis=1)
    proto = model(*nodes, shape=("N", 1, 3), opset=opset)
    net = loaded(proto, tmp_path)
    X = RANDOM.standard_normal((4, 1, 3)).astype("f4")
    assert net.activations == ("softmax",)
    np.testing.assert_allclose(net(X[:, 0]), run(proto, X)[:, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("opset", [7, 9, 11])
def test_axes_and_limits_as_attributes_of_old(tmp_path, opset):
    nodes = (
        node("MatMul", "", SQUARE[:3]),
        node("BatchNormalization", "", B1, B1, B1, abs(B1)),
        TANH,
        node("Split", out=("a", "b"), axis=1, split=[2, 3]),
        node("Unsqueeze", "b", axes=[1]),
        node("Squeeze", axes=[1]),
    )
    if opset < 10:
        nodes = (*nodes, node("Slice", axes=[1], starts=[0], ends=[2]))
    proto = model(*nodes, opset=opset)
    X = RANDOM.standard_normal((4, 3)).astype("f4")
    np.testing.assert_allclose(loaded(proto, tmp_path)(X), run(proto, X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("target", "expected"), [([1, 3], (Axis(1), Axis(3))), ([Count((0,)), 3], None)]
)
def test_features_alone_are_not_given_an_axis_of_samples(target, expected):
    assert reshaped((Axis(3),), target) == expected
