"""J J'^T in tiles that stay in the cache: the empirical neural tangent kernel and its usual forms."""

import numpy as np

from deltanet import _validate

SLAB = 2**24  # bytes of products of samples that are held at once


def gram(J, other, out, threads):
    """(N, m, N', m); the N axes of single samples are dropped."""
    left, right, lead = sides(J, other)
    m = J.sizes[-1]
    shape = (*lead[0], m, *lead[1], m)
    factors = (*left.inputs, *left.deltas, *right.inputs, *right.deltas)
    out = J.result(out, shape, "gram", "take blocks of samples, J.gram(other)", factors)
    K = out.reshape(len(left.outputs), m, len(right.outputs), m)
    J.engine.gram(K, left.inputs, left.deltas, right.inputs, right.deltas, threads)
    return out


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


def per_output(J, other):
    """(m, N, N'): K_so,s'o for each output o."""
    left, right, lead = sides(J, other)
    shape = (J.sizes[-1], len(left.outputs), len(right.outputs))
    _validate.room(shape, J.dtype, "gram_per_output", "take blocks of samples")
    result = np.zeros(shape, J.dtype)
    for part, hh, d, d2 in layers(left, right):
        for o, K in enumerate(result[:, part]):
            K += (d[:, o] @ d2[:, o].T) * hh
    return result.reshape((shape[0], *lead[0], *lead[1]))


def trace(J, other):
    """(N, N'): sum_o K_so,s'o / m, block by block of samples."""
    left, right, lead = sides(J, other)
    shape = (len(left.outputs), len(right.outputs))
    _validate.room(shape, J.dtype, "gram_trace", "take blocks of samples")
    result = np.zeros(shape, J.dtype)
    for part, hh, d, d2 in layers(left, right):
        # sum_o delta_so . delta'_s'o: one product over outputs and units together
        result[part] += np.tensordot(d, d2, ((1, 2), (1, 2))) * hh
    result /= J.sizes[-1]
    return result.reshape((*lead[0], *lead[1]))


def layers(left, right):
    """(slice, h h'^T + 1, delta, delta') of each block of left samples and each layer."""
    for part, rows in left.slabs(2 * len(right.outputs), SLAB):
        for h, h2, d, d2 in zip(rows.inputs, right.inputs, rows.deltas, right.deltas, strict=True):
            yield part, h @ h2.T + 1, d, d2
