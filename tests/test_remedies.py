"""Errors of the first hour: what the message says to do is done, and works."""

import dataclasses
import re

import numpy as np
import pytest

import deltanet as dn

X, Y = np.linspace(-1, 1, 12)[:, None], np.linspace(0, 1, 12)[:, None]
NET = dn.MLP([1, 4, 1], seed=0)
PLANE = dn.MLP([2, 4, 3], seed=0)
IW, LW, B1, B2 = np.ones((4, 2)), np.ones((1, 4)), np.ones(4), np.ones(1)
ACTIVATIONS = ["tanh", "identity"]


def matlab(b1=B1, b2=B2, LW=LW, shift=0.0):
    return dn.MLP.from_layers([IW, LW], [b1, b2], ACTIVATIONS, input_shift=shift)


# what is called with an array; an array of another shape; the end of the message; the same numbers as told
SHAPES = {
    "one input": (NET, X[:, 0], "give np.reshape(X, (-1, 1))", X),
    "one number": (NET, np.float64(0.5), "give np.reshape(X, (-1, 1))", [[0.5]]),
    "MATLAB's x, one input": (NET, X.T, "samples are rows: give X.T", X),
    "MATLAB's x": (PLANE, np.ones((2, 12)), "samples are rows: give X.T", np.ones((12, 2))),
    "fit, one input": (
        lambda A: dn.fit(NET, A, Y, max_iter=1),
        X[:, 0],
        "give np.reshape(X, (-1, 1))",
        X,
    ),
    "fit, x in columns": (
        lambda A: dn.fit(PLANE, A, np.ones((12, 3)), max_iter=1),
        np.ones((2, 12)),
        "samples are rows: give X.T",
        np.ones((12, 2)),
    ),
    "fit, one sample": (
        lambda A: dn.fit(PLANE, A, np.ones((1, 3)), max_iter=1),
        np.ones(2),
        "give np.reshape(X, (-1, 2))",
        np.ones((1, 2)),
    ),
    "fit, one output": (
        lambda A: dn.fit(NET, X, A, max_iter=1),
        Y[:, 0],
        "give np.reshape(Y, (12, 1))",
        Y,
    ),
    "fit, t in columns": (
        lambda A: dn.fit(PLANE, np.ones((12, 2)), A, max_iter=1),
        np.ones((3, 12)),
        "give Y.T",
        np.ones((12, 3)),
    ),
    "weights of samples": (
        lambda A: dn.fit(NET, X, Y, sample_weight=A, max_iter=1),
        Y,
        "give np.reshape(sample_weight, (12,))",
        Y[:, 0],
    ),
    "b{1}": (matlab, np.ones((4, 1)), "give np.reshape(biases[0], (4,))", np.ones(4)),
    "b{2}, a number": (
        lambda A: matlab(b2=A),
        np.float64(1),
        "give np.reshape(biases[1], (1,))",
        [1],
    ),
    "LW, one output": (
        lambda A: matlab(LW=A),
        LW[0],
        "give np.atleast_2d(weights[1]) if n_out is 1",
        LW,
    ),
    "xoffset": (
        lambda A: matlab(shift=A),
        np.ones((2, 1)),
        "give np.reshape(input_shift, (2,))",
        [1, 1],
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_another_shape(name):
    call, wrong, remedy, right = SHAPES[name]
    with pytest.raises(ValueError, match=rf"; got \([\d, ]*\); {re.escape(remedy)}$"):
        call(wrong)
    call(right)


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        (NET, np.ones((12, 2))),
        (PLANE, np.ones(3)),
        (lambda A: dn.fit(NET, X, A), np.ones((11, 1))),
        (lambda A: dn.fit(PLANE, np.ones((12, 2)), A), np.ones(36)),
        (matlab, np.ones((5, 1))),
    ],
)
def test_no_remedy_where_numbers_are_missing(call, wrong):
    with pytest.raises(ValueError, match=r"; got \([\d, ]*\)$"):
        call(wrong)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("policy.pt", "from_torch"),
        ("last.ckpt", "from_torch"),
        ("model.joblib", "from_sklearn"),
        ("model.keras", "from_keras"),
        ("net.mat", "scipy.io.loadmat"),
    ],
)
def test_files_of_others(name, remedy):
    with pytest.raises(ValueError, match=rf"^{name} must end in one of .*onnx; .*{remedy}"):
        dn.load(name)


def test_a_batch_norm_in_a_state_dict(tmp_path):
    arrays = {"0.weight": IW, "0.bias": B1, "1.weight": B1, "2.weight": LW, "2.bias": B2}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(
        ValueError, match=r"'1\.weight'.* BatchNorm, make the net of the live model"
    ):
        dn.load(tmp_path / "a.npz", activation="tanh")
    net = dn.load(tmp_path / "a.npz", activation="tanh", keys=["0", "2"])
    assert np.array_equal(net.weights[1], LW) and net.sizes == (2, 4, 1)


@pytest.mark.parametrize(("name", "remedy"), [("a.pt", "to_torch"), ("a.mat", "savemat")])
def test_files_for_others(tmp_path, name, remedy):
    with pytest.raises(ValueError, match=rf"{name} must end in one of .*onnx; .*{remedy}"):
        dn.save(NET, tmp_path / name)


def test_a_plateau_close_to_the_data_does_not_say_1():
    from deltanet._fit.fit import advice

    fit = dn.fit(NET, X, np.sin(X), max_iter=1)
    for explained, text in ((0.99996, "all but 4e-05 of"), (0.42, "0.42 of"), (1.0, "1 of")):
        found = dataclasses.replace(fit, explained=explained)
        assert f"the net explains {text} the variance" in advice(found, "auto")


def test_vectors_of_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    v, J = torch.linspace(0, 1, NET.num_params, dtype=torch.float64), NET.jacobian(X)
    for result in (J @ v, NET.jvp(X, v)):
        np.testing.assert_allclose(result, J.to_dense() @ v.numpy(), rtol=1e-12)
    u = torch.ones(12, 1, dtype=torch.float64)
    np.testing.assert_allclose(J.T @ u, J.to_dense().sum(axis=(0, 1)), atol=1e-12)


def test_a_clamp_before_the_first_layer():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    first = torch.nn.Hardtanh(-5.0, 5.0)
    module = torch.nn.Sequential(first, torch.nn.Linear(2, 4), torch.nn.Tanh())
    with pytest.raises(ValueError, match=r"apply it to X yourself.* pass the part behind it"):
        dn.from_torch(module)
    x = 10 * torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    net = dn.from_torch(module[1:])
    np.testing.assert_allclose(net(first(x)), module(x).detach(), atol=1e-6)


def test_steps_that_are_no_scalers():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.decomposition import PCA
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline

    def network():
        return MLPRegressor(
            hidden_layer_sizes=[4], solver="lbfgs", max_iter=500, tol=1e-2, random_state=0
        )

    data = np.random.default_rng(0).standard_normal((20, 3))
    target = np.exp(data[:, 0])
    pipeline = make_pipeline(PCA(2), network()).fit(data, target)
    with pytest.raises(ValueError, match=r"step 'pca'.*pass those behind them, as pipeline\[1:\]"):
        dn.from_sklearn(pipeline)
    net = dn.from_sklearn(pipeline[1:])
    found = net(pipeline[:1].transform(data))[:, 0]
    np.testing.assert_allclose(found, pipeline.predict(data), rtol=1e-10)
    logarithm = TransformedTargetRegressor(network(), func=np.log, inverse_func=np.exp)
    logarithm.fit(data, target)
    with pytest.raises(ValueError, match=r"transformer_ is not a scaler.*pass the regressor_"):
        dn.from_sklearn(logarithm)
    found = np.exp(dn.from_sklearn(logarithm.regressor_)(data)[:, 0])
    np.testing.assert_allclose(found, logarithm.predict(data), rtol=1e-10)
