"""J^T J and the normal equations, beside their shapes through SciPy alone and the same in JAX."""

import numpy as np
from scipy.linalg import blas

from bench import floor, structured_dense
from bench.cases import Case
from bench.dense import over
from bench.peers import Jax, jax
from bench.report import duration
from bench.timing import rotate
from bench.verbs import close, leaves

TO_SHAPES = "<= 1.3"


def shapes(case, with_gradient):
    """dsyrk of rows that are there, and dgemv where J^T r is wanted too."""
    N, m, P = case.shape
    J, C = np.asfortranarray(case.normal(P, N * m)), floor.array(P, P, case.dtype)
    r, g = case.normal(N * m), np.empty(P, case.dtype)

    def call():
        blas.dsyrk(1, J, beta=0, c=C, overwrite_c=True)
        if with_gradient:
            blas.dgemv(1, J, r, beta=0, y=g, overwrite_y=True)

    return call


def check(case, A, g=None, R=None):
    """A v = J^T (J v), of which J v is a complex step; and g likewise."""
    v = case.normal(case.shape[2])
    Jv = case.directional(v)
    limit = 1e-9 * np.abs(A).max()
    np.testing.assert_allclose(A @ v, case.net.vjp(case.X, Jv), rtol=0, atol=limit * len(v))
    np.testing.assert_allclose(v @ A @ v, (Jv**2).sum(), rtol=1e-9)
    if g is not None:
        np.testing.assert_allclose(v @ g, (Jv * R).sum(), rtol=1e-7, atol=1e-7 * np.abs(g).max())


def gauss_newton(report, seconds):
    for name in ("small", "lm"):
        case = Case(name)
        net, X, R = case.net, case.X, case.normal(case.N, case.shape[1])
        verbs = {
            "ggn": (lambda net=net, X=X: net.ggn(X), ()),
            "normal_equations": (lambda net=net, X=X, R=R: net.normal_equations(X, R), (R,)),
        }
        for verb, (ours, arguments) in verbs.items():
            expected = leaves(ours())
            check(case, *expected, *arguments)
            calls = {"shapes": shapes(case, bool(arguments)), "deltanet": ours}
            if jax:
                same = lambda theirs, expected=expected: close(theirs, expected)  # noqa: E731
                formula = getattr(structured_dense, verb)
                calls["JAX"] = Jax(net, X).fastest(formula, *arguments, check=same)
            times = rotate(calls, rounds=3)
            ratio = over(times.get("JAX"), times["deltanet"])
            to_shapes = times["deltanet"] / times["shapes"]
            report.row(
                "Gauss-Newton matrices, from X on",
                f"{case}, {verb}",
                times,
                **{
                    "deltanet / shapes": f"{to_shapes:.2f}",
                    "JAX / deltanet": "-" if ratio is None else f"{ratio:.2f}",
                },
            )
            report.claim(f"{case}, {verb}", "it to its shapes through SciPy", to_shapes, TO_SHAPES)
            del calls, expected
            print(f"{case} {verb}: {duration(times['deltanet'])}")
