"""Every entry of every Jacobian, against a complex step of the plain formula."""

import numpy as np
import pytest
from dense_oracle import COUPLED, SPECS
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Case, assert_close

import deltanet as dn

TOLERANCE = {"float64": 1e-12, "float32": 1e-4}
SIZES = {1: (4, 3), 2: (3, 5, 2), 5: (2, 1, 6, 3, 1, 4)}
NAMES = [*SPECS, *COUPLED]


def build(case, dtype):
    return dn.MLP.from_layers(
        case.weights, case.biases, case.activations, *case.scalings, dtype=dtype
    )


def activations(name, layers):
    """`name` everywhere, or behind tanh layers where it couples the outputs."""
    return [*(["tanh" if name in COUPLED else name] * (layers - 1)), name]


def check(case, X, dtype):
    """All ways to each derivative agree with the oracle."""
    net, tolerance = build(case, dtype), TOLERANCE[dtype]
    y, exact = case.evaluate(X)[0].real, case.jacobian(X)
    exact_input = case.input_jacobian(X)
    X = X.astype(dtype)
    J = net.jacobian(X)
    assert_close(net(X), y, tolerance)
    assert_close(J.outputs, y, tolerance)
    assert J.shape == exact.shape
    assert_close(net.jacobian_dense(X), exact, tolerance, case.blocks())
    assert_close(J.to_dense(), exact, tolerance, case.blocks())
    assert_close(np.asarray(J), exact, tolerance, case.blocks())
    assert_close(net.input_jacobian(X), exact_input, tolerance)
    assert_close(J.input_jacobian(), exact_input, tolerance)
    for k, columns in enumerate(case.blocks()):
        W = case.weights[k]
        dW = exact[:, :, columns][:, :, : W.size].reshape(*exact.shape[:2], *W.shape)
        db = exact[:, :, columns][:, :, W.size :]
        largest = np.abs(exact[:, :, columns]).max(initial=0)
        assert np.abs(J.weight(k) - dW).max(initial=0) <= tolerance * largest
        if case.biases[k] is None:
            with pytest.raises(ValueError, match=f"layer {k} must be one that has a bias"):
                J.bias(k)
        else:
            assert np.abs(J.bias(k) - db).max(initial=0) <= tolerance * largest


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "scaled"])
@pytest.mark.parametrize("layers", SIZES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", NAMES, ids=str)
def test_every_activation(name, dtype, layers, scaled):
    case = Case(SIZES[layers], activations(name, layers), scaled).rounded(dtype)
    for N in (0, 1, 2, 7):
        check(case, case.inputs(N), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ["tanh", "softmax", "relu"])
def test_many_samples(name, dtype):
    case = Case((6, 8, 7, 3), activations(name, 3), scaled=True).rounded(dtype)
    check(case, case.inputs(300), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("sizes", [(70, 50, 60, 3), (9, 80, 1), (1, 90, 40)])
def test_layers_large_enough_for_blas(sizes, dtype):
    case = Case(sizes, ["tanh"] * (len(sizes) - 1)).rounded(dtype)
    for N in (1, 7):
        check(case, case.inputs(N), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("sizes", [(6, 32, 16, 4), (5, 32, 32, 20, 2), (3, 7, 32, 32, 9, 2)])
def test_layers_whose_weights_have_rows_of_whole_vectors(sizes, dtype):
    """Delta of some layers is made of the rows that are stored: plan.layers_by_rows."""
    case = Case(sizes, ["tanh"] * (len(sizes) - 1)).rounded(dtype)
    for N in (2, 7, 40):
        check(case, case.inputs(N), dtype)


def test_several_blocks():
    """More samples than one block holds: equal to each sample alone."""
    net = dn.MLP([20, 60, 60, 4], seed=0)
    X = np.random.default_rng(0).standard_normal((400, 20))
    dense, inner, y = net.jacobian_dense(X), net.input_jacobian(X), net(X)
    J = net.jacobian(X)
    np.testing.assert_array_equal(J.to_dense(), dense)
    np.testing.assert_array_equal(J.input_jacobian(), inner)
    for s in (0, 1, 30, 31, 32, 200, 399):
        np.testing.assert_allclose(dense[s], net.jacobian_dense(X[s]), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(inner[s], net.input_jacobian(X[s]), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(y[s], net(X[s]), rtol=1e-12, atol=1e-13)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=6),
    N=st.integers(0, 12),
    dtype=st.sampled_from(list(TOLERANCE)),
    scaled=st.booleans(),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_any_shape(sizes, N, dtype, scaled, seed, data):
    inner = st.sampled_from([name for name in NAMES if name not in COUPLED])
    hidden = data.draw(st.lists(inner, min_size=len(sizes) - 2, max_size=len(sizes) - 2))
    biased = data.draw(st.lists(st.booleans(), min_size=len(sizes) - 1, max_size=len(sizes) - 1))
    names = [*hidden, data.draw(st.sampled_from(NAMES))]
    case = Case(sizes, names, scaled, seed, biased).rounded(dtype)
    check(case, case.inputs(N), dtype)


@pytest.mark.parametrize("biased", [(True, True), (True, False)])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_single_sample_loses_its_axis(dtype, biased):
    case = Case((4, 6, 3), ["tanh", "softmax"], scaled=True, biased=biased).rounded(dtype)
    net, X = build(case, dtype), case.inputs(1).astype(dtype)
    x = X[0]
    J, J1 = net.jacobian(X), net.jacobian(x)
    assert J1.shape == (3, net.num_params)
    pairs = [
        (net(X), net(x)),
        (net.jacobian_dense(X), net.jacobian_dense(x)),
        (net.input_jacobian(X), net.input_jacobian(x)),
        (J.outputs, J1.outputs),
        (J.to_dense(), J1.to_dense()),
        (J.input_jacobian(), J1.input_jacobian()),
        (J.weight(1), J1.weight(1)),
        (J.bias(0), J1.bias(0)),
        *zip(J.deltas, J1.deltas, strict=True),
        *zip(J.inputs, J1.inputs, strict=True),
    ]
    for batch, single in pairs:
        np.testing.assert_array_equal(batch[0], single)


def test_check_jacobian_finds_a_wrong_derivative(monkeypatch):
    net = dn.MLP([3, 4, 2], seed=0)
    X = [[0.1, 0.2, 0.3]]
    assert dn.testing.check_jacobian(net, X).passed
    right = dn.MLP.jacobian_dense
    monkeypatch.setattr(dn.MLP, "jacobian_dense", lambda self, X: right(self, X) * (1 + 1e-9))
    found = dn.testing.check_jacobian(net, X)
    assert not found.passed
    assert found.errors == pytest.approx([1e-9, 1e-9], rel=1e-3)


@pytest.mark.parametrize("biased", [(False, False), (True, False), (False, True)])
def test_check_jacobian_without_biases(biased, monkeypatch):
    case = Case((3, 4, 2), ["tanh", "sin"], scaled=True, biased=biased)
    net, X = build(case, "float64"), case.inputs(3)
    assert dn.testing.check_jacobian(net, X).passed
    right = dn.Jacobian.weight
    monkeypatch.setattr(dn.Jacobian, "weight", lambda *args: right(*args) * (1 + 1e-9))
    assert dn.testing.check_jacobian(net, X).errors == pytest.approx([1e-9, 1e-9], rel=1)


def test_check_jacobian_finds_a_nan_of_one_way_alone(monkeypatch):
    net, X = dn.MLP([3, 4, 2], seed=0), np.ones((2, 3))
    for name in ("bias", "input_jacobian"):
        with monkeypatch.context() as patch:
            right = getattr(dn.Jacobian, name)
            patch.setattr(dn.Jacobian, name, lambda *args, right=right: right(*args) * np.nan)
            assert not dn.testing.check_jacobian(net, X).passed
    with pytest.raises(ValueError, match="X must hold one sample at least"):
        dn.testing.check_jacobian(net, X[:0])


def test_check_jacobian_of_a_few_columns():
    net = dn.MLP([30, 40, 2], seed=0)
    X = np.random.default_rng(0).standard_normal((3, 30))
    assert dn.testing.check_jacobian(net, X, max_columns=50).passed


def test_later_changes_of_the_net_do_not_reach_a_jacobian():
    net, X = dn.MLP([3, 4, 2], seed=0), np.ones((2, 3))
    J = net.jacobian(X)
    before = J.to_dense(), J.input_jacobian()
    net.params[:] = 7
    X[:] = 5
    np.testing.assert_array_equal(J.to_dense(), before[0])
    np.testing.assert_array_equal(J.input_jacobian(), before[1])
