"""The damped systems of fit: all three against a dense solution, and which one is taken."""

import os
import signal
import threading
import time
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from oracle import Case, assert_close

import deltanet as dn
from deltanet import _limits, _memory
from deltanet._fit import problem as problems
from deltanet._fit.systems import choose, conjugate_gradients

CASES = {
    "more residuals": (Case([3, 5, 2], ["tanh", "identity"], scaled=True), 60),
    "more parameters": (Case([3, 9, 2], ["sigmoid", "identity"], scaled=True), 12),
    "softmax": (Case([3, 4, 3], ["silu", "softmax"], scaled=True), 40),
    "log_softmax": (Case([3, 4, 3], ["tanh", "log_softmax"]), 40),
    "one sample": (Case([3, 5, 2], ["tanh", "identity"]), 1),
    "many blocks": (Case([2, 6, 1], ["tanh", "identity"]), 3000),
    "no bias": (Case([3, 5, 2], ["tanh", "identity"], biased=[False, False]), 60),
    "a bias of the first layer": (
        Case([3, 9, 2], ["sigmoid", "identity"], scaled=True, biased=[True, False]),
        12,
    ),
}
PRIORS = {"none": lambda P: 0.0, "one": lambda P: 0.3, "each": lambda P: np.linspace(0, 2, P)}


def net_of(case, dtype="float64"):
    return dn.MLP.from_layers(case.weights, case.biases, case.activations, *case.scalings, dtype)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("name", CASES)
def test_every_system_has_the_same_step(name, prior, weighted, monkeypatch):
    """(J^T W J + Lambda + mu 1) p = J^T W r + Lambda theta, by NumPy from the oracle's Jacobian."""
    monkeypatch.setattr(problems, "forcing", lambda *norms: 1e-12)
    monkeypatch.setattr(problems, "MOST_ITERATIONS", 1000)
    case, N = CASES[name]
    random, P = np.random.default_rng(0), case.theta.size
    X, Y = case.inputs(N), random.standard_normal((N, case.sizes[-1]))
    weights = random.uniform(0, 2, N) if weighted else None
    w, Lambda, mu = np.ones(N) if weights is None else weights, PRIORS[prior](P), 0.2
    r, J = case.evaluate(X)[0].real - Y, case.jacobian(X)
    A = np.einsum("sop,s,soq->pq", J, w, J) + np.diag(Lambda * np.ones(P))
    g = np.einsum("sop,s,so->p", J, w, r) + Lambda * case.theta
    F = 0.5 * np.sum(w[:, None] * r**2) + 0.5 * np.sum(Lambda * case.theta**2)
    exact = np.linalg.solve(A + mu * np.eye(P), g)
    for way in (problems.Primal, problems.Dual, problems.MatrixFree):
        if way is problems.Dual and N > 1000:
            continue
        problem = way(net_of(case), X, Y, weights, PRIORS[prior](P))
        assert problem.loss() == pytest.approx(F, rel=1e-12)
        problem.linearise()
        assert_close(problem.g, g, 1e-11)
        assert problem.trace == pytest.approx(np.trace(A), rel=1e-11)
        assert_close(problem.solve(mu), exact, 1e-8)


@pytest.mark.parametrize("wrt", [None, "last", "weights"])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("way", [problems.Primal, problems.Dual, problems.MatrixFree])
@pytest.mark.parametrize("name", CASES)
def test_a_refused_trial_leaves_the_step(name, way, kept, wrt, monkeypatch):
    """To the last bit, also where activations are kept; and an accepted one does not."""
    if not kept:
        monkeypatch.setattr(_limits, "ACTIVATION_BYTES", 0)
    case, N = CASES[name]
    if way is problems.Dual and N > 1000:
        pytest.skip("the matrix is large")
    X, Y = case.inputs(N), np.random.default_rng(0).standard_normal((N, case.sizes[-1]))
    problem = way(net_of(case), X, Y, None, 0.0, wrt)
    problem.loss()
    problem.linearise()
    step, theta = problem.solve(0.2), problem.theta.copy()
    problem.theta -= step
    problem.loss()
    problem.theta[:] = theta
    problem.put()
    problem.tolerance = problems.LOOSEST  # what an inner solver was given before
    np.testing.assert_array_equal(problem.solve(0.2), step)
    problem.theta -= step
    problem.loss()
    problem.linearise()
    fresh = way(net_of(case), X, Y, None, 0.0, wrt)
    fresh.theta[:] = problem.theta
    fresh.loss()
    fresh.linearise()
    np.testing.assert_array_equal(problem.g, fresh.g)
    problem.tolerance = fresh.tolerance = problems.LOOSEST
    np.testing.assert_array_equal(problem.solve(0.1), fresh.solve(0.1))


@pytest.mark.parametrize(
    "wrt", [None, "last", "weights", "biases", [0], [("biases", 0), 1]], ids=str
)
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("name", ["more residuals", "more parameters"])
def test_some_parameters_each_with_a_damping_of_its_own(name, prior, wrt, monkeypatch):
    """The same system in some columns, with mu a vector: others stay, and F counts their prior."""
    monkeypatch.setattr(problems, "forcing", lambda *norms: 1e-12)
    monkeypatch.setattr(problems, "MOST_ITERATIONS", 1000)
    case, N = CASES[name]
    random, P = np.random.default_rng(0), case.theta.size
    some = columns(case, wrt)
    X, Y, weights = case.inputs(N), random.standard_normal((N, 2)), random.uniform(0, 2, N)
    Lambda, mu = PRIORS[prior](P) * np.ones(P), random.uniform(0.1, 3, P)[some]
    r, J = case.evaluate(X)[0].real - Y, case.jacobian(X)[..., some]
    A = np.einsum("sop,s,soq->pq", J, weights, J) + np.diag(Lambda[some])
    g = np.einsum("sop,s,so->p", J, weights, r) + (Lambda * case.theta)[some]
    F = 0.5 * np.sum(weights[:, None] * r**2) + 0.5 * np.sum(Lambda * case.theta**2)
    exact = np.linalg.solve(A + np.diag(mu), g)
    for way in (problems.Primal, problems.Dual, problems.MatrixFree):
        problem = way(net_of(case), X, Y, weights, PRIORS[prior](P), wrt)
        assert problem.loss() == pytest.approx(F, rel=1e-12)
        assert problem.penalty() == pytest.approx(0.5 * np.sum(Lambda * case.theta**2), rel=1e-12)
        problem.linearise()
        assert_close(problem.g, g, 1e-11)
        assert_close(problem.diagonal, np.diag(A), 1e-11)
        assert_close(problem.solve(mu), exact, 1e-7)
        problem.theta[:] += exact
        problem.loss()
        moved = case.theta.copy()
        moved[some] += exact
        np.testing.assert_allclose(problem.net.params, moved, rtol=1e-7)


def columns(case, wrt):
    """The columns that wrt keeps, as numbers in theta's order."""
    kept, start = [], 0
    for k, (W, b) in enumerate(zip(case.weights, case.biases, strict=True)):
        for kind, size in (("weights", W.size), ("biases", b.size)):
            last = wrt == "last" and k == len(case.weights) - 1
            listed = isinstance(wrt, list) and (k in wrt or (kind, k) in wrt)
            if wrt is None or wrt == kind or last or listed:
                kept.extend(range(start, start + size))
            start += size
    return np.array(kept)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_product_with_the_gauss_newton_matrix(name, dtype):
    """J^T H J v in one pass, H of both signs; the same bits from any number of threads."""
    case, N = CASES[name]
    random, net = np.random.default_rng(1), net_of(case, dtype)
    X, H = case.inputs(N).astype(dtype), random.standard_normal(N).astype(dtype)
    v, J = random.standard_normal(case.theta.size).astype(dtype), case.jacobian(X.astype(float))
    for weights in (None, H):
        results = []
        for threads in (1, 2, 3):
            results.append(np.zeros_like(v))
            net._engine.run(N, X=X, v=v, vjp=results[-1], H=weights, threads=threads)
        w = np.ones(N) if weights is None else H.astype(float)
        exact = np.einsum("sop,s,soq,q->p", J, w, J, v.astype(float), optimize=True)
        assert_close(results[0], exact, {"float64": 1e-11, "float32": 1e-3}[dtype])
        np.testing.assert_array_equal(results[0], results[1])
        np.testing.assert_array_equal(results[0], results[2])


# Conjugate gradients


def test_conjugate_gradients_cut_short():
    """p^T (b - A p) = 0 after any number of products: what the predicted reduction of the loss stands on."""
    random = np.random.default_rng(0)
    R = random.standard_normal((40, 30))
    A, b = R.T @ R + 0.1 * np.eye(30), random.standard_normal(30)
    models = []
    for most in (1, 3, 10, 200):
        p = conjugate_gradients(
            lambda v, out: np.matmul(A, v, out=out), b, A.diagonal(), 1e-13, most
        )
        assert abs(p @ (b - A @ p)) < 1e-10 * abs(p @ b)
        models.append(p @ b - p @ A @ p / 2)
    assert (np.diff(models) > 0).all()
    assert_close(p, np.linalg.solve(A, b), 1e-10)


@pytest.mark.parametrize("value", [-1.0, 0.0, np.nan, np.inf])
def test_conjugate_gradients_without_a_definite_matrix(value):
    product = lambda v, out: np.multiply(value, v, out=out)  # noqa: E731
    assert conjugate_gradients(product, np.ones(3), np.ones(3), 1e-3, 10) is None


# Which one is taken


@pytest.mark.parametrize(
    ("sizes", "N", "way"),
    [
        ([1, 10, 1], 200, "primal"),
        ([3, 30, 2], 400, "primal"),
        ([20, 100, 3], 10, "dual"),
        ([45120, 300, 3], 38, "dual"),
        ([784, 30, 10], 60_000, "cg"),
        ([784, 300, 10], 5000, "cg"),
    ],
)
def test_auto_takes_the_less_arithmetic(sizes, N, way, monkeypatch):
    P = sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))
    monkeypatch.setattr(_memory, "available_memory", lambda: 2**60)
    assert choose("auto", sizes, N, 40, 3, 8, P=P) == way
    assert choose("cg", sizes, N, 40, 3, 8, P=P) == "cg"
    assert choose("direct", sizes, N, 40, 3, 8, P=P) in ("primal", "dual")
    monkeypatch.setattr(_memory, "available_memory", lambda: 100)
    assert choose("auto", sizes, N, 40, 3, 8, P=P) == "cg"


@pytest.mark.parametrize("bias", [True, False])
def test_fit_takes_the_smaller_side(bias):
    """N rows against P parameters, of which a net without biases has fewer."""
    net = dn.MLP([3, 3, 1], seed=0, bias=bias)
    for N, way in ((net.num_params - 1, problems.Dual), (net.num_params, problems.Primal)):
        X = np.random.default_rng(0).standard_normal((N, 3))
        assert type(problems.problem(net, X, X[:, :1], None, 0.0)) is way


def test_fit_and_solve_without_memory_for_a_matrix(monkeypatch):
    X = np.random.default_rng(0).standard_normal((60, 3))
    net, Y = dn.MLP([3, 4, 1], seed=0), np.sin(X[:, :1])
    J = net.jacobian(X)
    step = J.solve(Y, 0.1)
    ways, once = [], problems.MatrixFree.linearise
    spy = lambda self: ways.append(once(self))  # noqa: E731
    monkeypatch.setattr(problems.MatrixFree, "linearise", spy)
    dn.fit(net, X, Y, max_iter=3)
    assert not ways
    monkeypatch.setattr(_memory, "available_memory", lambda: 100)
    fit = dn.fit(net, X, Y, max_iter=3)
    assert ways and fit.loss < fit.start
    monkeypatch.setattr(dn.Jacobian, "ggn", None)
    assert_close(J.solve(Y, 0.1), step, 1e-9)


# Large problems


def large():
    random = np.random.default_rng(0)
    X = random.standard_normal((20_000, 100))
    return dn.MLP([100, 60, 5], seed=0), X, dn.MLP([100, 10, 5], seed=1)(X)


def test_memory_without_a_matrix():
    """N P numbers would take 1 GB, P^2 of them 325 MB; X has 16 MB, what is kept of h and f' 40 MB."""
    net, X, Y = large()
    tracemalloc.start()
    try:
        fit = dn.fit(net, X, Y, solver="cg", max_iter=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert fit.loss < 0.5 * fit.start
    assert peak < 60e6


def test_ctrl_c_in_a_step():
    net, X, Y = large()
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.5, interrupt)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            dn.fit(net, X, Y, solver="cg", max_iter=10**6, tol=1e-300)
    finally:
        timer.cancel()
    assert time.perf_counter() - sent[0] < 1
