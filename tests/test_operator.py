"""J as an operator of SciPy, and in its solvers."""

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.sparse.linalg import LinearOperator, eigsh, lsmr, lsqr, svds

import deltanet as dn

SIZES = (4, 6, 3)


def build(N, dtype="float64"):
    """(operator, its matrix)"""
    net = dn.MLP(SIZES, seed=0, dtype=dtype)
    X = np.random.default_rng(0).standard_normal((1 if N == "single" else N, 4))
    J = net.jacobian(X[0] if N == "single" else X)
    return J.as_linear_operator(), J.to_dense().reshape(J.outputs.size, net.num_params)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-13), ("float32", 1e-5)])
@pytest.mark.parametrize("N", [0, 1, "single", 9])
def test_every_product(N, dtype, tolerance):
    A, D = build(N, dtype)
    rows, P = D.shape
    assert isinstance(A, LinearOperator) and A.shape == D.shape and A.dtype == dtype
    random = np.random.default_rng(1)
    v, V = random.standard_normal(P), random.standard_normal((P, 4))
    u, U = random.standard_normal(rows), random.standard_normal((rows, 4))
    for result, exact in (
        (A @ v, D @ v),
        (A @ v[:, None], D @ v[:, None]),
        (A @ V, D @ V),
        (A @ V[:, ::-2], D @ V[:, ::-2]),
        (A @ V[:, :0], D @ V[:, :0]),
        (A.matvec(v), D @ v),
        (A.matmat(V), D @ V),
        (A.rmatvec(u), D.T @ u),
        (A.rmatmat(U), D.T @ U),
        (A.rmatmat(U[:, :0]), D.T @ U[:, :0]),
        (A.T @ u, D.T @ u),
        (A.H @ U, D.T @ U),
        (A.adjoint().adjoint() @ v, D @ v),
        ((A.H @ A) @ v, D.T @ (D @ v)),
        ((2 * A) @ v, 2 * (D @ v)),
    ):
        assert result.dtype in (dtype, np.float64)
        np.testing.assert_allclose(result, exact, rtol=tolerance, atol=20 * tolerance)


def test_wrong_arguments():
    A, _ = build(2)
    with pytest.raises(ValueError, match=r"(?i)dimension mismatch"):
        A.matvec(np.ones(3))
    with pytest.raises(TypeError, match="v must hold real numbers; got dtype complex128"):
        A @ np.ones(A.shape[1], complex)


@pytest.mark.parametrize("solver, most", [(lsmr, "maxiter"), (lsqr, "iter_lim")])
def test_least_squares_of_sparse_linalg(solver, most):
    A, D = build(9)
    b = np.random.default_rng(2).standard_normal(D.shape[0])
    p = solver(A, b, damp=0.1, atol=1e-14, btol=1e-14, **{most: 500})[0]
    right = np.linalg.solve(D.T @ D + 0.01 * np.eye(D.shape[1]), D.T @ b)
    np.testing.assert_allclose(p, right, rtol=1e-8, atol=1e-8)


def test_svds_and_eigsh():
    A, D = build(9)
    U, s, Vt = svds(A, k=3, random_state=0)
    exact = np.linalg.svd(D, compute_uv=False)[:3]
    np.testing.assert_allclose(np.sort(s)[::-1], exact, rtol=1e-9)
    np.testing.assert_allclose(A @ Vt.T, U * s, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(
        eigsh(A @ A.H, k=3, v0=np.ones(D.shape[0]))[0][::-1], exact**2, rtol=1e-9
    )


def test_jac_of_scipy_optimize():
    """A fit with the operator takes the steps of a fit with the dense Jacobian."""
    net = dn.MLP([2, 5, 2], seed=0)
    random = np.random.default_rng(0)
    X = random.standard_normal((40, 2))
    Y = np.stack([np.sin(X[:, 0]), X[:, 0] * X[:, 1]], axis=1)

    def residuals(params):
        net.params = params
        return (net(X) - Y).ravel()

    def operator(params):
        net.params = params
        return net.jacobian(X).as_linear_operator()

    def matrix(params):
        net.params = params
        return net.jacobian_dense(X).reshape(Y.size, params.size)

    start = net.params.copy()
    first = residuals(start)
    exactly = {"atol": 1e-13, "btol": 1e-13, "maxiter": 500}
    options = {"tr_solver": "lsmr", "method": "trf", "max_nfev": 6, "tr_options": exactly}
    fitted = least_squares(residuals, start, jac=operator, **options)
    by_matrix = least_squares(residuals, start, jac=matrix, **options)
    assert fitted.cost < 0.3 * (first @ first) / 2
    np.testing.assert_allclose(fitted.cost, by_matrix.cost, rtol=1e-6)
    np.testing.assert_allclose(fitted.x, by_matrix.x, rtol=1e-5, atol=1e-6)
