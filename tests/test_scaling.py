"""Scalings from data: mean and standard deviation, here by exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest

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
