"""Scalings of a net from data: the mean and the standard deviation of each column."""

import numpy as np

from deltanet._types import Array

ROUNDING = 8  # units in the last place of its largest entry, by which a constant column may vary


def from_data(
    X: Array, Y: Array, output_is_identity: bool, sample_weight: Array | None = None
) -> tuple[Array, Array, Array | None, Array | None]:
    """input_shift, input_scale, output_shift and output_scale, as `MLP.from_layers` takes them.

    Of X (N, n_0) and Y (N, m), finite floats, N >= 1, and in their dtype; samples count by `sample_weight`
    (N,), finite and at least 0. The two of the output are None if its activation is not the identity: the
    range of any other one has its meaning.

    Examples
    --------
    >>> import numpy as np
    >>> from_data(np.array([[1.0, 7.0], [3.0, 7.0]]), np.array([[0.5], [0.5]]), True)
    (array([2., 7.]), array([1., 1.]), array([0.5]), array([1.]))
    """
    if sample_weight is not None and sample_weight.any():
        some = sample_weight > 0
        X, Y, sample_weight = X[some], Y[some], sample_weight[some] / sample_weight.max()
    else:
        sample_weight = None
    shift, scale = _mean_and_deviation(X, sample_weight)
    if not output_is_identity:
        return shift, scale, None, None
    output_shift, output_scale = _mean_and_deviation(Y, sample_weight)
    return shift, scale, output_shift, output_scale


def _mean_and_deviation(table: Array, sample_weight: Array | None) -> tuple[Array, Array]:
    """Of each column, (n,); the deviation of one that is constant, to rounding, is 1.

    Columns are divided by a power of two first, so that no sum and no square overflows: the bits are those of
    NumPy's mean and std of the table.
    """
    kind = np.finfo(table.dtype)
    with np.errstate(under="ignore"):
        largest = abs(table).max(axis=0).astype(np.float64)
        unit = np.ldexp(1.0, np.frexp(largest)[1] - 1)
        z = table / unit
        rounding = np.maximum(float(kind.eps), float(kind.tiny) / unit)
        constant = z.max(axis=0) - z.min(axis=0) <= 2 * ROUNDING * rounding
        mean = np.average(z, axis=0, weights=sample_weight)
        z -= mean
        # the mean of z is now its rounding alone
        rest = np.average(z, axis=0, weights=sample_weight)
        variance = np.average(z * z, axis=0, weights=sample_weight) - rest * rest
        deviation = np.sqrt(np.maximum(variance, 0))
        mean, deviation = mean * unit, np.where(constant, 1, deviation * unit)
        return mean.astype(table.dtype), deviation.astype(table.dtype)
