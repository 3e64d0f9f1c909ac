"""fit and residuals against certified fits, closed forms, SciPy's solvers and complex-step gradients."""

import itertools
import math
import re
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from oracle import Case
from scipy.optimize import least_squares

import deltanet as dn

NAN, INF = math.nan, math.inf


def data(n=3, m=2, N=60, seed=0, noise=0.1):
    """Inputs and noisy targets of a smooth function."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((N, n))
    Y = np.sin(X @ random.standard_normal((n, m))) + noise * random.standard_normal((N, m))
    return X, Y


def loss(net, X, Y, weights=1.0, prior=0.0):
    """F in plain NumPy."""
    r = np.sum((net(X).astype(float) - Y) ** 2, axis=1)
    return 0.5 * np.sum(weights * r) + 0.5 * np.sum(prior * net.params.astype(float) ** 2)


def case_of(case, dtype="float64"):
    """The library's net of an oracle case."""
    shift, scale, out_shift, out_scale = case.scalings
    return dn.MLP.from_layers(
        case.weights, case.biases, case.activations, shift, scale, out_shift, out_scale, dtype
    )


# Certified data sets


def nist(shared, name):
    """(X, Y) standardised, and the certified residual, root mean square, in units of Y."""
    text = (shared / "nist_strd" / f"{name}.dat").read_text()
    rss = float(re.search(r"Residual Sum of Squares:\s+(\S+)", text)[1])
    rows = [line.split() for line in text.rpartition("Data:")[2].splitlines()[1:] if line.strip()]
    y, x = np.array(rows, float).T[:, :, None]
    return (x - x.mean()) / x.std(), (y - y.mean()) / y.std(), np.sqrt(rss / len(y)) / y.std()


@pytest.mark.parametrize(
    ("name", "rows", "bound"),
    [("Thurber", 37, 1.1), ("Hahn1", 236, 1.1), ("ENSO", 168, 1.3), ("Gauss3", 250, 1.1)],
)
def test_certified_fits(shared, name, rows, bound):
    X, Y, certified = nist(shared, name)
    assert len(X) == rows
    fits = [dn.fit(dn.MLP([1, 8, 1], seed=seed), X, Y) for seed in range(10)]
    best = min(fits, key=lambda fit: fit.loss)
    assert np.sqrt(np.mean((best.net(X) - Y) ** 2)) < bound * certified
    assert sum(fit.history["seconds"][-1] for fit in fits) < 2.5  # ten seconds for all four


SCIPY = {
    "lm": ("dense", {"method": "lm"}),
    "exact": ("dense", {"method": "trf", "tr_solver": "exact"}),
    "lsmr": ("operator", {"method": "trf", "tr_solver": "lsmr"}),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", SCIPY)
def test_scipy_reaches_the_same_loss(solver, weighted):
    X, Y = data(n=1, m=1, N=80, seed=2)
    weights = np.random.default_rng(1).uniform(0, 2, len(X)) if weighted else None
    net, (jac, options) = dn.MLP([1, 2, 1], seed=0), SCIPY[solver]
    fun, jac = dn.residuals(net, X, Y, sample_weight=weights, jac=jac)
    cost = least_squares(fun, net.params, jac, **options).cost
    assert dn.fit(net, X, Y, sample_weight=weights).loss == pytest.approx(cost, rel=0.01)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("solver", SCIPY)
def test_scipy_reaches_the_same_loss_on_thurber(shared, solver, seed):
    X, Y, _ = nist(shared, "Thurber")
    net, (jac, options) = dn.MLP([1, 2, 1], seed=seed), SCIPY[solver]
    fun, jac = dn.residuals(net, X, Y, jac=jac)
    cost = least_squares(fun, net.params, jac, **options).cost
    assert dn.fit(net, X, Y).loss == pytest.approx(cost, rel=0.01)


# Residuals


@pytest.mark.parametrize("weighted", [False, True])
def test_residuals_against_complex_step(weighted):
    case = Case([3, 4, 2], ["tanh", "identity"], scaled=True)
    X, Y = case.inputs(7), np.ones((7, 2))
    weights = np.arange(7.0) if weighted else None
    root = np.sqrt(weights)[:, None] if weighted else np.ones((7, 1))
    expected = (root * (case.evaluate(X)[0].real - Y)).ravel()
    exact = (root[..., None] * case.jacobian(X)).reshape(14, -1)
    net = case_of(case)
    net.params[:] = 0  # the functions are of their argument, not of the net
    fun, jac = dn.residuals(net, X, Y, sample_weight=weights)
    np.testing.assert_allclose(fun(case.theta), expected, atol=1e-12)
    np.testing.assert_allclose(jac(case.theta), exact, atol=1e-12)
    operator = dn.residuals(net, X, Y, sample_weight=weights, jac="operator").jac(case.theta)
    assert operator.shape == exact.shape
    np.testing.assert_allclose(operator @ np.eye(exact.shape[1]), exact, atol=1e-12)
    np.testing.assert_allclose(operator.T @ np.eye(14), exact.T, atol=1e-12)
    assert not net.params.any()


# What is minimised


def ridge(X, Y, weights, prior):
    """argmin of sum_s w_s |W x_s + b - y_s|^2 + sum_p prior_p theta_p^2, one output: a linear system."""
    X1 = np.column_stack([X, np.ones(len(X))])
    A = X1.T @ (weights[:, None] * X1) + np.diag(prior * np.ones(X1.shape[1]))
    return np.linalg.solve(A, X1.T @ (weights * Y[:, 0]))


@pytest.mark.parametrize("solver", ["direct", "cg"])
@pytest.mark.parametrize("N", [30, 3])  # the primal and the dual side
@pytest.mark.parametrize("prior", [0.3, np.array([0.1, 1.0, 2.0, 0.5, 3.0])], ids=["one", "each"])
def test_linear_net_is_ridge_regression(N, prior, solver):
    X, Y = data(n=4, m=1, N=N)
    weights = np.random.default_rng(2).uniform(0.1, 2, N)
    net = dn.MLP([4, 1], seed=0)
    options = {"prior": prior, "tol": 1e-13, "solver": solver, "scale": None}
    fit = dn.fit(net, X, Y, sample_weight=weights, **options)
    theta = ridge(X, Y, weights, prior)
    np.testing.assert_allclose(fit.net.params, theta, rtol=1e-6)
    assert fit.loss == pytest.approx(loss(fit.net, X, Y, weights, prior), rel=1e-12)
    assert fit.converged


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("solver", ["direct", "cg"])
@pytest.mark.parametrize("N", [30, 3])
def test_the_last_layer_alone_is_ridge_regression(N, solver, dtype):
    """On the outputs of the hidden layer, which stay what they are."""
    X, Y = data(n=4, m=1, N=N)
    net = dn.MLP([4, 6, 1], seed=0, dtype=dtype)
    hidden = dn.MLP.from_layers(net.weights[:1], net.biases[:1], ["tanh"], dtype="float64")
    options = {"wrt": "last", "tol": 1e-13, "solver": solver, "prior": 0.3}
    fit = dn.fit(net, X, Y, **options)
    theta = ridge(hidden(X), Y, np.ones(N), 0.3)
    limit = 1e-6 if dtype == "float64" else 1e-3
    np.testing.assert_allclose(fit.net.params[-7:], theta, rtol=limit, atol=limit)
    np.testing.assert_array_equal(fit.net.params[:-7], net.params[:-7])
    assert fit.loss == pytest.approx(loss(fit.net, X, Y, prior=0.3), rel=1e-5)
    assert fit.converged


def test_an_iterator_of_layers():
    X, Y = data()
    net = dn.MLP([3, 5, 2], seed=0)
    some = dn.fit(net, X, Y, wrt=iter([0, ("biases", 1)]), max_iter=3)
    listed = dn.fit(net, X, Y, wrt=[0, ("biases", 1)], max_iter=3)
    np.testing.assert_array_equal(some.net.params, listed.net.params)


@pytest.mark.parametrize("validation", [None, 0.3])
@pytest.mark.parametrize("wrt", ["weights", "biases", [0], [("weights", 1)]], ids=str)
def test_the_other_parameters_stay(wrt, validation):
    X, Y = data()
    net = dn.MLP([3, 5, 2], seed=0)
    net.params += 0.1
    fit = dn.fit(net, X, Y, wrt=wrt, validation=validation, max_iter=20, patience=3)
    moved = {
        (kind, k): bool((getattr(fit.net, kind)[k] != getattr(net, kind)[k]).any())
        for kind in ("weights", "biases")
        for k in range(2)
    }
    for (kind, k), changed in moved.items():
        asked = wrt == kind or (isinstance(wrt, list) and (k in wrt or (kind, k) in wrt))
        assert changed == asked
    assert loss(fit.net, X, Y) < loss(net, X, Y)


def test_nothing_to_fit():
    X, Y = data()
    with pytest.raises(ValueError, match=r"wrt must keep one parameter at least; got \[\]"):
        dn.fit(dn.MLP([3, 5, 2], seed=0), X, Y, wrt=[])
    with pytest.raises(TypeError, match="wrt must be None, 'last'"):
        dn.fit(dn.MLP([3, 5, 2], seed=0), X, Y, wrt="first")


OPTIMA = {
    "plain": (Case([3, 5, 2], ["tanh", "identity"]), 60, 0.1),
    "scaled": (Case([3, 5, 2], ["tanh", "identity"], scaled=True), 60, 0.1),
    "softmax": (Case([3, 4, 3], ["silu", "softmax"]), 60, 0.1),
    "one sample": (Case([3, 5, 2], ["tanh", "identity"]), 1, 0.1),
    "dual": (Case([3, 9, 2], ["sigmoid", "identity"]), 12, 0.1),
    "dual, a prior each": (Case([3, 9, 1], ["tanh", "identity"]), 12, "each"),
    "a prior each": (Case([3, 5, 1], ["softplus", "tanh"]), 60, "each"),
    "deep": (Case([3, 4, 4, 4, 1], ["tanh", "sin", "gelu", "identity"]), 60, 0.1),
    "no bias": (Case([3, 5, 2], ["tanh", "identity"], biased=[False, False]), 60, 0.1),
    "dual, one bias": (Case([3, 9, 1], ["tanh", "identity"], biased=[True, False]), 12, "each"),
}


@pytest.mark.parametrize("solver", ["direct", "cg"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", OPTIMA)
def test_gradient_vanishes_at_the_optimum(name, weighted, solver):
    case, N, prior = OPTIMA[name]
    X, Y = case.inputs(N), data(3, case.sizes[-1], N)[1]
    if name == "softmax":
        Y = np.exp(Y) / np.exp(Y).sum(axis=1, keepdims=True)
    random = np.random.default_rng(3)
    weights = random.uniform(0, 2, N) if weighted else None
    w = weights if weighted else np.ones(N)
    if prior == "each":
        prior = random.uniform(0.05, 1, case.theta.size)
    options = {"sample_weight": weights, "prior": prior, "solver": solver, "scale": None}
    fit = dn.fit(case_of(case), X, Y, tol=1e-14, max_iter=3000, **options)
    theta = fit.net.params
    case = moved(case, theta)
    # g = J^T W r + Lambda theta
    r = case.evaluate(X)[0].real - Y
    g = np.einsum("sop,s,so->p", case.jacobian(X), w, r) + prior * theta
    assert np.abs(g).max() < 1e-5 * np.abs(prior * theta).max()


def moved(case, theta):
    """The case with other parameters."""
    other = Case(case.sizes, case.activations, biased=[b is not None for b in case.biases])
    other.scalings, start = case.scalings, 0
    for k in range(len(case.weights)):
        for parts in (other.weights, other.biases):
            if parts[k] is not None:
                shape, size = parts[k].shape, parts[k].size
                parts[k] = theta[start : start + size].reshape(shape)
                start += size
    return other


@pytest.mark.parametrize("N", [40, 6])
def test_a_weight_counts_a_sample_so_often(N):
    X, Y = data(N=N)
    counts = np.random.default_rng(4).integers(0, 4, N)
    net = dn.MLP([3, 4, 2], seed=0)
    weighted = dn.fit(net, X, Y, sample_weight=counts, prior=0.01, tol=1e-12)
    repeated = dn.fit(net, X.repeat(counts, 0), Y.repeat(counts, 0), prior=0.01, tol=1e-12)
    assert weighted.loss == pytest.approx(repeated.loss, rel=1e-8)
    np.testing.assert_allclose(weighted.net(X), repeated.net(X), atol=1e-4)


def test_a_prior_is_more_rows():
    """SciPy minimises |r|^2 with the rows Lambda^(1/2) theta below."""
    X, Y = data()
    net = dn.MLP([3, 4, 2], seed=0)
    prior = np.random.default_rng(5).uniform(0.1, 1, net.num_params)
    fun, jac = dn.residuals(net, X, Y)
    root = np.sqrt(prior)
    rows = least_squares(
        lambda theta: np.concatenate([fun(theta), root * theta]),
        net.params,
        lambda theta: np.concatenate([jac(theta), np.diag(root)]),
        method="lm",
        xtol=1e-12,
        ftol=1e-14,
        gtol=1e-14,
    )
    fit = dn.fit(net, X, Y, prior=prior, tol=1e-12, scale=None)
    assert fit.loss == pytest.approx(rows.cost, rel=1e-8)


# Never worse, never NaN

STARTS = {
    "random": lambda: dn.MLP([3, 6, 2], seed=1),
    "relu": lambda: dn.MLP([3, 6, 2], "relu", seed=1),
    "zero": lambda: scaled(0.0),
    "saturated": lambda: scaled(1e3),
    "outputs of 1e100": lambda: scaled(1e50, "identity"),
    "wild": lambda: scaled(30.0, "sin"),
    "wide": lambda: dn.MLP([3, 200, 2], seed=1),
    "float32": lambda: dn.MLP([3, 6, 2], dtype="float32", seed=1),
}


def scaled(factor, activation="tanh"):
    net = dn.MLP([3, 6, 2], activation, seed=1)
    net.params *= factor
    return net


@pytest.mark.filterwarnings("ignore:fit stopped at a plateau")
@pytest.mark.parametrize("solver", ["direct", "cg"])
@pytest.mark.parametrize("max_iter", [1, 3, 60])
@pytest.mark.parametrize("name", STARTS)
def test_never_worse(name, max_iter, solver):
    X, Y = data()
    net = STARTS[name]()
    before = net.params.copy()
    fit = dn.fit(net, X, Y, max_iter=max_iter, solver=solver)
    assert np.isfinite(fit.net.params).all() and fit.net.dtype == net.dtype
    assert loss(fit.net, X, Y) <= loss(net, X, Y)
    assert fit.loss == pytest.approx(loss(fit.net, X, Y), rel=1e-5)
    assert fit.start == pytest.approx(loss(net, X, Y), rel=1e-5)
    np.testing.assert_array_equal(net.params, before)
    assert not np.shares_memory(fit.net.params, net.params)
    assert (np.diff(fit.history["loss"]) <= 0).all()


def test_a_float32_net_is_fitted_in_double_precision():
    X, Y = data(noise=0.0, n=1, m=1)
    net = dn.MLP([1, 6, 1], seed=0, dtype="float32")
    fit = dn.fit(net, X, Y, scale=None)
    double = dn.fit(net.astype("float64"), X, Y, scale=None)
    assert fit.net.dtype == np.float32
    np.testing.assert_array_equal(fit.net.params, double.net.params.astype(np.float32))


def test_rounding_to_float32_makes_no_net_worse():
    """From the best neighbour of the rounded optimum, whose rounding is worse again."""
    X, Y = data(n=2, m=1)
    X += 10
    start = dn.MLP([2, 1], dtype="float32", seed=0)
    optimum = dn.fit(start, X, Y, tol=1e-14, scale=None).net
    neighbours = []
    for away in itertools.product([-INF, 0, INF], repeat=3):
        neighbours.append(optimum.copy())
        moved = np.nextafter(optimum.params, np.array(away, np.float32))
        neighbours[-1].params = np.where(np.array(away) == 0, optimum.params, moved)
    best = min(neighbours, key=lambda net: loss(net.astype("float64"), X, Y))
    double = best.astype("float64")
    assert loss(double, X, Y) < loss(optimum.astype("float64"), X, Y)
    again = dn.fit(best, X, Y, tol=1e-14)
    assert loss(again.net.astype("float64"), X, Y) <= loss(double, X, Y)
    assert again.loss == pytest.approx(loss(again.net.astype("float64"), X, Y), rel=1e-12)


def duplicates():
    X, Y = data()
    return np.concatenate([X, X], axis=1), Y, {}


SINGULAR = {
    "the same inputs twice": duplicates,
    "no weight": lambda: (*data(), {"sample_weight": np.zeros(60)}),
    "one sample many times": lambda: (np.ones((60, 3)), np.ones((60, 2)), {}),
    "hardly any damping": lambda: (*duplicates()[:2], {"damping": 1e-300}),
    "more parameters than samples": lambda: (*data(N=4), {"damping": 1e-300}),
}


@pytest.mark.parametrize("solver", ["direct", "cg"])
@pytest.mark.parametrize("name", SINGULAR)
def test_singular_systems_take_damped_steps(name, solver):
    X, Y, options = SINGULAR[name]()
    net = dn.MLP([X.shape[1], 5, 2], seed=0)
    fit = dn.fit(net, X, Y, max_iter=100, solver=solver, **options)
    assert np.isfinite(fit.net.params).all()
    if name == "no weight":
        assert (fit.reason, fit.loss, len(fit.history["loss"])) == ("gradient", 0, 0)
    else:
        assert fit.loss < 0.5 * fit.start


@pytest.mark.parametrize("A", [[[1.0, 2.0], [2.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]], [[NAN] * 2] * 2])
def test_no_factor_no_step(A):
    from deltanet._core.cholesky import solve_damped

    A = np.array(A)
    assert solve_damped(A, np.ones(2), 0, A) is None


def test_dead_units_have_no_gradient():
    net = dn.MLP.from_layers([-np.ones((4, 1)), np.zeros((1, 4))], [None, [0.5]], ["relu", "relu"])
    net.biases[1][:] = -0.5
    fit = dn.fit(net, [[1.0], [2.0]], [[1.0], [1.0]], scale=None)
    assert fit.reason == "gradient" and fit.net == net


def test_a_jacobian_that_overflows_leaves_the_net():
    net = dn.MLP.from_layers([[[1e-200]]], [None], ["identity"])
    fit = dn.fit(net, [[1e200]], [[2.0]], scale=None)
    assert fit.reason == "stalled" and fit.net == net


@pytest.mark.filterwarnings("ignore:fit stopped at a plateau")  # at the wall
@pytest.mark.parametrize("value", [NAN, INF])
def test_a_step_to_no_finite_loss_is_refused(value, monkeypatch):
    from deltanet._fit.problem import Problem

    X, Y = data()
    net, inside, calls = dn.MLP([3, 4, 2], seed=0), Problem.loss, []

    def walled(self):
        F = inside(self)
        calls.append(np.abs(self.theta - net.params).max() < 0.05)
        return F if calls[-1] else value

    monkeypatch.setattr(Problem, "loss", walled)
    fit = dn.fit(net, X, Y, max_iter=100, scale=None)
    assert not all(calls) and any(calls[1:])
    assert np.abs(fit.net.params - net.params).max() < 0.05
    assert fit.loss < fit.start


def test_residuals_from_several_threads():
    net, rng = dn.MLP([8, 64, 64, 2], seed=0), np.random.default_rng(0)
    fun, _ = dn.residuals(net, rng.standard_normal((600, 8)), np.zeros((600, 2)))
    points = [scale * net.params for scale in rng.standard_normal(100)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(fun, points))
    for r, point in zip(found, points, strict=True):
        np.testing.assert_array_equal(r, fun(point))


# Bad input

X0, Y0 = np.zeros((5, 3)), np.zeros((5, 2))


def with_nan(array):
    array = array.copy()
    array[3, 1] = NAN
    return array


@pytest.mark.parametrize(
    ("X", "Y", "options", "message"),
    [
        (X0, with_nan(Y0), {}, r"Y must be finite; got nan at \[3, 1\]"),
        (with_nan(X0), Y0, {}, r"X must be finite; got nan at \[3, 1\]"),
        (X0, Y0 + INF, {}, r"Y must be finite; got inf at \[0, 0\]"),
        (X0[:, :2], Y0, {}, r"X must have shape \(N, 3\); got \(5, 2\)"),
        (X0[:0], Y0[:0], {}, r"X must hold one sample at least"),
        (X0, Y0[:4], {}, r"Y must have shape \(5, 2\); got \(4, 2\)"),
        (X0, Y0[:, 0], {}, r"Y must have shape \(5, 2\); got \(5,\)"),
        (X0, Y0, {"sample_weight": [1, 1, 1]}, r"sample_weight must have shape \(5,\); got \(3,\)"),
        (X0, Y0, {"sample_weight": [1, 1, 1, 1, -2]}, r"sample_weight must be at least 0; got -2"),
        (
            X0,
            Y0,
            {"sample_weight": [1, 1, NAN, 1, 1]},
            r"sample_weight must be finite; got nan at \[2\]",
        ),
    ],
)
def test_bad_data(X, Y, options, message):
    net = dn.MLP([3, 2], seed=0)
    with pytest.raises(ValueError, match=message):
        dn.fit(net, X, Y, **options)
    with pytest.raises(ValueError, match=message):
        dn.residuals(net, X, Y, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": -1.0}, r"prior must be at least 0; got -1"),
        ({"prior": NAN}, r"prior must be finite; got nan$"),
        ({"prior": [1.0, 2.0]}, r"prior must have shape \(8,\); got \(2,\)"),
        ({"validation": 1.5}, r"validation must be a number between 0 and 1; got 1.5"),
        ({"validation": (X0,)}, r"validation must be a share or \(X, Y\); got 1 parts"),
        ({"validation": (X0, with_nan(Y0))}, r"Y must be finite"),
        ({"tol": 0.0}, r"tol must be a number above 0; got 0.0"),
        ({"damping": -1}, r"damping must be a number above 0; got -1"),
        ({"max_seconds": 0}, r"max_seconds must be a number above 0; got 0"),
        ({"max_iter": -1}, r"max_iter must be at least 0; got -1"),
        ({"patience": 0}, r"patience must be at least 1; got 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        dn.fit(dn.MLP([3, 2], seed=0), X0, Y0, **options)


def test_other_bad_input():
    net = dn.MLP([3, 2], seed=0)
    with pytest.raises(TypeError, match="max_iter must be an integer"):
        dn.fit(net, X0, Y0, max_iter=1.5)
    with pytest.raises(TypeError, match="Y must hold real numbers"):
        dn.fit(net, X0, Y0 + 1j)
    for wrong in (X0 + 1j, X0.astype(object), X0.astype(str)):
        with pytest.raises(TypeError, match="X must hold real numbers"):
            dn.fit(net, wrong, Y0)
        with pytest.raises(TypeError, match="X must hold real numbers"):
            dn.residuals(net, wrong, Y0)
    with pytest.raises(ValueError, match="jac must be 'dense' or 'operator'; got 'lm'"):
        dn.residuals(net, X0, Y0, jac="lm")
    with pytest.raises(ValueError, match="one sample only"):
        dn.fit(net, X0[:1], Y0[:1], validation=0.5)
    net.params[0] = NAN
    with pytest.raises(ValueError, match="the loss of the given net must be finite; got nan"):
        dn.fit(net, X0, Y0)
    with pytest.raises(MemoryError, match="fit would need"):
        many = np.zeros((10**6 + 10**4, 1))
        dn.fit(dn.MLP([1, 1000, 1000, 1]), many, many, solver="direct")


# When it stops


def overfitting():
    X, Y = data(n=1, m=1, N=30, noise=0.4, seed=1)
    return dn.MLP([1, 20, 1], seed=0), X, Y


def test_early_stopping_returns_the_best_net():
    X, Y = data(n=1, m=1, N=70, noise=0.4, seed=1)
    net, held = dn.MLP([1, 20, 1], seed=0), (X[30:], Y[30:])
    seen = []
    fit = dn.fit(
        net,
        X[:30],
        Y[:30],
        validation=held,
        patience=7,
        callback=lambda step, net: seen.append(net.params.copy()),
    )
    scores = fit.history["validation"]
    best = int(np.argmin(scores))
    assert fit.reason == "validation" and 0 < best < len(scores) - 1
    assert loss(fit.net, *held) == pytest.approx(scores[best], rel=1e-12)
    assert fit.loss == pytest.approx(fit.history["loss"][best], rel=1e-12)
    np.testing.assert_array_equal(fit.net.params, seen[best])
    assert fit.history["accepted"][best + 1 :].sum() == 7


def test_a_share_is_held_out():
    net, X, Y = overfitting()
    weights = np.where(np.arange(30) % 3, 1.0, 2.0)
    fit = dn.fit(net, X, Y, validation=0.3, sample_weight=weights, seed=5, max_iter=4, tol=1e-300)
    order = np.random.default_rng(5).permutation(30)
    out, kept = order[:9], order[9:]
    assert fit.start == pytest.approx(loss(net, X[kept], Y[kept], weights[kept]), rel=1e-12)
    assert fit.loss == pytest.approx(loss(fit.net, X[kept], Y[kept], weights[kept]), rel=1e-12)
    lowest = np.nanmin(fit.history["validation"])
    assert loss(fit.net, X[out], Y[out], weights[out]) == pytest.approx(lowest, rel=1e-12)


@pytest.mark.parametrize("solver", ["direct", "cg"])
def test_no_worse_on_held_out_samples(solver):
    """Targets that contradict the held-out ones: the given net is the best."""
    X, Y = data()
    net = dn.MLP([3, 4, 2], seed=0)
    fit = dn.fit(net, X, Y, validation=(X, net(X)), patience=3, solver=solver)
    assert fit.reason == "validation" and fit.net == net and fit.loss == fit.start


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_iter": 5, "solver": "cg"}, "max_iter"),
        ({"tol": 0.9, "solver": "cg"}, "gradient"),
        ({"max_iter": 5}, "max_iter"),
        ({"max_iter": 0}, "max_iter"),
        ({"max_seconds": 1e-9}, "seconds"),
        ({"tol": 0.9}, "gradient"),
        ({"callback": lambda step, net: True}, "callback"),
    ],
)
def test_reasons(options, reason):
    X, Y = data()
    net = dn.MLP([3, 4, 2], seed=0)
    fit = dn.fit(net, X, Y, scale=None, **options)
    assert fit.reason == reason and fit.converged == (reason == "gradient")
    assert f"reason={reason!r}" in repr(fit)
    steps = {"max_iter": options.get("max_iter"), "callback": 1}.get(reason, 0)
    assert [len(column) for column in fit.history.values()] == [steps] * 7
    assert steps or fit.net == net


def test_reasons_by_tolerance():
    X, Y = data()
    net = dn.MLP([3, 2], seed=0)
    assert dn.fit(net, X, Y, tol=1e-6).reason in ("loss", "gradient")
    far = dn.fit(dn.MLP([3, 4, 2], seed=0), X, Y, damping=1e30)
    assert far.reason == "stalled" and not far.converged  # steps below rounding
    exact = dn.fit(net, X, net(X))
    assert (exact.reason, exact.loss) == ("gradient", 0.0)


def test_a_time_budget_ends_a_long_fit():
    X, Y = data(N=400)
    fit = dn.fit(dn.MLP([3, 30, 2], seed=0), X, Y, max_seconds=0.2, max_iter=10**6, tol=1e-300)
    assert fit.reason == "seconds" and 0.1 < fit.history["seconds"][-1] < 2


@pytest.mark.parametrize("solver", ["direct", "cg"])
def test_history(solver):
    X, Y = data()
    net, rows, done = dn.MLP([3, 4, 2], seed=0), [], []

    def callback(step, net):
        rows.append(step)
        assert step.loss == pytest.approx(loss(net, X, Y), rel=1e-12)

    options = {"callback": callback, "progress": lambda *n: done.append(n), "solver": solver}
    fit = dn.fit(net, X, Y, max_iter=40, damping=1e-6, scale=None, **options)
    assert (
        list(fit.history) == "loss damping gradient accepted validation seconds iterations".split()
    )
    for name, column in fit.history.items():
        np.testing.assert_array_equal(column, [getattr(row, name) for row in rows])
    steps = len(rows)
    assert done == [(k + 1, 40) for k in range(steps)]
    losses, accepted = np.array([fit.start, *fit.history["loss"]]), fit.history["accepted"]
    np.testing.assert_array_equal(np.diff(losses) < 0, accepted)
    assert accepted.dtype == bool and accepted.any() and not accepted.all()
    damping = fit.history["damping"]
    assert (damping[1:][~accepted[:-1]] > damping[:-1][~accepted[:-1]]).all()
    g = net.jacobian(X).T @ (net(X) - Y)
    assert fit.history["gradient"][0] == pytest.approx(np.linalg.norm(g), rel=1e-10)


def test_refused_steps_use_the_same_jacobian(monkeypatch):
    from deltanet._fit.problem import Primal

    calls, once = [], Primal.linearise
    monkeypatch.setattr(Primal, "linearise", lambda self: calls.append(once(self)))
    X, Y = data()
    fit = dn.fit(dn.MLP([3, 4, 2], seed=0), X, Y, max_iter=30, damping=1e-12, tol=1e-300)
    accepted = fit.history["accepted"]
    assert (~accepted).sum() > 3
    # none after the last step
    assert fit.reason == "max_iter" and len(calls) == 1 + accepted[:-1].sum()


@pytest.mark.parametrize("solver", ["direct", "cg"])
def test_samples_that_repeat_are_the_same_problem(solver):
    """Twelve thousand rows in many blocks, with a share of the weight each, and the 60 that they repeat."""
    X, Y = data()
    net, weights, times = dn.MLP([3, 4, 2], seed=0), np.linspace(0, 1, 60), 200
    options = {"max_iter": 5, "solver": solver}
    whole = dn.fit(net, X, Y, sample_weight=weights, **options)
    X, Y, weights = np.tile(X, (times, 1)), np.tile(Y, (times, 1)), np.tile(weights / times, times)
    parts = dn.fit(net, X, Y, sample_weight=weights, **options)
    limit = 1e-8 if solver == "direct" else 1e-5
    np.testing.assert_allclose(parts.net.params, whole.net.params, rtol=limit, atol=limit)


@pytest.mark.parametrize("prior", [0.2, np.linspace(0, 1, 32)], ids=["one", "each"])
def test_both_sides_take_the_same_steps(prior):
    """18 residuals for 32 parameters, and the same ones four times, a fourth of the weight each."""
    X, Y = data(N=9)
    net, weights = dn.MLP([3, 5, 2], seed=0), np.linspace(0.5, 2, 9)
    options = {"prior": prior, "max_iter": 3, "solver": "direct"}
    dual = dn.fit(net, X, Y, sample_weight=weights, **options)
    X, Y, weights = np.tile(X, (4, 1)), np.tile(Y, (4, 1)), np.tile(weights / 4, 4)
    primal = dn.fit(net, X, Y, sample_weight=weights, **options)
    np.testing.assert_allclose(primal.net.params, dual.net.params, rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(primal.history["accepted"], dual.history["accepted"])


@pytest.mark.parametrize("N", [9, 60], ids=["more parameters", "more residuals"])
def test_every_solver_reaches_the_same_loss(N):
    X, Y = data(N=N)
    net = dn.MLP([3, 5, 2], seed=0)
    losses = [
        dn.fit(net, X, Y, prior=1e-2, max_iter=200, solver=solver, scale=None).loss
        for solver in ("auto", "direct", "cg")
    ]
    np.testing.assert_allclose(losses, losses[1], rtol=1e-3)
    with pytest.raises(ValueError, match=r"solver must be .*; got 'lm'"):
        dn.fit(net, X, Y, solver="lm")


# Interruptions and the figure


def test_ctrl_c_leaves_the_given_net():
    X, Y = data()
    net = dn.MLP([3, 4, 2], seed=0)
    before = net.params.copy()

    def interrupt(step, net):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        dn.fit(net, X, Y, callback=interrupt)
    np.testing.assert_array_equal(net.params, before)
    assert dn.fit(net, X, Y, max_iter=20).loss < 0.9 * loss(net, X, Y)


def test_a_step_that_damping_made_small_is_no_convergence():
    X = np.linspace(-2, 2, 40)[:, None]
    fit = dn.fit(dn.MLP([1, 6, 1], seed=0), X, np.sin(X), damping=1e12)
    assert fit.loss < 1e-3 * fit.start
