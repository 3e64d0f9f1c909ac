"""Jobs on one store: killed, in parts, through executors, against each other, on a full disk."""

import os
import random
import signal
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from store_tools import NETS, ROWS, Stop, files, inputs, job, stopping

import deltanet as dn

pytestmark = pytest.mark.of_jobs

pytest.importorskip("zarr", reason="needs zarr")
unix = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.zarr"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of the store of JOB in store_tools, written in one go."""
    out = tmp_path_factory.mktemp("whole") / "run.zarr"
    net = NETS["plain"]()
    dn.write(out, net, inputs(net), rows=ROWS)
    return files(out)


def finished(path):
    """Blocks whose entry in `done` is whole, with the files of their chunks as they are."""
    blocks = {}
    for file in Path(path, "done", "c").glob("*"):
        if not file.name.isdecimal():  # a part of a block that is under way
            continue
        entry = file.read_bytes()
        if len(entry) == 8 and any(entry):
            chunks = [each for each in Path(path).glob(f"*/c/{file.name}/**/0") if each.is_file()]
            blocks[int(file.name)] = {
                each: (each.stat().st_ino, each.stat().st_mtime_ns) for each in chunks
            }
    return blocks


# Killed


@unix
@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.nightly)])
def test_killed_at_random_moments(path, kills):
    """The same bytes as in one go, and no finished block is written again."""
    code = """
    X = np.random.default_rng(1).standard_normal((4000, 3))
    print("ready", flush=True)
    dn.write(sys.argv[1], net, X, rows=20, resume=True)
    """
    net = NETS["plain"]()
    dn.write(path.with_name("whole.zarr"), net, inputs(net, 4000), rows=20)
    choose, count, killed = random.Random(kills), 0, 0
    while killed < kills:
        started = job(code, path)
        started.stdout.readline()
        # the first of them while the store is made
        time.sleep(choose.uniform(0, 0.1 if count == 0 else 0.6))
        before = finished(path)
        started.kill()
        started.communicate()
        killed += started.returncode == -signal.SIGKILL
        now = finished(path)
        assert all(now[block] == before[block] for block in before)
        if len(now) == 200:  # it was faster: from the beginning
            assert files(path) == files(path.with_name("whole.zarr"))
            for file in (path / "done" / "c").glob("*"):
                file.unlink()
        count += 1
        assert count < 20 * kills
    before = finished(path)
    dn.write(path, net, inputs(net, 4000), rows=20, resume=True)
    now = finished(path)
    assert all(now[block] == before[block] for block in before)
    assert files(path) == files(path.with_name("whole.zarr"))


@unix
def test_interrupted_from_the_keyboard(path, whole):
    """Ctrl-C ends it within a second or so, and what was finished is kept."""
    running = job("dn.write(sys.argv[1], net, X, rows=16, progress=hold)", path)
    running.stdout.readline()
    running.send_signal(signal.SIGINT)
    _, error = running.communicate()
    assert "KeyboardInterrupt" in error
    S = dn.open(path)
    assert S.done.any() and not S.finished
    dn.write(path, S.net, inputs(S.net), resume=True)
    assert files(path) == whole


# Parts, and who may write what


@pytest.mark.parametrize("n", [3, 40])
def test_parts_one_after_the_other(path, whole, n):
    net = NETS["plain"]()
    for i in reversed(range(n)):
        dn.write(path, net, inputs(net), rows=ROWS, part=(i, n))
    assert files(path) == whole


def test_a_part_has_its_own_blocks(path):
    net = NETS["plain"]()
    told = []
    dn.write(
        path, net, inputs(net), rows=ROWS, part=(1, 3), progress=lambda *each: told.append(each)
    )
    S = dn.open(path)
    assert np.flatnonzero(S.done).tolist() == list(range(4 * ROWS, 8 * ROWS)) and not S.finished
    assert told[-1] == (4 * ROWS, 4 * ROWS)


def test_a_part_is_begun_again_by_the_same_command(path, whole):
    """As a queue does with a job that it has stopped."""
    net = NETS["plain"]()
    with pytest.raises(Stop):
        dn.write(path, net, inputs(net), rows=ROWS, part=(1, 2), progress=stopping(30))
    before = finished(path)
    assert before
    for i in (0, 1, 1):
        dn.write(path, net, inputs(net), rows=ROWS, part=(i, 2))
    now = finished(path)
    assert all(now[block] == before[block] for block in before)
    assert files(path) == whole


def test_an_array_job_that_starts_at_once(path, whole):
    """The first of them makes the store; which one that is does not matter."""
    code = """
    print("ready", flush=True)
    sys.stdin.readline()
    dn.write(sys.argv[1], net, X, rows=16, part=(int(sys.argv[2]), 4))
    """
    jobs = [job(code, path, i) for i in range(4)]
    for each in jobs:
        each.stdout.readline()
    for each in jobs:
        each.stdin.write("\n")
        each.stdin.flush()
    assert [each.communicate()[1] for each in jobs] == [""] * 4
    assert files(path) == whole
    assert os.listdir(path.parent) == [path.name]  # no leftover of those that came later


def test_two_jobs_on_one_part(path, whole):
    """The second is refused, also with parts of another size; a lock dies with its process."""
    net = NETS["plain"]()
    X = inputs(net)
    holder = job("dn.write(sys.argv[1], net, X, rows=16, part=(0, 2), progress=hold)", path)
    holder.stdout.readline()
    for part in ((0, 2), None, (0, 1), (1, 5), (2, 6)):
        with pytest.raises(BlockingIOError, match="in use by another job"):
            dn.write(path, net, X, rows=ROWS, part=part, resume=True)
    for part in ((1, 2), (4, 5), (3, 6)):
        dn.write(path, net, X, rows=ROWS, part=part)
    holder.kill()
    holder.communicate()
    dn.write(path, net, X, rows=ROWS, part=(0, 2))
    assert files(path) == whole


def test_two_jobs_of_one_process(path):
    net = NETS["plain"]()
    refused = []

    def second(*_):
        with pytest.raises(BlockingIOError, match="in use by another job"):
            dn.write(path, net, inputs(net), rows=ROWS, part=(0, 2), resume=True)
        refused.append(True)

    dn.write(path, net, inputs(net), rows=ROWS, progress=second)
    assert refused and dn.open(path).finished


def test_workers_that_outlive_a_job_hold_no_lock(path, whole):
    """The processes of a pool are forked while the lock is held."""
    code = """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    pool = ProcessPoolExecutor(1, get_context("fork"))
    dn.write(sys.argv[1], net, X, rows=16, executor=pool, progress=lambda *_: hold(*pool._processes, 0))
    """
    if sys.platform != "linux":
        pytest.skip("forks a process that has threads")
    net = NETS["plain"]()
    holder = job(code, path)
    worker = int(holder.stdout.readline())
    try:
        holder.kill()
        holder.wait()
        dn.write(path, net, inputs(net), rows=ROWS, resume=True)
        assert files(path) == whole
    finally:
        os.kill(worker, signal.SIGKILL)
        holder.communicate()


# Executors


def ended(executor):
    executor.shutdown(cancel_futures=True)


EXECUTORS = {
    "threads": lambda: ThreadPoolExecutor(3),
    "processes": lambda: ProcessPoolExecutor(2, get_context("spawn")),
}


@pytest.mark.parametrize("kind", EXECUTORS)
def test_an_executor_gives_the_same_bytes(path, whole, kind):
    net = NETS["plain"]()
    with EXECUTORS[kind]() as executor:
        with pytest.raises(Stop):
            dn.write(path, net, inputs(net), rows=ROWS, executor=executor, progress=stopping(60))
        before = finished(path)
        dn.write(path, net, inputs(net), rows=ROWS, executor=executor, resume=True)
        now = finished(path)
        assert before and all(now[block] == before[block] for block in before)
        assert files(path) == whole
        X = inputs(net)
        X[100] = 7
        with pytest.raises(ValueError, match="its rows 96:112 are others"):
            dn.write(path, net, X, rows=ROWS, executor=executor, resume=True)
    assert files(path) == whole


@unix
def test_a_worker_that_dies(path, whole):
    """One clear error, and the job goes on from there."""
    net = NETS["plain"]()

    def kill(*_):
        for process in executor._processes.values():
            os.kill(process.pid, signal.SIGKILL)

    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        with pytest.raises(RuntimeError, match=r"a worker died while the rows .* resume=True"):
            dn.write(path, net, inputs(net), rows=ROWS, executor=executor, progress=kill)
    S = dn.open(path)
    assert S.done.any() and not S.finished
    dn.write(path, net, inputs(net), rows=ROWS, resume=True)
    assert files(path) == whole


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two processes, without a dashboard."""
    distributed = pytest.importorskip("distributed", reason="needs dask and distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
            ) as local,
            distributed.Client(local) as client,
        ):
            yield client


@unix
@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_loses_a_worker(path, whole, cluster):
    """The scheduler asks again for what was lost; a block that is finished is not computed again."""
    net, killed, before = NETS["plain"](), [], {}

    def kill(done, _):
        if not killed and done > 3 * ROWS:
            before.update(finished(path))
            killed.append(next(iter(cluster.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    dn.write(
        path,
        net,
        inputs(net),
        rows=ROWS,
        executor=cluster.get_executor(),
        retries=2,
        progress=kill,
    )
    now = finished(path)
    assert killed and before and all(now[block] == before[block] for block in before)
    assert files(path) == whole


# A full disk


@unix
def test_files_that_cannot_grow(path, whole):
    """RLIMIT_FSIZE stands for a full disk: some blocks are there, then nothing more can be written."""
    code = """
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    def limit(done, total):
        if done > 50:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    try:
        dn.write(sys.argv[1], net, X, rows=16, progress=limit)
    except OSError as error:
        print(error.errno, error)
    """
    import errno

    out, error = job(code, path).communicate()
    assert not error and out.startswith(str(errno.EFBIG)) and str(path) in out
    S = dn.open(path)
    assert S.done.any() and not S.finished
    before = finished(path)
    dn.write(path, S.net, inputs(S.net), resume=True)
    now = finished(path)
    assert all(now[block] == before[block] for block in before)
    assert files(path) == whole


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB."""
    import subprocess

    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(small_disk):
    """Too small from the start: nothing is begun. Filled meanwhile: what is finished is kept."""
    net = dn.MLP([3, 60, 2], seed=0)
    X = inputs(net, 20_000)
    out = small_disk / "run.zarr"
    with pytest.raises(OSError, match="are free on the disk") as raised:
        dn.write(out, net, X, rows=ROWS)
    assert str(out) in str(raised.value) and not list(small_disk.iterdir())

    def fill(done, _):
        if done > 50 and not (small_disk / "other").exists():
            with suppress(OSError), open(small_disk / "other", "wb", buffering=0) as other:
                while other.write(bytes(4096)):
                    pass

    X = X[:1000]
    with pytest.raises(OSError, match="No space left") as raised:
        dn.write(out, net, X, rows=ROWS, progress=fill)
    assert str(out) in str(raised.value)
    before = finished(out)
    assert before
    (small_disk / "other").unlink()
    dn.write(out, net, X, rows=ROWS, resume=True)
    now = finished(out)
    assert all(now[block] == before[block] for block in before) and dn.open(out).finished


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_folder_that_may_not_be_written(tmp_path):
    net = NETS["plain"]()
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match=r"run\.zarr"):
        dn.write(tmp_path / "run.zarr", net, inputs(net))


# Memory

MEMORY = """
import resource
net, count = dn.MLP([10, 20, 20, 1], seed=0), int(sys.argv[2])
dn.write(sys.argv[1] + ".first", net, np.zeros((10, 10)))
X = np.lib.format.open_memmap(sys.argv[1] + ".npy", "w+", "float64", (count, 10))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
dn.write(sys.argv[1], net, sys.argv[1] + ".npy")
dn.open(sys.argv[1]).ggn_diagonal()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="counts kilobytes as Linux does")
def test_memory_is_flat(tmp_path):
    """Of 2 * 10^6 rows, 1.5 GB of factors: no more than of a few blocks."""
    out, error = job(MEMORY, tmp_path / "run.zarr", 2_000_000).communicate()
    assert not error and int(out) * 1024 < 300 * 2**20
