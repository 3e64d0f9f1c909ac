"""The same bits for any number of threads, of every verb."""

import numpy as np
import pytest
from verb_table import (
    EVERY_TWO_INPUTS,
    EVERY_TWO_PARAMETERS,
    EVERY_TWO_SAMPLES,
    FUSED,
    KEPT,
    Arguments,
    arrays,
    without,
)

import deltanet as dn

THREADS = (2, 3, 8)
NUMBERS = 400_000  # of the largest matrix over all parameters, or all rows; dense rows may be ten times that
# name -> (sizes, output, dtype, wrt, [N]); products of narrow nets are plain loops, those of wide ones BLAS
NETS = {
    "narrow": ((4, 8, 8, 2), "identity", "float64", None, (1, 2, 40, 3000)),
    "one": ((1, 10, 1), "identity", "float64", None, (200, 5000)),
    "softmax": ((10, 30, 30, 3), "softmax", "float64", "weights", (33, 700)),
    "float32": ((10, 30, 30, 3), "identity", "float32", "biases", (7, 2100)),
    "medium": ((8, 64, 64, 3), "identity", "float64", [0, ("biases", 1)], (17, 600)),
    "wide": ((300, 200, 9), "identity", "float64", "last", (18, 150)),
    "wide, all": ((300, 200, 9), "log_softmax", "float32", None, (1, 3)),
    "deep": ((16, *[16] * 8, 4), "identity", "float64", [-1, 0], (9, 600)),
    "deep, float32": ((16, *[16] * 8, 4), "identity", "float32", None, (5, 250)),
    "many inputs": ((784, 16, 10), "identity", "float64", None, (140, 1000)),
    "many inputs, float32": ((67, 9, 3), "softmax", "float32", "weights", (100, 1500)),
    "no bias": ((10, 30, 30, 3), "softmax", "float64", None, (1, 33, 700)),
    "a bias here and there": ((8, 64, 64, 3), "identity", "float32", [0, 2], (17, 600)),
}
BARE = {"no bias": [0, 1, 2], "a bias here and there": [0, 1]}  # layers without a bias
CASES = [(name, N) for name, (*_, counts) in NETS.items() for N in counts]


def build(name, N):
    """(net, arguments, the names of verbs whose results are small enough)"""
    sizes, output, dtype, wrt, _ = NETS[name]
    net = dn.MLP(sizes, output=output, seed=0, dtype=dtype)
    net.params += 0.1 * np.random.default_rng(1).standard_normal(net.num_params)
    net = without(net, BARE.get(name, []))
    a = Arguments(net, np.random.default_rng(0).standard_normal((N, sizes[0])), wrt)
    left_out = set()
    if a.P**2 > NUMBERS:
        left_out |= set(EVERY_TWO_PARAMETERS)
    if (N * sizes[-1]) ** 2 > NUMBERS:
        left_out |= set(EVERY_TWO_SAMPLES)
    if N * sizes[-1] * a.P > 10 * NUMBERS:
        left_out |= {"jacobian_dense", "to_dense"}
    if N * max(sizes) * sizes[0] ** 2 > 10 * NUMBERS:
        left_out |= set(EVERY_TWO_INPUTS)
    return net, a, left_out


def compare(verb, call):
    expected = arrays(call(threads=1))
    for count in THREADS:
        for result, right in zip(arrays(call(threads=count)), expected, strict=True):
            assert result.tobytes() == right.tobytes(), f"{verb} with threads={count}"


@pytest.mark.parametrize("name, N", CASES)
def test_from_samples(name, N):
    net, a, left_out = build(name, N)
    for verb in set(FUSED) - left_out:
        compare(verb, lambda verb=verb, **o: FUSED[verb](net, a, **o))


@pytest.mark.parametrize("name, N", CASES)
def test_from_factors(name, N):
    net, a, left_out = build(name, N)
    whole, J2 = net.jacobian(a.X), net.jacobian(a.X2, wrt=a.wrt)
    J = whole.restrict(a.wrt)
    if J.deltas[0] is None:
        left_out |= {"input_jacobian"}
        compare("input_jacobian", whole.input_jacobian)
    for verb in set(KEPT) - left_out:
        compare(verb, lambda verb=verb, **o: KEPT[verb](J, J2, a, **o))


@pytest.mark.parametrize("name, N", [(name, N) for name, N in CASES if N < 100])
def test_the_default_is_a_number_like_any_other(name, N):
    """`set_num_threads` chooses what a call without threads= uses."""
    net, a, left_out = build(name, N)
    before = dn.get_num_threads()
    results = []
    try:
        for count in (1, 3):
            dn.set_num_threads(count)
            results.append([arrays(FUSED[verb](net, a)) for verb in sorted(set(FUSED) - left_out)])
    finally:
        dn.set_num_threads(before)
    for one, other in zip(*results, strict=True):
        for result, right in zip(one, other, strict=True):
            assert result.tobytes() == right.tobytes()
