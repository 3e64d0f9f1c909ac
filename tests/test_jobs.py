"""Sums through executors and checkpoints: the same bits whoever computes them, and nothing lost."""

import json
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import job_rows
import numpy as np
import pytest
from job_rows import ROWS, Dying, Failing, Here, Killing, N, Slow

import deltanet as dn
from deltanet._jobs import locks, ranges

pytestmark = pytest.mark.of_jobs

SCRIPT = Path(job_rows.__file__)


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch):
    monkeypatch.setattr(ranges, "LEAST_ROWS", ROWS)
    monkeypatch.setattr(ranges, "RANGE_WORK", 1)


@pytest.fixture(autouse=True)
def nothing_leaks():
    """No lock, and no temporary file."""
    yield
    assert not locks._held
    assert not list(Path(tempfile.gettempdir()).glob(f"deltanet-{os.getpid()}-*"))


@pytest.fixture(scope="module")
def executors():
    """name -> executor; Dask's if it is installed."""
    with (
        ThreadPoolExecutor(3) as threads,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as one,
        ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as two,
    ):
        yield {"threads": threads, "one process": one, "two processes": two}


@pytest.fixture(scope="module")
def dask_executor():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor()


def data():
    """X, R (N, m), u of three columns, weights, and full matrices H."""
    rng = np.random.default_rng(0)
    X, u = job_rows.table(), rng.standard_normal((N, 2, 3))
    root = rng.standard_normal((N, 2, 2))
    return X, u[..., 0].copy(), u, rng.random(N), root @ root.swapaxes(1, 2)


X, R, U, W, H = data()

# name -> call(net, X, R, U, W, H, options): an array of all numbers of the result
CALLS = {
    "ggn": lambda net, X, R, U, W, H, **on: net.ggn(X, **on),
    "ggn, weights": lambda net, X, R, U, W, H, **on: net.ggn(X, W, **on),
    "ggn, last": lambda net, X, R, U, W, H, **on: net.ggn(X, H, "last", **on),
    "diagonal": lambda net, X, R, U, W, H, **on: net.ggn_diagonal(X, H, **on),
    "vjp": lambda net, X, R, U, W, H, **on: net.vjp(X, R, "weights", **on),
    "vjp, columns": lambda net, X, R, U, W, H, **on: net.vjp(X, U, **on),
    "kfac": lambda net, X, R, U, W, H, **on: flat(*sum(net.kfac(X, H, **on), ())),
    "normal": lambda net, X, R, U, W, H, **on: flat(*net.normal_equations(X, R, W, **on)),
}
NETS = {
    "float64": job_rows.net,
    "float32": lambda: dn.MLP([4, 5, 3, 2], output="softmax", dtype="float32", seed=1),
    "no bias": lambda: dn.MLP([4, 6, 2], bias=False, seed=2),
}


def flat(*arrays):
    return np.concatenate([array.ravel() for array in arrays])


def all_of(net, *given, **on):
    return {name: call(net, *given, **on) for name, call in CALLS.items()}


def same(found, wanted):
    for name in wanted:
        assert found[name].tobytes() == wanted[name].tobytes(), name


@pytest.mark.parametrize("kind", NETS)
def test_any_executor(kind, executors, tmp_path):
    net = NETS[kind]()
    plain = all_of(net, X, R, U, W, H)
    here = {
        name: call(net, X, R, U, W, H, checkpoint=tmp_path / name) for name, call in CALLS.items()
    }
    for name in plain:
        scale = abs(plain[name]).max() * (1e-12 if net.dtype == np.float64 else 2e-5)
        np.testing.assert_allclose(here[name], plain[name], rtol=0, atol=scale, err_msg=name)
        assert here[name].dtype == plain[name].dtype, name
    for executor in executors.values():
        same(all_of(net, X, R, U, W, H, executor=executor), here)
    same(all_of(net, X, R, U, W, H, executor=executors["threads"], threads=2), here)


def test_dask(dask_executor, tmp_path):
    net = job_rows.net()
    wanted = all_of(net, X, R, U, W, H, executor=Here())
    same(all_of(net, X, R, U, W, H, executor=dask_executor), wanted)


def test_fork():
    """In a process of its own: a fork of one with threads may hang."""
    code = (
        "import multiprocessing, job_rows, concurrent.futures as cf\n"
        "job_rows.small_ranges()\n"
        "X, net = job_rows.table(), job_rows.net()\n"
        "A = net.ggn(X)\n"
        "with cf.ProcessPoolExecutor(2, multiprocessing.get_context('fork')) as pool:\n"
        "    A = net.ggn(X, executor=pool)\n"
        "print(A.tobytes().hex())\n"
    )
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("there is no fork here")
    warm = [sys.executable, "-W", "ignore", "-c", code]
    out = subprocess.run(warm, cwd=SCRIPT.parent, capture_output=True, text=True, timeout=100)
    wanted = job_rows.net().ggn(X, executor=Here())
    assert out.stdout.strip() == wanted.tobytes().hex(), out.stderr


# Kinds of rows


def memory_map(array, folder):
    np.save(folder / "map.npy", array)
    return np.load(folder / "map.npy", mmap_mode="r")


def zarr_array(array, folder):
    zarr = pytest.importorskip("zarr")
    found = zarr.create_array(
        str(folder / "a.zarr"), shape=array.shape, chunks=(333, *array.shape[1:]), dtype="f8"
    )
    found[...] = array
    return found


def dask_array(array, folder):
    return pytest.importorskip("dask.array").from_array(array, chunks=(700, *array.shape[1:]))


def files(array, folder):
    if array.ndim != 2:
        return array
    np.save(folder / "1.npy", array[:1234])
    np.save(folder / "2.npy", array[1234:])
    return [folder / "1.npy", str(folder / "2.npy")]


KINDS = {
    "reversed": lambda array, folder: array[::-1].copy()[::-1],
    "Fortran": lambda array, folder: np.asfortranarray(array),
    "list": lambda array, folder: array.tolist(),
    "memory map": memory_map,
    "Zarr": zarr_array,
    "Dask": dask_array,
    "files": files,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["threads", "two processes"])
def test_any_rows(kind, where, executors, tmp_path):
    net = job_rows.net()
    folders = [tmp_path / str(i) for i in range(5)]
    for folder in folders:
        folder.mkdir()
    given = [
        KINDS[kind](array, folder) for array, folder in zip((X, R, U, W, H), folders, strict=True)
    ]
    for name in ("ggn, last", "vjp, columns", "normal"):  # which read all of them
        wanted = CALLS[name](net, X, R, U, W, H, executor=Here())
        found = CALLS[name](net, *given, executor=executors[where])
        assert found.tobytes() == wanted.tobytes(), name


def test_a_task_holds_its_rows_only(tmp_path):
    """A tenth of the rows makes a tenth of the pickle, of whatever has the numbers in memory."""
    from deltanet._rows import rows

    for kind in ("list", "Fortran", "Dask"):
        if kind == "Dask":
            pytest.importorskip("dask.array")
        whole = rows(KINDS[kind](X, tmp_path), (4,), np.dtype(float))
        few, all_ = (len(pickle.dumps(whole.some(0, N // k))) for k in (10, 1))
        assert few < 0.3 * all_, kind
        np.testing.assert_array_equal(whole.some(900, 1000)[5:10], X[905:910])


def test_large_arrays_travel_as_files(executors, monkeypatch):
    """To processes; the files are gone at the end, also after an error."""
    from deltanet import _limits
    from deltanet._jobs import spill

    net, made = job_rows.net(), []
    written = spill.written
    monkeypatch.setattr(
        spill, "written", lambda path, rows: made.append(path) or written(path, rows)
    )
    wanted = all_of(net, X, R, U, W, H, executor=Here())
    monkeypatch.setattr(_limits, "SPILL_BYTES", 0)
    same(all_of(net, X, R, U, W, H, executor=executors["two processes"]), wanted)
    same(all_of(net, X, R, U, W, H, executor=executors["threads"]), wanted)
    assert len(made) == 16  # X of 8 calls, R or U of 3, W or H of 5
    with pytest.raises(KeyboardInterrupt):
        net.ggn(X, executor=executors["two processes"], progress=interrupt)
    assert not any(path.parent.exists() for path in made)


def interrupt(done, total):
    raise KeyboardInterrupt


# Ranges


@pytest.mark.parametrize(
    ("rows", "numbers", "count"),
    [
        (0, 10, 0),
        (1, 10, 1),
        (10**6, 661 * 331, 62),
        (10**6, 661, 3),
        (10**10, 200, 4096),
        (10**10, 10**7, 16),
        (10**5, 10**7, 7),
        (10**5, 0, 1),
    ],
)
def test_ranges(rows, numbers, count, monkeypatch):
    monkeypatch.undo()
    cuts = ranges.ranges(rows, numbers)
    assert len(cuts) == count
    assert [start for start, _ in cuts] == [0, *(stop for _, stop in cuts)][:count]
    assert not cuts or cuts[-1][1] == rows
    assert all(stop - start >= min(rows, 2**13) for start, stop in cuts)


def test_pieces_bound_the_memory():
    assert ranges.piece_rows(10) == 2**16
    assert ranges.piece_rows(784) == 2**21 // 784
    assert ranges.piece_rows(2**30) == 1


@pytest.mark.parametrize("count", [0, 1, 99])
def test_few_samples(count, tmp_path):
    net = job_rows.net()
    given = X[:count], R[:count], U[:count], W[:count], H[:count]
    plain, found = all_of(net, *given), all_of(net, *given, executor=Here())
    for name in plain:
        np.testing.assert_allclose(found[name], plain[name], rtol=0, atol=1e-11, err_msg=name)


def test_pieces_of_a_range(monkeypatch):
    """A range of several pieces is their sum, in float64 to rounding."""
    from deltanet import _limits

    net = job_rows.net()
    plain = all_of(net, X, R, U, W, H)
    monkeypatch.setattr(ranges, "LEAST_ROWS", 1000)
    monkeypatch.setattr(_limits, "COPY_SAMPLES", 64)
    found = all_of(net, X, R, U, W, H, executor=Here())
    for name in plain:
        scale = 1e-12 * abs(plain[name]).max()
        np.testing.assert_allclose(found[name], plain[name], rtol=0, atol=scale, err_msg=name)


def test_out_and_progress(executors):
    net, told = job_rows.net(), []
    P = net.num_params
    out = np.full((P, P), np.nan)
    result = net.ggn(
        X, out=out, executor=executors["threads"], progress=lambda *at: told.append(at)
    )
    assert result is out
    assert np.isfinite(out).all() and np.array_equal(out, out.T)
    done = [rows for rows, _ in told]
    assert done == sorted(done) and done[-1] == N and {total for _, total in told} == {N}
    assert len(told) == N // ROWS


# What is refused

REFUSED = [
    (dict(executor=3), TypeError, r"executor must have submit\(function, \*args\).*got 3"),
    (dict(executor=Here(), retries=-1), ValueError, "retries must be at least 0; got -1"),
    (dict(executor=Here(), retries=0.5), TypeError, "retries must be an integer; got 0.5"),
    (dict(executor=Here(), threads=0), ValueError, "threads must be a positive integer; got 0"),
    (dict(executor=Here(), H=W[1:]), ValueError, r"H must have shape \(3200,\); got \(3199,\)"),
    (dict(executor=Here(), H=H[:, :1]), ValueError, r"H must have shape \(N, 2, 2\); got"),
    (dict(executor=Here(), H=np.full(N, np.inf)), ValueError, "H must be finite; got inf"),
    (dict(executor=Here(), H="weights.csv"), TypeError, "H must be an array"),
    (dict(executor=Here(), X=X[0]), ValueError, r"X must have shape \(N, 4\); got \(4,\)"),
    (dict(executor=Here(), out=np.empty(3)), ValueError, "out must have shape"),
]


@pytest.mark.parametrize(("given", "error", "message"), REFUSED)
def test_refused(given, error, message):
    with pytest.raises(error, match=message):
        job_rows.net().ggn(**{"X": X} | given)


def test_out_shares_no_memory():
    net = dn.MLP([4, 2], bias=False, seed=0)
    out = X.reshape(-1)[:64].reshape(8, 8)
    with pytest.raises(ValueError, match="out must share no memory"):
        net.ggn(X, out=out, executor=Here())


# Errors


def test_an_error_names_its_rows(executors, tmp_path):
    file = tmp_path / "broken"
    file.touch()
    for executor in (*executors.values(), Here()):
        with pytest.raises(OSError, match="the disk has gone") as caught:
            job_rows.net().ggn(Failing(1750, file), executor=executor)
        assert caught.value.__notes__ == ["deltanet: in the rows 1700:1800 of X"]


def test_what_has_not_begun_is_cancelled():
    begun = []

    class Noting(Slow):
        def __getitem__(self, part):
            begun.append(part)
            return super().__getitem__(part)

    before = threading.active_count()
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(KeyboardInterrupt):
            job_rows.net().ggn(Noting(), executor=executor, progress=interrupt)
    assert threading.active_count() == before
    assert len(begun) <= 6  # an empty and a full reading of each range that had begun


@pytest.mark.parametrize("retries", [0, 1])
def test_a_worker_dies(retries, tmp_path):
    """A pool of processes is lost with one; a new one goes on with its checkpoint."""
    lives, net, checkpoint = tmp_path / "lives", job_rows.net(), tmp_path / "job"
    lives.mkdir()
    (lives / "1").touch()
    rows = Killing(2250, lives)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as pool:
        with pytest.raises(RuntimeError, match=r"a worker died .* rows \d+:\d+ of X .* new one"):
            net.ggn(rows, executor=pool, checkpoint=checkpoint, retries=retries)
        with pytest.raises(RuntimeError, match="takes no more work"):
            net.ggn(rows, executor=pool, checkpoint=checkpoint)
    executor = Here()
    found = net.ggn(rows, executor=executor, checkpoint=checkpoint)
    assert executor.count < 50  # 32 to compare or compute, and not all of them twice
    assert found.tobytes() == net.ggn(X, executor=Here()).tobytes()


def test_retries():
    net = job_rows.net()
    wanted = net.ggn(X, executor=Here())
    assert net.ggn(X, executor=Dying(5, 1), retries=1).tobytes() == wanted.tobytes()
    with pytest.raises(RuntimeError, match="rows 500:600"):
        net.ggn(X, executor=Dying(5, 1), retries=0)
    # all that were in flight are lost with their pool, once
    assert net.ggn(X, executor=Dying(0, 32), retries=1).tobytes() == wanted.tobytes()


def test_a_worker_of_dask_dies(dask_executor, tmp_path):
    lives, net = tmp_path / "lives", job_rows.net()
    lives.mkdir()
    (lives / "1").touch()
    wanted = net.ggn(X, executor=Here())
    found = net.ggn(Killing(1250, lives), executor=dask_executor)
    assert found.tobytes() == wanted.tobytes()
    assert not list(lives.iterdir())
    for i in range(9):  # Dask gives up after three
        (lives / str(i)).touch()
    with pytest.raises(RuntimeError, match=r"rows 1[23]00:1[34]00 of X .*KilledWorker"):
        net.ggn(Killing(1250, lives), executor=dask_executor)


# Checkpoints


def test_a_checkpoint_goes_on(executors, tmp_path):
    net, file = job_rows.net(), tmp_path / "broken"
    wanted = all_of(net, X, R, U, W, H, executor=Here())
    for name, call in CALLS.items():
        for where, executor in {**executors, "here": None}.items():
            path = tmp_path / f"{name} {where}"
            file.touch()
            given = R, U, W, H
            with pytest.raises(OSError, match="disk has gone"):
                call(net, Failing(1650, file), *given, executor=executor, checkpoint=path)
            file.unlink()
            told = []
            again = call(net, X, *given, checkpoint=path, progress=noting(told))
            assert again.tobytes() == wanted[name].tobytes(), (name, where)
            assert told[0] >= (1700 if executor is None else 100), (name, where)
            finished, executor = {p.name for p in path.iterdir()}, Here()
            assert finished == {"job.json", "lock", "sum.npz"}
            done = call(net, X, *given, checkpoint=path, executor=executor)
            assert done.tobytes() == wanted[name].tobytes()
            assert executor.count == N // ROWS  # hashes of all rows, and no sum


def noting(told):
    return lambda done, total: told.append(done)


def test_a_range_before_its_turn_is_kept(tmp_path):
    """The first range fails at last: all others are finished, and in files of their own."""
    net, file = job_rows.net(), tmp_path / "broken"
    file.touch()

    class Backwards(Here):
        """Nothing is done before the last task has come, and that is done first."""

        def __init__(self):
            self.waiting = []

        def submit(self, function, *args):
            future = Future()
            self.waiting.append((future, function, args))
            if len(self.waiting) == N // ROWS:
                for other, work, given in reversed(self.waiting):
                    try:
                        other.set_result(work(*given))
                    except OSError as error:
                        other.set_exception(error)
            return future

    with pytest.raises(OSError, match="disk has gone"):
        net.ggn(Failing(5, file), executor=Backwards(), checkpoint=tmp_path / "job")
    assert len(list((tmp_path / "job").glob("range-*.npz"))) == N // ROWS - 1
    told = []
    found = net.ggn(X, checkpoint=tmp_path / "job", progress=lambda *at: told.append(at))
    assert told == [(N, N)]
    assert found.tobytes() == net.ggn(X, executor=Here()).tobytes()
    assert not list((tmp_path / "job").glob("range-*.npz"))


def changed(array, at):
    other = array.copy()
    other[at] += 1
    return other


@pytest.fixture
def half(tmp_path):
    """A checkpoint of normal_equations of which the first 1600 rows are finished."""
    file = tmp_path / "broken"
    file.touch()
    with pytest.raises(OSError, match="disk has gone"):
        job_rows.net().normal_equations(Failing(1650, file), R, W, checkpoint=tmp_path / "job")
    return tmp_path / "job"


OTHERS = [
    (dict(X=changed(X, (150, 1))), r"rows 100:200 of X have changed"),
    (dict(R=changed(R, (1599, 0))), r"rows 1500:1600 of R have changed"),
    (dict(H=changed(W, 0)), r"rows 0:100 of H have changed"),
    (dict(X=X[:-100], R=R[:-100], H=W[:-100]), "its shapes is"),
    (dict(H=None), "its shapes is"),
    (dict(H=H), "its shapes is"),
    (dict(wrt="last"), "its wrt is"),
    (dict(net=dn.MLP([4, 6, 2], seed=1)), "its net is"),
    (dict(net=dn.MLP([4, 6, 2], activation="sin", seed=0)), "its net is"),
    (dict(net=job_rows.net().astype("float32")), "its net is"),
]


@pytest.mark.parametrize(("given", "message"), OTHERS)
def test_another_job_is_refused(given, message, half, executors):
    before = {path.name: path.read_bytes() for path in half.iterdir()}
    given = {"net": job_rows.net(), "X": X, "R": R, "H": W} | given
    net = given.pop("net")
    for executor in (None, executors["two processes"]):
        with pytest.raises(ValueError, match=f"checkpoint '.*job' .*{message}"):
            net.normal_equations(**given, executor=executor, checkpoint=half)
    assert {path.name: path.read_bytes() for path in half.iterdir()} == before
    job_rows.net().normal_equations(X, R, W, checkpoint=half)  # and this one is not


def test_rows_that_are_not_finished_may_change(half):
    """Nothing is known of them."""
    other = changed(X, (1700, 0))
    found = job_rows.net().normal_equations(other, R, W, checkpoint=half)
    wanted = job_rows.net().normal_equations(other, R, W, executor=Here())
    assert flat(*found).tobytes() == flat(*wanted).tobytes()


def test_another_verb_is_refused(half):
    with pytest.raises(ValueError, match="its verb is 'normal_equations', here it is 'ggn'"):
        job_rows.net().ggn(X, W, checkpoint=half)


def rewrite(folder, section, **values):
    told = json.loads((folder / "job.json").read_text())
    told[section] |= values
    (folder / "job.json").write_text(json.dumps(told))


def test_another_version_is_refused(half):
    rewrite(half, "job", deltanet="0.0.1")
    with pytest.raises(ValueError, match=r"its deltanet is '0\.0\.1'"):
        job_rows.net().normal_equations(X, R, W, checkpoint=half)


def test_another_machine_is_told(half):
    rewrite(half, "machine", simd="abacus")
    with pytest.warns(RuntimeWarning, match="another kind of machine .*abacus"):
        job_rows.net().normal_equations(X, R, W, checkpoint=half)


@pytest.mark.parametrize("name", ["job.json", "sum.npz"])
@pytest.mark.parametrize("content", [b"", b"{}", b"PK\x03\x04 nothing"])
def test_a_damaged_checkpoint_is_refused(name, content, half):
    (half / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        job_rows.net().normal_equations(X, R, W, checkpoint=half)


def test_a_folder_of_others_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="it holds other files"):
        job_rows.net().ggn(X, checkpoint=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_checkpoint_is_for_one_job(half):
    """Of this process, and of others; the lock of one that was killed is gone."""
    net = job_rows.net()

    def second(done, total):
        with pytest.raises(BlockingIOError, match="job' is in use by another job"):
            net.normal_equations(X, R, W, checkpoint=half)
        code = f"from deltanet._jobs.locks import exclusive\nwith exclusive({str(half / 'lock')!r}, 'it'): 1"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "BlockingIOError" in run.stderr and "it is in use" in run.stderr
        raise InterruptedError

    with pytest.raises(InterruptedError):
        net.normal_equations(X, R, W, checkpoint=half, progress=second)
    net.normal_equations(X, R, W, checkpoint=half)


# Processes that end


def killed_and_resumed(path, kind, kills, seed):
    """Run the job until it is done, and kill it at random moments; [(rows done at first, at last)]"""
    moments, told = random.Random(seed), []
    command = [sys.executable, str(SCRIPT), str(path), kind]
    while True:
        job = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        done = [int(job.stdout.readline() or -1)]  # it has begun
        if len(told) < kills:
            timer = threading.Timer(moments.uniform(0, 0.8), os.killpg, (job.pid, signal.SIGKILL))
            timer.start()
        out, err = job.communicate(timeout=100)
        done += [int(line) for line in out.split()]
        told.append((done[1] if len(done) > 1 else 0, done[-1]))
        if len(told) <= kills:
            timer.cancel()
        if job.returncode == 0:
            return told
        assert job.returncode == -signal.SIGKILL, err


def check_kills(tmp_path, kind, kills, seed):
    path = tmp_path / f"{kind} {seed}"
    told = killed_and_resumed(path, kind, kills, seed)
    finished = 0
    for first, last in told:
        # No range that was reported is done again; of a finished sum the end is reported again.
        assert first == 0 or first > finished or first == finished == len(X), told
        finished = max(finished, last)
    wanted = job_rows.net().ggn(X, executor=Here())
    assert np.load(f"{path}.npy").tobytes() == wanted.tobytes()
    return len(told) - 1


@pytest.mark.parametrize("kind", job_rows.EXECUTORS)
def test_a_job_that_is_killed(kind, tmp_path):
    check_kills(tmp_path, kind, 2, seed=0)


@pytest.mark.nightly
def test_50_kills(tmp_path):
    kills = seed = 0
    while kills < 50:
        seed += 1
        kind = list(job_rows.EXECUTORS)[seed % len(job_rows.EXECUTORS)]
        kills += check_kills(tmp_path, kind, 4, seed)


@pytest.mark.parametrize("kind", job_rows.EXECUTORS)
def test_an_interrupt(kind, tmp_path):
    """Ctrl-C, as a terminal sends it: to all processes of a job."""
    job = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(tmp_path / "job"), kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for _ in range(3):
        job.stdout.readline()
    began = time.perf_counter()
    os.killpg(job.pid, signal.SIGINT)
    _, err = job.communicate(timeout=60)
    assert "KeyboardInterrupt" in err and job.returncode != 0
    assert time.perf_counter() - began < 10
    found = job_rows.net().ggn(X, checkpoint=tmp_path / "job")
    assert found.tobytes() == job_rows.net().ggn(X, executor=Here()).tobytes()


@pytest.mark.nightly
def test_a_full_disk(tmp_path):
    """What is finished stays, and the error says which file could not be written."""
    path, net = tmp_path / "job", job_rows.net()
    file = tmp_path / "broken"
    file.touch()
    with pytest.raises(OSError, match="disk has gone"):
        net.ggn(Failing(1650, file), checkpoint=path)
    before = (path / "sum.npz").read_bytes()
    code = (
        "import resource, signal, sys, job_rows\n"
        "job_rows.small_ranges()\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "job_rows.net().ggn(job_rows.table(), checkpoint=sys.argv[1])\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    out = subprocess.run(command, cwd=SCRIPT.parent, capture_output=True, text=True)
    assert out.returncode and out.stderr.strip().splitlines()[-1].startswith("OSError"), out.stderr
    assert (path / "sum.npz").read_bytes() == before
    assert not list(path.glob(".*"))
    assert net.ggn(X, checkpoint=path).tobytes() == net.ggn(X, executor=Here()).tobytes()


def test_a_full_file_system(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        net = dn.MLP([4, 16, 8, 2], seed=0)  # 24,090 numbers
        with pytest.raises(OSError, match="No space left"):
            net.ggn(X, checkpoint=disk / "job")
        assert not list((disk / "job").glob(".*"))
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        found = net.ggn(X, checkpoint=disk / "job")
        assert found.tobytes() == net.ggn(X, executor=Here()).tobytes()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_import_is_lean():
    code = (
        "import sys, deltanet\n"
        "print([name for name in sys.modules if '_jobs' in name or '_fit.spread' in name])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
