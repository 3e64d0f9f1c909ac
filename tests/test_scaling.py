"""Scalings from data: mean and standard deviation, here by exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest

import deltanet as dn
from deltanet._scaling import from_data

RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.standard_normal(50)
COLUMNS = {  # a column of numbers, whether it is constant
    "standard normal": (NORMAL, False),
    "years": (2000 + 24 * RANDOM.random(50), False),
    "millionths": (1e-6 * NORMAL, False),
    "two samples": ([3.0, 5.0], False),
    "a rare step": ([0.0] * 999 + [1.0], False),
    "far from zero": (1e9 + NORMAL, False),
    "squares overflow": (1e200 * NORMAL, False),
    "sums overflow": ([1.5e308, -1.7e308, 1.6e308], False),
    "squares underflow": (1e-200 * NORMAL, False),
    "constant": ([0.1] * 7, True),
    "zero": ([0.0] * 7, True),
    "one sample": ([-3.0], True),
    "constant to rounding": ([0.1 + 0.2, 0.3, 0.3], True),
    "too small to divide by": ([0.0, 5e-324], True),
}


def exact(column):
    """(mean, standard deviation) of floats, in exact arithmetic up to the root."""
    numbers = [Fraction(float(x)) for x in column]
    mean = sum(numbers) / len(numbers)
    variance = sum((x - mean) ** 2 for x in numbers) / len(numbers)
    unit = max(map(abs, numbers)) or Fraction(1)
    return float(mean), math.sqrt(variance / unit**2) * float(unit)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", COLUMNS)
def test_mean_and_deviation(name, dtype):
    column, constant = COLUMNS[name]
    with np.errstate(all="ignore"):
        column = np.asarray(column, dtype)
    if not np.isfinite(column).all():
        pytest.skip("float32 cannot hold these numbers")
    constant = constant or column.max() == column.min()
    mean, deviation = exact(column)
    table = np.stack([column, np.arange(len(column), dtype=dtype)], axis=1)
    with np.errstate(all="raise"):
        shift, scale, *output = from_data(table, table[:, :1], True)
    assert shift.dtype == scale.dtype == dtype and shift.shape == scale.shape == (2,)
    tolerance = 8 * np.finfo(dtype).eps
    assert abs(shift[0] - mean) <= tolerance * max(abs(mean), deviation)
    if constant:
        assert scale[0] == 1
    else:
        assert abs(scale[0] - deviation) <= tolerance * deviation
    np.testing.assert_allclose(np.ravel(output), [shift[0], scale[0]], rtol=tolerance)


def test_only_an_identity_output_is_scaled():
    X, Y = RANDOM.random((5, 3)), RANDOM.random((5, 2))
    assert from_data(X, Y, False)[2:] == (None, None)
    assert [part.shape for part in from_data(X, Y, True)] == [(3,), (3,), (2,), (2,)]


# MLP.standardized

DATA = {  # X, Y in units of people
    "columns": (
        RANDOM.normal([2000, 0, 1e-6], [20, 0.1, 1e-7], (40, 3)),
        1e3 * RANDOM.random((40, 2)),
    ),
    "one of each": (np.arange(10_000.0), np.arange(10_000.0) ** 2),
    "lists of integers": ([[1, 2], [3, 5], [7, 7]], [1, 0, 0]),
    "a constant input": (np.stack([NORMAL, np.full(50, 9.81)], axis=1), NORMAL),
    "constant outputs": (NORMAL, np.full((50, 2), [5.0, -5.0])),
    "Fortran": (np.asfortranarray(RANDOM.random((9, 4))), RANDOM.random((9, 1))),
}


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize(
    "options", [{}, {"output": "sigmoid"}, {"hidden": [], "bias": False}], ids=str
)
@pytest.mark.parametrize("case", DATA)
def test_standardized(case, options, dtype, tolerance):
    """The layers of the same seed, between columns of mean 0 and deviation 1."""
    X, Y = (np.asarray(table, dtype).reshape(len(table), -1) for table in DATA[case])
    net = dn.MLP.standardized(*DATA[case], **{"hidden": [7, 5]} | options, dtype=dtype, seed=3)
    hidden = options.get("hidden", [7, 5])
    arguments = {name: value for name, value in options.items() if name != "hidden"}
    plain = dn.MLP([X.shape[1], *hidden, Y.shape[1]], **arguments, dtype=dtype, seed=3)
    assert (net.sizes, net.activations, net.dtype) == (plain.sizes, plain.activations, dtype)
    np.testing.assert_array_equal(net.params, plain.params)
    columns = [(column, *exact(column)) for column in X.T.astype(float)]
    Z = np.stack(
        [(x - mean) / (deviation if np.ptp(x) else 1) for x, mean, deviation in columns], 1
    )
    y = plain.astype("float64")(Z)
    if "output" in options:
        assert net.output_scale is None and net.output_shift is None
    else:
        pairs = [exact(column) for column in Y.T]
        y = y * [
            scale if np.ptp(column) else 1 for column, (_, scale) in zip(Y.T, pairs, strict=True)
        ]
        y = y + [mean for mean, _ in pairs]
    np.testing.assert_allclose(net(X), y, rtol=tolerance, atol=tolerance * abs(y).max())


def test_standardized_fits_what_has_other_units():
    x = np.arange(10_000.0)
    net = dn.MLP.standardized(x, x**2, hidden=[10], seed=0)
    fit = dn.fit(net, x[:, None], x[:, None] ** 2, max_iter=50)
    assert np.abs(fit.net(x[:, None])[:, 0] - x**2).max() < 1e-3 * 1e8


WRONG = {  # X, Y, options, error, words
    "NaN in X": ([1, np.nan], [1, 2], {}, ValueError, r"X must be finite; got nan at \[1, 0\]"),
    "infinity in Y": (
        [1, 2],
        [[1, 2], [3, -np.inf]],
        {},
        ValueError,
        r"Y must be .* -inf at \[1, 1\]",
    ),
    "too large": (
        [1, 1e39],
        [1, 2],
        {"dtype": "float32"},
        ValueError,
        "X as float32 must be finite",
    ),
    "one sample": ([[1, 2]], [1], {}, ValueError, "X must hold two samples at least; got 1"),
    "no sample": (np.empty((0, 2)), [], {}, ValueError, "two samples at least; got 0"),
    "no column": (np.empty((3, 0)), [1, 2, 3], {}, ValueError, r"X must have shape .*got \(3, 0\)"),
    "a number": (3.0, [1, 2], {}, ValueError, r"X must have shape \(N, features\).*got \(\)"),
    "three axes": ([1, 2], np.ones((2, 1, 1)), {}, ValueError, r"Y must have .*got \(2, 1, 1\)"),
    "other counts": ([1, 2], [1, 2, 3], {}, ValueError, "as many samples; got 2 and 3"),
    "complex": ([1, 2], [1, 2j], {}, TypeError, "Y must hold real numbers; got dtype complex"),
    "hidden": ([1, 2], [1, 2], {"hidden": 32}, TypeError, "hidden must be a sequence.*got 32"),
    "width": ([1, 2], [1, 2], {"hidden": [0]}, ValueError, "each size must be .*got 0"),
    "dtype": ([1, 2], [1, 2], {"dtype": "f2"}, ValueError, "dtype must be float64 or float32"),
    "activation": ([1, 2], [1, 2], {"activation": "tan"}, ValueError, "unknown activation 'tan'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_standardized_refuses(case):
    X, Y, options, error, words = WRONG[case]
    with pytest.raises(error, match=words):
        dn.MLP.standardized(X, Y, **options)
