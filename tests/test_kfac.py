"""KFAC against dense matrices: np.kron in the order of theta, solved and inverted by NumPy."""

import pickle

import numpy as np
import pytest
from dense_oracle import PlainNet, assert_close, flat

import deltanet as dn

SIZES = (3, 5, 4, 2)
TOLERANCE = {"float64": 1e-11, "float32": 1e-4}
WRTS = {
    "all": None,
    "last": "last",
    "weights": "weights",
    "biases": "biases",
    "mixed": [("weights", 0), 1, ("biases", 2)],
    "one bias": [("biases", 1)],
    "none": [],
}


class Given:
    """J of a net, and its Kronecker factors as plain numbers: [(A, B, whether b comes behind W)]."""

    def __init__(self, wrt=None, dtype="float64", N=9, output="softmax", H=None):
        random = np.random.default_rng(0)
        self.plain = PlainNet.random(
            random, SIZES, ["tanh", "tanh", output], [True] * 3, True, dtype
        )
        self.net = dn.MLP.from_layers(
            self.plain.weights,
            self.plain.biases,
            self.plain.activations,
            *self.plain.scalings,
            dtype=dtype,
        )
        self.X = self.plain.samples(random, N, dtype)
        _, D, _, inputs, deltas = self.plain.differentiate(self.X)
        kept, (layer, weight) = self.plain.keep(wrt), self.plain.columns()
        self.D, self.wrt = D[..., kept], wrt
        self.J = self.net.jacobian(self.X.astype(dtype), wrt=wrt)
        if H is not None:
            half = random.standard_normal((N, SIZES[-1], SIZES[-1]))
            self.H = (half @ half.swapaxes(1, 2)).astype(dtype).astype(float)
        self.K = self.J.kfac(None if H is None else self.H)
        self.pairs, self.exact = [], []
        for k, (h, d) in enumerate(zip(inputs, deltas, strict=True)):
            W, b = (bool(kept[(layer == k) & kind].any()) for kind in (weight, ~weight))
            if W or b:
                h1 = np.concatenate([h[:, : h.shape[1] * W], np.ones((len(h), int(b)))], axis=1)
                Hd = d if H is None else self.H @ d
                self.exact.append((h1.T @ h1 / max(1, N), flat(d).T @ flat(Hd), b))

    def blocks(self, function=lambda block: block):
        """The matrix of function(B (x) A) of each layer, (P, P), in the order of theta."""
        P, start = self.D.shape[-1], 0
        M = np.zeros((P, P))
        for A, B, bias in self.exact:
            n_a, n_b = len(A), len(B)
            # places of [W b] row by row, in W row by row and then b
            places = np.arange(n_a * n_b)
            if bias:
                W, b = places[: n_b * (n_a - 1)].reshape(n_b, n_a - 1), places[n_b * (n_a - 1) :]
                places = np.concatenate([W, b[:, None]], axis=1).reshape(-1)
            M[np.ix_(start + places, start + places)] = function(np.kron(B, A))
            start += n_a * n_b
        return M

    def damped(self, x):
        return self.blocks(lambda block: block + x * np.eye(len(block)))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("H", [None, "matrices"])
@pytest.mark.parametrize("wrt", WRTS)
def test_every_method(wrt, H, dtype):
    g = Given(WRTS[wrt], dtype, H=H)
    tolerance, x = TOLERANCE[dtype], 0.3
    assert len(g.K) == len(list(g.K)) == len(g.exact)
    for (A, B), (A0, B0, _) in zip(g.K, g.exact, strict=True):
        assert_close(A, A0, tolerance)
        assert_close(B, B0, tolerance)
        assert A.dtype == B.dtype == dtype
    P = g.D.shape[-1]
    v, V = np.random.default_rng(1).standard_normal((P, 4))[:, 0], np.eye(P)
    M, damped = g.blocks(), g.damped(x)
    inverse = np.linalg.inv(damped)
    K = g.K.damped(x)
    for one, exact in (
        (g.K, M),
        (K, damped),
        (K.inverse(), inverse),
        (K.inverse().inverse(), damped),
    ):
        assert_close(one @ V, exact, tolerance)
        assert_close(one @ v, exact @ v, tolerance)
        assert (one @ v).dtype == dtype
        assert (one @ V[:, :0]).shape == (P, 0)
    assert K.logdet() == pytest.approx(np.linalg.slogdet(damped)[1], rel=tolerance, abs=tolerance)
    assert K.inverse().logdet() == pytest.approx(-K.logdet(), rel=1e-9, abs=1e-12)
    twice = K.damped(0.2).inverse().damped(0.1) @ V
    exact = np.linalg.inv(g.damped(0.5)) + 0.1 * V
    assert_close(twice, exact, tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("wrt", WRTS)
def test_covariance(wrt, dtype, monkeypatch):
    g = Given(WRTS[wrt], dtype)
    K, tolerance, (N, m, P) = g.K.damped(0.3), TOLERANCE[dtype], g.D.shape
    X, reports = g.X.astype(dtype), []

    def report(*done):
        reports.append(done)

    for Sigma, exact in (
        (g.K, g.blocks()),
        (K, g.damped(0.3)),
        (K.inverse(), np.linalg.inv(g.damped(0.3))),
    ):
        every = (flat(g.D) @ exact @ flat(g.D).T).reshape(N, m, N, m)
        each = np.einsum("sosp->sop", every)
        out = np.full((N, m, m), np.nan, dtype)
        assert g.net.covariance(X, Sigma, wrt=g.wrt, out=out) is out
        single = g.J[2]
        for result, right in (
            (g.J.covariance(Sigma), each),
            (g.net.covariance(X, Sigma, wrt=g.wrt, progress=report), each),
            (g.net.covariance(X[::-1].tolist(), Sigma, wrt=g.wrt, threads=2), each[::-1]),
            (out, each),
            (g.J.covariance(Sigma, full=True), every),
            (single.covariance(Sigma), each[2]),
            (single.covariance(Sigma, full=True), each[2]),
        ):
            assert_close(result, right, tolerance)
            assert result.dtype == dtype
    assert not P or (reports.count((N, N)) >= 3 and max(reports) == (N, N))
    monkeypatch.setattr("deltanet._limits.FACTOR_BYTES", 700)  # some samples at a time
    for result in (g.J.covariance(Sigma), g.net.covariance(X, Sigma, wrt=g.wrt)):
        assert_close(result, each, tolerance)


def test_covariance_of_weighted_rows():
    g = Given()
    R = np.random.default_rng(1).standard_normal((9, 5, 2))
    exact = (R @ g.D) @ np.linalg.inv(g.damped(0.3)) @ (R @ g.D).swapaxes(1, 2)
    assert_close(g.J.weighted(R).covariance(g.K.damped(0.3).inverse()), exact, 1e-12)


def test_pairs_of_parts_of_a_layer():
    """The same as a KFAC and as a list of pairs, weights and biases by themselves."""
    for wrt in WRTS.values():
        g = Given(wrt)
        for full in (False, True):
            np.testing.assert_array_equal(
                g.J.covariance(list(g.K), full), g.J.covariance(g.K, full)
            )


@pytest.mark.parametrize("wrt", WRTS)
def test_the_inverse_of_pairs_has_pairs(wrt):
    g = Given(WRTS[wrt], N=40, output="identity")
    inverse = g.K.inverse()
    for (A, B), (A0, B0, _) in zip(inverse, g.exact, strict=True):
        assert_close(A, np.linalg.inv(A0), 1e-9)
        assert_close(B, np.linalg.inv(B0), 1e-9)
        assert A.flags.c_contiguous and (A.T == A).all() and (B.T == B).all()
    exact = g.blocks(np.linalg.inv)
    assert_close(inverse @ np.eye(len(exact)), exact, 1e-9)
    assert_close(inverse.inverse() @ np.eye(len(exact)), g.blocks(), 1e-9)
    assert g.K.logdet() == pytest.approx(np.linalg.slogdet(g.blocks())[1], rel=1e-9)


def test_one_damping_a_layer():
    g, each = Given(), [0.1, 0.0, 2.0]
    adds = iter(each)
    exact = g.blocks(lambda block: block + next(adds) * np.eye(len(block)))
    assert_close(g.K.damped(each) @ np.eye(len(exact)), exact, 1e-12)
    assert g.K.damped(0) is g.K and g.K.damped([0, 0, 0]) is g.K


def test_pairs_of_ones_own():
    """bias says of each whether the last row of A belongs to b."""
    g = Given("last")
    [(A, B)] = g.K
    K = dn.KFAC([(A.tolist(), B.tolist())])
    V = np.eye(g.D.shape[-1])
    np.testing.assert_array_equal(K @ V, g.K @ V)
    np.testing.assert_array_equal(dn.KFAC([(A, B)], bias=False) @ V, np.kron(B, A))
    mixed = dn.KFAC([(A, B), (A, B)], bias=[True, False])
    np.testing.assert_array_equal((mixed @ np.eye(2 * len(V)))[len(V) :, len(V) :], np.kron(B, A))
    small = dn.KFAC([(A.astype(np.float32), B.astype(np.float32))])
    assert (small @ V).dtype == np.float32
    assert dn.KFAC([(A.astype(np.float32), B)])[0][0].dtype == np.float64
    assert len(dn.KFAC([])) == 0 and dn.KFAC([]).logdet() == 0


def test_index_and_repr():
    K = Given().K
    assert K[0] is next(iter(K)) and K[-1] is list(K)[2] and len(K[1:]) == 2
    with pytest.raises(IndexError):
        K[3]
    assert repr(K) == "KFAC(3 layers, P=54, dtype='float64')"
    assert repr(K.damped(1)) == "KFAC(3 layers, P=54, dtype='float64', damped)"
    assert repr(Given("last").K) == "KFAC(1 layer, P=10, dtype='float64')"
    for damped in (K.damped(1), K.damped(1).inverse()):
        for use in (list, lambda K: K[0], lambda K: K[:1]):
            with pytest.raises(ValueError, match="has no pairs"):
                use(damped)
    assert {name for name in dir(K) if name[0] != "_"} == {"damped", "inverse", "logdet"}


def test_pickles():
    K = Given().K
    v = np.arange(54.0)
    for one in (K, K.damped(0.1), K.damped(0.1).inverse()):
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(one)) @ v, one @ v)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_singular_blocks(dtype):
    """Fewer samples than inputs: what has no inverse has one when it is damped, however little."""
    g = Given(dtype=dtype, N=2)
    for call in (g.K.inverse, g.K.logdet):
        with pytest.raises(ValueError, match=r"block 0 must .*damped\(x\)"):
            call()
    x = 1e-12 if dtype == "float64" else 1e-5
    K = g.K.damped(x)
    null = np.linalg.svd(g.blocks())[2][-1]  # of the smallest singular value
    assert_close(K.inverse() @ null, null / x, 1e-3)
    assert np.isfinite(K.logdet())


def test_of_an_indefinite_hessian():
    g = Given(output="identity")
    H = np.zeros((9, 2, 2))
    H[:, 0, 0], H[:, 1, 1] = 1, -1
    K = g.J.kfac(H)
    inverse = K.damped(0.1).inverse() @ np.eye(54)
    assert_close(inverse @ (K.damped(0.1) @ np.eye(54)), np.eye(54), 1e-9)
    with pytest.raises(ValueError, match=r"block 0 must be positive definite; its smallest .* -"):
        K.damped(1e-9).logdet()


def test_no_sample():
    J = Given().net.jacobian(np.empty((0, 3)))
    K = J.kfac().damped(2)
    assert K.logdet() == pytest.approx(54 * np.log(2))
    assert_close(K.inverse() @ np.eye(54), np.eye(54) / 2, 1e-15)
    assert J.covariance(K).shape == (0, 2, 2)
    assert J.covariance(K, full=True).shape == (0, 2, 0, 2)


A, B = np.eye(2), np.eye(3)
NAN = np.full((2, 2), np.nan)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: dn.KFAC([(A, B, B)]), ValueError, r"pairs must hold \(A, B\) of each layer"),
        (lambda: dn.KFAC([A]), ValueError, "A of layer 0 must be a square matrix"),
        (lambda: dn.KFAC([(A[:1], B)]), ValueError, r"A of layer 0 .*got \(1, 2\)"),
        (lambda: dn.KFAC([(A, B[:0, :0])]), ValueError, "B of layer 0 must be a square matrix"),
        (lambda: dn.KFAC([(A, np.triu(B + 1))]), ValueError, "B of layer 0 must be symmetric"),
        (lambda: dn.KFAC([(A, B * 1j)]), TypeError, "B of layer 0 must hold real numbers"),
        (lambda: dn.KFAC([(A, B)], bias=[True, True]), ValueError, "bias must be True or False"),
        (lambda: dn.KFAC([(A, B)], bias=1), ValueError, "bias must be True or False"),
        (lambda: dn.KFAC([(A, B)]).damped(-1), ValueError, "x must be at least 0; got -1"),
        (lambda: dn.KFAC([(A, B)]).damped(np.inf), ValueError, "x must be finite"),
        (lambda: dn.KFAC([(A, B)]).damped([1, 2]), ValueError, r"x must have shape \(1,\)"),
        (lambda: dn.KFAC([(A, B)]).damped("1"), TypeError, "x must hold real numbers"),
        (lambda: dn.KFAC([(NAN, B)]).damped(1), ValueError, "A of layer 0 must be finite"),
        (lambda: dn.KFAC([(A, B)]) @ np.ones(5), ValueError, r"v must have shape \(6,\)"),
        (lambda: np.ones(6) @ dn.KFAC([(A, B)]), TypeError, "unsupported operand"),
        (
            lambda: Given().J.covariance(Given("last").K.damped(1)),
            ValueError,
            "one pair .* for each of 3 layers",
        ),
        (
            lambda: Given("last").J.covariance(Given("weights").K[-1:]),
            ValueError,
            r"A of layer 2 must have shape \(5, 5\); got \(4, 4\)",
        ),
        (
            lambda: Given([1]).J.covariance(Given("last").K.damped(1)),
            ValueError,
            r"A of layer 1 must have shape \(6, 6\); got \(5, 5\)",
        ),
        (
            lambda: Given().net.covariance(np.ones((2, 3)), Given().K.damped(1), out=np.ones(3)),
            ValueError,
            "out must have shape",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("bias", [True, False], ids=["separate", "joint"])
def test_curvlinops_has_the_same_factors(bias):
    """As the docstring of KFAC says: a loss that is summed, the exact Gauss-Newton matrix, [W b] or W."""
    curvlinops = pytest.importorskip("curvlinops", reason="needs curvlinops-for-pytorch")
    import torch

    g = Given(output="identity")
    layers = []
    for W, b in zip(g.plain.weights, g.plain.biases, strict=True):
        layers.append(torch.nn.Linear(*W.shape[::-1], dtype=torch.float64))
        layers[-1].weight.data, layers[-1].bias.data = torch.tensor(W), torch.tensor(b)
        layers.append(torch.nn.Tanh())
    net = dn.MLP.from_layers(g.plain.weights, g.plain.biases, g.plain.activations)
    model = torch.nn.Sequential(*layers[:-1])
    K = curvlinops.KFACLinearOperator(
        model,
        torch.nn.MSELoss(reduction="sum"),
        list(model.parameters()),
        [(torch.tensor(g.X), torch.zeros(9, 2, dtype=torch.float64))],
        fisher_type=curvlinops.FisherType.TYPE2,
        separate_weight_and_bias=bias,
    )
    J, H = net.jacobian(g.X), np.full(9, 2.0)
    inverse = curvlinops.KFACInverseLinearOperator(K, damping=0.3, use_exact_damping=True)
    v = np.random.default_rng(2).standard_normal(54)
    ours = np.empty((2, 54))
    _, weight = g.plain.columns()
    if bias:
        for part in ("weights", "biases"):
            at = weight == (part == "weights")
            k = J.restrict(part).kfac(H)
            ours[:, at] = k @ v[at], k.damped(0.3).inverse() @ v[at]
    else:
        k = J.kfac(H)
        ours[:] = k @ v, k.damped(0.3).inverse() @ v
    for operator, product in ((K, ours[0]), (inverse, ours[1])):
        assert_close(product, (operator @ torch.tensor(v)).numpy(), 1e-10)
