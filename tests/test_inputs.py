"""What every verb is given: numbers in any memory, bad samples, local fields where slopes underflow."""

import numpy as np
import pytest
from verb_table import (
    EVERY_TWO_PARAMETERS,
    FORMS,
    FUSED,
    GRAM,
    KEPT,
    SAMPLEWISE,
    Arguments,
    arrays,
    without,
)

import deltanet as dn

SIZES, N = (4, 7, 3), 5
X = np.random.default_rng(0).standard_normal((N, 4))
DTYPES = ("float64", "float32")
READ = ("X", "X2", "v", "u", "R", "h", "H", "sigma", "factor", "Sigma")


def same_bits(result, right):
    for a, b in zip(arrays(result), arrays(right), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("single", [False, True], ids=["batch", "single"])
@pytest.mark.parametrize("bare", [(), (1,)], ids=["biases", "one bias"])
@pytest.mark.parametrize("form", FORMS)
def test_any_memory_of_the_arguments(form, bare, single, dtype):
    """Of all of them at once; the numbers are read, and neither changed nor kept."""
    net = without(dn.MLP(SIZES, seed=0, dtype=dtype), bare)
    a = Arguments(net, X[0] if single else X)
    expected = {name: FUSED[name](net, a) for name in FUSED}
    given = {name: FORMS[form](np.asarray(getattr(a, name))) for name in READ}
    a.pairs = [tuple(FORMS[form](part) for part in pair) for pair in a.pairs]
    before = {name: np.array(value) for name, value in given.items()}
    for name, value in given.items():
        setattr(a, name, value)
    for name, right in expected.items():
        same_bits(FUSED[name](net, a), right)
    for name, value in given.items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint16, bool, np.float16])
@pytest.mark.parametrize("name", FUSED)
def test_other_types_of_numbers(name, kind):
    net = dn.MLP(SIZES, seed=0)
    a = Arguments(net, X)
    whole = (abs(5 * X) % 3).astype(kind)
    a.X = whole.astype(float)
    right = FUSED[name](net, a)
    a.X = whole
    same_bits(FUSED[name](net, a), right)


@pytest.mark.parametrize("name", FUSED)
def test_one_sample_many_times(name):
    """Strides of zero."""
    net = dn.MLP(SIZES, seed=0)
    a = Arguments(net, np.repeat(X[:1], N, axis=0))
    right = FUSED[name](net, a)
    a.X = np.broadcast_to(X[0], (N, 4))
    same_bits(FUSED[name](net, a), right)


@pytest.mark.parametrize("kind", ["<f8", ">f8", "f4"])
def test_a_memory_map_longer_than_a_block(tmp_path, kind):
    """What is read block by block has the bits of what lies in memory."""
    net = dn.MLP([6, 20, 3], seed=0)
    a = Arguments(net, np.random.default_rng(0).standard_normal((1100, 6)).astype("f4"))
    expected = {name: FUSED[name](net, a) for name in FUSED if name not in GRAM}
    for name in ("X", "u", "R", "h", "H"):
        array = getattr(a, name)
        exact = kind if name == "X" else array.dtype
        np.save(tmp_path / name, array.astype(exact))
        setattr(a, name, np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
        assert isinstance(getattr(a, name), np.memmap)
    for name, right in expected.items():
        same_bits(FUSED[name](net, a), right)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "sizes, bare",
    [((4, 7, 3), ()), ((40, 60, 60, 3), ()), ((4, 7, 3), (0, 1))],
    ids=["narrow", "wide", "no bias"],
)
def test_a_bad_sample_taints_only_its_own_rows(sizes, bare, bad):
    """In a batch of several blocks, from X and from factors, and no NaN stays in a workspace."""
    count, at = 300, 170
    net = without(dn.MLP(sizes, activation="relu", seed=0), bare)
    a = Arguments(net, np.random.default_rng(0).standard_normal((count, sizes[0])))
    clean, dirty = a.X, a.X.copy()
    dirty[at, 1] = bad
    others = np.arange(count) != at
    left_out = EVERY_TWO_PARAMETERS if a.P > 1000 else ()
    for name, call in SAMPLEWISE.items():
        if name in left_out:
            continue
        a.X = clean
        right = call(net, a)
        a.X = dirty
        result = call(net, a)
        np.testing.assert_array_equal(result[others], right[others], err_msg=name)
        if name != "input_jacobian":  # a slope of infinity is a number
            assert not np.isfinite(result[at]).all(), name
        a.X = clean
        np.testing.assert_array_equal(call(net, a), right, err_msg=name)
    few = slice(at - 20, at + 20)
    a.X, inside = clean[few], others[few]
    right = net.gram(a.X)
    result = net.gram(dirty[few])
    np.testing.assert_array_equal(result[inside][:, :, inside], right[inside][:, :, inside])
    assert np.isnan(result[~inside]).any() and np.isnan(result[:, :, ~inside]).any()
    samples_of_factors(net, a, clean, dirty, others, left_out)


# verb of a Jacobian -> its axes of samples
ROWS_OF_FACTORS = {
    "to_dense": [0],
    "input_jacobian": [0],
    "matvec": [0],
    "matvec, columns": [0],
    "gram of two": [0],
    "gram": [0, 2],
    "gram_diagonal": [0],
    "gram_per_output": [1, 2],
    "gram_per_output of two": [1],
    "gram_trace": [0, 1],
    "gram_trace of two": [0],
    "row_norms_squared": [0],
    "covariance, scalar": [0],
    "covariance, diagonal": [0],
    "covariance, low rank": [0],
    "covariance, pairs": [0],
    "covariance, dense": [0],
    "full covariance, diagonal": [0, 2],
    "full covariance, low rank": [0, 2],
    "full covariance, pairs": [0, 2],
}


def samples_of_factors(net, a, clean, dirty, others, left_out):
    J, T, J2 = net.jacobian(clean), net.jacobian(dirty), net.jacobian(a.X2)
    for name, axes in ROWS_OF_FACTORS.items():
        if name in left_out or (len(others) > 100 and name.startswith("full")):
            continue
        right, result = KEPT[name](J, J2, a), KEPT[name](T, J2, a)
        for axis in axes:
            right, result = (np.compress(others, array, axis) for array in (right, result))
        np.testing.assert_array_equal(result, right, err_msg=f"J, {name}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["tanh", "gaussian", "sigmoid", "silu", "gelu", "selu"])
@pytest.mark.parametrize("output", ["identity", "softmax", "log_softmax"])
def test_what_underflows_raises_nothing(activation, output, dtype):
    """Slopes of a saturated unit are 1e-300 and less, their squares zero: rounding, and no error.

    ggn_diagonal and kfac once raised FloatingPointError here.
    """
    net = dn.MLP([4, 30, 30, 3], activation=activation, output=output, seed=0, dtype=dtype)
    far = np.random.default_rng(0).standard_normal((150, 4)) * np.logspace(-3, 3, 150)[:, None]
    for samples in (far, far[120], far[:0]):
        a, whole = Arguments(net, samples, wrt="last"), Arguments(net, samples)
        assert raised(net, a, EVERY_TWO_PARAMETERS) == []
        assert raised(net, whole, set(FUSED | KEPT) - set(EVERY_TWO_PARAMETERS)) == []


def raised(net, a, names):
    """The verbs among these that raise an error of floating-point numbers."""
    J, J2 = net.jacobian(a.X, wrt=a.wrt), net.jacobian(a.X2, wrt=a.wrt)
    calls = {name: lambda name=name: FUSED[name](net, a) for name in FUSED if name in names}
    calls |= {f"J.{name}": lambda name=name: KEPT[name](J, J2, a) for name in KEPT if name in names}
    found = []
    for name, call in calls.items():
        try:
            with np.errstate(all="raise"):
                call()
        except FloatingPointError:
            found.append(name)
    return found


def test_what_is_infinite_raises_nothing():
    """inf - inf is NaN in the result, and no error of NumPy's."""
    net = dn.MLP(SIZES, activation="relu", seed=0)
    a = Arguments(net, np.array([[np.inf, -np.inf, np.nan, 1.0]] * 3))
    assert raised(net, a, FUSED | KEPT) == []
