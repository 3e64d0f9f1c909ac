"""load of .onnx: the same numbers as onnxruntime, or a refusal that names the node."""

import warnings

import numpy as np
import pytest
from onnx_graphs import (
    B1,
    B2,
    FIRST,
    LAST,
    POSITIVE,
    SQUARE,
    TANH,
    W1,
    W2,
    TensorProto,
    X,
    between,
    f4,
    helper,
    loaded,
    model,
    node,
    numpy_helper,
    onnx,
    run,
    tensor,
    unary,
)
from oracle import Case, assert_close

import deltanet as dn

GELU = (
    node("Div", "", f4(np.sqrt(2)), out="a"),
    node("Erf", "a"),
    node("Add", "", f4(1)),
    node("Mul", "", "v0"),
    node("Mul", "", f4(0.5)),
)
SOFTPLUS = (  # of torch's exporter, where beta is not 1
    node("Mul", "", f4(3), out="a"),
    node("Softplus", "a"),
    node("Div", "", f4(3), out="b"),
    node("Greater", "a", f4(20)),
    node("Where", "", "v0", "b"),
)
CHAINS = {  # nodes; the activation that comes of them, or None
    "Gemm": (between(TANH), "tanh"),
    "Gemm, all": (
        (node("Gemm", "", W1.T, B1, transB=1, alpha=0.3, beta=-2.0), TANH, node("Gemm", "", W2)),
        "tanh",
    ),
    "Gemm, one bias": ((node("Gemm", "", W1, f4(3)), TANH, LAST), "tanh"),
    "Gemm, bias of a row": ((node("Gemm", "", W1, B1[None]), TANH, LAST), "tanh"),
    "Gemm, transA": ((node("Transpose"), node("Gemm", "", W1, B1, transA=1), TANH, LAST), "tanh"),
    "MatMul": ((node("MatMul", "", W1), node("Add", "", B1), TANH, node("MatMul", "", W2)), "tanh"),
    "Add first": ((node("MatMul", "", W1), node("Add", B1, ""), TANH, LAST), "tanh"),
    "linear layers": ((FIRST, node("MatMul", "", SQUARE), node("Add", "", B1), LAST), None),
    "input scaling": (
        (node("Sub", "", POSITIVE), node("Div", "", POSITIVE + 1), *between(TANH)),
        "tanh",
    ),
    "input, other way": (
        (node("Mul", POSITIVE, ""), node("Add", "", f4(2)), node("Sub", f4(1), ""), *between(TANH)),
        "tanh",
    ),
    "output scaling": (
        (*between(TANH), node("Mul", "", f4(-3, 0.5)), node("Add", "", f4(1, 2))),
        "tanh",
    ),
    "output, other way": (
        (*between(TANH), node("Sub", f4(1, 5), ""), node("Div", "", f4(0.25)), node("Sub", "", B2)),
        "tanh",
    ),
    "output of an activation": ((FIRST, TANH, node("Div", "", B1), node("Add", "", B1)), "tanh"),
    "scaled between": (
        between(
            node("Mul", "", B1),
            node("Add", "", f4(1)),
            TANH,
            node("Mul", "", B1),
            node("Sub", B1, ""),
        ),
        "tanh",
    ),
    "masked between": (between(TANH, node("Mul", "", f4(0, 1, 0, 1, 0))), "tanh"),
    "scale before a bias": (
        (node("MatMul", "", W1), node("Mul", "", B1), node("Add", "", B1), TANH, LAST),
        "tanh",
    ),
    "Identity, Dropout, Cast": (
        (
            node("Identity"),
            *between(TANH, node("Dropout", out=("d", "mask")), node("Identity", "d")),
        ),
        "tanh",
    ),
    "Dropout, inference": (between(TANH, node("Dropout", "", f4(0.5)[0], np.array(False))), "tanh"),
    "Cast": (
        (node("Cast", to=TensorProto.DOUBLE), node("Cast", to=TensorProto.FLOAT), *between(TANH)),
        "tanh",
    ),
    "Flatten, Reshape": (
        (
            node("Flatten"),
            *between(
                TANH, node("Reshape", "", np.array([-1, 5])), node("Reshape", "", np.array([0, -1]))
            ),
        ),
        "tanh",
    ),
    "constants moved about": (
        (
            node("Constant", out="w", value=tensor(W1.T, "")),
            node("Transpose", "w", out="t", perm=[1, 0]),
            node("Cast", "t", out="f", to=TensorProto.FLOAT),
            node("Reshape", B1.reshape(5, 1), np.array([1, -1]), out="b"),
            node("Gemm", "x", "f", "b"),
            TANH,
            LAST,
        ),
        "tanh",
    ),
    "unused nodes": (
        (node("Exp", "x", out="unused"), node("Gemm", "x", W1, B1), TANH, LAST),
        "tanh",
    ),
    "LeakyRelu": (unary("LeakyRelu", alpha=0.3), ("leaky_relu", np.float32(0.3).item())),
    "LeakyRelu, default": (unary("LeakyRelu"), "leaky_relu"),
    "Elu": (unary("Elu", alpha=0.5), ("elu", 0.5)),
    "PRelu": (between(node("PRelu", "", f4(0.25))), ("leaky_relu", 0.25)),
    "Relu": (unary("Relu"), "relu"),
    "Sigmoid": (unary("Sigmoid"), "sigmoid"),
    "Selu": (unary("Selu"), "selu"),
    "Softplus": (unary("Softplus"), "softplus"),
    "Softsign": (unary("Softsign"), "softsign"),
    "Sin": (unary("Sin"), "sin"),
    "Gelu": (unary("Gelu"), "gelu"),
    "Gelu, tanh": (unary("Gelu", approximate="tanh"), "gelu_tanh"),
    "Gelu in five nodes": (between(*GELU), "gelu"),
    "softplus in five nodes": (between(*SOFTPLUS), None),
    "silu in two": (between(node("Sigmoid"), node("Mul", "", "v0")), "silu"),
    "gaussian in a row": (between(node("Pow", "", f4(2)), node("Neg"), node("Exp")), "gaussian"),
    "gaussian by itself": (between(node("Mul", "v0", "v0"), node("Neg"), node("Exp")), "gaussian"),
    "Softmax": ((FIRST, TANH, LAST, node("Softmax", axis=1)), "tanh"),
    "Neg": (between(node("Neg"), TANH, node("Neg")), "tanh"),
    "Sum": (between(node("Sum", "", B1, f4(2)), TANH), "tanh"),
    "times zero at the input": ((node("Mul", "", f4(0, 1, 1)), *between(TANH)), "tanh"),
    "zero scale": ((*between(TANH), node("Mul", "", f4(0, 2)), node("Add", "", B2)), "tanh"),
    "zero scale of an activation": (
        (FIRST, TANH, node("Mul", "", f4(1, 0, 2, 0, 1)), node("Add", "", B1)),
        "tanh",
    ),
    "batch norm before": (
        (
            node("BatchNormalization", "", POSITIVE, W1[:, 0], W1[:, 1], POSITIVE + 1),
            *between(TANH),
        ),
        "tanh",
    ),
    "batch norm, zero gain": (
        (node("BatchNormalization", "", f4(0, 1, 2), *W1.T[:2], POSITIVE), *between(TANH)),
        "tanh",
    ),
    "batch norm between": (
        between(node("BatchNormalization", "", B1, B1, B1 + 1, B1**2, epsilon=0.1), TANH),
        "tanh",
    ),
    "batch norm behind": (
        between(TANH, node("BatchNormalization", "", B1, B1, B1 + 1, B1**2)),
        "tanh",
    ),
    "output batch norm": (
        (
            FIRST,
            TANH,
            node("MatMul", "", W2),
            node("BatchNormalization", "", B2, B2, B2 + 1, B2**2),
        ),
        "tanh",
    ),
    "softplus by three, then a bias": (
        between(node("Mul", "", f4(2)), node("Softplus"), node("Div", "", f4(2))),
        ("softplus", 2.0),
    ),
    "scaled softplus, then a bias": (
        between(node("Mul", "", abs(B1)), node("Softplus"), node("Div", "", abs(B1))),
        "softplus",
    ),
    "tanh by exp": (
        between(
            node("Mul", "", f4(-2)),
            node("Exp"),
            node("Add", "", f4(1)),
            node("Reciprocal"),
            node("Mul", "", f4(2)),
            node("Sub", "", f4(1)),
        ),
        "tanh",
    ),
    "leaky relu by Max": (
        between(node("Mul", "", f4(0.3)), node("Max", "v0", "")),
        ("leaky_relu", pytest.approx(0.3)),
    ),
    "Max": (between(node("Max", "", f4(0.5))), ("threshold", 0.5, 0.5)),
    "Max of each": (between(node("Max", B1, "")), "relu"),
    "Where": (
        between(node("Greater", "", f4(0.3), out="g"), node("Where", "g", "v0", f4(-1))),
        ("threshold", np.float32(0.3).item(), -1.0),
    ),
    "Min": (between(node("Min", "", B1)), "relu"),
    "limits by Min and Max": (
        between(node("Max", "", f4(-0.5)), node("Min", "", f4(0.25))),
        ("hardtanh", -0.5, 0.25),
    ),
    "Clip of what is within": (between(TANH, node("Clip", "", f4(-1)[0], f4(1)[0])), "tanh"),
    "Clip of scaled outputs": (
        (
            FIRST,
            TANH,
            node("Mul", "", f4(2)),
            node("Add", "", f4(1)),
            node("Clip", "", f4(-1)[0], f4(3)[0]),
        ),
        "tanh",
    ),
    "one weight twice": (
        (FIRST, node("MatMul", "", SQUARE, out="a"), TANH, node("MatMul", "", "c1_1"), LAST),
        None,
    ),
    "Slice": (
        between(TANH, node("Slice", "", np.array([0]), np.array([9]), np.array([1]))),
        "tanh",
    ),
    "Slice of outputs": (
        (FIRST, node("Slice", "", np.array([-1]), np.array([-9]), np.array([1]), np.array([-2]))),
        None,
    ),
    "Slice of an activation": (
        (FIRST, TANH, node("Slice", "", np.array([1]), np.array([3]), np.array([-1]))),
        "tanh",
    ),
    "Slice of inputs": (
        (
            node("Slice", "", np.array([1]), np.array([3]), np.array([1])),
            node("Sub", "", B2),
            node("Div", "", f4(2, 3)),
            node("Gemm", "", W1[:2], B1),
            TANH,
        ),
        "tanh",
    ),
    "Gather of inputs, one twice": (
        (
            node("Gather", "", np.array([2, 0, 2]), axis=1),
            node("Add", "", W1[:, 0]),
            *between(TANH),
        ),
        "tanh",
    ),
    "Gather of one": ((*between(TANH), node("Gather", "", np.array(1), axis=-1)), "tanh"),
    "Split": (
        (
            FIRST,
            TANH,
            node("Split", "", np.array([2, 3]), out=("a", "b"), axis=1),
            node("Neg", "b"),
        ),
        "tanh",
    ),
    "Split and Concat": (
        (
            node("Split", "", np.array([1, 2]), out=("a", "b"), axis=-1),
            node("Div", "b", f4(3)),
            node("Concat", "", "a", axis=-1),
            *between(TANH),
        ),
        "tanh",
    ),
    "two heads side by side": (
        (
            FIRST,
            node("Tanh", out="h"),
            node("Gemm", "h", W2, B2, out="a"),
            node("MatMul", "h", SQUARE, out="b"),
            node("Concat", "a", "b", axis=1),
        ),
        "tanh",
    ),
    "sum of two heads": (
        (
            FIRST,
            node("Tanh", out="h"),
            node("MatMul", "h", SQUARE, out="a"),
            node("Sub", "a", "h"),
            node("Tanh"),
        ),
        "tanh",
    ),
    "constants computed": (
        (
            node("Add", abs(B1), f4(1e-3), out="var"),
            node("Sqrt", "var", out="sd"),
            node("Div", B1, "sd", out="gain"),
            node("Gemm", "x", W1, B1),
            node("Mul", "", "gain"),
            TANH,
        ),
        "tanh",
    ),
    "LogSoftmax": ((FIRST, TANH, LAST, node("LogSoftmax")), "tanh"),
    "Shrink": (unary("Shrink", lambd=0.25, bias=0.25), ("softshrink", 0.25)),
    "multiples that are added": (
        (
            FIRST,
            node("Tanh", out="h"),
            node("Mul", "h", f4(2), out="a"),
            node("Add", "a", "h"),
            LAST,
        ),
        "tanh",
    ),
}


@pytest.mark.parametrize("case", CHAINS)
def test_chain_equals_onnxruntime(tmp_path, case):
    nodes, activation = CHAINS[case]
    proto = model(*nodes)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        net = loaded(proto, tmp_path)
    assert (net.sizes[0], net.dtype) == (3, np.float32)
    if activation is not None:
        assert net.activations[0] == activation
    np.testing.assert_allclose(net(X), run(proto, X).reshape(6, -1), rtol=1e-5, atol=1e-5)
    assert len(told) == (case == "one weight twice")
    if case.startswith("input"):
        assert net.input_scale is not None and len(net.weights) == 2
    if case.startswith("output"):
        assert net.output_scale is not None and len(net.weights) < 3


def test_doubles_stay_doubles(tmp_path):
    weights = [a.astype(float) for a in (W1, B1, W2, B2)]
    nodes = node("Gemm", "", *weights[:2]), TANH, node("Gemm", "", *weights[2:])
    proto = model(*nodes, kind=TensorProto.DOUBLE)
    net = loaded(proto, tmp_path)
    assert net.dtype == np.float64
    np.testing.assert_allclose(net(X), run(proto, X.astype(float)), rtol=1e-13)


def test_samples_may_be_the_columns_of_the_input(tmp_path):
    proto = model(node("Gemm", "", W1, B1, transA=1), TANH, LAST, shape=(3, "N"))
    expected = run(proto, np.ascontiguousarray(X.T))
    np.testing.assert_allclose(loaded(proto, tmp_path)(X), expected, rtol=1e-5, atol=1e-5)


def test_numbers_may_be_in_any_field(tmp_path):
    """Raw bytes or a list of numbers, float16 and float32."""
    plain, listed = model(*between(TANH)), model(*between(TANH))
    for constant, array in zip(listed.graph.initializer, (W1, B1, W2, B2), strict=True):
        constant.CopyFrom(
            helper.make_tensor(constant.name, TensorProto.FLOAT, array.shape, array.ravel())
        )
        assert not constant.raw_data
    assert loaded(listed, tmp_path) == loaded(plain, tmp_path)
    half = model(node("Gemm", "", W1.astype("f2")), TANH, LAST)
    assert (loaded(half, tmp_path).weights[0] == W1.T.astype("f2")).all()


BIASES = {  # nodes, which layers have a bias
    "Gemm and Gemm": (between(TANH), [True, True]),
    "Gemm without one": ((node("Gemm", "", W1), TANH, node("Gemm", "", W2)), [False, False]),
    "MatMul, Add": ((node("MatMul", "", W1), node("Add", "", B1), TANH, LAST), [True, True]),
    "MatMul": ((FIRST, TANH, node("MatMul", "", W2)), [True, False]),
    "of zeros": ((node("MatMul", "", W1), node("Add", "", 0 * B1), TANH, LAST), [True, True]),
    "scaled before": ((FIRST, TANH, node("Mul", "", B1), node("MatMul", "", W2)), [True, False]),
    "shifted before": ((FIRST, TANH, node("Add", "", B1), node("MatMul", "", W2)), [True, True]),
    "scaled behind": ((node("MatMul", "", W1), node("Mul", "", B1), TANH, LAST), [False, True]),
}


@pytest.mark.parametrize("case", BIASES)
def test_a_layer_has_a_bias_if_the_graph_adds_something(tmp_path, case):
    nodes, expected = BIASES[case]
    proto = model(*nodes)
    net = loaded(proto, tmp_path)
    assert [b is not None for b in net.biases] == expected
    assert net.num_params == 15 + 5 * expected[0] + 10 + 2 * expected[1]
    np.testing.assert_allclose(net(X), run(proto, X), rtol=1e-5, atol=1e-5)


REFUSED = {  # nodes, what the message names
    "a limit far out": (
        between(node("Max", "", f4(0)), node("Min", "", f4(90))),
        r"'n2' \(Min\).*must follow a dense layer",
    ),
    "a limit far out, inside": (
        between(node("Min", "", f4(30)), node("Exp"), node("Add", "", f4(1)), node("Log"), TANH),
        r"'n4' \(Log\)",
    ),
    "one of two jumps": (
        between(node("Greater", "", f4(0.31), out="g"), node("Where", "g", "v0", f4(0.32))),
        r"'n1' \(Greater\)",
    ),
    "unknown operator": (between(node("Det")), r"'n1' \(Det\)"),
    "constant first": (between(node("MatMul", SQUARE, "")), r"'n1' \(MatMul\).*rows"),
    "no activation of ours": (
        between(node("Mul", "v0", "v0"), node("Mul", "", "v0")),
        r"'n[12]' \(Mul\).*branches",
    ),
    "training batch norm": (
        between(node("BatchNormalization", "", B1, B1, B1, abs(B1), training_mode=1)),
        r"'n1' \(BatchNorm.*training",
    ),
    "negative variance": (
        between(node("BatchNormalization", "", B1, B1, B1, -abs(B1))),
        r"'n1' \(BatchNorm.*variance",
    ),
    "limits crossed": (between(node("Clip", "", f4(2)[0], f4(1)[0])), r"'n1' \(Clip\).*limit"),
    "sliced samples": (
        between(node("Slice", "", np.array([0]), np.array([2]), np.array([0]))),
        r"'n1' \(Slice\).*samples",
    ),
    "picked out of range": (between(node("Gather", "", np.array([9]), axis=1)), r"'n1' \(Gather"),
    "split samples": (
        between(node("Split", "", np.array([3, 3]), out=("a", "b"), axis=0), node("Identity", "a")),
        r"'n1' \(Split\).*features",
    ),
    "part of a softmax": (
        (
            FIRST,
            node("Softmax", axis=-1),
            node("Slice", "", np.array([0]), np.array([2]), np.array([1])),
        ),
        r"'n2' \(Slice\).*columns of the result",
    ),
    "softmax over samples": (
        (FIRST, node("Transpose"), node("Softmax", axis=-1), node("Transpose")),
        r"'n2' \(Softmax\).*axis",
    ),
    "constant that varies": (
        between(node("Add", "", np.ones((6, 1), "f4"))),
        r"'n1' \(Add\).*same for all samples",
    ),
    "shape of an unknown": (
        between(node("Shape"), node("Mul", "", np.array([2, 1])), node("Reshape", "v0", "v2")),
        r"'n2' \(Mul\).*number of samples",
    ),
    "foreign domain": (between(node("Tanh", domain="com.acme")), r"'n1' \(Tanh\).*com\.acme"),
    "transposed samples": (between(node("Gemm", "", SQUARE, transA=1)), r"'n1' \(Gemm\).*rows"),
    "transposed outputs": ((*between(), node("Transpose")), "rows"),
    "two variables": (between(node("MatMul", "", "v0")), r"n1.*MatMul"),
    "skip connection": (
        between(TANH, node("Add", "", "v0")),
        r"'n2' \(Add\).*not affine.*n1.*Tanh",
    ),
    "activation of the input": ((node("Tanh"), *between()), r"'n0' \(Tanh\)"),
    "divided by the samples": (between(node("Div", f4(1), "")), r"'n1' \(Div\)"),
    "divided by zero": (between(node("Div", "", f4(0))), r"'n1' \(Div\)"),
    "too many numbers": (between(node("Add", "", f4(1, 2))), r"'n1' \(Add\).*2 .*5 features"),
    "a column": (between(node("Add", "", B1[:, None])), r"'n1' \(Add\)"),
    "softmax of rows": (between(node("Softmax", axis=0)), r"'n1' \(Softmax\)"),
    "softmax inside": (between(node("Softmax")), "softmax"),
    "other selu": (between(node("Selu", alpha=1.0)), r"'n1' \(Selu\)"),
    "cast to integers": (between(node("Cast", to=TensorProto.INT64)), r"'n1' \(Cast\)"),
    "training": (between(node("Dropout", "", f4(0.5)[0], np.array(True))), r"'n1' \(Dropout\)"),
    "mask in use": (
        between(node("Dropout", out=("d", "m")), node("Cast", "m", to=1), node("Add", "", "d")),
        "Dropout",
    ),
    "flattened samples": (between(node("Flatten", axis=0)), r"'n1' \(Flatten\)"),
    "other shape": (between(node("Reshape", "", np.array([-1, 1]))), r"'n1' \(Reshape\)"),
    "shape of two axes": (between(node("Reshape", "", np.array([5, -1]))), r"'n1' \(Reshape\)"),
    "no dense layer": ((node("Mul", "", f4(2)),), "no dense layer"),
    "slopes": (between(node("PRelu", "", B1)), r"'n1' \(PRelu\)"),
    "mismatched layers": ((FIRST, node("Gemm", "", W1)), r"'n1' \(Gemm\).*takes 3.*has 5"),
    "weights of three axes": ((node("MatMul", "", W1[None]),), r"'n0' \(MatMul\)"),
    "integer weights": ((node("MatMul", "", W1.astype("u1")),), "c0_1"),
    "NaN": ((node("Gemm", "", W1 * np.nan),), "c0_1.*NaN"),
    "infinity": ((FIRST, node("Add", "", f4(np.inf))), "c1_1.*infinity"),
    "overflow": ((FIRST, node("Mul", "", f4(3e38)), node("Mul", "", f4(3e38)), LAST), "infinity"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_by_name(tmp_path, case):
    nodes, words = REFUSED[case]
    with pytest.raises(ValueError, match=words) as caught:
        loaded(model(*nodes), tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'net.onnx'}: ")
    assert "\n" not in str(caught.value)


GRAPHS = {  # a graph that is refused as a whole, words
    "two inputs": (lambda: model(*between(), inputs=("x", "z")), "one input"),
    "two outputs": (
        lambda: model(*between(TANH), outputs=("v2", "v1")),
        r"output= must name one; it has 2: 'v2', 'v1'",
    ),
    "no node": (lambda: model(outputs=("x",)), "no dense layer"),
    "features": (lambda: model(*between(), shape=("N", 4)), r"'n0' \(Gemm\).*takes 3.*has 4"),
    "output not made": (lambda: model(*between(), outputs=("z",)), "makes its output 'z'"),
    "output of constants": (
        lambda: model(*between(), node("Add", B1, B1, out="c"), outputs=("c",)),
        "'c' does not come from the samples",
    ),
    "axes": (lambda: model(*between(), shape=("N", *[1] * 40, 3)), "must have up to"),
    "cyclic": (lambda: model(node("Gemm", "v2", W1), TANH, LAST), r"'n0' \(Gemm\).*cyclic"),
    "made twice": (lambda: model(FIRST, node("Tanh", out="v0"), LAST), r"'n1' \(Tanh\).*already"),
    "unordered": (
        lambda: model(node("Tanh", "v1"), node("Gemm", "x", W1), outputs=("v0",)),
        r"'n0' \(Tanh\)",
    ),
}


@pytest.mark.parametrize("case", GRAPHS)
def test_refuses_a_graph(tmp_path, case):
    make, words = GRAPHS[case]
    with pytest.raises(ValueError, match=words):
        loaded(make(), tmp_path)


def test_a_node_without_a_name_is_counted(tmp_path):
    proto = model(*between(node("Det")))
    for each in proto.graph.node:
        each.name = ""
    with pytest.raises(ValueError, match=r"node '#1' \(Det\)"):
        loaded(proto, tmp_path)


def test_names_its_activations_itself(tmp_path):
    loaded(model(*between(TANH)), tmp_path)
    with pytest.raises(ValueError, match="names its activations"):
        dn.load(tmp_path / "net.onnx", activation="tanh")


# ACAS Xu


def acas_case(path):
    """The layers as they are in the file, in the plain numbers of the oracle."""
    constants = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    weights = [a.T for a in constants.values() if a.ndim == 2]
    case = Case((5, *[50] * 6, 5), ["relu"] * 6 + ["identity"])
    case.weights = [W.astype(float) for W in weights]
    biases = [a for name, a in constants.items() if name.endswith("_Add_B")]
    case.biases = [b.astype(float) for b in biases]
    case.scalings = [constants["input_AvgImg"].reshape(5).astype(float), np.ones(5), None, None]
    return case


@pytest.mark.parametrize("name", ["1_1", "2_7", "5_9"])
def test_acas_xu(shared, name):
    path = shared / "acasxu" / f"ACASXU_run2a_{name}.onnx"
    net, case = dn.load(path), acas_case(path)
    assert net.sizes == case.sizes
    inputs = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 5)).astype("f4")
    exact, fields = case.evaluate(inputs.astype(float))
    off = np.all([(abs(v) > 1e-4).all(axis=1) for kind, v in fields if kind == "relu"], axis=0)
    inputs, exact = inputs[off], exact[off].real
    assert len(inputs) > 10
    np.testing.assert_allclose(net(inputs), exact, rtol=0, atol=1e-5)
    double = net.astype("float64")
    assert_close(double.input_jacobian(inputs), case.input_jacobian(inputs.astype(float)), 1e-12)
    assert_close(net.input_jacobian(inputs), case.input_jacobian(inputs.astype(float)), 1e-4)
    some = inputs[:2].astype(float)
    assert_close(double.jacobian_dense(some), case.jacobian(some), 1e-12, case.blocks())
    each = [run(path.read_bytes(), x.reshape(1, 1, 1, 5))[0] for x in inputs]
    np.testing.assert_allclose(net(inputs), each, rtol=0, atol=1e-5)
