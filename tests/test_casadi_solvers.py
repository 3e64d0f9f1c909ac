"""Exported nets inside CasADi's expressions, maps, optimization and integrators."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import second_oracle
from casadi_external import ca
from exported_net import compiled, compiler
from scipy.integrate import solve_ivp

PAGE = Path(__file__).resolve().parents[1] / "docs" / "casadi.rst"


def test_within_an_expression(externals):
    """s = u^T sin f(A z): A^T f'^T diag(-u sin f) f' A + A^T H(u cos f) A"""
    one, random = externals("tanh"), np.random.default_rng(0)
    A = random.standard_normal((one.n_0, 3))
    z, at = ca.MX.sym("z", 3), random.standard_normal(3)
    s = ca.dot(one.u, ca.sin(one.f(ca.mtimes(A, z))))
    found = ca.Function("s", [z], [ca.hessian(s, z)[0]])(at)
    X = (A @ at)[None]
    y, _, dx, *_ = one.plain.differentiate(X)
    H = np.tensordot(one.u * np.cos(y[0]), second_oracle.input_hessian(one.plain, X)[0], 1)
    exact = A.T @ (dx[0].T @ np.diag(-one.u * np.sin(y[0])) @ dx[0] + H) @ A
    one.close(found.full(), exact)


@pytest.mark.parametrize("parallel", ["serial", "thread"])
@pytest.mark.parametrize("name", ["tanh", "theta"])
def test_map(name, parallel, externals):
    one = externals(name)
    X = np.random.default_rng(0).standard_normal((17, one.n_0))
    behind = [np.tile(one.theta[:, None], 17)] if one.argument else []
    mapped = one.f.map(17, parallel, 2) if parallel == "thread" else one.f.map(17)
    one.close(mapped(X.T, *behind).full().T, one.plain.forward(X)[0])
    symbol = ca.MX.sym("X", one.n_0, 17)
    s = ca.sum1(ca.mtimes(one.u[None], mapped(symbol, *behind)).T)
    gradient = ca.Function("gradient", [symbol], [ca.gradient(s, symbol)])(X.T)
    one.close(gradient.full().T, one.u @ one.plain.differentiate(X)[2])


QUIET = {"ipopt.print_level": 0, "print_time": False, "ipopt.sb": "yes", "ipopt.tol": 1e-11}


@pytest.mark.parametrize("name", ["tanh", "theta"])
def test_opti(name, externals):
    """The nearest x to 0 with y given: 2 x + dy/dx^T lambda = 0."""
    one = externals(name)
    opti = ca.Opti()
    x = opti.variable(one.n_0)
    target = one.exact[0]
    held = one.f(x, *list(one.arguments.values())[1:]) == target
    opti.minimize(ca.sumsqr(x))
    opti.subject_to(held)
    opti.solver("ipopt", QUIET)
    opti.set_initial(x, one.x)
    solved = opti.solve()
    found, multipliers = solved.value(x), np.atleast_1d(solved.value(opti.dual(held)))
    y, _, dx, *_ = one.plain.differentiate(found[None])
    np.testing.assert_allclose(y[0], target, atol=1e-9)
    np.testing.assert_allclose(2 * found + multipliers @ dx[0], 0, atol=1e-8)


def test_nlpsol_uses_the_exact_hessian(externals):
    """That of the Lagrangian, x^T x + lambda^T f(x), whose upper half CasADi makes."""
    one = externals("tanh")
    x = ca.MX.sym("x", one.n_0)
    nlp = {"x": x, "f": ca.sumsqr(x), "g": one.f(x)}
    solver = ca.nlpsol("solver", "ipopt", nlp, QUIET)
    y = one.exact[0]
    found = solver(x0=one.x, lbg=y, ubg=y)
    assert solver.stats()["success"] and solver.stats()["iter_count"] < 20
    np.testing.assert_allclose(one.plain.forward(found["x"].full().T)[0][0], y, atol=1e-9)
    H = solver.get_function("nlp_hess_l")(one.x, [], 1, one.u).full()
    one.close(H, np.triu(2 * np.eye(one.n_0) + one.exact[3][one.P :, one.P :]))


INTEGRATORS = {
    "cvodes": {"abstol": 1e-11, "reltol": 1e-11},
    "idas": {"abstol": 1e-11, "reltol": 1e-11},
    "collocation": {},
    "rk": {"number_of_finite_elements": 100},
}


@pytest.mark.parametrize("method", INTEGRATORS)
def test_integrator(method, externals):
    """A neural ODE, and the gradient u^T S of u^T x(1) by where it begins: dS/dt = f'(x) S, S(0) = 1."""
    one = externals("softmax")
    n, A = one.n_0, np.linspace(-1, 1, one.n_0 * one.m).reshape(one.n_0, one.m)
    x, u = ca.MX.sym("x", n), np.arange(1.0, n + 1)
    ode = {"x": x, "ode": ca.mtimes(A, one.f(x))}
    F = ca.integrator("F", method, ode, 0, 1, INTEGRATORS[method])
    s = ca.dot(u, F(x0=x)["xf"])

    def rate(t, state):
        y, _, dx, *_ = one.plain.differentiate(state[None, :n])
        return np.concatenate([A @ y[0], (A @ dx[0] @ state[n:].reshape(n, n)).ravel()])

    start = np.concatenate([one.x, np.eye(n).ravel()])
    end = solve_ivp(rate, (0, 1), start, "DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(F(x0=one.x)["xf"].full()[:, 0], end[:n], atol=1e-8)
    gradient = ca.Function("gradient", [x], [ca.gradient(s, x)])(one.x)
    np.testing.assert_allclose(gradient.full()[:, 0], u @ end[n:].reshape(n, n), atol=1e-7)


def test_hessian_through_runge_kutta(externals):
    """Against differences of the gradient."""
    one = externals("tanh")
    x, u, step = ca.MX.sym("x", 4), np.array([1.0, -2, 3, 4]), 1e-5
    ode = {"x": x, "ode": ca.vertcat(one.f(x), -x[:2])}
    s = ca.dot(u, ca.integrator("F", "rk", ode, 0, 1)(x0=x)["xf"])
    H, g = ca.hessian(s, x)
    function = ca.Function("second", [x], [H, g])
    moved = [
        [function(one.x + sign * e)[1].full()[:, 0] for sign in (1, -1)] for e in step * np.eye(4)
    ]
    exact = [(ahead - behind) / (2 * step) for ahead, behind in moved]
    np.testing.assert_allclose(function(one.x)[0].full(), exact, atol=1e-7)


def test_c_that_casadi_generates_calls_it(externals, tmp_path, monkeypatch):
    """Compiled with the exported file: value and derivatives in all directions."""
    one = externals("softmax")
    x, u, v = (ca.MX.sym(*given) for given in (("x", one.n_0), ("u", one.m), ("v", one.n_0)))
    y = one.f(x)
    gradient = ca.gradient(ca.dot(u, y), x)
    results = [
        y,
        ca.jtimes(y, x, v),
        ca.jtimes(gradient, x, v),
        ca.hessian(ca.dot(u, ca.sin(y)), x)[0],
    ]
    whole = ca.Function("whole", [x, u, v], results)
    monkeypatch.chdir(tmp_path)  # CasADi writes there only
    whole.generate("whole.c")
    compiled("whole.so", ["whole.c", one.source], "-O1", "-shared", "-fPIC")
    given = one.x, one.u, np.arange(1.0, one.n_0 + 1)
    for found, exact in zip(ca.external("whole", "./whole.so")(*given), whole(*given), strict=True):
        one.close(found.full(), exact.full())


def test_the_listings_of_the_page(tmp_path, monkeypatch):
    compiler("cc")
    text = PAGE.read_text(encoding="utf-8").partition("\nacados\n")[0]
    listings = re.findall(r"\.\. code-block:: python\n\n((?: {3}.*\n|\n)+)", text)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(textwrap.dedent("".join(listings)), names)
    assert len(listings) == 4 and abs(names["best"]).max() <= 2
    x = np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(names["y"].full()[:, 0], names["net"](x), rtol=1e-13)
    X = np.random.default_rng(0).standard_normal((100, 3))
    np.testing.assert_allclose(names["all_at_once"](X.T).full().T, names["net"](X), atol=1e-13)
    assert ca.Function("H", [names["x"]], [names["H"]])(x).shape == (3, 3)
