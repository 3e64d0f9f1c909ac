"""Fits whose passes go through an executor: those of arrays to rounding, and the same bits everywhere."""

import io
import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import job_rows
import numpy as np
import pytest
from job_rows import Dying, Here

import deltanet as dn
from deltanet._fit import kept
from deltanet._fit.descent import Descent
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
    rough = 1e-3 if found.net.dtype == np.float32 else 1e-5  # rounding grows from step to step
    assert len(found.history["loss"]) == len(plain.history["loss"])
    for name in ("loss", "validation", "accepted", "iterations"):
        np.testing.assert_allclose(
            found.history[name], plain.history[name], rtol=1e-5, err_msg=name
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


def spoiled(array, *at, value=np.nan):
    other = array.copy()
    other[at] = value
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
    (dict(retries=-1), ValueError, "retries must be at least 0; got -1", True),
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


def test_a_worker_dies(tmp_path):
    wanted = fit({}, executor=Here())
    assert fit({}, executor=Dying(100, 1), retries=1).net == wanted.net
    with pytest.raises(RuntimeError, match=r"a worker died .* make a new one; .* is lost"):
        fit({}, executor=Dying(100, 1))
    with pytest.raises(RuntimeError, match="goes on from the last step that was kept"):
        fit({}, executor=Dying(100, 1), checkpoint=tmp_path / "job")
    assert fit({}, executor=Dying(100, 0), checkpoint=tmp_path / "job").net == wanted.net


# Checkpoints


@pytest.fixture
def each_step(monkeypatch):
    """A checkpoint that is written after each step."""
    for name in ("KEEP_SECONDS", "KEEP_SHARE"):
        monkeypatch.setattr(kept, name, getattr(kept, name))
    job_rows.kept_each_step()


NOISY = Y + 1e5 * RNG.standard_normal(Y.shape)
ROUGH = {"X": X[:40], "Y": NOISY[:40], "solver": "direct"}
WIDE = dn.MLP([3, 30, 2], seed=0)
FLAT = dn.MLP([3, 5, 2], seed=15)
FLAT.weights[0][:] *= (
    100  # many samples where a unit is saturated: D becomes diag(A) in the 10th step
)
TWO_SCALES = dict(
    net=FLAT, X=X[:200] / [1e-3, 10, 100], Y=Y[:200], scale=None, tol=1e-4, max_iter=40
)
GOING_ON = {
    "direct": ("nobody", dict(solver="direct")),
    "cg": ("nobody", dict(solver="cg", net=dn.MLP([3, 1, 2], seed=0))),
    "the dual side": ("nobody", ROUGH | dict(net=WIDE, prior=np.full(WIDE.num_params, 0.1))),
    "a share": ("nobody", dict(validation=0.2, sample_weight=W, patience=2)),
    "float32": ("nobody", dict(net=FITTED.astype("float32"), wrt="weights")),
    "a minimum": ("nobody", TWO_SCALES),
    "direct, threads": ("threads", dict(solver="direct", prior=0.1)),
    "cg, threads": ("threads", dict(solver="cg", sample_weight=W, validation=OTHER)),
    "float32, here": ("here", dict(net=NET.astype("float32"), validation=0.3)),
    "process": ("process", dict(validation=OTHER, max_iter=6)),
}


def same(found, wanted):
    """Whether all is the same to the last bit, but the time."""
    assert found.net.params.tobytes() == wanted.net.params.tobytes()
    for name in ("net", "reason", "start", "loss", "explained", "scaled"):
        assert getattr(found, name) == getattr(wanted, name), name
    for name in found.history.keys() - {"seconds"}:
        assert found.history[name].tobytes() == wanted.history[name].tobytes(), name
    assert (np.diff(found.history["seconds"]) > 0).all()
    return True


def stopping(k):
    """A callback that fails at its k-th step."""
    steps = itertools.count(1)

    def callback(step, net):
        if next(steps) == k:
            raise InterruptedError

    return callback


@pytest.mark.parametrize("case", GOING_ON)
def test_goes_on(case, executors, tmp_path, each_step, monkeypatch):
    where, given = GOING_ON[case]
    threads, process = executors
    executor = {"threads": threads, "process": process, "here": Here(), "nobody": None}[where]
    given = {"max_iter": 14, "executor": executor} | given
    wanted, given = fit(given), given | {"checkpoint": tmp_path / "job"}
    k = 2 if executor is None else given["max_iter"] // 2  # the step that fails, and is lost
    for done in range(0, len(wanted.history["loss"]) - k + 1, k - 1):
        told = []
        with pytest.raises(InterruptedError):
            fit(given, callback=stopping(k), progress=lambda *at, told=told: told.append(at[0]))
        assert (told[0], told[-1]) == (max(1, done), done + k)
    assert same(fit(given), wanted)
    assert {path.name for path in (tmp_path / "job").iterdir()} == {"job.json", "fit.npz", "lock"}
    monkeypatch.setattr(Descent, "linearize", None)  # there are no more steps
    assert same(fit(given, callback=stopping(1)), wanted)


def test_all_states_are_met(tmp_path, each_step):
    """Of the cases above, some have reached what few fits do."""
    found = {}
    for case in ("cg", "a minimum"):
        fit({"max_iter": 14} | GOING_ON[case][1], checkpoint=tmp_path / case)
        with np.load(tmp_path / case / "fit.npz") as arrays:
            found[case] = dict(arrays)
    assert found["a minimum"]["by_column"] and found["a minimum"]["shape"].shape == (32,)
    assert found["a minimum"]["ended"] == "gradient"
    assert found["cg"]["forced"] < 0.1


LIMITS = {
    "max_iter": (dict(max_iter=5), "max_iter"),
    "max_seconds": (dict(max_seconds=1e-9), "seconds"),
    "tol": (dict(tol=0.1), "step"),
    "patience": (dict(patience=1), "validation"),
}


@pytest.mark.parametrize("case", LIMITS)
def test_other_limits(case, tmp_path):
    less, reason = LIMITS[case]
    given = dict(validation=0.3, max_iter=14, net=WIDE, X=X[:60], Y=NOISY[:60])
    found = fit(given | less, checkpoint=tmp_path / "job")
    assert found.reason == reason
    assert same(fit(given | less, checkpoint=tmp_path / "job"), found)
    steps = len(found.history["loss"])
    further = fit(given, checkpoint=tmp_path / "job")
    assert len(further.history["loss"]) > steps
    assert np.array_equal(further.history["loss"][:steps], found.history["loss"])
    if "max" in case:
        assert same(further, fit(given))


def test_a_callback_ends(tmp_path):
    found = fit({}, callback=lambda step, net: True, checkpoint=tmp_path / "job")
    assert found.reason == "callback"
    assert same(fit({}, checkpoint=tmp_path / "job"), found)


@pytest.mark.parametrize("kind", ["here", "processes"])
@pytest.mark.parametrize("kills", [[5], pytest.param(range(1, 25), marks=pytest.mark.nightly)])
def test_killed(kind, kills, tmp_path, monkeypatch):
    """By SIGKILL, all its processes at once, soon after these steps."""
    monkeypatch.setattr(ranges, "LEAST_ROWS", job_rows.ROWS)
    path, moments = tmp_path / "job", random.Random(0)
    for steps in kills:
        job = subprocess.Popen(
            [sys.executable, job_rows.__file__, str(path), kind, "fit"],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        while int(job.stdout.readline()) < steps:
            assert job.poll() is None
        time.sleep(moments.uniform(0, 0.05))
        os.killpg(job.pid, signal.SIGKILL)
        assert job.wait() == -signal.SIGKILL
        job.stdout.close()
    executor, told = None if kind == "here" else Here(), []
    found = job_rows.fitted(
        executor=executor, checkpoint=path, progress=lambda *at: told.append(at)
    )
    assert told[0][0] >= steps - 1
    assert same(found, job_rows.fitted(executor=executor))


SHARE = dict(validation=0.2, sample_weight=W)
OTHERS = [
    ({}, dict(net=dn.MLP([3, 5, 2], seed=1)), "net"),
    ({}, dict(net=dn.MLP([3, 5, 2], activation="sin", seed=0)), "net"),
    ({}, dict(net=NET.astype("float32")), "dtype"),
    ({}, dict(X=X + np.array([0, 0, 1e-9])), "hash of X"),
    ({}, dict(Y=spoiled(Y, -1, 0, value=0)), "hash of Y"),
    ({}, dict(X=X[1:], Y=Y[1:]), "hash of X"),
    ({}, dict(sample_weight=W), "hash of sample_weight"),
    (SHARE, dict(sample_weight=W + 1), "hash of sample_weight"),
    (SHARE, dict(sample_weight=None), "hash of sample_weight"),
    (SHARE, dict(validation=0.3), "validation"),
    (SHARE, dict(seed=1), "seed"),
    (SHARE, dict(validation=OTHER), "validation"),
    (SHARE, dict(validation=None), "validation"),
    (dict(validation=OTHER), dict(validation=(OTHER[0], OTHER[1] + 1)), "hash of validation Y"),
    ({}, dict(prior=0.1), "prior"),
    (dict(prior=np.ones(32)), dict(prior=np.arange(32.0)), "prior"),
    ({}, dict(wrt="last"), "wrt"),
    ({}, dict(scale=None), "scale"),
    ({}, dict(solver="cg"), "solver"),
    ({}, dict(damping=1e-2), "damping"),
    ({}, dict(version="0.0.1"), "deltanet"),
]


@pytest.mark.parametrize("executor", [None, Here()], ids=["nobody", "here"])
@pytest.mark.parametrize(("base", "change", "what"), OTHERS)
def test_another_fit_is_refused(base, change, what, executor, tmp_path, monkeypatch):
    base = {"executor": executor, "checkpoint": tmp_path / "job", "max_iter": 1} | base
    found, change = fit(base), change.copy()
    before = {path.name: path.read_bytes() for path in (tmp_path / "job").iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(kept, "__version__", change.pop("version", dn.__version__))
        with pytest.raises(ValueError, match=f"job' is that of another job: its {what} is"):
            fit(base | change)
    assert {path.name: path.read_bytes() for path in (tmp_path / "job").iterdir()} == before
    assert same(fit(base), found)


def test_with_and_without_an_executor_are_two_fits(tmp_path):
    fit({}, checkpoint=tmp_path / "job", max_iter=1)
    with pytest.raises(ValueError, match="its executor is False, here it is True"):
        fit({}, checkpoint=tmp_path / "job", executor=Here())
    with pytest.raises(ValueError, match="its verb is 'fit', here it is 'ggn'"):
        NET.ggn(X, checkpoint=tmp_path / "job")


@pytest.mark.parametrize("seed", [None, np.random.default_rng(0)], ids=["none", "generator"])
def test_a_share_that_cannot_be_drawn_again(seed, tmp_path):
    given = dict(seed=seed, checkpoint=tmp_path / "job")
    with pytest.raises(ValueError, match="seed must be an integer if checkpoint is given and"):
        fit(given, validation=0.2)
    assert not (tmp_path / "job").exists()
    fit(given, validation=OTHER)  # nothing is drawn


def without(content, name):
    with np.load(io.BytesIO(content)) as arrays:
        left = {each: arrays[each] for each in arrays.files if each != name}
    file = io.BytesIO()
    np.savez(file, **left)
    return file.getvalue()


DAMAGED = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-100],
    "a byte": lambda content: content[:250] + bytes([content[250] ^ 1]) + content[251:],
    "no theta": lambda content: without(content, "theta"),
    "no history": lambda content: without(content, "history"),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_checkpoint_is_refused(how, tmp_path):
    fit({}, checkpoint=tmp_path / "job")
    path = tmp_path / "job" / "fit.npz"
    path.write_bytes(DAMAGED[how](path.read_bytes()))
    with pytest.raises(ValueError, match=r"fit\.npz: "):
        fit({}, checkpoint=tmp_path / "job")


def test_a_checkpoint_is_for_one_fit(tmp_path):
    def second(step, net):
        with pytest.raises(BlockingIOError, match="job' is in use by another job"):
            fit({}, checkpoint=tmp_path / "job")
        return True

    assert fit({}, checkpoint=tmp_path / "job", callback=second).reason == "callback"
