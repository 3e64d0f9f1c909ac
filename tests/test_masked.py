"""Arrays whose numbers are not all there, or mean something else than those of a plain array."""

import numpy as np
import pytest
from verb_table import FUSED, KEPT, Arguments, arrays

import deltanet as dn

SIZES, N = (4, 7, 3), 5
NET = dn.MLP(SIZES, seed=0)
X = np.random.default_rng(0).standard_normal((N, 4))
Y, W = NET(X), [np.asarray(w) for w in NET.weights]
B = [np.asarray(b) for b in NET.biases]
J = NET.jacobian(X)
READ = ("X", "X2", "v", "V", "u", "U", "R", "h", "H", "sigma", "factor", "Sigma")


def masked(array, at=0):
    """The same numbers, of which one is masked."""
    mask = np.zeros(array.shape, bool)
    mask.flat[at] = True
    return np.ma.array(array, mask=mask)


class Table:
    """What makes a masked array of itself, as variables of some file formats do."""

    def __init__(self, array):
        self.array = masked(array)

    def __array__(self, dtype=None, copy=None):
        return self.array


FORMS = {
    "masked": masked,
    "the last one": lambda a: masked(a, a.size - 1),
    "rows": lambda a: list(masked(a)) if a.ndim > 1 else masked(a),
    "nested": lambda a: [list(row) for row in masked(a)] if a.ndim > 1 else list(masked(a)),
}

CALLS = {  # what else takes arrays, each as the argument of a call
    "weights": (W[0], lambda a: dn.MLP.from_layers([a, W[1]], B, ["tanh"] * 2)),
    "biases": (B[1], lambda a: dn.MLP.from_layers(W, [B[0], a], ["tanh"] * 2)),
    "input_shift": (X[0], lambda a: dn.MLP.from_layers(W, B, ["tanh"] * 2, a)),
    "output_scale": (
        1 + Y[0] ** 2,
        lambda a: dn.MLP.from_layers(W, B, ["tanh"] * 2, None, None, 0, a),
    ),
    "params": (NET.params, lambda a: setattr(NET.copy(), "params", a)),
    "unravel": (NET.params, NET.unravel),
    "ravel": (W[0], lambda a: NET.ravel([(a, B[0]), (W[1], B[1])])),
    "ravel b": (B[0], lambda a: NET.ravel([(W[0], a), (W[1], B[1])])),
    "standardized X": (X, lambda a: dn.MLP.standardized(a, Y)),
    "standardized Y": (Y, lambda a: dn.MLP.standardized(X, a)),
    "fit X": (X, lambda a: dn.fit(NET, a, Y, max_iter=1)),
    "fit Y": (Y, lambda a: dn.fit(NET, X, a, max_iter=1)),
    "fit prior": (NET.params**2, lambda a: dn.fit(NET, X, Y, prior=a, max_iter=1)),
    "fit validation": (Y, lambda a: dn.fit(NET, X, Y, validation=(X, a), max_iter=1)),
    "residuals": (Y, lambda a: dn.residuals(NET, X, a)),
    "solve": (Y, lambda a: J.solve(a, 0.1)),
    "dampings": (np.ones(3), lambda a: J.solve(Y, a)),
    "weighted": (Y, J.weighted),
    "from_factors": (
        J.deltas[1],
        lambda a: dn.Jacobian.from_factors([None, a], [None, J.inputs[1]]),
    ),
    "first_weight": (W[0], lambda a: dn.Jacobian.from_factors(J.deltas, J.inputs, first_weight=a)),
    "KFAC": (np.eye(3), lambda a: dn.KFAC([(a, np.eye(2))])),
    "KFAC @": (NET.params, lambda a: J.kfac().damped(1.0) @ a),
    "wrt": (np.ones(59, bool), J.restrict),
    "samples": (np.arange(3), lambda a: J[a]),
    "check": (X, lambda a: dn.testing.check_jacobian(NET, a)),
}


LISTS = ("rows", "nested")


@pytest.mark.parametrize(
    "name, form",
    [(name, form) for name in CALLS for form in FORMS if name != "wrt" or form not in LISTS],
)
def test_masked_entries_are_refused(name, form):
    array, call = CALLS[name]
    with pytest.raises(ValueError, match="must have no masked entries"):
        call(FORMS[form](array))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("read", READ)
def test_of_every_verb(read, form):
    """Each verb with one of its arguments masked refuses it by name, or does not read it."""
    right, a = Arguments(NET, X), Arguments(NET, X)
    J2 = NET.jacobian(right.X2)
    value = getattr(a, read)
    setattr(a, read, FORMS[form](value))
    calls = {name: lambda a, name=name: FUSED[name](NET, a) for name in FUSED}
    calls |= {f"J.{name}": lambda a, name=name: KEPT[name](J, J2, a) for name in KEPT}
    refused = []
    for name, call in calls.items():
        try:
            result = call(a)
        except ValueError as error:
            assert "must have no masked entries" in str(error), name
            refused.append(name)
        else:
            for x, y in zip(arrays(result), arrays(call(right)), strict=True):
                np.testing.assert_array_equal(x, y, err_msg=name)
    assert len(refused) >= {"X": len(FUSED)}.get(read, 1)


@pytest.mark.parametrize("side", [0, 1])
def test_kronecker_pairs(side):
    pairs = [list(pair) for pair in J.kfac()]
    pairs[1][side] = masked(pairs[1][side])
    with pytest.raises(ValueError, match="Sigma must have no masked entries"):
        J.covariance(pairs)


def test_objects_that_make_a_masked_array():
    with pytest.raises(ValueError, match="X must have no masked entries"):
        NET(Table(X))


@pytest.mark.parametrize(
    "form",
    [
        np.ma.array,
        lambda a: np.ma.array(a, mask=np.zeros(a.shape, bool)),
        lambda a: list(np.ma.array(a)),
        lambda a: a.view(np.matrix),
    ],
    ids=["no mask", "a mask of nothing", "rows", "matrix"],
)
def test_the_same_numbers_are_taken(form):
    for call in (NET, NET.jacobian_dense, NET.ggn):
        result = call(form(X))
        assert type(result) is np.ndarray
        np.testing.assert_array_equal(result, call(X))


@pytest.mark.parametrize("kind", [np.ma.MaskedArray, np.matrix])
def test_they_are_no_out(kind):
    """A result under a mask could not be read; a matrix cannot have three axes."""
    out = np.zeros((N, 3)).view(kind)
    with pytest.raises(ValueError, match="out must be a plain NumPy array; got"):
        NET(X, out=out)
    assert not np.asarray(out).any()


def test_a_memory_map_is_an_out(tmp_path):
    out = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", shape=(N, 3))
    assert NET(X, out=out) is out
    np.testing.assert_array_equal(out, Y)


def test_missing_values_of_pandas():
    pandas = pytest.importorskip("pandas", reason="tables need pandas")
    table = pandas.DataFrame(X)
    np.testing.assert_array_equal(NET(table), Y)
    table = table.astype("Float64")
    table.loc[2, 1] = pandas.NA
    try:
        y = NET(table)  # where pandas makes NaN of what is missing, it taints its own sample
    except TypeError as error:
        assert "give X.to_numpy(float)" in str(error)
        y = NET(table.to_numpy(float, na_value=np.nan))
    assert np.isnan(y[2]).all()
    np.testing.assert_array_equal(np.delete(y, 2, 0), np.delete(Y, 2, 0))
    mixed = pandas.DataFrame({name: X[:, i] for i, name in enumerate("abcd")})
    mixed["a"] = pandas.array([1, 2, None, 4, 5], dtype="Int64")
    with pytest.raises((TypeError, ValueError)):
        dn.fit(NET, mixed, Y, max_iter=1)


def test_sparse_matrices_and_tensors_of_a_graph_are_named():
    from scipy.sparse import csr_array

    with pytest.raises(TypeError, match=r"X must hold real numbers.*give X.toarray\(\)"):
        NET(csr_array(X))
    torch = pytest.importorskip("torch", reason="needs torch")
    with pytest.raises(TypeError, match=r"X must be an array that NumPy can read: .*detach"):
        NET(torch.ones(4, requires_grad=True))
