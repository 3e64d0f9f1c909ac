"""Graphs that torch and skl2onnx export: the same numbers as theirs."""

import contextlib
import io
import warnings
from itertools import pairwise

import numpy as np
import pytest
from onnx_graphs import X, loaded, run
from oracle import assert_close
from random_graphs import Maker

import deltanet as dn

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


def test_an_export_of_two_files(tmp_path):
    torch = pytest.importorskip("torch", reason="compares with torch")
    pytest.importorskip("onnxscript", reason="the dynamo exporter needs onnxscript")
    module, path = torch.nn.Sequential(torch.nn.Linear(64, 80)), tmp_path / "net.onnx"
    x = torch.randn(2, 64)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(module, (x,), dynamo=True)
    program.save(path, external_data=True)
    assert path.stat().st_size < 80 * 64
    y = module(x).detach().numpy()
    np.testing.assert_allclose(dn.load(path)(x.numpy()), y, rtol=1e-5, atol=1e-5)
    (beside,) = set(tmp_path.iterdir()) - {path}
    beside.unlink()
    with pytest.raises(ValueError, match=r"another file.*external_data=False"):
        dn.load(path)


# What skl2onnx exports


PERCEPTRONS = {  # class, activation, columns of Y, scaled, with a ZipMap
    "regressor": ("MLPRegressor", "tanh", 2, False, False),
    "one output": ("MLPRegressor", "relu", 1, False, False),
    "logistic": ("MLPRegressor", "logistic", 3, False, False),
    "linear": ("MLPRegressor", "identity", 2, False, False),
    "scaled": ("MLPRegressor", "tanh", 2, True, False),
    "three classes": ("MLPClassifier", "relu", "classes", False, True),
    "scaled classes": ("MLPClassifier", "tanh", "classes", True, False),
    "several labels": ("MLPClassifier", "tanh", "labels", False, False),
    "two classes": ("MLPClassifier", "tanh", "two", False, True),
    "two classes, scaled": ("MLPClassifier", "relu", "two", True, False),
}


@pytest.mark.filterwarnings("ignore")  # of libraries about each other, and of few steps of training
@pytest.mark.parametrize("case", PERCEPTRONS)
def test_what_skl2onnx_exports(tmp_path, case):
    network = pytest.importorskip("sklearn.neural_network", reason="needs scikit-learn")
    skl2onnx = pytest.importorskip("skl2onnx", reason="needs skl2onnx")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kind, activation, target, scaled, zipmap = PERCEPTRONS[case]
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
    options = {id(mlp): {"zipmap": False}} if kind == "MLPClassifier" and not zipmap else None
    content = skl2onnx.to_onnx(fitted, data[:1].astype("f4"), options=options).SerializeToString()
    net = loaded(content, tmp_path)
    exact = fitted.predict_proba(data) if kind == "MLPClassifier" else fitted.predict(data)
    exact = exact.reshape(60, -1)
    assert net.sizes == (4, 7, 5, *([1] if target == "two" else []), exact.shape[1])
    assert (net.input_scale is not None) == scaled
    np.testing.assert_allclose(net(data), exact, rtol=0, atol=1e-5 * abs(exact).max())
    if not zipmap:  # with it, onnxruntime gives a dictionary a sample
        y = run(content, data.astype("f4")).reshape(60, -1)
        np.testing.assert_allclose(net(data), y, rtol=1e-5, atol=1e-5 * abs(exact).max())


# What a random exporter exports


def compare_with_onnxruntime(tmp_path, seed):
    maker = Maker(seed)
    content = maker.make().SerializeToString()
    X = maker.samples(5)
    y, net = run(content, X), loaded(content, tmp_path)
    X, y = (X.T, y.T) if maker.columns else (X.reshape(-1, net.sizes[0]), y)
    tolerance = 1e-5 * (1 + abs(y).max())
    np.testing.assert_allclose(
        net(X), y.reshape(-1, net.sizes[-1]), rtol=0, atol=tolerance, err_msg=f"seed {seed}"
    )


def test_random_graphs(tmp_path):
    for seed in range(300):
        compare_with_onnxruntime(tmp_path, seed)


@pytest.mark.nightly
def test_more_random_graphs(tmp_path):
    for seed in range(300, 10_000):
        compare_with_onnxruntime(tmp_path, seed)
