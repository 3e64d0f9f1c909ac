"""What the verbs are given: any strides and types of numbers, bad samples, wrong shapes; Ctrl-C."""

import copy
import signal
import subprocess
import sys

import numpy as np
import pytest
from verb_table import FORMS

import deltanet as dn

SIZES, N, P = (4, 7, 3), 5, 59
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((N, 4))
V, U = RANDOM.standard_normal((P, 3)), RANDOM.standard_normal((N, 3, 2))
H = RANDOM.standard_normal((N, 3, 3))
H = H + H.swapaxes(1, 2)


def jacobian(dtype="float64"):
    return dn.MLP(SIZES, seed=0, dtype=dtype).jacobian(X)


CALLS = {
    "matvec": (V, lambda J, v: J.matvec(v)),
    "rmatvec": (U, lambda J, u: J.rmatvec(u)),
    "rmatvec of one": (U[..., 0], lambda J, u: J.T @ u),
    "ggn": (H, lambda J, H: J.ggn(H)),
    "ggn_diagonal": (H, lambda J, H: J.ggn_diagonal(H)),
    "covariance": (V, lambda J, U: J.covariance(U)),
    "solve": (U[..., 0], lambda J, r: J.solve(r, 0.1)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CALLS)
def test_any_form_of_an_argument(name, form, dtype):
    argument, call = CALLS[name]
    J, before = jacobian(dtype), argument.copy()
    result, right = call(J, FORMS[form](argument)), call(J, argument)
    assert type(result) is np.ndarray and result.dtype == dtype
    np.testing.assert_allclose(result, right, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6)
    np.testing.assert_array_equal(argument, before)


def test_integers_booleans_and_zero_strides():
    J = jacobian()
    ones = np.ones(P)
    for same in (np.ones(P, int), np.ones(P, np.int8), np.ones(P, bool), np.broadcast_to(1.0, P)):
        np.testing.assert_array_equal(J @ same, J @ ones)
    np.testing.assert_array_equal(J.T @ np.ones((N, 3), int), J.T @ np.ones((N, 3)))
    np.testing.assert_array_equal(J.ggn(np.ones(N, int)), J.ggn(np.ones(N)))
    np.testing.assert_array_equal(J.solve(np.ones((N, 3), int), 1), J.solve(np.ones((N, 3)), 1.0))


def test_many_columns():
    J = jacobian()
    many = RANDOM.standard_normal((P, 3000))
    np.testing.assert_allclose((J @ many)[..., 2999], J @ many[:, 2999], rtol=1e-13, atol=1e-13)


def test_later_changes_of_the_net_do_not_reach_a_verb():
    net = dn.MLP(SIZES, seed=0)
    J, again = net.jacobian(X), net.jacobian(X)
    net.params[:] = np.nan
    for call in (
        lambda J: J.gram(),
        lambda J: J @ V,
        lambda J: J.T @ U,
        lambda J: J.ggn(H),
        lambda J: J.solve(U[..., 0], [0, 0.1]),
        lambda J: J.covariance(V, full=True),
    ):
        result = call(J)
        assert np.isfinite(result).all()
        np.testing.assert_array_equal(result, call(again))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda J: J @ np.ones(4),
            ValueError,
            r"v must have shape \(59,\) or \(59, r\); got \(4,\)",
        ),
        (lambda J: J @ np.ones((59, 2, 2)), ValueError, r"got \(59, 2, 2\)"),
        (lambda J: J @ 1.0, ValueError, r"got \(\)"),
        (
            lambda J: J @ np.ones(59, complex),
            TypeError,
            "v must hold real numbers; got dtype compl",
        ),
        (lambda J: J @ ["a"] * 59, TypeError, "v must hold real numbers; got dtype <U1"),
        (lambda J: J @ [[1], [1, 2]], ValueError, "v must be a rectangular array"),
        (lambda J: J.matvec(np.ones(59), threads=0), ValueError, "threads must be .*; got 0"),
        (lambda J: J.T @ np.ones((4, 3)), ValueError, r"u must have shape \(5, 3\) or \(5, 3, r\)"),
        (lambda J: J.T @ np.ones(15), ValueError, r"got \(15,\)"),
        (
            lambda J: J.T @ np.ones((5, 3), object),
            TypeError,
            "u must hold real numbers; got dtype ob",
        ),
        (
            lambda J: J.gram(np.ones(3)),
            ValueError,
            r"other must be a Jacobian of sizes \(4, 7, 3\)",
        ),
        (
            lambda J: J.gram(dn.MLP([4, 6, 3]).jacobian(X)),
            ValueError,
            r"and dtype float64; got Jacobian\(shape=\(5, 3, 51\)",
        ),
        (lambda J: J.gram_trace(jacobian("float32")), ValueError, "got Jacobian.*float32"),
        (lambda J: J.T @ J, TypeError, r"J J\^T and J\^T J use gram\(\) and ggn\(\); got Jacobian"),
        (
            lambda J: J.ggn(np.ones(4)),
            ValueError,
            r"H must have shape \(5,\) or \(5, 3, 3\); got \(4",
        ),
        (lambda J: J.ggn(np.ones((3, 3))), ValueError, r"got \(3, 3\)"),
        (
            lambda J: J.ggn(np.ones(5, complex)),
            TypeError,
            "H must hold real numbers; got dtype comp",
        ),
        (lambda J: J.ggn([1, 1, np.inf, 1, 1]), ValueError, "H must be finite; got inf"),
        (
            lambda J: J.kfac(np.stack([np.eye(3)] * 4 + [np.triu(np.ones((3, 3)))])),
            ValueError,
            r"H must be symmetric for each sample; H - H\^T of sample 4 reaches 1",
        ),
        (lambda J: J.ggn(wrt="last"), TypeError, "unexpected keyword argument 'wrt'"),
        (
            lambda J: J.covariance(np.ones(4)),
            ValueError,
            r"Sigma must be a scalar, \(59,\).*got \(4,",
        ),
        (lambda J: J.covariance(np.ones((58, 2))), ValueError, r"got \(58, 2\)"),
        (
            lambda J: J.covariance(1j),
            TypeError,
            "Sigma must hold real numbers; got dtype complex128",
        ),
        (lambda J: J.covariance(J.kfac()[:1]), ValueError, "one pair .* for each of 2 layers"),
        (
            lambda J: J.covariance([*J.kfac()[:1], (np.eye(8), np.eye(2))]),
            ValueError,
            r"B of layer 1 must have shape \(3, 3\); got \(2, 2\)",
        ),
        (lambda J: np.ones((5, 3)) @ J, TypeError, "unsupported operand"),
        (lambda J: np.ones(59) @ J.T, TypeError, "unsupported operand"),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call(jacobian())


def test_an_H_of_a_single_sample_has_no_axis_of_samples():
    with pytest.raises(ValueError, match=r"H must have shape \(\) or \(3, 3\); got \(1,\)"):
        dn.MLP(SIZES, seed=0).jacobian(X[0]).ggn([2.0])


def test_an_H_symmetric_to_rounding_is_taken():
    """Off-diagonal entries that are rounding of zero differ by all they have."""
    near = np.stack([np.eye(3)] * N)
    near[:, 0, 1] = 1e-17
    np.testing.assert_allclose(jacobian().ggn(near), jacobian().ggn(), rtol=1e-12, atol=1e-14)


def test_a_copy_shares_the_factors():
    net = dn.MLP(SIZES, seed=0)
    J = net.jacobian(X)
    other, right = copy.copy(J), J.input_jacobian()
    net.params[:] = 0
    assert other.deltas[0] is J.deltas[0] and other.shape == J.shape
    np.testing.assert_array_equal(other @ V, J @ V)
    np.testing.assert_array_equal(other.input_jacobian(), right)
    assert J.T.T is J


@pytest.mark.parametrize("name", ["outputs", "inputs", "deltas", "sizes", "anything"])
def test_nothing_of_a_jacobian_can_be_set(name):
    """The core reads as many samples from `deltas` as there are in `outputs`."""
    with pytest.raises(AttributeError, match=f"{name} of a Jacobian cannot be set"):
        setattr(jacobian(), name, np.zeros((10**6, 3)))


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process there")
@pytest.mark.parametrize(
    "verb, width, N",
    [
        ("J.gram()", 2000, 250),
        ("J.gram_trace()", 2000, 250),
        ("J.matvec(np.ones((J.shape[-1], 100)))", 2000, 250),
        ("J.ggn()", 30, 1500),
        ("J.solve(J.outputs, 1)", 30, 1500),
    ],
)
def test_ctrl_c_works_within_a_second(verb, width, N):
    code = f"""
import numpy as np, deltanet as dn
net = dn.MLP([64, {width}, 20], seed=0)
J = net.jacobian(np.random.default_rng(0).standard_normal(({N}, 64)))
print("ready", flush=True)
while True:
    {verb}
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(2)  # a second, and the other processes of a busy machine
    finally:
        process.kill()
    assert process.communicate()[1].rstrip().endswith("KeyboardInterrupt")
