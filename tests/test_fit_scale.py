"""fit on raw data: scalings from the data, units of Y, and plateaus that are not called success."""

import math
import re
import warnings

import numpy as np
import pytest

import deltanet as dn
from deltanet._fit.descent import Descent

PLATEAU = "ignore:fit stopped at a plateau"


def standard(table):
    return (table - table.mean(axis=0)) / table.std(axis=0)


def loss(net, X, Y, weights=1.0):
    """Half the weighted sum of squares, in plain NumPy."""
    return 0.5 * float(np.sum(weights * np.sum((net(X).astype(float) - Y) ** 2, axis=1)))


def constant(Y):
    """The loss of the best constant."""
    return 0.5 * float(np.sum((Y - Y.mean(axis=0)) ** 2))


# Raw data: the loss of the standardized problem, or the word that it was not reached


def reaches(start, X, Y, seeds=10, least=9, **options):
    """At least nine fits of ten reach the loss of the standardized problem; the others say that they did not.

    The standardized problem is fitted from the same weights and without any scaling. It is in other units, by
    one factor for all outputs.
    """
    Z, unit = standard(X), Y.std()
    T = (Y - Y.mean(axis=0)) / unit
    rounding = Y.size * (1e-13 * abs(Y).max()) ** 2
    reached = 0
    for seed in range(seeds):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "fit stopped at a plateau")
            raw = dn.fit(start(seed), X, Y, **options)
            reference = dn.fit(start(seed), Z, T, scale=None, **options).loss * unit**2
        F = loss(raw.net, X, Y)
        assert raw.loss == pytest.approx(F, rel=1e-6, abs=rounding)
        good = F <= 1.01 * reference + rounding
        assert good or not raw.converged, (seed, raw, F / reference)
        reached += good
    assert reached >= least
    return reached


def waves(low, high, size, offset=0.0, N=80):
    x = np.linspace(low, high, N)[:, None]
    y = np.sin(5 * (x - low) / (high - low)) + 0.05 * np.random.default_rng(0).standard_normal(
        x.shape
    )
    return x, size * (y + offset)


RAW = {
    "x in 0 .. 10": waves(0, 10, 1.0),
    "x in 0 .. 10, y in 1000s": waves(0, 10, 1e3, 3),
    "x in 0 .. 10, y in 1e-6s": waves(0, 10, 1e-6),
    "x in 2000 .. 2024": waves(2000, 2024, 1.0),
    "x in 2000 .. 2024, y in 1000s": waves(2000, 2024, 1e3),
    "x in 2000 .. 2024, y in 1e-6s": waves(2000, 2024, 1e-6, 5),
    "x in 1e9 .. 1e9 + 1, y of 1e-100": waves(1e9, 1e9 + 1, 1e-100),
    "y of 1e100": waves(0, 1e-100, 1e100, 10),
}


@pytest.mark.parametrize("name", RAW)
def test_raw_data(name):
    X, Y = RAW[name]
    assert reaches(lambda seed: dn.MLP([1, 6, 1], seed=seed), X, Y, max_iter=100) >= 9


@pytest.mark.parametrize("name", ["unscaled_targets", "unscaled_inputs"])
def test_raw_cases(shared, name):
    with np.load(shared / "cases" / f"{name}.npz") as file:
        X, Y = file["X"], file["Y"]
    sizes = [X.shape[1], 8, Y.shape[1]]
    # two outputs of nearly one size: the one factor of `reaches` would be another problem
    if Y.shape[1] == 1:
        reaches(lambda seed: dn.MLP(sizes, seed=seed), X, Y, max_iter=200)
    fit = dn.fit(dn.MLP(sizes, seed=0), X, Y)
    assert loss(fit.net, X, Y) < 1e-2 * constant(Y)
    assert fit.explained > 0.99 and fit.scaled == ("input", "output")


def test_a_parabola_of_ten_thousand():
    x = np.arange(10_000.0)[:, None]
    reaches(lambda seed: dn.MLP([1, 6, 1], seed=seed), x, x**2, seeds=2, least=2, max_iter=60)
    fit = dn.fit(dn.MLP([1, 6, 1], seed=0), x, x**2, max_iter=60)
    assert loss(fit.net, x, x**2) < 1e-6 * constant(x**2)


@pytest.mark.parametrize("name", ["Thurber", "Hahn1", "ENSO", "Gauss3"])
def test_certified_sets_as_they_are(shared, name):
    text = (shared / "nist_strd" / f"{name}.dat").read_text()
    rows = [line.split() for line in text.rpartition("Data:")[2].splitlines()[1:] if line.strip()]
    y, x = np.array(rows, float).T[:, :, None]
    assert len(x) == int(re.search(r"(\d+) Observations", text)[1])
    reaches(lambda seed: dn.MLP([1, 8, 1], seed=seed), x, y, max_iter=150)


ACTIVATIONS = "tanh", "sigmoid", "silu", "softplus"


def generated(k):
    """Sizes, activation, X and Y of problem k: a function, its noise, and scales from 1e-6 to 1e6."""
    random = np.random.default_rng(1000 + k)
    n, N = int(random.integers(1, 5)), int(random.choice([30, 60, 150]))
    hidden = [int(random.choice([3, 5, 8]))] * int(random.choice([1, 1, 2]))
    Z = random.uniform(-1.7, 1.7, (N, n)) if k % 2 else random.standard_normal((N, n))
    z = Z @ random.standard_normal((n, 1)) / math.sqrt(n)
    y = [np.sin(2 * z), z**2, np.exp(z), np.tanh(4 * z) + z / 3, z**3 - z, 1 / (1 + z**2)][k % 6]
    y = y / y.std() + random.choice([0, 1e-3, 0.05, 0.3]) * random.standard_normal(y.shape)
    size, offset = 10.0 ** random.uniform(-6, 6, n), random.choice([0, 1, 10, 100], n)
    X, unit = size * (Z + offset), 10.0 ** random.uniform(-6, 6)
    return [n, *hidden, 1], ACTIVATIONS[k % 4], X, unit * (y + random.choice([0, 1, 10, 100]))


def reaches_generated(k, **options):
    sizes, activation, X, Y = generated(k)
    return reaches(lambda seed: dn.MLP(sizes, activation, seed=seed), X, Y, max_iter=150, **options)


@pytest.mark.parametrize("k", range(0, 200, 16))
def test_problems_of_every_scale(k):
    assert reaches_generated(k, seeds=3, least=3) == 3


@pytest.mark.nightly
@pytest.mark.parametrize("k", range(200))
def test_all_problems_of_every_scale(k):
    assert reaches_generated(k) >= 9


@pytest.mark.parametrize("prior", [0.0, 0.3])
@pytest.mark.parametrize("solver", ["direct", "cg"])
def test_the_steps_are_those_of_the_standardized_problem(solver, prior):
    """To the last bit, for one output: neither the mean nor the size of the data costs a digit."""
    X, Y = waves(2000, 2024, 1e3, 7)
    X = np.hstack([X, 1e-5 * np.cos(X)])
    start, options = dn.MLP([2, 5, 1], seed=3), {"solver": solver, "max_iter": 30}
    raw = dn.fit(start, X, Y, prior=prior * Y.var(), **options)
    plain = dn.fit(start, standard(X), standard(Y), prior=prior, scale=None, **options)
    np.testing.assert_allclose(raw.net.params, plain.net.params, rtol=1e-9 if prior else 0)
    for name in ("loss", "damping", "gradient"):
        np.testing.assert_allclose(raw.history[name], plain.history[name] * Y.var(), rtol=1e-9)
    np.testing.assert_array_equal(raw.net.input_shift, X.mean(axis=0))
    np.testing.assert_array_equal(raw.net.output_scale, Y.std(axis=0))


# What "auto" does, and what it leaves


def smooth(N=60, noise=0.1):
    random = np.random.default_rng(0)
    X = random.standard_normal((N, 3))
    Y = np.sin(X @ random.standard_normal((3, 2))) + noise * random.standard_normal((N, 2))
    return 3 + 2 * X, 50 + 20 * Y


def fitted(noise):
    """A net without scalings that has been fitted, and its data."""
    X, Y = smooth(noise=noise)
    return dn.fit(dn.MLP([3, 8, 2], seed=0), X, Y, scale=None, max_iter=30).net, X, Y


@pytest.mark.parametrize(
    ("make", "scaled"),
    [
        (lambda X, Y: dn.MLP([3, 5, 2], seed=0), ("input", "output")),
        (lambda X, Y: dn.MLP([3, 5, 2], dtype="float32", seed=0), ("input", "output")),
        (lambda X, Y: dn.MLP([3, 5, 2], output="sigmoid", seed=0), ("input",)),
        (lambda X, Y: dn.MLP([3, 5, 2], output=("leaky_relu", 0.2), seed=0), ("input",)),
        (lambda X, Y: with_scaling(input_scale=2.0), ()),
        (lambda X, Y: with_scaling(output_shift=3.0), ()),
    ],
    ids=["identity", "float32", "sigmoid", "leaky_relu", "input scaled", "output shifted"],
)
@pytest.mark.filterwarnings(PLATEAU)
def test_sides_that_are_scaled(make, scaled):
    X, Y = smooth()
    net = make(X, Y)
    fit = dn.fit(net, X, Y, max_iter=5)
    assert fit.scaled == scaled and ("scaled=" in repr(fit)) == bool(scaled)
    for side, table in (("input", X), ("output", Y)):
        shift, scale = getattr(fit.net, f"{side}_shift"), getattr(fit.net, f"{side}_scale")
        if side in scaled:
            np.testing.assert_allclose(shift, table.mean(axis=0), rtol=1e-6)
            np.testing.assert_allclose(scale, table.std(axis=0), rtol=1e-6)
        else:
            np.testing.assert_array_equal(shift, getattr(net, f"{side}_shift"))
            np.testing.assert_array_equal(scale, getattr(net, f"{side}_scale"))
    assert fit.start == pytest.approx(loss(net, X, Y), rel=1e-5)
    assert fit.loss == pytest.approx(loss(fit.net, X, Y), rel=1e-5)
    assert dn.fit(net, X, Y, max_iter=5, scale=None).scaled == ()


def with_scaling(**scaling):
    net = dn.MLP([3, 5, 2], seed=0)
    return dn.MLP.from_layers(net.weights, net.biases, net.activations, **scaling)


@pytest.mark.parametrize("noise", [0.1, 3.0], ids=["most explained", "little explained"])
def test_a_fitted_net_is_left_as_it_is(noise):
    net, X, Y = fitted(noise)
    assert loss(net, X, Y) < constant(Y)
    fit = dn.fit(net, X, Y, max_iter=1)
    assert fit.scaled == () and fit.net.input_scale is None and fit.net.output_scale is None
    assert fit.start == pytest.approx(loss(net, X, Y), rel=1e-12)


def test_an_accident_is_not_a_fit():
    """Outputs of size 1 that rise with a Y of size 1000 explain some of it."""
    X, Y = waves(0, 10, 1e3)
    Y -= Y.mean()
    for seed in range(20):
        net = dn.MLP([1, 6, 1], seed=seed)
        if loss(net, X, Y) < constant(Y):
            break
    else:
        pytest.fail("no seed beats the constant")
    assert dn.fit(net, X, Y, max_iter=1).scaled == ("input", "output")
    net.biases[0][:] += 1e-9  # not those of a new net
    assert loss(net, X, Y) < constant(Y)
    assert dn.fit(net, X, Y, max_iter=1).scaled == ("input", "output")


@pytest.mark.parametrize(("share", "scaled"), [(0.3, True), (0.7, False)])
def test_a_new_net_has_to_explain_much(share, scaled):
    """Of outputs of a right size, and with biases of zero: here all but the square of 1 - share."""
    X = np.linspace(0, 1, 50)[:, None] * [[1.0, 0.3]]
    net = dn.MLP([2, 5, 1], seed=0)
    y = net(X)
    Y = y + (1 / share - 1) * (y - y.mean())
    assert 1 - loss(net, X, Y) / constant(Y) == pytest.approx(1 - (1 - share) ** 2)
    assert bool(dn.fit(net, X, Y, max_iter=1).scaled) == scaled
    net.biases[1][:] += 1e-6
    assert dn.fit(net, X, Y, max_iter=1).scaled == ()


def test_a_linear_net_is_not_new():
    X = np.linspace(1, 2, 50)[:, None]
    net = dn.MLP.from_layers([[[2.0]]], [[0.0]], ["identity"])
    Y = 2 * X + 3 * (X - X.mean())
    assert 0.3 < 1 - loss(net, X, Y) / constant(Y) < 0.7
    assert dn.fit(net, X, Y, max_iter=1).scaled == ()


def test_standardized_data_get_no_scaling():
    X, Y = (standard(table) for table in smooth())
    net = dn.MLP([3, 5, 2], seed=1)
    assert loss(net, X, Y) > constant(Y)
    fit = dn.fit(net, X, Y, max_iter=5)
    assert fit.scaled == () and fit.net.input_scale is None and fit.net.output_scale is None
    assert dn.fit(net, 1 + X, Y, max_iter=5).scaled == ("input",)


def test_frozen_parameters_keep_their_units():
    X, Y = smooth()
    assert dn.fit(dn.MLP([3, 5, 2], seed=0), X, Y, wrt="last", max_iter=3).scaled == ()


def test_names_and_units_are_kept():
    X, Y = smooth()
    net = dn.MLP([3, 5, 2], seed=0)
    net.input_names, net.output_units = ["a", "b", "c"], ["m", "s"]
    fit = dn.fit(net, X, Y, max_iter=3)
    assert fit.scaled
    assert (fit.net.input_names, fit.net.output_units) == (["a", "b", "c"], ["m", "s"])


def test_samples_without_weight_do_not_count():
    X, Y = smooth()
    weights = np.where(np.arange(60) % 3, 1.0, 0.0)
    wild = np.where(weights[:, None] > 0, X, 1e30), np.where(weights[:, None] > 0, Y, -1e12)
    fit = dn.fit(dn.MLP([3, 5, 2], seed=0), *wild, sample_weight=weights, max_iter=20)
    some = dn.fit(dn.MLP([3, 5, 2], seed=0), X[weights > 0], Y[weights > 0], max_iter=20)
    np.testing.assert_allclose(fit.net.input_scale, X[weights > 0].std(axis=0), rtol=1e-12)
    assert fit.loss == pytest.approx(some.loss, rel=1e-6)


def test_an_output_that_is_constant():
    """Its deviation is 0: it takes the size of the other one, and both are fitted."""
    X, y = waves(2000, 2024, 1e-6)
    Y = np.hstack([y, np.full_like(y, 1e3)])
    fit = dn.fit(dn.MLP([1, 8, 2], seed=0), X, Y)
    assert abs(fit.net(X)[:, 1] - 1e3).max() < 1e-9
    assert loss(fit.net, X, Y) < 0.05 * constant(y)


def test_scale_is_auto_or_none():
    for wrong in ("standard", True, 2.0):
        with pytest.raises(ValueError, match=f"scale must be 'auto' or None; got {wrong!r}"):
            dn.fit(dn.MLP([1, 1], seed=0), [[0.0], [1.0]], [[0.0], [1.0]], scale=wrong)


@pytest.mark.parametrize("validation", [None, 0.3])
def test_not_worse_than_the_given_net(validation):
    """A net of loss 1.5 times that of a constant; a fit of no step from scalings of its own is worse."""
    X, Y = smooth()
    net = dn.MLP([3, 1, 2], seed=0)
    net.params[:] = 0
    net.biases[1][:] = Y.mean(axis=0) + 0.5 * Y.std(axis=0)
    rest = {"max_iter": 0, "validation": validation}
    fit = dn.fit(net, X, Y, **rest)
    if validation is None:
        assert fit.start == pytest.approx(loss(net, X, Y), rel=1e-12) and fit.loss <= fit.start
    assert loss(fit.net, X, Y) <= loss(net, X, Y)
    worse = dn.MLP([3, 5, 2], seed=0)
    worse.weights[1][:] *= 100
    worse.weights[0][:] = 0
    worse.biases[1][:] = Y.mean(
        axis=0
    )  # a constant, until the scaled inputs make something of the weights
    worse.biases[0][:] = 1e-3
    fit = dn.fit(worse, X, Y, **rest)
    assert loss(fit.net, X, Y) <= loss(worse, X, Y)


def test_callbacks_see_units_of_y():
    X, Y = waves(2000, 2024, 1e3, 3)
    rows = []

    def callback(step, net):
        rows.append(step)
        assert step.loss == pytest.approx(loss(net, X, Y), rel=1e-9)
        g = net.jacobian(X).T @ (net(X) - Y)
        gradients.append(np.linalg.norm(g))

    gradients = []
    fit = dn.fit(dn.MLP([1, 5, 1], seed=0), X, Y, max_iter=6, callback=callback)
    np.testing.assert_array_equal(fit.history["loss"], [row.loss for row in rows])
    for k in range(1, 6):
        if rows[k - 1].accepted:
            assert rows[k].gradient == pytest.approx(gradients[k - 1], rel=1e-7)


# A plateau is not success


STUCK = {
    "years": (waves(2000, 2024, 1.0), lambda: dn.MLP([1, 8, 1], seed=0), {"scale": None}),
    "a parabola of ten thousand": (
        (np.arange(10_000.0)[:, None], np.arange(10_000.0)[:, None] ** 2),
        lambda: dn.MLP([1, 8, 1], seed=0),
        {"scale": None},
    ),
    "dead units": (
        waves(1, 2, 1.0),
        lambda: dn.MLP.from_layers(
            [-np.ones((3, 1)), np.ones((1, 3))], [np.zeros(3), [0.0]], ["relu", "identity"]
        ),
        {"scale": None},
    ),
    "a prior that is all": (waves(0, 10, 1.0), lambda: dn.MLP([1, 8, 1], seed=0), {"prior": 1e9}),
    "inputs that do not differ": (
        (np.ones((30, 1)), np.arange(30.0)[:, None]),
        lambda: dn.MLP([1, 8, 1], seed=0),
        {},
    ),
}


@pytest.mark.parametrize("name", STUCK)
def test_a_plateau_is_not_success(name):
    (X, Y), start, options = STUCK[name]
    with pytest.warns(RuntimeWarning, match=r"plateau.*explains .* of the variance of Y\. Try "):
        fit = dn.fit(start(), X, Y, solver="direct", **options)
    assert fit.reason == "plateau" and not fit.converged
    assert loss(fit.net, X, Y) > 0.95 * constant(Y)
    assert fit.explained == pytest.approx(1 - loss(fit.net, X, Y) / constant(Y), abs=1e-6)


def test_the_warning_says_what_to_try():
    X, Y = waves(2000, 2024, 1.0)
    with pytest.warns(RuntimeWarning, match=r"Try scale='auto', another seed"):
        dn.fit(dn.MLP([1, 8, 1], seed=0), X, Y, scale=None)
    net = dn.MLP([1, 8, 1], output="tanh", seed=0)
    with pytest.warns(RuntimeWarning, match=r"Y in the range of the last activation \(tanh\)"):
        dn.fit(net, X, 0.5 * Y, prior=1e9)


def test_targets_that_no_net_has_are_no_success():
    X, Y = waves(0, 10, 1.0, 50)
    fit = dn.fit(dn.MLP([1, 8, 1], output="tanh", seed=0), X, Y)
    assert fit.explained < 0 and not fit.converged


def test_where_y_is_constant_tol_alone_decides():
    X = np.linspace(0, 10, 30)[:, None]
    for value in (0.0, 0.1, -1e-9, 1e6):
        Y = value * (1 + 2e-16 * (np.arange(30) % 2)[:, None])
        fit = dn.fit(dn.MLP([1, 4, 1], seed=0), X, Y)
        assert fit.converged and math.isnan(fit.explained)
        np.testing.assert_allclose(fit.net(X), value, rtol=1e-6, atol=0 if value else 1e-6)


@pytest.mark.parametrize(
    ("N", "offset"), [(60, 5), (8, 20)], ids=["more residuals", "more parameters"]
)
def test_short_columns_are_reached(N, offset, monkeypatch):
    """Weights of saturated units: with the identity as damping matrix they stay where they are."""
    X = np.linspace(-1.7, 1.7, N)[:, None] + offset
    Y, net = np.sin(2 * X) + 0.5 * (X - offset), dn.MLP([1, 6, 1], seed=3)
    fit = dn.fit(net, X, Y, scale=None)
    assert loss(fit.net, X, Y) < 0.1 * constant(Y)
    monkeypatch.setattr(Descent, "rescale", lambda self: "plateau")
    with pytest.warns(RuntimeWarning, match="plateau"):
        stuck = dn.fit(net, X, Y, scale=None)
    assert loss(stuck.net, X, Y) > 0.9 * constant(Y)
