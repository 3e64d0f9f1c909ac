"""load of .onnx: the same numbers as onnxruntime, or a refusal that names the node."""

import contextlib
import io
import warnings
from itertools import pairwise

import numpy as np
import pytest
from oracle import Case, assert_close

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
    "LogSoftmax": ((FIRST, TANH, LAST, node("LogSoftmax")), "tanh"),
}


@pytest.mark.parametrize("case", CHAINS)
def test_chain_equals_onnxruntime(tmp_path, case):
    nodes, activation = CHAINS[case]
    proto = model(*nodes)
    net = loaded(proto, tmp_path)
    assert (net.sizes[0], net.dtype) == (3, np.float32)
    if activation is not None:
        assert net.activations[0] == activation
    np.testing.assert_allclose(net(X), run(proto, X), rtol=1e-5, atol=1e-5)
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
    "unknown operator": (between(node("Mish")), r"'n1' \(Mish\)"),
    "kinked otherwise": (between(node("Clip", "", f4(0)[0], f4(6)[0])), r"'n1' \(Clip\)"),
    "foreign domain": (between(node("Tanh", domain="com.acme")), r"'n1' \(Tanh\).*com\.acme"),
    "batch norm": (between(node("BatchNormalization", "", B1, B1, B1, B1)), r"'n1' \(BatchNorm"),
    "transposed samples": (between(node("Gemm", "", SQUARE, transA=1)), r"'n1' \(Gemm\).*rows"),
    "transposed outputs": ((*between(), node("Transpose")), "rows"),
    "constant first": (between(node("MatMul", SQUARE, "")), r"'n1' \(MatMul\)"),
    "two variables": (between(node("MatMul", "", "v0")), r"n1.*MatMul"),
    "skip connection": (between(TANH, node("Add", "", "v0")), r"n1.*Tanh.*n2.*Add"),
    "no activation of ours": (between(node("Mul", "v0", "v0")), r"n1.*Mul"),
    "activation of the input": ((node("Tanh"), *between()), r"'n0' \(Tanh\)"),
    "divided by the samples": (between(node("Div", f4(1), "")), r"'n1' \(Div\)"),
    "divided by zero": (between(node("Div", "", f4(0))), r"'n1' \(Div\)"),
    "input times zero": ((node("Mul", "", f4(0, 1, 1)), *between()), r"'n0' \(Mul\)"),
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
    "two outputs": (lambda: model(*between(TANH), outputs=("v2", "v1")), "one output"),
    "no node": (lambda: model(outputs=("x",)), "no dense layer"),
    "features": (lambda: model(*between(), shape=("N", 4)), r"shape \(4,\).*takes 3"),
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
    proto = model(*between(node("Mish")))
    for each in proto.graph.node:
        each.name = ""
    with pytest.raises(ValueError, match=r"node '#1' \(Mish\)"):
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


# What torch exports


def torch_model(torch, names):
    """Linear layers of different widths, one activation behind each."""
    nn = torch.nn
    known = {
        "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(0.2),
        "prelu": nn.PReLU(), "elu": nn.ELU(0.5), "selu": nn.SELU(), "softplus": nn.Softplus(),
        "softplus 3": nn.Softplus(3.0), "gelu": nn.GELU(), "gelu_tanh": nn.GELU("tanh"),
        "silu": nn.SiLU(), "softsign": nn.Softsign(), "softmax": nn.Softmax(-1),
        "log_softmax": nn.LogSoftmax(-1), "identity": nn.Identity(), "dropout": nn.Dropout(0.5),
        "flatten": nn.Flatten(),
    }  # fmt: skip

    class Formula(nn.Module):
        def __init__(self, f):
            super().__init__()
            self.forward = f

    known["sin"] = Formula(lambda v: torch.sin(v))
    known["gaussian"] = Formula(lambda v: torch.exp(-(v**2)))
    known["lecun_tanh"] = Formula(lambda v: 1.7159 * torch.tanh(v * 2 / 3))
    torch.manual_seed(0)
    widths = [3 + k % 3 for k in range(len(names) + 1)]
    parts = [
        part
        for (n_in, n_out), name in zip(pairwise(widths), names, strict=True)
        for part in (nn.Linear(n_in, n_out), known[name])
    ]
    return nn.Sequential(*parts).eval()


def exported(torch, module, X, dynamo, **options):
    target = io.BytesIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of the exporter about itself
        if dynamo:
            pytest.importorskip("onnxscript", reason="the dynamo exporter needs onnxscript")
            batch = {0: torch.export.Dim.DYNAMIC}
            program = torch.onnx.export(
                module, (torch.from_numpy(X),), dynamo=True, dynamic_shapes=(batch,), **options
            )
            program.save(target)
        else:
            axes = {"input_names": ["x"], "dynamic_axes": {"x": {0: "N"}}}
            torch.onnx.export(module, torch.from_numpy(X), target, dynamo=False, **axes, **options)
    return target.getvalue()


SEQUENCES = {  # every activation in two nets, and each kind of end
    "all": "tanh sigmoid relu leaky_relu prelu elu selu softplus identity",
    "rest": "gelu gelu_tanh silu softsign sin gaussian lecun_tanh softplus dropout flatten log_softmax",
    "softplus 3": "tanh softplus softmax",
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "legacy"])
@pytest.mark.parametrize("case", SEQUENCES)
def test_what_torch_exports(tmp_path, case, dynamo):
    torch = pytest.importorskip("torch", reason="compares with torch")
    names = SEQUENCES[case].split()
    if case == "softplus 3":
        names[1] = case
    module = torch_model(torch, names)
    content = exported(torch, module, X, dynamo)
    net = loaded(content, tmp_path)
    y = module(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(net(X), y, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(net(X), run(content, X), rtol=1e-5, atol=1e-5)
    linear = [part for part in module if isinstance(part, torch.nn.Linear)]
    assert len(net.weights) == len(linear)
    assert net.input_scale is None
    inputs = torch.from_numpy(X[:2]).requires_grad_()
    exact = torch.autograd.functional.jacobian(lambda v: module(v).sum(0), inputs)
    assert_close(net.input_jacobian(X[:2]), exact.numpy().transpose(1, 0, 2), 1e-4)


def test_a_large_export_of_two_files_is_refused_with_the_way_out(tmp_path):
    torch = pytest.importorskip("torch", reason="compares with torch")
    pytest.importorskip("onnxscript", reason="the dynamo exporter needs onnxscript")
    module, path = torch.nn.Sequential(torch.nn.Linear(64, 80)), tmp_path / "net.onnx"
    x = torch.zeros(2, 64)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(module, (x,), dynamo=True)
    program.save(path, external_data=True)
    with pytest.raises(ValueError, match=r"another file.*external_data=False"):
        dn.load(path)
    program.save(path, external_data=False)
    y = module(x).detach().numpy()
    np.testing.assert_allclose(dn.load(path)(x.numpy()), y, rtol=1e-5, atol=1e-5)


# What skl2onnx exports


PERCEPTRONS = {  # class, activation, columns of Y, scaled, words of a refusal
    "regressor": ("MLPRegressor", "tanh", 2, False, None),
    "one output": ("MLPRegressor", "relu", 1, False, None),
    "logistic": ("MLPRegressor", "logistic", 3, False, None),
    "linear": ("MLPRegressor", "identity", 2, False, None),
    "scaled": ("MLPRegressor", "tanh", 2, True, None),
    "three classes": ("MLPClassifier", "relu", "classes", False, None),
    "scaled classes": ("MLPClassifier", "tanh", "classes", True, None),
    "several labels": ("MLPClassifier", "tanh", "labels", False, None),
    "two classes": ("MLPClassifier", "tanh", "two", False, "branches|Concat"),
}


@pytest.mark.filterwarnings("ignore")  # of libraries about each other, and of few steps of training
@pytest.mark.parametrize("case", PERCEPTRONS)
def test_what_skl2onnx_exports(tmp_path, case):
    network = pytest.importorskip("sklearn.neural_network", reason="needs scikit-learn")
    skl2onnx = pytest.importorskip("skl2onnx", reason="needs skl2onnx")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kind, activation, target, scaled, words = PERCEPTRONS[case]
    data = np.random.default_rng(1).standard_normal((60, 4)).astype("f4") * (1, 2, 3, 4)
    labels = {
        "classes": np.arange(60) % 3,
        "two": np.arange(60) % 2,
        "labels": np.random.default_rng(2).integers(0, 2, (60, 3)),
    }
    Y = labels[target] if target in labels else data @ np.ones((4, target)) + np.arange(target)
    Y = Y.ravel() if target == 1 else Y
    mlp = getattr(network, kind)(
        hidden_layer_sizes=(7, 5), activation=activation, max_iter=20, random_state=0
    )
    fitted = (make_pipeline(StandardScaler(), mlp) if scaled else mlp).fit(data, Y)
    options = {"zipmap": False} if kind == "MLPClassifier" else None
    content = skl2onnx.to_onnx(
        fitted, data[:1].astype("f4"), options=options and {id(mlp): options}
    ).SerializeToString()
    if words is not None:
        with pytest.raises(ValueError, match=words):
            loaded(content, tmp_path)
        return
    net = loaded(content, tmp_path)
    exact = fitted.predict_proba(data) if kind == "MLPClassifier" else fitted.predict(data)
    exact = exact.reshape(60, -1)
    assert net.sizes == (4, 7, 5, exact.shape[1])
    assert (net.input_scale is not None) == scaled
    np.testing.assert_allclose(net(data), exact, rtol=0, atol=1e-5 * abs(exact).max())
    np.testing.assert_allclose(
        net(data),
        run(content, data.astype("f4")).reshape(60, -1),
        rtol=1e-5,
        atol=1e-5 * abs(exact).max(),
    )
