"""Sums over data that is longer than a block, read from a memory map, against dense algebra."""

import tracemalloc

import numpy as np
import pytest
from oracle import assert_close

import deltanet as dn
from deltanet import stream

N, SIZES = 50, (4, 6, 3)
TOLERANCE = {"float64": 1e-11, "float32": 1e-4}
WRT = {  # name -> the columns kept, of 6 x 4 + 6 + 3 x 6 + 3
    None: slice(None),
    "last": slice(30, 51),
    "weights": [*range(24), *range(30, 48)],
    "biases": [*range(24, 30), *range(48, 51)],
    (0,): slice(30),
}


@pytest.fixture(params=["one block", "several blocks"])
def blocks(request, monkeypatch):
    """7 samples a block and a rest, or all at once."""
    if request.param == "several blocks":
        numbers = sum(SIZES) + SIZES[-1] * sum(SIZES[1:])
        monkeypatch.setattr(stream, "BLOCK", 7 * numbers * 8)


@pytest.fixture
def data(tmp_path):
    """(X, R, h, H) as memory maps: inputs, residuals, weights of samples, indefinite weights of outputs."""
    random = np.random.default_rng(0)
    H = random.standard_normal((N, 3, 3))
    arrays = {
        "X": random.standard_normal((N, 4)),
        "R": random.standard_normal((N, 3)),
        "h": random.standard_normal(N),
        "H": H + H.swapaxes(1, 2),
    }
    maps = []
    for name, array in arrays.items():
        np.save(tmp_path / name, array)
        maps.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    return maps


def dense(net, X, h, H):
    """D (N, m, P), and the name of each H -> (H, its matrices)"""
    D = net.jacobian(np.array(X)).to_dense().astype(float)
    eye = np.broadcast_to(np.eye(3), (len(X), 3, 3))
    return D, {"none": (None, eye), "h": (h, h[:, None, None] * eye), "H": (H, np.array(H))}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("count", [0, 1, N])
def test_against_dense_algebra(blocks, data, count, dtype):
    X, R, h, H = (array[:count] for array in data)
    net = dn.MLP(SIZES, seed=0, dtype=dtype)
    D, weights = dense(net, X, h, H)
    exact = np.einsum("sop,so->p", D, R)
    assert_close(net.gradient(X, R), exact, TOLERANCE[dtype])
    for given, full in weights.values():
        HD = full @ D
        matrix, vector = np.einsum("sop,soq->pq", D, HD), np.einsum("sop,so->p", HD, R)
        for wrt, columns in WRT.items():
            wrt = list(wrt) if isinstance(wrt, tuple) else wrt
            kept = matrix[columns][:, columns]
            G = net.ggn(X, H=given, wrt=wrt)
            assert_close(G, kept, TOLERANCE[dtype])
            np.testing.assert_array_equal(G, G.T)
            again, gradient = net.ggn(X, R, H=given, wrt=wrt)
            np.testing.assert_array_equal(again, G)
            assert_close(gradient, vector[columns], TOLERANCE[dtype])
            diagonal = net.ggn_diagonal(X, H=given, wrt=wrt)
            assert_close(diagonal, np.diag(kept), TOLERANCE[dtype])
            assert G.dtype == gradient.dtype == diagonal.dtype == dtype


@pytest.mark.parametrize("form", [np.asfortranarray, list, lambda a: np.repeat(a, 2, axis=0)[::2]])
def test_any_form_of_the_companions(blocks, data, form):
    X, R, _, H = (np.array(array) for array in data)
    net = dn.MLP(SIZES, seed=0)
    expected = net.ggn(X, R, H)
    for result, right in zip(net.ggn(form(X), form(R), form(H)), expected, strict=True):
        assert_close(result, right, 1e-14)
    assert_close(net.gradient(form(X), form(R)), net.gradient(X, R), 1e-14)


def test_progress_tells_the_samples_done(monkeypatch, data):
    X, R, _, _ = data
    net = dn.MLP(SIZES, seed=0)
    numbers = sum(SIZES) + SIZES[-1] * sum(SIZES[1:])
    monkeypatch.setattr(stream, "BLOCK", 20 * numbers * 8)
    for call in (
        lambda progress: net.gradient(X, R, progress=progress),
        lambda progress: net.ggn(X, progress=progress),
        lambda progress: net.ggn_diagonal(X, progress=progress),
    ):
        seen = []
        call(lambda done, total, seen=seen: seen.append((done, total)))
        assert seen == [(20, 50), (40, 50), (50, 50)]


def test_a_bar(data, capsys):
    pytest.importorskip("rich")
    net = dn.MLP(SIZES, seed=0)
    X, R, _, _ = data
    np.testing.assert_array_equal(net.gradient(X, R, progress=True), net.gradient(X, R))


def test_an_error_of_the_callback_reaches_the_caller(data):
    def fail(done, total):
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        dn.MLP(SIZES, seed=0).ggn(data[0], progress=fail)


def test_memory_does_not_grow_with_the_samples(tmp_path):
    """32 MB of X and 55 MB of factors pass through the memory of some blocks."""
    net = dn.MLP([100, 20, 2], seed=0)
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float64, (40_000, 100))
    X[...] = 0.1
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    R = np.broadcast_to(np.ones(2), (len(X), 2))
    for call in (
        lambda: net.gradient(X, R),
        lambda: net.ggn_diagonal(X, wrt="last"),
        lambda: net.ggn(X, R, wrt="last"),
    ):
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 32e6


@pytest.mark.parametrize(
    "named, error, message",
    [
        ({"X": np.ones((5, 3))}, ValueError, r"X must have shape \(N, 4\); got \(5, 3\)"),
        ({"X": np.ones(4)}, ValueError, r"got \(4,\)"),
        ({"X": np.ones((5, 4), complex)}, TypeError, "X must hold real numbers; got dtype complex"),
        ({"R": np.ones((4, 3))}, ValueError, r"R must have one row for each of 5 .* \(4, 3\)"),
        ({"R": np.ones((5, 2))}, ValueError, r"R must have shape \(5, 3\); got \(5, 2\)"),
        ({"R": 3.0}, ValueError, r"R must have one row .* got shape \(\)"),
        ({"R": np.ones((5, 3), complex)}, TypeError, "R must hold real numbers; got dtype complex"),
        ({"H": np.ones(4)}, ValueError, r"H must have one row for each of 5 samples; .* \(4,\)"),
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
        net.ggn(**{"X": np.ones((5, 4)), "R": np.ones((5, 3))} | named)


def test_too_large_a_matrix_is_refused():
    net = dn.MLP([1000, 2000, 10], seed=0)
    with pytest.raises(MemoryError, match=r"ggn would need 32\.\d TB .*ggn_diagonal\(\), kfac"):
        net.ggn(np.ones((3, 1000)))
