"""Scalings of a net from data: the mean and the standard deviation of each column."""

import numpy as np
from numpy.typing import NDArray

ROUNDING = 8  # units in the last place of its largest entry, by which a constant column may vary

Array = NDArray[np.floating]


def from_data(
    X: Array, Y: Array, output_is_identity: bool
) -> tuple[Array, Array, Array | None, Array | None]:
    """input_shift, input_scale, output_shift and output_scale, as `MLP.from_layers` takes them.

    Of X (N, n_0) and Y (N, m), finite floats, N >= 1, and in their dtype. The two of the output are None if
    its activation is not the identity: the range of any other one has its meaning.

    Examples
    --------
    >>> import numpy as np
    >>> from_data(np.array([[1.0, 7.0], [3.0, 7.0]]), np.array([[0.5], [0.5]]), True)
    (array([2., 7.]), array([1., 1.]), array([0.5]), array([1.]))
    """
    output = _mean_and_deviation(Y) if output_is_identity else (None, None)
    return *_mean_and_deviation(X), *output


def _mean_and_deviation(table: Array) -> tuple[Array, Array]:
    """Of each column, (n,); the deviation of one that is constant, to rounding, is 1."""
    kind = np.finfo(table.dtype)
    with np.errstate(under="ignore"):
        low, high = (side(axis=0).astype(np.float64) for side in (table.min, table.max))
        centre, half = low / 2 + high / 2, high / 2 - low / 2
        largest = np.maximum(abs(low), abs(high))
        constant = half <= ROUNDING * np.maximum(float(kind.eps) * largest, float(kind.tiny))
        half[constant] = 1
        # within [-1, 1], so that no sum and no square overflows
        z = (table - centre) / half
        mean, deviation = centre + half * z.mean(axis=0), half * z.std(axis=0)
        deviation[constant] = 1
        return mean.astype(table.dtype), deviation.astype(table.dtype)
