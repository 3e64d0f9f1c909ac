"""sizes -> offsets; views of theta.

theta holds W^(1) row-major, b^(1), ..., W^(L), b^(L): the order of
`torch.nn.utils.parameters_to_vector` on a Sequential of Linear layers. A layer without a bias has no b^(k) in
it: `biases` says of each layer whether it has one.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray


def offsets(sizes: Sequence[int], biases: Sequence[bool]) -> list[int]:
    """Where each W^(k) begins in theta, then P: the count of all parameters.

    Examples
    --------
    >>> offsets((4, 3, 2), (True, True)), offsets((4, 3, 2), (False, True))
    ([0, 15, 23], [0, 12, 20])
    """
    ends = [0]
    for (n_in, n_out), bias in zip(pairwise(sizes), biases, strict=True):
        ends.append(ends[-1] + n_out * (n_in + bias))
    return ends


def views(
    theta: NDArray[Any], sizes: Sequence[int], biases: Sequence[bool]
) -> list[tuple[NDArray[Any], NDArray[Any] | None]]:
    """[(W, b), ...]: views of the last axis of `theta`, W (..., n_out, n_in), b (..., n_out) or None.

    Examples
    --------
    >>> import numpy as np
    >>> [(W, b)] = views(np.arange(6.0), (2, 2), (True,))
    >>> W, b
    (array([[0., 1.],
           [2., 3.]]), array([4., 5.]))
    """
    blocks, ends = [], offsets(sizes, biases)
    for (start, stop), (n_in, n_out), bias in zip(
        pairwise(ends), pairwise(sizes), biases, strict=True
    ):
        split = start + n_out * n_in
        W = theta[..., start:split].reshape(*theta.shape[:-1], n_out, n_in)
        blocks.append((W, theta[..., split:stop] if bias else None))
    return blocks


def split(buffer: NDArray[Any], shapes: Iterable[tuple[int, ...]]) -> list[NDArray[Any]]:
    """Arrays of these shapes, one behind the other in `buffer`.

    One buffer where many arrays could be: malloc gives it back without a page fault.

    Examples
    --------
    >>> import numpy as np
    >>> split(np.arange(5.0), [(1, 2), (3,)])
    [array([[0., 1.]]), array([2., 3., 4.])]
    """
    arrays, start = [], 0
    for shape in shapes:
        stop = start + math.prod(shape)
        arrays.append(buffer[start:stop].reshape(shape))
        start = stop
    return arrays
