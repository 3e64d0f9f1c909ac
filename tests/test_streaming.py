"""Verbs that read X block by block: progress, errors on the way, memory, messages.

Their numbers are in test_every_verb.py, memory maps in test_inputs.py.
"""

import tracemalloc

import numpy as np
import pytest
from verb_table import FUSED, GRAM, Arguments, arrays

import deltanet as dn

SIZES = (4, 6, 3)
WITHOUT = ("call", "jacobian_dense", "input_jacobian", "jacobian", "linearize")  # no progress=
STREAMED = [name for name in FUSED if name not in GRAM and name not in WITHOUT]


@pytest.fixture(scope="module")
def net():
    return dn.MLP(SIZES, seed=0)


@pytest.fixture(scope="module")
def many(net):
    """Arguments for more samples than any block holds."""
    return Arguments(net, np.random.default_rng(0).standard_normal((20_000, 4)))


@pytest.mark.parametrize("name", STREAMED)
def test_progress_tells_the_samples_done(name, net, many):
    seen = []
    FUSED[name](net, many, progress=lambda done, total: seen.append((done, total)))
    done = [each for each, _ in seen]
    assert {total for _, total in seen} == {20_000}
    assert done == sorted(set(done)) and done[-1] == 20_000 and done[0] > 0


@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_of_the_callback_reaches_the_caller(name, threads, net, many):
    def fail(done, total):
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        FUSED[name](net, many, progress=fail, threads=threads)


def test_a_bar(net, many, capsys):
    pytest.importorskip("rich")
    for name in ("vjp", "ggn", "jvp"):
        right = FUSED[name](net, many)
        for result, each in zip(
            arrays(FUSED[name](net, many, progress=True)), arrays(right), strict=True
        ):
            np.testing.assert_array_equal(result, each)


def test_memory_does_not_grow_with_the_samples(tmp_path):
    """32 MB of X and 55 MB of factors pass through the memory of some blocks."""
    net = dn.MLP([100, 20, 2], seed=0)
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float64, (40_000, 100))
    X[...] = 0.1
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    R, v = np.broadcast_to(np.ones(2), (len(X), 2)), np.ones(net.num_params)
    for call in (
        lambda: net(X),
        lambda: net.jvp(X, v),
        lambda: net.vjp(X, R),
        lambda: net.ggn_diagonal(X),
        lambda: net.kfac(X),
        lambda: net.row_norms_squared(X),
        lambda: net.covariance(X, v),
        lambda: net.normal_equations(X, R, wrt="last"),
    ):
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 32e6


@pytest.mark.parametrize(
    "named, error, message",
    [
        ({"X": np.ones((5, 3))}, ValueError, r"X must have shape \(N, 4\).* got \(5, 3\)"),
        ({"X": np.ones((5, 4), complex)}, TypeError, "X must hold real numbers; got dtype complex"),
        ({"R": np.ones((4, 3))}, ValueError, r"R must have .*5.* got .*\(4, 3\)"),
        ({"R": np.ones((5, 2))}, ValueError, r"R must have shape \(5, 3\); got \(5, 2\)"),
        ({"R": 3.0}, ValueError, r"R must have .* got .*\(\)"),
        ({"R": np.ones((5, 3), complex)}, TypeError, "R must hold real numbers; got dtype complex"),
        ({"H": np.ones(4)}, ValueError, r"H must have .*5.* got .*\(4,\)"),
        ({"H": np.ones((5, 2))}, ValueError, r"H must have shape \(5,\) or \(5, 3, 3\); got"),
        ({"H": np.arange(45.0).reshape(5, 3, 3)}, ValueError, "H must be symmetric .* sample 0"),
        ({"H": np.full(5, np.nan)}, ValueError, "H must be finite; got nan"),
        ({"wrt": "first"}, TypeError, "wrt must be None, 'last', .* got 'first'"),
        ({"wrt": [2]}, ValueError, "wrt must name layers between -2 and 1; got 2"),
    ],
)
def test_messages(named, error, message):
    net = dn.MLP(SIZES, seed=0)
    with pytest.raises(error, match=message):
        net.normal_equations(**{"X": np.ones((5, 4)), "R": np.ones((5, 3))} | named)


def test_too_large_a_matrix_is_refused():
    net = dn.MLP([1000, 2000, 10], seed=0)
    with pytest.raises(MemoryError, match=r"ggn would need 32\.\d TB .*ggn_diagonal\(\), kfac"):
        net.ggn(np.ones((3, 1000)))
