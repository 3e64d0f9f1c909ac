"""The algebra of a Jacobian: weighted rows, samples by index, given factors; each against dense rows."""

import copy
import pickle

import dense_oracle as plain
import numpy as np
import pytest
from dense_oracle import PlainNet, assert_close

import deltanet as dn

SIZES, N, m = (3, 5, 4, 2), 7, 2
TOLERANCE = {"float64": 1e-12, "float32": 1e-4}
PUBLIC = (  # DESIGN's list, and what an array has
    "shape dtype ndim nbytes outputs deltas inputs weight bias to_dense restrict weighted from_factors "
    "save load matvec rmatvec as_linear_operator T gram gram_diagonal gram_per_output gram_trace "
    "row_norms_squared ggn ggn_diagonal kfac covariance solve input_jacobian"
)


class Given:
    """A net, its samples, and its rows as plain numbers."""

    def __init__(self, dtype="float64", sizes=SIZES, N=N, output="identity", scaled=True, seed=0):
        self.random = np.random.default_rng(seed)
        activations = [*["tanh"] * (len(sizes) - 2), output]
        self.plain = PlainNet.random(
            self.random, sizes, activations, [True] * len(activations), scaled, dtype
        )
        self.net = dn.MLP.from_layers(
            self.plain.weights, self.plain.biases, activations, *self.plain.scalings, dtype=dtype
        )
        self.X = self.plain.samples(self.random, N, dtype)
        self.y, self.D, self.dx, self.inputs, self.deltas = self.plain.differentiate(self.X)
        self.J = self.net.jacobian(self.X.astype(dtype))

    def draw(self, *shape):
        return self.random.standard_normal(shape).astype(self.net.dtype).astype(float)


def unlike(D, seed=1):
    return np.random.default_rng(seed).standard_normal(D.shape[:2])


def symmetric(D, seed=1):
    H = np.random.default_rng(seed).standard_normal((len(D), D.shape[1], D.shape[1]))
    return H + H.swapaxes(1, 2)


def drawn(*shape, seed=2):
    return np.random.default_rng(seed).standard_normal(shape)


# name -> (verb of J, the same of its dense rows)
VERBS = {
    "to_dense": (lambda J: J.to_dense(), lambda D: D),
    "matvec": (lambda J: J @ drawn(J.shape[-1]), lambda D: D @ drawn(D.shape[-1])),
    "matvec, columns": (
        lambda J: J.matvec(drawn(J.shape[-1], 3)),
        lambda D: D @ drawn(D.shape[-1], 3),
    ),
    "rmatvec": (
        lambda J: J.T @ drawn(*J.shape[:2]),
        lambda D: plain.rmatvec(D, drawn(*D.shape[:2])),
    ),
    "operator": (
        lambda J: J.as_linear_operator().rmatvec(drawn(*J.shape[:2]).reshape(-1)),
        lambda D: plain.rmatvec(D, drawn(*D.shape[:2])),
    ),
    "gram": (lambda J: J.gram(), lambda D: plain.gram(D, D)),
    "gram_diagonal": (lambda J: J.gram_diagonal(), plain.gram_diagonal),
    "gram_per_output": (lambda J: J.gram_per_output(), lambda D: plain.gram_per_output(D, D)),
    "gram_trace": (lambda J: J.gram_trace(), lambda D: plain.gram_trace(D, D)),
    "row_norms_squared": (lambda J: J.row_norms_squared(), plain.row_norms_squared),
    "ggn": (lambda J: J.ggn(), lambda D: plain.flat(D).T @ plain.flat(D)),
    "ggn, H": (lambda J: J.ggn(symmetric(J)), lambda D: plain.ggn(D, symmetric(D))),
    "ggn_diagonal, H": (
        lambda J: J.ggn_diagonal(symmetric(J)),
        lambda D: plain.ggn_diagonal(D, symmetric(D)),
    ),
    "covariance, scalar": (lambda J: J.covariance(0.3), lambda D: 0.3 * plain.gram_diagonal(D)),
    "covariance, diagonal": (
        lambda J: J.covariance(drawn(J.shape[-1])),
        lambda D: plain.covariance(D, drawn(D.shape[-1])),
    ),
    "covariance, low rank": (
        lambda J: J.covariance(drawn(J.shape[-1], 3)),
        lambda D: plain.covariance(D, drawn(D.shape[-1], 3)),
    ),
    "full covariance, diagonal": (
        lambda J: J.covariance(drawn(J.shape[-1]), full=True),
        lambda D: plain.full_covariance(D, drawn(D.shape[-1])),
    ),
    "solve": (
        lambda J: J.solve(unlike(J), 0.5),
        lambda D: np.linalg.solve(
            plain.flat(D).T @ plain.flat(D) + 0.5 * np.eye(D.shape[-1]),
            plain.rmatvec(D, unlike(D)),
        ),
    ),
    "solve, conjugate gradients": (
        lambda J: J.solve(unlike(J), 0.5, solver="cg"),
        lambda D: np.linalg.solve(
            plain.flat(D).T @ plain.flat(D) + 0.5 * np.eye(D.shape[-1]),
            plain.rmatvec(D, unlike(D)),
        ),
    ),
}


def compare(J, D, dtype="float64", verbs=VERBS, tolerance=None):
    """Every verb of J is that of its rows D."""
    assert J.shape == D.shape and J.dtype == dtype
    for name in verbs:
        verb, formula = VERBS[name]
        result, exact = verb(J), formula(D)
        assert result.dtype == dtype, name
        loose = 30 if name.startswith("solve") else 1
        try:
            assert_close(
                result, exact, loose * (tolerance or TOLERANCE[dtype]), abs(D).max(initial=0)
            )
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def rows_of(R, D):
    """R_s D_s"""
    return R[..., None] * D if R.ndim == 2 else R @ D


ROWS = {
    "one row": (1, m),
    "as many rows": (m, m),
    "more rows": (3 * m, m),
    "scaled": (m,),
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_every_verb_of_weighted_rows(rows, dtype):
    given = Given(dtype)
    R = given.draw(N, *ROWS[rows])
    J = given.J.weighted(R)
    D = rows_of(R, given.D)
    compare(J, D, dtype)
    assert_close(J.outputs, rows_of(R, given.y[..., None])[..., 0], TOLERANCE[dtype])
    assert_close(J.input_jacobian(), rows_of(R, given.dx), TOLERANCE[dtype])
    assert J.inputs[1] is given.J.inputs[1]
    for k, (A, B) in enumerate(J.kfac()):
        d = rows_of(R, given.deltas[k])
        assert_close(A, plain.input_factor(given.inputs[k], True), TOLERANCE[dtype])
        assert_close(B, plain.flat(d).T @ plain.flat(d), TOLERANCE[dtype])
        _, B = J.kfac(symmetric(D))[k]
        assert_close(B, plain.ggn(d, symmetric(D)), TOLERANCE[dtype], abs(B).max())


@pytest.mark.parametrize("wrt", [None, "last", "weights", [("biases", 0), 2], []], ids=str)
def test_weighted_and_restricted_in_either_order(wrt):
    given = Given(output="softmax")
    R, kept = given.draw(N, 3, m), given.plain.keep(wrt)
    for J in (given.J.weighted(R).restrict(wrt), given.J.restrict(wrt).weighted(R)):
        compare(J, R @ given.D[..., kept])
    twice = given.J.weighted(R).weighted(given.draw(N, 2, 3))
    assert twice.shape == (N, 2, given.plain.P)


def test_weighted_twice():
    given = Given()
    R, S = given.draw(N, 3, m), given.draw(N, 4, 3)
    compare(given.J.weighted(R).weighted(S), S @ (R @ given.D))


def test_a_root_of_a_hessian():
    """J^T R^T R J is the Gauss-Newton matrix of H = R^T R."""
    given = Given(output="softmax")
    R = given.draw(N, 3, m)
    G = given.J.ggn(R.swapaxes(1, 2) @ R)
    assert_close(given.J.weighted(R).ggn(), G, 1e-12)


@pytest.mark.parametrize("N", [0, 1, 400])
def test_weighted_rows_of_any_number_of_samples(N):
    given = Given(N=N)
    for shape in ROWS.values():
        R = given.draw(N, *shape)
        compare(given.J.weighted(R), rows_of(R, given.D), verbs=["to_dense", "ggn", "rmatvec"])


def test_weighted_rows_of_a_single_sample():
    given = Given(N=1)
    J = given.net.jacobian(given.X[0])
    for shape in ROWS.values():
        R = given.draw(*shape)
        D = rows_of(R[None], given.D)[0]
        made = J.weighted(R)
        assert made.shape == D.shape
        assert_close(made.to_dense(), D, 1e-13)
        assert_close(made.gram(), D @ D.T, 1e-13)
        assert_close(made.ggn(), D.T @ D, 1e-13)


def test_gram_of_sides_with_different_rows():
    given, random = Given(), np.random.default_rng(3)
    R, S = random.standard_normal((N, 5, m)), random.standard_normal((N, 1, m))
    J, other = given.J.weighted(R), given.J[1:4].weighted(S[1:4])
    D, D2 = R @ given.D, (S @ given.D)[1:4]
    for one, two, rows, rows2 in (
        (J, other, D, D2),
        (other, J, D2, D),
        (J, given.J, D, given.D),
        (given.J, other, given.D, D2),
    ):
        assert_close(one.gram(two), plain.gram(rows, rows2), 1e-13)
    for verb in (J.gram_per_output, J.gram_trace):
        with pytest.raises(ValueError, match="other must have 5 rows a sample"):
            verb(given.J)


def test_many_rows_of_few_samples():
    """More rows than a Gram tile has, and threads that share one block."""
    random = np.random.default_rng(0)
    given = Given(sizes=(4, 60, 3), N=3)
    R = random.standard_normal((3, 250, 3))
    J = given.J.weighted(R)
    D = R @ given.D
    assert_close(J.gram(given.J), plain.gram(D, given.D), 1e-12)
    assert_close(J.gram(), plain.gram(D, D), 1e-12)
    assert_close(J.ggn(), plain.flat(D).T @ plain.flat(D), 1e-12)
    for threads in (1, 2, 3):
        np.testing.assert_array_equal(given.J.weighted(R, threads=threads).deltas[0], J.deltas[0])


@pytest.mark.parametrize(
    "R, error, message",
    [
        (
            np.ones((N, 3)),
            ValueError,
            rf"R must have shape \({N}, 2\) or \({N}, q, 2\).*got \({N}, 3\)",
        ),
        (np.ones((N, 2, 3)), ValueError, r"R must have shape .*got"),
        (np.ones((N, 0, 2)), ValueError, "q > 0"),
        (np.ones((N + 1, 1, 2)), ValueError, "R must have shape"),
        (np.ones(2), ValueError, "R must have shape"),
        (np.ones((1, N, 2, 2)), ValueError, "R must have shape"),
        (np.ones((N, 2), complex), TypeError, "R must hold real numbers"),
        (None, TypeError, "R must hold real numbers"),
    ],
)
def test_messages_of_weighted(R, error, message):
    with pytest.raises(error, match=message):
        Given().J.weighted(R)


def test_weighted_rows_that_are_too_large_are_refused(monkeypatch):
    given = Given(N=1)
    J = given.J[np.zeros(2000, int)]
    monkeypatch.setattr("deltanet._memory.available_memory", lambda: 10**8)
    with pytest.raises(MemoryError, match=r"the weighted factors would need .*J\[a:b\]"):
        J.weighted(np.broadcast_to(1.0, (2000, 1000, m)))


# Samples by index

INDICES = {
    "slice": slice(1, 4),
    "all": slice(None),
    "step": slice(None, None, 3),
    "backwards": slice(None, None, -1),
    "empty slice": slice(5, 2),
    "negative slice": slice(-3, -1),
    "mask": np.arange(N) % 3 == 1,
    "list of bools": [True, False] * 3 + [True],
    "no sample": np.zeros(N, bool),
    "ints": np.array([4, 0, -1, 4]),
    "list": [3, 1],
    "empty list": [],
    "unsigned": np.array([2, 6], np.uint8),
}


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("name", INDICES)
def test_some_samples(name, scaled):
    given, index = Given(scaled=scaled), INDICES[name]
    if scaled:
        R = given.draw(N, 3, m)
        J, D, y, dx = (
            given.J.weighted(R),
            R @ given.D,
            (R @ given.y[..., None])[..., 0],
            R @ given.dx,
        )
    else:
        J, D, y, dx = given.J, given.D, given.y, given.dx
    some = J[index]
    compare(some, D[index])
    assert len(some) == len(D[index])
    assert_close(some.outputs, y[index], 1e-13)
    assert_close(some.input_jacobian(), dx[index], 1e-13)


@pytest.mark.parametrize("index", [0, 3, -1, np.int64(2), np.array(4), np.uint8(5)], ids=repr)
def test_one_sample_loses_its_axis(index):
    given = Given()
    J = given.J[index]
    assert J.shape == given.D.shape[1:] and J.outputs.shape == (m,)
    np.testing.assert_array_equal(J.to_dense(), given.net.jacobian(given.X).to_dense()[index])
    assert_close(J.input_jacobian(), given.dx[index], 1e-13)
    assert_close(J.ggn(), given.D[index].T @ given.D[index], 1e-13)


def test_iteration_goes_over_samples():
    given = Given()
    assert len(given.J) == N
    found = list(given.J)
    assert len(found) == N
    for s, J in enumerate(found):
        np.testing.assert_array_equal(J.to_dense(), given.J.to_dense()[s])
    assert [J.shape for J in given.J[:0]] == []
    assert np.asarray(given.J).shape == given.D.shape, "NumPy takes the dense rows, not the samples"


def test_a_slice_copies_nothing():
    J = Given().J
    assert np.shares_memory(J[2:5].deltas[1], J.deltas[1])
    assert not np.shares_memory(J[[2, 3]].deltas[1], J.deltas[1])


def test_restricted_samples():
    given = Given()
    kept = given.plain.keep([0])
    compare(given.J.restrict([0])[2:5], given.D[2:5][..., kept])
    compare(given.J[2:5].restrict([0]), given.D[2:5][..., kept])


@pytest.mark.parametrize(
    "index, error, message",
    [
        (N, IndexError, f"a sample must be between -{N} and {N - 1}; got {N}"),
        (-N - 1, IndexError, f"got {-N - 1}"),
        ([0, 99], IndexError, "got 99"),
        (np.ones(N - 1, bool), IndexError, rf"a mask must have shape \({N},\); got \({N - 1},\)"),
        (np.ones((N, m), bool), IndexError, "a mask must have shape"),
        (True, IndexError, "a mask must have shape"),
        ((0, 1), TypeError, r"J\[...\] takes one"),
        (Ellipsis, TypeError, "an index of samples must hold real numbers"),
        (None, TypeError, "an index of samples must hold real numbers"),
        (1.0, TypeError, r"J\[...\] takes one"),
        ([0.5], TypeError, r"J\[...\] takes one"),
        ([[0, 1]], TypeError, r"J\[...\] takes one"),
        ("0", TypeError, "an index of samples must hold real numbers"),
    ],
)
def test_messages_of_an_index(index, error, message):
    with pytest.raises(error, match=message):
        Given().J[index]


def test_a_single_sample_has_no_samples():
    J = Given().J[0]
    for call in (len, iter, list, lambda J: J[0], lambda J: J[:]):
        with pytest.raises(TypeError, match="a single sample has no axis of samples"):
            call(J)


# Factors from elsewhere


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("bias", [True, False, [True, False, True]], ids=str)
def test_from_factors(bias, dtype):
    given = Given(dtype)
    biases = [bias] * 3 if isinstance(bias, bool) else bias
    to = lambda arrays: [a.astype(dtype) for a in arrays]  # noqa: E731
    J = dn.Jacobian.from_factors(to(given.deltas), to(given.inputs), given.y, bias=bias)
    layer, weight = given.plain.columns()
    D = given.D[..., weight | np.array(biases)[layer]]
    compare(J, D, dtype)
    assert_close(J.outputs, given.y, TOLERANCE[dtype])
    for k in range(3):
        if biases[k]:
            assert_close(J.bias(k), given.deltas[k], TOLERANCE[dtype])
        else:
            with pytest.raises(ValueError, match="it has none"):
                J.bias(k)
    for (A, _), h, one in zip(J.kfac(), given.inputs, biases, strict=True):
        A0 = plain.input_factor(h, True)
        assert_close(A, A0 if one else A0[:-1, :-1], TOLERANCE[dtype])


def test_from_factors_without_outputs():
    given = Given()
    J = dn.Jacobian.from_factors(given.deltas, given.inputs)
    assert J.outputs is None and J.nbytes == given.J.nbytes - given.J.outputs.nbytes
    compare(J, given.D)
    R = given.draw(N, 3, m)
    compare(J.weighted(R)[1:3], (R @ given.D)[1:3])
    assert J.weighted(R).outputs is None and J[0].outputs is None
    assert "Jacobian(shape=(7, 2, 54)" in repr(J)


def test_input_jacobian_of_given_factors():
    given = Given()
    W, scale = given.plain.weights[0], given.plain.scalings[1]
    J = dn.Jacobian.from_factors(given.deltas, given.inputs, first_weight=W, input_scale=scale)
    assert_close(J.input_jacobian(), given.dx, 1e-13)
    J = dn.Jacobian.from_factors(given.deltas, given.inputs, first_weight=W)
    assert_close(J.input_jacobian(), given.dx * scale, 1e-13)
    with pytest.raises(ValueError, match="first_weight= to from_factors"):
        dn.Jacobian.from_factors(given.deltas, given.inputs).input_jacobian()


def test_factors_of_some_layers():
    """None is a layer that J has no columns of; the numbers of the others stay."""
    given = Given()
    deltas, inputs = [None, given.deltas[1], None], [None, given.inputs[1], None]
    J = dn.Jacobian.from_factors(deltas, inputs)
    compare(J, given.D[..., given.plain.keep([1])])
    assert J.deltas[0] is None and J.inputs[2] is None
    assert_close(J.weight(1), given.J.weight(1), 1e-13)
    assert_close(J.gram(given.J.restrict([1])), plain.gram(*[J.to_dense()] * 2), 1e-13)
    with pytest.raises(ValueError, match="layer 0"):
        J.input_jacobian()
    last = dn.Jacobian.from_factors([*[None] * 9, given.deltas[2]], [*[None] * 9, given.inputs[2]])
    compare(last, given.D[..., given.plain.keep("last")])
    compare(last.restrict("weights"), given.D[..., given.plain.keep([("weights", 2)])])


def test_given_factors_are_not_copied():
    given = Given()
    J = dn.Jacobian.from_factors(given.deltas, given.inputs)
    assert np.shares_memory(J.deltas[0], given.deltas[0])
    J = dn.Jacobian.from_factors(given.deltas, [np.asfortranarray(h) for h in given.inputs])
    compare(J, given.D, verbs=["to_dense"])


def test_from_factors_of_a_single_sample_and_of_none():
    given = Given()
    J = dn.Jacobian.from_factors([d[0] for d in given.deltas], [h[0] for h in given.inputs])
    assert_close(J.to_dense(), given.D[0], 1e-13)
    J = dn.Jacobian.from_factors([d[:0] for d in given.deltas], [h[:0] for h in given.inputs])
    compare(J, given.D[:0], verbs=["to_dense", "ggn", "row_norms_squared"])
    lists = dn.Jacobian.from_factors([[[1, 2]]], [[3, 4, 5]])
    np.testing.assert_array_equal(lists.to_dense(), [[3, 4, 5, 6, 8, 10, 1, 2]])


d, h = np.ones((4, 2, 5)), np.ones((4, 3))


@pytest.mark.parametrize(
    "args, named, error, message",
    [
        (([], []), {}, ValueError, "one array a layer each, at least one; got 0 and 0"),
        (([None], [None]), {}, ValueError, "at least one"),
        (([d, d], [h]), {}, ValueError, "got 2 and 1"),
        (([d], [None]), {}, ValueError, r"deltas\[0\] and inputs\[0\] must both be None"),
        (([d[0, 0]], [h]), {}, ValueError, r"deltas\[0\] must have shape \(N, m, n\) or \(m, n\)"),
        (([d[:, :0]], [h]), {}, ValueError, "m > 0"),
        (([d], [h[:3]]), {}, ValueError, r"inputs\[0\] must have shape \(4, n\); got \(3, 3\)"),
        (([d], [h[0]]), {}, ValueError, r"inputs\[0\] must have shape"),
        (([d, d], [h, h]), {}, ValueError, r"inputs\[1\] must have shape \(4, 5\); got \(4, 3\)"),
        (([d, d[:, :1]], [h, d[:, 0]]), {}, ValueError, r"deltas\[1\] must have shape \(4, 2, n\)"),
        (([d, d[:3]], [h, d[:, 0]]), {}, ValueError, r"deltas\[1\] must have shape"),
        (([d[:, :, :0]], [h]), {}, ValueError, r"the width of deltas\[0\] must be at least 1"),
        (([d], [h.astype(complex)]), {}, TypeError, r"inputs\[0\] must hold real numbers"),
        (([d], [h], d), {}, ValueError, r"outputs must have shape \(4, 2\)"),
        (([d], [h]), {"bias": [True, True]}, ValueError, "bias must be True or False"),
        (([d], [h]), {"bias": 1}, ValueError, "bias must be True or False"),
        (([d], [h]), {"first_weight": h}, ValueError, r"first_weight must have shape \(5, 3\)"),
        (([d], [h]), {"input_scale": 0}, ValueError, "input_scale must be finite and not zero"),
        (([None, d], [None, h]), {"input_scale": 1}, ValueError, "need the delta of layer 0"),
    ],
)
def test_messages_of_from_factors(args, named, error, message):
    with pytest.raises(error, match=message):
        dn.Jacobian.from_factors(*args, **named)


# Copies, pickles and files


def variants():
    """Jacobians of every kind that can be kept."""
    given = Given(output="softmax")
    J = given.J
    without = dn.Jacobian.from_factors(given.deltas, given.inputs, bias=[True, False, True])
    return {
        "plain": J,
        "unscaled": Given(scaled=False).J,
        "float32": Given("float32").J,
        "single": given.net.jacobian(given.X[0]),
        "no sample": J[:0],
        "some samples": J[::2],
        "restricted": J.restrict([("weights", 0), ("biases", 2)]),
        "last": J.restrict("last"),
        "nothing": J.restrict([]),
        "weighted": J.weighted(given.draw(N, 5, m)),
        "given": without,
        "given, of one layer": dn.Jacobian.from_factors(
            [None, given.deltas[1], None], [None, given.inputs[1], None]
        ),
        "not finite": J.weighted(np.full((N, m), np.nan)),
    }


def through_a_file(J, folder):
    J.save(folder / "J.npz")
    return dn.Jacobian.load(folder / "J.npz")


WAYS = {
    "copy": lambda J, _: copy.copy(J),
    "deepcopy": lambda J, _: copy.deepcopy(J),
    "pickle": lambda J, _: pickle.loads(pickle.dumps(J)),
    "file": through_a_file,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", variants())
def test_another_one_is_the_same(kind, way, tmp_path):
    J = variants()[kind]
    other = WAYS[way](J, tmp_path)
    assert (other.shape, other.dtype, repr(other)) == (J.shape, J.dtype, repr(J))
    np.testing.assert_array_equal(other.to_dense(), J.to_dense())
    assert (other.outputs is None) == (J.outputs is None)
    if J.outputs is not None:
        np.testing.assert_array_equal(other.outputs, J.outputs)
    for one, two in zip((*other.deltas, *other.inputs), (*J.deltas, *J.inputs), strict=True):
        assert (one is None) == (two is None)
    for verb in (lambda J: J.ggn_diagonal(), lambda J: J.input_jacobian(), lambda J: J.bias(1)):
        try:
            expected = verb(J)
        except ValueError as error:
            with pytest.raises(ValueError) as found:
                verb(other)
            assert str(found.value) == str(error)
        else:
            np.testing.assert_array_equal(verb(other), expected)
    for wrt in ("biases", [-1], np.ones(J.restrict(None).shape[-1], bool)):
        assert outcome(other, wrt) == outcome(J, wrt)


def outcome(J, wrt):
    """What restrict says of wrt."""
    try:
        return J.restrict(wrt).shape
    except ValueError as error:
        return str(error)


def test_a_pickle_owns_its_arrays():
    given = Given()
    deep = copy.deepcopy(given.J)
    assert not np.shares_memory(deep.deltas[0], given.J.deltas[0])


def test_public_names():
    """`plot` needs matplotlib only when it is called: see test_plot.py."""
    names = {name for name in dir(Given().J) if not name.startswith("_")}
    assert names - {"plot"} == set(PUBLIC.split())
    J = Given().J
    for name in ("outputs", "shape", "anything"):
        with pytest.raises(AttributeError):
            setattr(J, name, 1)
