"""J J'^T in tiles that stay in the cache: the empirical neural tangent kernel and its usual forms."""

import numpy as np

from deltanet import _validate


def gram(J, other, threads):
    """(N, m, N', m); the N axes of single samples are dropped."""
    left, right, lead = sides(J, other)
    m = J.sizes[-1]
    shape = (len(left.outputs), m, len(right.outputs), m)
    _validate.room(shape, J.dtype, "gram", "take blocks of samples, J.gram(other)")
    K = np.empty(shape, J.dtype)
    J.engine.gram(K, left.inputs, left.deltas, right.inputs, right.deltas, threads)
    return K.reshape(*lead[0], m, *lead[1], m)


def sides(J, other):
    """(J, J', [leading shape of each]); J' is J itself where it is not given."""
    if other is None:
        batch = J.batch()
        return batch, batch, [J.outputs.shape[:-1]] * 2
    if not isinstance(other, type(J)) or (other.sizes, other.dtype) != (J.sizes, J.dtype):
        raise ValueError(
            f"other must be a Jacobian of sizes {J.sizes} and dtype {J.dtype}; got {other!r}"
        )
    return J.batch(), other.batch(), [J.outputs.shape[:-1], other.outputs.shape[:-1]]


def trace(J, other, threads):
    """(N, N'): sum_o K_so,s'o / m, block by block of samples."""
    left, right, lead = sides(J, other)
    result = np.empty((len(left.outputs), len(right.outputs)), J.dtype)
    per_sample = J.sizes[-1] ** 2 * len(right.outputs)
    for part, rows in left.slabs(per_sample, 2**24):
        result[part] = np.einsum("sozo->sz", gram(rows, right, threads)) / J.sizes[-1]
    return result.reshape(lead[0] + lead[1])
