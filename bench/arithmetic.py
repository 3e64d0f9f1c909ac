"""What a verb needs at the least, from X on: multiply-adds, activations, numbers of the result.

Hidden layers k = 1 .. L-1; the last delta is the identity, so the chain starts at delta_{L-1} = W_L * f'.
Products and sums of products count, symmetric results by half; what is done once an element (f', a
scaling) does not. `forward` is the hidden layers, `chain` the products from delta_{L-1} down to delta_1,
with as many rows a sample as the seed has.
"""

from itertools import pairwise


class Sizes:
    """Sums over the layers of one net and N samples."""

    def __init__(self, sizes, N):
        self.N, self.m, self.n, self.hidden = N, sizes[-1], sizes[:-1], sizes[1:-1]
        self.layers = [a * b for a, b in pairwise(sizes)]  # n_k n_{k-1}, k = 1 .. L
        self.forward = N * sum(self.layers[:-1])
        self.chain = N * sum(self.layers[1:-1])  # of one row a sample
        self.P = sum(self.layers) + sum(sizes[1:])
        self.activations = N * sum(self.hidden)


def half(n):
    """Of n^2 numbers that are symmetric."""
    return n * (n + 1) / 2


def row_norms_squared(s):
    rows = s.N * s.m
    return s.forward + s.m * s.chain + rows * sum(s.hidden) + s.N * sum(s.n), rows


def ggn_diagonal(s):
    squares = s.N * s.m * sum(s.hidden) + s.N * sum(s.n)
    products = s.N * sum(s.layers[:-1])  # (sum_o delta_k^2)^T h_{k-1}^2
    return s.forward + s.m * s.chain + squares + products, s.P


def kfac(s):
    A, B = sum(half(n + 1) for n in s.n), sum(half(n) for n in s.hidden)
    numbers = sum((n + 1) ** 2 for n in s.n) + sum(n**2 for n in s.hidden) + s.m**2
    return s.forward + s.m * s.chain + s.N * A + s.N * s.m * B, numbers


def gram(s):
    pairs = half(s.N * s.m) * (sum(s.hidden) + len(s.hidden))
    return s.forward + s.m * s.chain + pairs + half(s.N) * sum(s.n), (s.N * s.m) ** 2


def covariance(s):
    sums = s.N * half(s.m) * sum(s.hidden) + s.N * sum(s.n)
    return s.forward + s.m * s.chain + sums, s.N * s.m**2


def jacobian(s):
    """y too, and the h and deltas of the hidden layers"""
    numbers = s.N * (s.m + (1 + s.m) * sum(s.hidden))
    return s.forward + s.N * s.layers[-1] + s.m * s.chain, numbers


def vjp(s):
    back = s.N * sum(s.layers[1:])
    return s.forward + back + s.N * sum(s.layers), s.P


def jvp(s):
    tangents = s.N * sum(s.layers) + s.N * sum(s.layers[1:])
    return s.forward + tangents, s.N * s.m


def input_jacobian(s):
    return s.forward + s.m * s.chain + s.N * s.m * s.layers[0], s.N * s.m * s.n[0]


FORMULAS = {
    f.__name__: f
    for f in (
        row_norms_squared,
        ggn_diagonal,
        kfac,
        gram,
        covariance,
        jacobian,
        vjp,
        jvp,
        input_jacobian,
    )
}


def floor(verb, case, rates):
    """Seconds: {part: seconds} of the products, the activations and the result."""
    s = Sizes(case.sizes, case.N)
    multiply_adds, numbers = FORMULAS[verb](s)
    return {
        "products": multiply_adds / rates.multiply_adds,
        "activations": s.activations * rates.activation,
        "result": numbers * case.net.dtype.itemsize / rates.bytes_stored,
    }
