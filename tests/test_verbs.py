"""Rules of the verbs that hold to the last bit or by definition; their numbers are in test_every_verb.py."""

import numpy as np
import pytest
from dense_oracle import assert_close
from verb_table import without

import deltanet as dn

SIZES = (3, 5, 4)


def jacobian(sizes=SIZES, N=7, dtype="float64", seed=0, **named):
    net = dn.MLP(sizes, seed=0, dtype=dtype, **named)
    return net.jacobian(np.random.default_rng(seed).standard_normal((N, sizes[0])))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "sizes, N", [((3, 5, 2), 4), ((4, 3), 1), ((6, 30, 1), 400), ((9, 70, 3), 150)]
)
def test_gram_is_symmetric_and_positive(sizes, N, dtype):
    J = jacobian(sizes, N, dtype)
    K = J.gram().reshape(N * sizes[-1], N * sizes[-1])
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_array_equal(K, J.gram(J).reshape(K.shape))
    values = np.linalg.eigvalsh(K.astype(float))
    assert values[0] >= -10 * np.finfo(dtype).eps * values[-1]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("wrt", [None, "last", "weights", "biases"])
def test_ggn_is_symmetric_and_positive(wrt, dtype):
    J = jacobian((9, 20, 3), 150, dtype).restrict(wrt)
    for G in (J.ggn(), J.ggn(np.linspace(0, 1, 150))):
        np.testing.assert_array_equal(G, G.T)
        values = np.linalg.eigvalsh(G.astype(float))
        assert values[0] >= -10 * np.finfo(dtype).eps * values[-1]


@pytest.mark.parametrize("form", ["scalar", "diagonal", "low rank", "dense", "pairs"])
def test_covariance_is_symmetric(form):
    """To the last bit, of every sample and of all."""
    J, random = jacobian((40, 34, 3)), np.random.default_rng(1)
    P = J.shape[-1]
    factor = random.standard_normal((P, 3))
    Sigma = {
        "scalar": 0.3,
        "diagonal": random.standard_normal(P),
        "low rank": factor,
        "dense": factor @ factor.T,
        "pairs": J.kfac(),
    }[form]
    each, full = J.covariance(Sigma), J.covariance(Sigma, full=True).reshape(21, 21)
    np.testing.assert_array_equal(each, each.swapaxes(1, 2))
    np.testing.assert_array_equal(full, full.T)


def test_gram_by_blocks_of_samples():
    net = dn.MLP(SIZES, output="softmax", seed=0)
    X = np.random.default_rng(0).standard_normal((7, 3))
    whole = net.jacobian(X).gram()
    for a in (slice(0, 3), slice(3, 7)):
        for b in (slice(0, 5), slice(5, 7)):
            block = net.jacobian(X[a]).gram(net.jacobian(X[b]))
            assert_close(block, whole[a, :, b], 1e-14)
            assert_close(net.gram(X[a], X[b]), block, 1e-14)


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


@pytest.mark.parametrize("single", [False, True], ids=["N = 1", "single"])
def test_kfac_of_one_sample_is_exact(single):
    """B (x) A is then the layer's block of J^T H J, in the order [W b] row by row."""
    net = dn.MLP(SIZES, output="softmax", seed=0)
    x = np.random.default_rng(0).standard_normal(3)
    J = net.jacobian(x if single else x[None])
    half = np.random.default_rng(1).standard_normal((4, 4))
    H = half + half.T if single else (half + half.T)[None]
    start = 0
    for k, (A, B) in enumerate(J.kfac(H)):
        n_out, n_in = net.weights[k].shape
        W, b = np.split(start + np.arange(n_out * (n_in + 1)), [n_out * n_in])
        order = np.concatenate([W.reshape(n_out, n_in), b[:, None]], axis=1).ravel()
        assert_close(np.kron(B, A), J.ggn(H)[np.ix_(order, order)], 1e-13)
        start += n_out * (n_in + 1)


# restrict and wrt


def test_a_restriction_keeps_the_numbers_of_layers():
    J = jacobian((4, 6, 5, 3))
    last = J.restrict([-1])
    assert (
        [d is None for d in last.deltas] == [h is None for h in last.inputs] == [True, True, False]
    )
    assert last.shape == (7, 3, 18) and J.shape == (7, 3, 83)
    np.testing.assert_array_equal(last.weight(2), J.weight(2))
    np.testing.assert_array_equal(last.bias(-1), J.bias(-1))
    np.testing.assert_array_equal(last.outputs, J.outputs)
    assert np.shares_memory(last.deltas[2], J.deltas[2]), "a restriction copies no factor"
    with pytest.raises(ValueError):
        last.input_jacobian()


def test_a_restriction_of_a_jacobian_is_that_of_the_net():
    net = dn.MLP(SIZES, seed=0)
    X = np.random.default_rng(0).standard_normal((7, 3))
    mask = np.repeat([True, False, False, True], [15, 5, 20, 4])
    forms = (
        None,
        "last",
        "weights",
        "biases",
        [0],
        [-2, ("biases", -1)],
        [("weights", 1)],
        mask,
        [],
    )
    for wrt in forms:
        made, J = net.jacobian(X, wrt=wrt), net.jacobian(X).restrict(wrt)
        assert made.shape == J.shape
        np.testing.assert_array_equal(made.to_dense(), J.to_dense())
        np.testing.assert_array_equal(net.jacobian_dense(X, wrt=wrt), J.to_dense())


def test_several_names_of_the_same_parameters():
    """The order of a list is not that of the columns, and naming a layer twice keeps it once."""
    J = jacobian()
    for one, other in (
        ([0, 1], None),
        ([1, 0, -1, 1], None),
        ([-1], "last"),
        ((1,), "last"),
        (np.array([1]), "last"),
        ([("weights", 1), ("biases", 1)], "last"),
        ([("biases", 1), ("biases", 0)], "biases"),
        ([0, ("weights", 0), ("weights", -1)], [("weights", 1), 0]),
        (np.repeat([True, False, True, False], [15, 5, 20, 4]), "weights"),
        (np.ones(44, bool), None),
        (np.zeros(44, bool), []),
    ):
        np.testing.assert_array_equal(J.restrict(one).to_dense(), J.restrict(other).to_dense())


@pytest.mark.parametrize(
    "wrt, error, message",
    [
        ("first", TypeError, "wrt must be .*; got 'first'"),
        (0, TypeError, "wrt must be .*; got 0"),
        (1.5, TypeError, "wrt must be .*; got 1.5"),
        ([0.5], TypeError, "wrt must be"),
        ([2], ValueError, "wrt must name layers between -2 and 1; got 2"),
        ([0, -3], ValueError, "wrt must name layers between -2 and 1; got -3"),
        ([("weights", 2)], ValueError, "wrt must name layers between -2 and 1; got 2"),
        ([("weight", 1)], TypeError, "wrt must be"),
        ([("weights", "1")], TypeError, "wrt must be"),
        (np.ones(43, bool), ValueError, r"wrt must .*\(44,\).*got .*43"),
        (np.ones((1, 44), bool), ValueError, r"wrt must .*\(44,\)"),
        (np.arange(44) < 14, ValueError, "wrt must .*constant"),
        (np.arange(44) < 16, ValueError, "wrt must .*constant"),
    ],
)
def test_messages_of_wrt(wrt, error, message):
    net = dn.MLP(SIZES, seed=0)
    x = np.ones((2, 3))
    for call in (
        net.jacobian(x).restrict,
        lambda wrt: net.jacobian(x, wrt=wrt),
        lambda wrt: net.jacobian_dense(x, wrt=wrt),
        lambda wrt: net.jvp(x, np.ones(44), wrt=wrt),
        lambda wrt: net.vjp(x, np.ones((2, 4)), wrt=wrt),
        lambda wrt: net.normal_equations(x, np.ones((2, 4)), wrt=wrt),
        lambda wrt: net.ggn(x, wrt=wrt),
        lambda wrt: net.ggn_diagonal(x, wrt=wrt),
        lambda wrt: net.kfac(x, wrt=wrt),
        lambda wrt: net.row_norms_squared(x, wrt=wrt),
        lambda wrt: net.gram(x, wrt=wrt),
        lambda wrt: net.covariance(x, 1.0, wrt=wrt),
    ):
        with pytest.raises(error, match=message):
            call(wrt)


@pytest.mark.parametrize("wrt", ["weights", "biases", [1, ("weights", 0)], [("biases", -1)]])
def test_kronecker_factors_need_whole_layers(wrt):
    net = dn.MLP(SIZES, seed=0)
    for call in (lambda: net.kfac(np.ones((2, 3)), wrt=wrt), jacobian().restrict(wrt).kfac):
        with pytest.raises(ValueError, match=r"kfac .*weights and biases"):
            call()


@pytest.mark.parametrize(
    "wrt, kept",
    [
        (None, [("W", 0), ("W", 1), ("b", 1)]),
        ("weights", [("W", 0), ("W", 1)]),
        ("biases", [("b", 1)]),
        ("last", [("W", 1), ("b", 1)]),
        ([0], [("W", 0)]),
        ([("biases", 1), ("weights", 0)], [("W", 0), ("b", 1)]),
        (np.repeat([False, True, False], [15, 20, 4]), [("W", 1)]),
    ],
)
def test_wrt_of_a_net_whose_first_layer_has_no_bias(wrt, kept):
    full = dn.MLP(SIZES, seed=0)
    net = without(full, [0])
    places = {("W", 0): slice(0, 15), ("W", 1): slice(20, 40), ("b", 1): slice(40, 44)}
    X = np.random.default_rng(0).standard_normal((7, 3))
    exact = full.jacobian_dense(X)[..., np.concatenate([np.r_[places[part]] for part in kept])]
    for J in (net.jacobian(X, wrt=wrt), net.jacobian(X).restrict(wrt)):
        np.testing.assert_array_equal(J.to_dense(), exact)
        assert [d is not None for d in J.deltas] == [any(k == at for _, at in kept) for k in (0, 1)]
    assert net.kfac(X, wrt=[0])[0][0].shape == (3, 3)


def test_wrt_names_biases_that_exist():
    net = without(dn.MLP(SIZES, seed=0), [1])
    for k in (1, -1):
        with pytest.raises(ValueError, match="wrt must name biases that exist; layer 1 has none"):
            net.jacobian(np.ones(3), wrt=[0, ("biases", k)])
    with pytest.raises(ValueError, match=r"wrt must have shape \(40,\) .*got \(44,\)"):
        net.jacobian(np.ones(3), wrt=np.ones(44, bool))
    pairs = dn.MLP(SIZES, seed=0).kfac(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"A of layer 1 must have shape \(5, 5\); got \(6, 6\)"):
        net.covariance(np.ones((2, 3)), pairs)
    assert without(net, [0]).jacobian(np.ones(3), wrt="biases").shape == (4, 0)


def test_a_gram_of_two_restrictions_needs_the_same_parameters():
    J = jacobian()
    with pytest.raises(ValueError, match="other must be"):
        J.restrict("weights").gram(J)
    with pytest.raises(ValueError, match="other must be"):
        J.gram_trace(J.restrict([0]))
