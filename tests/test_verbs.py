"""Every verb of a Jacobian against NumPy's algebra on its dense matrix.

The entries of that matrix are what test_jacobian.py holds against a complex step.
"""

from itertools import pairwise

import numpy as np
import pytest
from oracle import Case, assert_close

import deltanet as dn
from deltanet import covariance, curvature
from deltanet.jacobian import Jacobian

TOLERANCE = {"float64": 1e-11, "float32": 1e-4}
CASES = {
    "one layer": Case((4, 3), ["tanh"]),
    "one layer, softmax, scaled": Case((4, 3), ["softmax"], scaled=True),
    "one weight": Case((1, 1), ["sigmoid"]),
    "two layers": Case((3, 5, 2), ["tanh", "identity"]),
    "two layers, softmax": Case((3, 5, 4), ["silu", "softmax"]),
    "two layers, scaled": Case((3, 5, 2), ["softplus", "tanh"], scaled=True),
    "one output": Case((6, 7, 1), ["gelu", "identity"]),
    "five layers": Case((2, 1, 6, 3, 1, 4), ["tanh"] * 5),
    "five layers, log_softmax, scaled": Case(
        (2, 1, 6, 3, 1, 4), [*["sin"] * 4, "log_softmax"], scaled=True
    ),
    "width one throughout": Case((1, 1, 1), ["tanh", "tanh"], scaled=True),
    "large enough for BLAS": Case((40, 34, 3), ["tanh"] * 2),
}
WRT = (None, "last", "weights", "biases", [0], [-1, 0], [])


class Setup:
    """A Jacobian J, its matrix D in double precision, and random arguments for the verbs.

    N is a count, or "single" for a sample without an axis: then D and `formula` still have that axis.
    """

    def __init__(self, case, N, dtype, seed=0):
        random = np.random.default_rng(seed)
        self.net = dn.MLP.from_layers(
            case.weights, case.biases, case.activations, *case.scalings, dtype=dtype
        )
        self.made = {}
        self.single, self.case = N == "single", case
        X = case.inputs(1 if self.single else N)
        self.J = self.net.jacobian(X[0] if self.single else X)
        self.N, self.m, self.P = len(X), case.sizes[-1], self.net.num_params
        self.D = dense(self.J).reshape(self.N, self.m, self.P)
        self.other = self.net.jacobian(case.inputs(4, seed=2))
        self.D2 = dense(self.other)

        def draw(*shape):
            return random.standard_normal(shape).astype(dtype).astype(float)

        self.v, self.V = draw(self.P), draw(self.P, 3)
        self.u, self.U = draw(self.N, self.m), draw(self.N, self.m, 3)
        self.identity = np.broadcast_to(np.eye(self.m), (self.N, self.m, self.m))
        self.h, H = draw(self.N), draw(self.N, self.m, self.m)
        self.H = H + H.swapaxes(1, 2)
        self.sigma, self.factor = draw(self.P), draw(self.P, 3)
        self.Sigma = self.factor @ draw(3, self.P)
        self.Sigma = self.Sigma + self.Sigma.T
        self.pairs = [
            (A + A.T, B + B.T)
            for A, B in (
                (draw(n_in + 1, n_in + 1), draw(n_out, n_out))
                for n_in, n_out in pairwise(case.sizes)
            )
        ]

    def rows(self, a):
        """An argument with an axis of samples, as the verb takes it."""
        return a[0] if self.single else a

    def keep(self, wrt):
        """Which columns of D a `wrt` names, as booleans."""
        kept = []
        layers = len(self.case.sizes) - 1
        for k, (n_in, n_out) in enumerate(pairwise(self.case.sizes)):
            whole = wrt is None or (wrt == "last" and k == layers - 1)
            whole = whole or (isinstance(wrt, list) and k in [i % layers for i in wrt])
            kept += [whole or wrt == "weights"] * (n_in * n_out) + [
                whole or wrt == "biases"
            ] * n_out
        return np.array(kept)

    def ggn(self, weights, wrt):
        """sum_s D_s^T H_s D_s of the columns that are kept; the whole of it is made once."""
        if weights not in self.made:
            H = {
                "plain": self.identity,
                "weighed": self.h[:, None, None] * self.identity,
                "indefinite": self.H,
            }[weights]
            self.made[weights] = quadratic(self.D, H)
        keep = self.keep(wrt)
        return self.made[weights][np.ix_(keep, keep)]

    def covariance_of_pairs(self):
        """The block-diagonal matrix of B (x) A of [W b], in the order of theta."""
        Sigma, start = np.zeros((self.P, self.P)), 0
        for (A, B), (n_in, n_out) in zip(self.pairs, pairwise(self.case.sizes), strict=True):
            W = start + np.arange(n_out * n_in).reshape(n_out, n_in)
            b = start + n_out * n_in + np.arange(n_out)
            order = np.concatenate([W, b[:, None]], axis=1).ravel()
            Sigma[np.ix_(order, order)] = np.kron(B, A)
            start += n_out * (n_in + 1)
        return Sigma


def dense(J):
    return J.to_dense().astype(float)


def quadratic(D, H):
    """sum_s D_s^T H_s D_s"""
    return D.reshape(-1, D.shape[-1]).T @ (H @ D).reshape(-1, D.shape[-1])


def sandwich(D, Sigma, D2):
    """D Sigma D2^T (N, m, N', m)"""
    return np.tensordot(D @ Sigma, D2, (2, 2))


def each_sample(K):
    """The blocks of (N, m, N, m) on its diagonal."""
    return np.einsum("sosp->sop", K)


# name -> setup -> (result, formula, axes of samples in the formula)
VERBS = {
    "matvec": lambda s: (s.J.matvec(s.v), s.D @ s.v, [0]),
    "matmul": lambda s: (s.J @ s.v, s.D @ s.v, [0]),
    "matvec, columns": lambda s: (s.J.matvec(s.V), s.D @ s.V, [0]),
    "matvec, no column": lambda s: (s.J @ s.V[:, :0], s.D @ s.V[:, :0], [0]),
    "rmatvec": lambda s: (s.J.rmatvec(s.rows(s.u)), np.einsum("sop,so->p", s.D, s.u), []),
    "T matmul": lambda s: (s.J.T @ s.rows(s.u), np.einsum("sop,so->p", s.D, s.u), []),
    "rmatvec, columns": lambda s: (
        s.J.rmatvec(s.rows(s.U)),
        np.einsum("sop,sor->pr", s.D, s.U),
        [],
    ),
    "rmatvec, no column": lambda s: (s.J.T @ s.rows(s.U)[..., :0], np.zeros((s.P, 0)), []),
    "gram": lambda s: (s.J.gram(), sandwich(s.D, np.eye(s.P), s.D), [0, 2]),
    "gram of two": lambda s: (s.J.gram(s.other), sandwich(s.D, np.eye(s.P), s.D2), [0]),
    "gram of two, turned": lambda s: (s.other.gram(s.J), sandwich(s.D2, np.eye(s.P), s.D), [2]),
    "gram_diagonal": lambda s: (
        s.J.gram_diagonal(),
        each_sample(sandwich(s.D, np.eye(s.P), s.D)),
        [0],
    ),
    "gram_per_output": lambda s: (
        s.J.gram_per_output(),
        np.einsum("sop,zop->osz", s.D, s.D),
        [1, 2],
    ),
    "gram_per_output of two": lambda s: (
        s.J.gram_per_output(s.other),
        np.einsum("sop,zop->osz", s.D, s.D2),
        [1],
    ),
    "gram_trace": lambda s: (
        s.J.gram_trace(),
        np.einsum("sop,zop->sz", s.D, s.D) / s.m,
        [0, 1],
    ),
    "gram_trace of two": lambda s: (
        s.J.gram_trace(s.other),
        np.einsum("sop,zop->sz", s.D, s.D2) / s.m,
        [0],
    ),
}
for wrt in WRT:
    VERBS |= {
        f"row_norms_squared, {wrt}": lambda s, wrt=wrt: (
            s.J.row_norms_squared(wrt),
            (s.D[..., s.keep(wrt)] ** 2).sum(axis=-1),
            [0],
        ),
        f"ggn, {wrt}": lambda s, wrt=wrt: (
            s.J.ggn(wrt=wrt),
            s.ggn("plain", wrt),
            [],
        ),
        f"ggn, weights of samples, {wrt}": lambda s, wrt=wrt: (
            s.J.ggn(s.rows(s.h), wrt),
            s.ggn("weighed", wrt),
            [],
        ),
        f"ggn, indefinite, {wrt}": lambda s, wrt=wrt: (
            s.J.ggn(s.rows(s.H), wrt),
            s.ggn("indefinite", wrt),
            [],
        ),
        f"ggn_diagonal, {wrt}": lambda s, wrt=wrt: (
            s.J.ggn_diagonal(wrt=wrt),
            np.diag(s.ggn("plain", wrt)),
            [],
        ),
        f"ggn_diagonal, weights of samples, {wrt}": lambda s, wrt=wrt: (
            s.J.ggn_diagonal(s.rows(s.h), wrt),
            np.diag(s.ggn("weighed", wrt)),
            [],
        ),
        f"ggn_diagonal, indefinite, {wrt}": lambda s, wrt=wrt: (
            s.J.ggn_diagonal(s.rows(s.H), wrt),
            np.diag(s.ggn("indefinite", wrt)),
            [],
        ),
    }
# name -> setup -> (the argument, the matrix that it stands for)
COVARIANCES = {
    "scalar": lambda s: (0.3, 0.3 * np.eye(s.P)),
    "diagonal": lambda s: (s.sigma, np.diag(s.sigma)),
    "Kronecker pairs": lambda s: (s.pairs, s.covariance_of_pairs()),
    "low rank": lambda s: (s.factor, s.factor @ s.factor.T),
    "rank zero": lambda s: (s.factor[:, :0], np.zeros((s.P, s.P))),
    "dense": lambda s: (s.Sigma, s.Sigma),
}
for name, form in COVARIANCES.items():
    VERBS |= {
        f"covariance, {name}": lambda s, form=form: (
            s.J.covariance(form(s)[0]),
            each_sample(sandwich(s.D, form(s)[1], s.D)),
            [0],
        ),
        f"covariance, {name}, full": lambda s, form=form: (
            s.J.covariance(form(s)[0], full=True),
            sandwich(s.D, form(s)[1], s.D),
            [0, 2],
        ),
    }


def check(setup, dtype, verbs=VERBS):
    for name, verb in verbs.items():
        result, exact, axes = verb(setup)
        if setup.single:
            exact = exact.squeeze(tuple(axes))
        assert isinstance(result, np.ndarray) and result.dtype == dtype, name
        try:
            assert result.shape == exact.shape
            assert_close(np.atleast_1d(result), np.atleast_1d(exact), TOLERANCE[dtype])
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("N", [0, 1, "single", 2, 7])
@pytest.mark.parametrize("case", CASES)
def test_against_dense_algebra(case, N, dtype):
    check(Setup(CASES[case], N, dtype), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", ["two layers, softmax", "five layers", "large enough for BLAS"])
def test_in_several_slabs(case, dtype, monkeypatch):
    """What is done in bounded memory, in three samples at a time and a rest."""
    whole = Jacobian.slabs
    for module in (curvature, covariance):
        monkeypatch.setattr(module, "ROWS", 1000)
    monkeypatch.setattr(Jacobian, "slabs", lambda self, *_: whole(self, 1, 3 * self.dtype.itemsize))
    check(Setup(CASES[case], 7, dtype), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_several_blocks_and_tiles(dtype):
    """More samples than a block of the core or a tile of the Gram matrix holds."""
    few = ("matvec", "columns", "rmatvec", "gram", "norms", "None", "scalar", "pairs, full")
    verbs = {name: verb for name, verb in VERBS.items() if any(word in name for word in few)}
    assert len(verbs) > 15
    case = Case((5, 20, 8, 2), ["tanh", "tanh", "identity"], scaled=True)
    check(Setup(case, 700, dtype), dtype, verbs)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("N", [0, 1, "single", 2, 7])
@pytest.mark.parametrize("case", CASES)
def test_kfac(case, N, dtype):
    """A and B of every layer, from the columns of the biases; the block itself of one sample."""
    s = Setup(CASES[case], N, dtype)
    for H, full in ((None, s.identity), (s.h, s.h[:, None, None] * s.identity), (s.H, s.H)):
        pairs = s.J.kfac(H if H is None else s.rows(H))
        start = 0
        for k, ((A, B), (n_in, n_out)) in enumerate(
            zip(pairs, pairwise(s.case.sizes), strict=True)
        ):
            end = start + n_out * (n_in + 1)
            delta = s.D[..., end - n_out : end]
            h = s.J.inputs[k].astype(float).reshape(s.N, n_in)
            h1 = np.concatenate([h, np.ones((s.N, 1))], axis=1)
            assert A.dtype == B.dtype == dtype
            assert_close(A, h1.T @ h1 / max(1, s.N), TOLERANCE[dtype])
            assert_close(B, quadratic(delta, full), TOLERANCE[dtype])
            assert (A == A.T).all() and (B == B.T).all()
            if s.N == 1:
                W, b = np.split(np.arange(start, end), [n_out * n_in])
                order = np.concatenate([W.reshape(n_out, n_in), b[:, None]], axis=1).ravel()
                assert_close(np.kron(B, A), quadratic(s.D[..., order], full), TOLERANCE[dtype])
            start = end


@pytest.mark.parametrize("N", [1, "single", 7])
@pytest.mark.parametrize("case", CASES)
def test_adjoint(case, N):
    """<u, J v> = <J^T u, v>"""
    s = Setup(CASES[case], N, "float64")
    Jv, JTu = s.J @ s.v, s.J.T @ s.rows(s.u)
    scale = np.linalg.norm(s.u) * np.linalg.norm(s.D) * np.linalg.norm(s.v)
    assert abs(np.vdot(s.rows(s.u), Jv) - JTu @ s.v) <= 1e-13 * scale


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "sizes, N", [((3, 5, 2), 4), ((4, 3), 1), ((6, 30, 1), 400), ((9, 70, 3), 150)]
)
def test_gram_is_symmetric_and_positive(sizes, N, dtype):
    net = dn.MLP(sizes, seed=0, dtype=dtype)
    J = net.jacobian(np.random.default_rng(0).standard_normal((N, sizes[0])))
    K = J.gram().reshape(N * sizes[-1], N * sizes[-1])
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_array_equal(K, J.gram(J).reshape(K.shape))
    values = np.linalg.eigvalsh(K.astype(float))
    assert values[0] >= -10 * np.finfo(dtype).eps * values[-1]
    for S in (J.ggn(), J.ggn(np.ones(N), wrt="last"), J.covariance(np.ones(net.num_params), True)):
        flat = S.reshape(int(np.sqrt(S.size)), -1)
        np.testing.assert_array_equal(flat, flat.T)


@pytest.mark.parametrize("name", COVARIANCES)
def test_covariance_is_symmetric(name):
    """To the last bit, of every sample and of all."""
    s = Setup(CASES["large enough for BLAS"], 7, "float64")
    Sigma = COVARIANCES[name](s)[0]
    each, full = s.J.covariance(Sigma), s.J.covariance(Sigma, full=True).reshape(21, 21)
    np.testing.assert_array_equal(each, each.swapaxes(1, 2))
    np.testing.assert_array_equal(full, full.T)


def test_gram_by_blocks_of_samples():
    s = Setup(CASES["two layers, softmax"], 7, "float64")
    X = s.case.inputs(7)
    whole = s.J.gram()
    for a in (slice(0, 3), slice(3, 7)):
        for b in (slice(0, 5), slice(5, 7)):
            block = s.net.jacobian(X[a]).gram(s.net.jacobian(X[b]))
            assert_close(block, whole[a, :, b], 1e-14)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "sizes, N", [((8, 64, 64, 3), 700), ((40, 60, 1), 3000), ((300, 200, 9), 18)]
)
def test_same_bits_for_any_number_of_threads(sizes, N, dtype):
    random = np.random.default_rng(0)
    net = dn.MLP(sizes, seed=0, dtype=dtype)
    J = net.jacobian(random.standard_normal((N, sizes[0])))
    other = net.jacobian(random.standard_normal((200, sizes[0])))
    v, u = random.standard_normal((net.num_params, 2)), random.standard_normal((N, sizes[-1]))
    for call in (
        lambda count: J.matvec(v, threads=count),
        lambda count: J.rmatvec(u, threads=count),
        lambda count: J.gram(other, threads=count),
        lambda count: other.gram(threads=count),
    ):
        expected = call(1)
        for count in (2, 3, 7):
            np.testing.assert_array_equal(call(count), expected)


@pytest.mark.parametrize("m", [192, 193, 400])
def test_gram_of_many_outputs(m):
    """Tiles of a whole sample, and of a part of one."""
    random = np.random.default_rng(0)
    net = dn.MLP([3, 5, m], output="softmax", seed=0)
    J, other = (net.jacobian(random.standard_normal((N, 3))) for N in (3, 2))
    D, D2 = J.to_dense(), other.to_dense()
    K = J.gram()
    np.testing.assert_allclose(K, np.einsum("sop,zqp->sozq", D, D), atol=1e-14)
    np.testing.assert_allclose(J.gram(other), np.einsum("sop,zqp->sozq", D, D2), atol=1e-14)
    np.testing.assert_array_equal(K, K.transpose(2, 3, 0, 1))
