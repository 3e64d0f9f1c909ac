"""Fits whose passes go through an executor: those of arrays to rounding, and the same bits everywhere."""

import multiprocessing
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from job_rows import Here

import deltanet as dn
from deltanet._jobs import ranges

pytestmark = pytest.mark.of_jobs

N = 1000
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 3)) * [1e-3, 10, 100] + [0, 5, 1000]
Y = np.stack([1e6 * np.sin(1000 * X[:, 0]) + 1e7, X[:, 1] * X[:, 2] / 100], axis=1)
W = np.maximum(RNG.random(N) - 0.2, 0)  # some count nothing
OTHER = X[:300] + 1e-4, Y[:300] + RNG.standard_normal((300, 2))
NET = dn.MLP([3, 5, 2], seed=0)
FITTED = dn.fit(NET, X, Y, max_iter=60).net


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch):
    monkeypatch.setattr(ranges, "LEAST_ROWS", 64)
    monkeypatch.setattr(ranges, "RANGE_WORK", 1)


@pytest.fixture(scope="module")
def executors():
    spawn = multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(3) as threads, ProcessPoolExecutor(1, spawn) as process:
        yield threads, process


CASES = {
    "direct": dict(solver="direct"),
    "cg": dict(solver="cg"),
    "weights": dict(sample_weight=W),
    "weights, cg": dict(sample_weight=1e-3 * W, solver="cg"),
    "held out": dict(validation=OTHER),
    "a share": dict(validation=0.2, sample_weight=W),
    "prior": dict(prior=np.linspace(0, 1, NET.num_params), scale=None),
    "wrt": dict(net=FITTED, wrt="last", prior=0.1),
    "wrt, cg": dict(net=FITTED, wrt="weights", solver="cg"),
    "float32": dict(net=NET.astype("float32")),
    "fitted": dict(net=FITTED),
    "one hidden layer less": dict(net=dn.MLP([3, 2], seed=0)),
    "bounded": dict(
        net=dn.MLP([3, 5, 2], output="sigmoid", seed=0), Y=(Y - Y.min(0)) / np.ptp(Y, 0)
    ),
    "constant": dict(Y=np.ones((N, 2))),
    "one constant": dict(Y=Y * [1, 0] + [0, 7]),
    "huge": dict(Y=1e140 * Y, X=1e140 * X),
}


def fit(on, **more):
    given = {"net": NET, "X": X, "Y": Y, "max_iter": 6} | on | more
    return dn.fit(given.pop("net"), given.pop("X"), given.pop("Y"), **given)


@pytest.mark.parametrize("case", CASES)
def test_as_with_arrays(case, executors):
    plain, found = fit(CASES[case]), fit(CASES[case], executor=Here())
    assert (found.reason, found.scaled) == (plain.reason, plain.scaled)
    rough = 1e-3 if found.net.dtype == np.float32 else 1e-6
    assert len(found.history["loss"]) == len(plain.history["loss"])
    for name in ("loss", "validation", "accepted", "iterations"):
        np.testing.assert_allclose(
            found.history[name], plain.history[name], rtol=1e-6, err_msg=name
        )
    for name in ("start", "loss", "explained"):
        wanted = getattr(plain, name)
        np.testing.assert_allclose(
            getattr(found, name), wanted, rtol=rough, atol=1e-9, err_msg=name
        )
    np.testing.assert_allclose(found.net(X), plain.net(X), rtol=rough, atol=rough * abs(Y).max())
    for executor in executors:
        other = fit(CASES[case], executor=executor)
        assert other.net == found.net
        assert other.loss == found.loss
        assert np.array_equal(other.history["gradient"], found.history["gradient"])


def test_the_picture_has_the_same_residuals():
    plain, found = fit(dict(sample_weight=W)), fit(dict(sample_weight=W), executor=Here())
    assert len(found._points.residuals) == np.count_nonzero(W)
    np.testing.assert_allclose(found._points.residuals, plain._points.residuals, atol=1e-4)


def test_the_picture_of_many(monkeypatch):
    from deltanet import _plots

    monkeypatch.setattr(_plots, "POINTS", 100)
    points = fit({}, executor=Here())._points
    assert points.outputs.shape == points.residuals.shape == (100, 2)
    found = np.round(points.outputs - points.residuals, 3)
    known = np.round(Y, 3)
    assert all((abs(known - y) <= 1e-2).all(axis=1).any() for y in found)


def test_any_rows(tmp_path, executors):
    wanted = fit(dict(sample_weight=W, validation=OTHER), executor=Here())
    zarr = pytest.importorskip("zarr")
    np.save(tmp_path / "x1.npy", X[:400])
    np.save(tmp_path / "x2.npy", X[400:])
    np.save(tmp_path / "y.npy", Y)
    weights = zarr.create_array(str(tmp_path / "w.zarr"), shape=(N,), chunks=(99,), dtype="f8")
    weights[:] = W
    np.save(tmp_path / "other.npy", OTHER[0])
    held = np.load(tmp_path / "other.npy", mmap_mode="r"), OTHER[1]
    for executor in executors:
        found = dn.fit(
            NET,
            [tmp_path / "x1.npy", tmp_path / "x2.npy"],
            tmp_path / "y.npy",
            sample_weight=weights,
            validation=held,
            max_iter=6,
            executor=executor,
        )
        assert found.net == wanted.net
        assert np.array_equal(found.history["validation"], wanted.history["validation"])


def spoiled(array, *at):
    other = array.copy()
    other[at] = np.nan
    return other


REFUSED = [
    (
        dict(X=X[:20], Y=Y[:20], solver="direct"),
        ValueError,
        "N m = 40 and P = 32.*solver='cg'",
        False,
    ),
    (
        dict(X=X[:10], Y=Y[:10], solver="direct"),
        ValueError,
        "N m = 20 and P = 32.*solver='cg'",
        True,
    ),
    (dict(X=spoiled(X, 700, 1)), ValueError, r"X must be finite; got nan at \[700, 1\]", True),
    (dict(Y=spoiled(Y, 70, 0)), ValueError, r"Y must be finite; got nan at \[70, 0\]", True),
    (dict(sample_weight=spoiled(W, 7)), ValueError, r"sample_weight must be finite.* \[7\]", True),
    (dict(sample_weight=W - 1), ValueError, "sample_weight must be at least 0; got -1", True),
    (dict(sample_weight=0 * W), ValueError, "sample_weight must be above 0", True),
    (dict(sample_weight=W[1:]), ValueError, r"sample_weight must have shape \(1000,\)", True),
    (dict(Y=Y[1:]), ValueError, r"Y must have shape \(1000, 2\); got \(999, 2\)", True),
    (dict(X=X[:0], Y=Y[:0]), ValueError, "X must hold one sample at least", True),
    (dict(X=X[:, :2]), ValueError, r"X must have shape \(N, 3\)", True),
    (dict(validation=(OTHER[0], spoiled(OTHER[1], 5, 1))), ValueError, r"Y must be finite", True),
    (dict(executor="many"), TypeError, "executor must have submit", True),
]


@pytest.mark.parametrize(("given", "error", "message", "is_wrong"), REFUSED)
def test_refused(given, error, message, is_wrong):
    on = {"executor": Here()} | given
    if not is_wrong:
        fit(on)
        return
    with pytest.raises(error, match=message):
        fit(on)


def test_a_share_of_files_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(ValueError, match=r"validation must be \(X, Y\) where X is not an array"):
        dn.fit(NET, tmp_path / "x.npy", Y, validation=0.1, executor=Here())


def test_a_worker_dies():
    class Dying(Here):
        count = 0

        def submit(self, function, *args):
            self.count += 1
            if self.count < 100:
                return super().submit(function, *args)
            future = Future()
            future.set_exception(BrokenExecutor("gone"))
            return future

    with pytest.raises(RuntimeError, match=r"a worker died .* make a new one"):
        fit({}, executor=Dying())
