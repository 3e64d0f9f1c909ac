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
