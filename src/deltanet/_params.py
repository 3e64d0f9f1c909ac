"""sizes -> offsets; views of theta.

theta holds W^(1) row-major, b^(1), ..., W^(L), b^(L): the order of
`torch.nn.utils.parameters_to_vector` on a Sequential of Linear layers.
"""

import math
from itertools import pairwise


def offsets(sizes):
    """Where each W^(k) begins in theta, then P: the count of all parameters.

    Examples
    --------
    >>> offsets((4, 3, 2))
    [0, 15, 23]
    """
    ends = [0]
    for n_in, n_out in pairwise(sizes):
        ends.append(ends[-1] + n_out * (n_in + 1))
    return ends


def views(theta, sizes):
    """[(W, b), ...]: views of the last axis of `theta`, W of shape (..., n_out, n_in).

    Examples
    --------
    >>> import numpy as np
    >>> [(W, b)] = views(np.arange(6.0), (2, 2))
    >>> W, b
    (array([[0., 1.],
           [2., 3.]]), array([4., 5.]))
    """
    blocks = []
    for start, n_in, n_out in zip(offsets(sizes), sizes, sizes[1:], strict=False):
        bias = start + n_out * n_in
        W = theta[..., start:bias].reshape(*theta.shape[:-1], n_out, n_in)
        blocks.append((W, theta[..., bias : bias + n_out]))
    return blocks


def split(buffer, shapes):
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
