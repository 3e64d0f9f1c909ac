"""Damped least squares against NumPy's SVD of the dense matrix, whichever way it is solved."""

import tracemalloc

import numpy as np
import pytest
from oracle import Case, assert_close

import deltanet as dn

TOLERANCE = {"float64": 1e-11, "float32": 1e-3}
SIZES = {
    "more parameters": ((4, 9, 3), 5),
    "more residuals": ((2, 3, 2), 40),
    "one output": ((3, 5, 1), 12),
    "one sample": ((4, 3), 1),
    "single": ((4, 6, 3), "single"),
    "five layers": ((2, 1, 6, 3, 1, 4), 7),
    "no sample": ((4, 6, 3), 0),
    "no bias, more parameters": ((4, 9, 3), 5),
    "no bias, more residuals": ((2, 3, 2), 40),
    "a bias of the first layer": ((4, 6, 3), "single"),
}
BIASED = {"a bias of the first layer": (True, False)} | {
    name: (False, False) for name in SIZES if name.startswith("no bias")
}


def build(name, dtype="float64"):
    """(J, its matrix (N m, P) in double precision, r)"""
    sizes, N = SIZES[name]
    case = Case(sizes, ["tanh"] * (len(sizes) - 1), scaled=True, biased=BIASED.get(name))
    X = case.inputs(1 if N == "single" else N)
    net = dn.MLP.from_layers(
        case.weights, case.biases, case.activations, *case.scalings, dtype=dtype
    )
    J = net.jacobian(X[0] if N == "single" else X)
    r = np.random.default_rng(0).standard_normal(J.outputs.shape)
    return J, J.to_dense().reshape(J.outputs.size, net.num_params).astype(float), r


def minimiser(D, r, damping, damping_matrix):
    """argmin |D p - r|^2 + damping p^T M p of least norm in M; no part where D has a column of zeros."""
    if D.size == 0:
        return np.zeros(D.shape[1])
    M = np.ones(D.shape[1]) if damping_matrix == "identity" else (D**2).sum(axis=0)
    scale = 1 / np.sqrt(np.where(M > 0, M, 1))
    U, s, Vt = np.linalg.svd(D * scale, full_matrices=False)
    kept = s > 1e-12 * s[0]
    shrunk = s[kept] / (s[kept] ** 2 + damping)
    return scale * (Vt[kept].T @ (shrunk * (U[:, kept].T @ r.ravel())))


@pytest.mark.parametrize("damping_matrix", ["identity", "marquardt"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", SIZES)
def test_against_the_singular_values(name, dtype, damping_matrix):
    J, D, r = build(name, dtype)
    several = [0.1, 3.0, 0.02]
    exact = [minimiser(D, r, each, damping_matrix) for each in several]
    one = J.solve(r, 0.1, damping_matrix)
    assert one.dtype == dtype
    assert_close(one, exact[0], TOLERANCE[dtype])
    together = J.solve(r, several, damping_matrix)
    assert together.dtype == dtype
    assert_close(together, np.array(exact), TOLERANCE[dtype])
    assert J.solve(r, several[:1], damping_matrix).shape == (1, D.shape[1])


@pytest.mark.parametrize("damping_matrix", ["identity", "marquardt"])
@pytest.mark.parametrize("name", SIZES)
def test_no_damping_gives_the_least_norm(name, damping_matrix):
    J, D, r = build(name)
    exact = minimiser(D, r, 0, damping_matrix)
    condition = np.linalg.cond(D) if D.size and name != "five layers" else 1e9
    assert_close(J.solve(r, 0, damping_matrix), exact, 1e-13 * condition)
    mixed = J.solve(r, [0.1, 0, 3.0], damping_matrix)
    assert_close(mixed[1], exact, 1e-13 * condition)
    assert_close(mixed[2], minimiser(D, r, 3.0, damping_matrix), 1e-11)
    single = build(name, "float32")[0].solve(r, [0, 0.1], damping_matrix)
    assert single.dtype == np.float32


@pytest.mark.parametrize("damping", [0, 1e-20, 1e-6, 0.1])
@pytest.mark.parametrize("times", [3, 30])
@pytest.mark.parametrize("seed", range(20))
def test_samples_that_repeat(seed, times, damping):
    """Singular values of zero stay zero: no rounding of them is divided by."""
    random = np.random.default_rng(seed)
    net = dn.MLP([4, 5, 3], seed=seed)
    J = net.jacobian(np.repeat(random.standard_normal((2, 4)), times, axis=0))
    r = random.standard_normal(J.outputs.shape)
    D = J.to_dense().reshape(r.size, net.num_params)
    exact = minimiser(D, r, damping, "identity")
    assert_close(J.solve(r, damping), exact, 1e-6)
    assert_close(J.solve(r, [damping, damping])[0], exact, 1e-6)


@pytest.mark.parametrize("damping_matrix", ["identity", "marquardt"])
def test_an_input_that_is_always_zero(damping_matrix):
    """Its weights have a column of zeros each, which Marquardt's matrix cannot divide by."""
    net = dn.MLP([3, 4, 2], seed=0)
    X = np.random.default_rng(0).standard_normal((30, 3)) * [1, 0, 1]
    J, r = net.jacobian(X), np.random.default_rng(1).standard_normal((30, 2))
    D = J.to_dense().reshape(60, net.num_params)
    for damping in (0, 0.1):
        p = J.solve(r, damping, damping_matrix)
        assert_close(p, minimiser(D, r, damping, damping_matrix), 1e-9)
        assert abs(net.unravel(p)[0][0][:, 1]).max() <= 1e-6 * abs(p).max()


@pytest.mark.parametrize(
    "sizes, N", [((200, 300, 1), 15), ((2, 5, 1), 30_000)], ids=["wide", "tall"]
)
def test_the_smaller_side_is_taken(sizes, N):
    """A matrix of the larger side would take 29 GB and 7 GB."""
    net = dn.MLP(sizes, seed=0)
    J = net.jacobian(np.random.default_rng(0).standard_normal((N, sizes[0])))
    for damping in (0.1, [0.1, 0.2]):
        tracemalloc.start()
        try:
            J.solve(J.outputs, damping)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 200e6


@pytest.mark.parametrize("damping_matrix", ["identity", "marquardt"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", SIZES)
def test_without_a_matrix(name, dtype, damping_matrix):
    """By products with J and J^T alone."""
    J, D, r = build(name, dtype)
    exact = [minimiser(D, r, each, damping_matrix) for each in (0.1, 3.0)]
    p = J.solve(r, [0.1, 3.0], damping_matrix, solver="cg")
    assert p.dtype == dtype
    assert_close(p, np.array(exact), {"float64": 1e-9, "float32": 1e-3}[dtype])
    assert_close(J.solve(r, 0.1, damping_matrix, solver="cg"), p[0], 1e-12)
    if dtype == "float64":
        least = minimiser(D, r, 0, damping_matrix)
        assert_close(J.solve(r, 0, damping_matrix, solver="cg"), least, 1e-5)


@pytest.mark.parametrize("name", SIZES)
def test_every_solver_finds_the_same(name):
    J, D, r = build(name)
    exact = minimiser(D, r, 0.1, "identity")
    for solver, tolerance in (("auto", 1e-9), ("direct", 1e-11), ("cg", 1e-9)):
        assert_close(J.solve(r, 0.1, solver=solver), exact, tolerance)


@pytest.mark.parametrize("damping_matrix", ["identity", "marquardt"])
@pytest.mark.parametrize("solver", ["direct", "cg"])
@pytest.mark.parametrize("wrt", ["last", "weights", "biases", [0], [("weights", 0)]])
@pytest.mark.parametrize(
    "name", ["more parameters", "more residuals", "single", "a bias of the first layer"]
)
def test_of_some_parameters(name, wrt, solver, damping_matrix):
    J, _, r = build(name)
    J = J.restrict(wrt)
    D = J.to_dense().reshape(r.size, J.shape[-1])
    p = J.solve(r, 0.1, damping_matrix, solver=solver)
    assert p.shape == J.shape[-1:]
    assert_close(p, minimiser(D, r, 0.1, damping_matrix), 1e-8)


@pytest.mark.parametrize("damping_matrix", ["identity", "marquardt"])
@pytest.mark.parametrize("solver", ["direct", "cg"])
@pytest.mark.parametrize("wrt", [None, "biases", [1]], ids=str)
@pytest.mark.parametrize("name", ["more parameters", "a bias of the first layer"])
def test_of_other_rows_and_without_outputs(name, wrt, solver, damping_matrix):
    J, _, _ = build(name)
    random, lead = np.random.default_rng(0), J.shape[:-2]
    plain = dn.Jacobian.from_factors(J.deltas, J.inputs, bias=BIASED.get(name, True)).restrict(wrt)
    J = plain.weighted(random.standard_normal((*lead, 2, J.shape[-2])))
    r = random.standard_normal(J.shape[:-1])
    D = J.to_dense().reshape(r.size, J.shape[-1])
    p = J.solve(r, 0.1, damping_matrix, solver=solver)
    assert_close(p, minimiser(D, r, 0.1, damping_matrix), 1e-8)


@pytest.mark.parametrize(
    "r, damping, named, error, message",
    [
        (np.ones((5, 2)), 1, {}, ValueError, r"r must have shape \(5, 3\); got \(5, 2\)"),
        (np.ones(15), 1, {}, ValueError, r"got \(15,\)"),
        (np.ones((5, 3), complex), 1, {}, TypeError, "r must hold real numbers; got dtype complex"),
        (
            np.ones((5, 3)),
            -1e-3,
            {},
            ValueError,
            "damping must be finite and at least 0; got -0.001",
        ),
        (np.ones((5, 3)), [1, -2], {}, ValueError, r"got \[1, -2\]"),
        (np.ones((5, 3)), np.nan, {}, ValueError, "got nan"),
        (np.ones((5, 3)), np.inf, {}, ValueError, "got inf"),
        (np.ones((5, 3)), [], {}, ValueError, r"got \[\]"),
        (np.ones((5, 3)), [[1.0]], {}, ValueError, r"got \[\[1.0\]\]"),
        (np.ones((5, 3)), "1", {}, TypeError, "damping must hold real numbers; got dtype <U1"),
        (np.ones((5, 3)), 1j, {}, TypeError, "got dtype complex128"),
        (
            np.ones((5, 3)),
            1,
            {"damping_matrix": "diag"},
            ValueError,
            "must be 'identity' or 'marquardt'; got 'diag'",
        ),
        (np.ones((5, 3)), 1, {"solver": "lsmr"}, ValueError, "solver must be .*; got 'lsmr'"),
    ],
)
def test_messages(r, damping, named, error, message):
    J, _, _ = build("more parameters")
    with pytest.raises(error, match=message):
        J.solve(r, damping, **named)


# Saturated units: columns of J whose squares are below the range of their numbers


def rows_of(J):
    """The dense rows of a two-layer J of one output in double precision, and how long each column is."""
    (N, *_), h, y = (
        J.shape,
        [a.astype(float) for a in J.inputs],
        [a.astype(float) for a in J.deltas],
    )
    blocks = []
    for delta, x in zip((d.reshape(N, -1) for d in y), h, strict=True):
        blocks += [(delta[:, :, None] * x[:, None, :]).reshape(N, -1), delta]
    D = np.concatenate(blocks, axis=1)
    largest = np.where(D.any(axis=0), abs(D).max(axis=0), 1)
    length = largest * np.sqrt(((D / largest) ** 2).sum(axis=0))
    return D, np.where(D.any(axis=0), length, 1)


def marquardt(J, r, damping):
    """p by the singular values of the rows whose columns have the length 1."""
    D, length = rows_of(J)
    U, s, Vt = np.linalg.svd(D / length, full_matrices=False)
    kept = s > 1e-12 * s[0]
    return Vt[kept].T @ (s[kept] / (s[kept] ** 2 + damping) * (U[:, kept].T @ r.ravel())) / length


SATURATED = {  # activation, dtype, times the inputs of the case file
    "tanh, float32": ("tanh", "float32", 1),
    "tanh, float64": ("tanh", "float64", 1),
    "sigmoid, float32": ("sigmoid", "float32", 0.6),
    "sigmoid, squares below float64": ("sigmoid", "float64", 14),
    "gaussian, float64": ("gaussian", "float64", 0.15),
    "relu, columns of zeros": ("relu", "float32", 1),
}


@pytest.mark.parametrize("solver", ["auto", "direct", "cg"])
@pytest.mark.parametrize("name", SATURATED)
def test_saturated_units(shared, name, solver):
    activation, dtype, factor = SATURATED[name]
    with np.load(shared / "cases" / "marquardt_f32_saturated.npz") as file:
        few = factor * file["X"]
    net = dn.MLP([2, 30, 1], activation, seed=0, dtype=dtype)
    for X in (few, np.repeat(few, 40, axis=0) * np.linspace(0.9, 1, 240)[:, None]):
        J = net.jacobian(X.astype(dtype))
        r = np.cos(np.arange(len(X), dtype=dtype))[:, None]
        _, length = rows_of(J)
        for damping in (1e-2, 1.0):
            exact = marquardt(J, r.astype(float), damping) * length
            for p in (
                J.solve(r, damping, "marquardt", solver),
                J.solve(r, [damping, 3.0], "marquardt", solver)[0],
            ):
                assert p.dtype == dtype
                with np.errstate(over="ignore"):
                    assert_close(
                        p.astype(float) * length, exact, {"float32": 1e-5}.get(dtype, 1e-9)
                    )


def test_squares_of_short_columns_are_below_the_range(shared):
    """So the cases above are what they say."""
    with np.load(shared / "cases" / "marquardt_f32_saturated.npz") as file:
        X = file["X"]
    for name in ("tanh, float32", "sigmoid, squares below float64"):
        activation, dtype, factor = SATURATED[name]
        net = dn.MLP([2, 30, 1], activation, seed=0, dtype=dtype)
        _, length = rows_of(net.jacobian((factor * X).astype(dtype)))
        assert length.astype(dtype).min() > 0 and length.astype(dtype).min() ** 2 == 0


def test_a_solution_beyond_the_range():
    net = dn.MLP.from_layers(
        [[[1e-30]], [[1e-8]]], [[0.0], [0.0]], ["identity"] * 2, dtype="float32"
    )
    J = net.jacobian([[1.0], [2.0]])
    r = np.full((2, 1), 1e15, np.float32)
    with pytest.raises(
        ValueError, match=r"the solution must be in the range of float32; got 2\^\d+"
    ):
        J.solve(r, 1e-3, "marquardt")
    assert np.isfinite(
        net.astype("float64").jacobian([[1.0], [2.0]]).solve(r, 1e-3, "marquardt")
    ).all()


def test_products_beyond_the_range():
    net = dn.MLP.from_layers([[[1.0]]], [[0.0]], ["identity"], dtype="float32")
    J = net.jacobian([[1e25], [2e25]])
    for damping in (0.1, [0.1, 1.0]):
        with pytest.raises(ValueError, match="must be in the range of float32; their trace is inf"):
            J.solve(np.ones((2, 1)), damping, solver="direct")
    p = J.solve(np.ones((2, 1)), 0.1, "marquardt")
    assert_close(p, marquardt_of_one_layer([[1e25], [2e25]], 0.1), 1e-5)


def marquardt_of_one_layer(X, damping):
    """p of r = 1, by the normal equations in columns of length 1."""
    D = np.concatenate([X, np.ones_like(X)], axis=1)
    length = np.sqrt((D**2).sum(axis=0))
    D = D / length
    return np.linalg.solve(D.T @ D + damping * np.eye(2), D.sum(axis=0)) / length
