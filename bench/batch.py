"""Jobs over long tables: processes, executors and stores, beside the plain call and beside JAX."""

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
"""Sums through executors and checkpoints: what they cost, what two workers gain, and what memory they take.

`python -m bench.batch VERB N` measures the memory of N rows in a process of its own (Linux).
"""

import functools
import multiprocessing
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np

import deltanet as dn
from bench.batch_cases import ROUNDS, Job, pool, turns
from bench.batch_jax import beside_jax
from bench.batch_memory import memory
from bench.machine import LINUX
from bench.peers import jax


def batch(report, seconds):
    with tempfile.TemporaryDirectory(prefix="bench-batch-") as name:
        folder = Path(name)
        with pool(1) as one, pool(2) as two:
            processes(report, folder, two)
            executors(report, folder, one)
            stores(report, folder, one)
        factors_to_disk(report, folder)
        if jax:
            beside_jax(report, folder)
from bench.machine import LINUX, child, field, resident
from bench.timing import rotate

MIB = 2**20
ROUNDS = 3
MANY = {"ggn": 1_000_000, "vjp": 10_000_000}  # rows that memory is measured with
PIECE = 100_000  # of them, that are written at once
# name -> sizes, rows, verb: ranges of 50 ms and more, results up to 8 MB but for lm
CASES = {
    "ggn of 10-20-20-1": ([10, 20, 20, 1], 200_000, "ggn"),
    "ggn of lm, 10-50-50-1": ([10, 50, 50, 1], 40_000, "ggn"),
    "ggn of 10-30-30-1": ([10, 30, 30, 1], 60_000, "ggn"),
    "ggn_diagonal of 10-50-50-1": ([10, 50, 50, 1], 400_000, "ggn_diagonal"),
    "vjp of 10-50-50-1": ([10, 50, 50, 1], 400_000, "vjp"),
    "kfac of 10-50-50-1": ([10, 50, 50, 1], 400_000, "kfac"),
}
TWO = "ggn of 10-20-20-1", "ggn of lm, 10-50-50-1"  # of which two workers are to gain


def batch(report, seconds):
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, spawn) as one,
        ProcessPoolExecutor(2, spawn) as two,
        ThreadPoolExecutor(2) as threads,
    ):
        for name, (sizes, N, verb) in CASES.items():
            contenders = calls(sizes, N, verb, Path(folder), one, two, threads)
            results = [call() for call in contenders.values()]
            check(results)
            times = rotate(contenders, seconds / ROUNDS / len(contenders), ROUNDS)
            report.row("Sums of a memory map through executors", name, times)
            claims(report, name, times)
    if LINUX:
        memory(report)


def processes(report, folder, two):
    """Two processes beside one thread and two threads, where arithmetic takes the time."""
    for name, verb, N in (("surrogate", "ggn", 2**18), ("lm", "normal_equations", 2**15)):
        job = Job(name, N, folder)
        more = () if verb == "ggn" else (np.ones((N, 1)),)
        here = partial(getattr(job.net, verb), job.X, *more)
        there = partial(getattr(job.net, verb), job.path, *more, executor=two)
        check(there(), here())
        times = turns(
            {
                "one thread": partial(here, threads=1),
                "two threads": partial(here, threads=2),
                "two processes": there,
            }
        )
        case = f"{job}, {verb}"
        report.row("Two processes, each with one thread", case, times)
        gain = times["one thread"] / times["two processes"]
        report.claim(case, "one thread to two processes", gain, ">= 1.8")
        ratio = times["two processes"] / times["two threads"]
        report.claim(case, "two processes to two threads", ratio, "<= 1.1")


def executors(report, folder, one):
    """What the way through an executor and a checkpoint costs: one worker beside one thread."""
    for verb, N in (("ggn", 2**17), ("ggn_diagonal", 2**21)):
        job, kept = Job("surrogate", N, folder), folder / "checkpoint"
        call = getattr(job.net, verb)
        here, there = partial(call, job.X, threads=1), partial(call, job.path)
        check(there(executor=one), here())

        def resumable(there=there, kept=kept):
            shutil.rmtree(kept, ignore_errors=True)
            there(executor=one, checkpoint=kept)

        with ThreadPoolExecutor(1) as thread:
            times = turns(
                {
                    "plain call": here,
                    "thread": partial(there, executor=thread),
                    "process": partial(there, executor=one),
                    "process, checkpoint": resumable,
                }
            )
        report.row("One worker beside the plain call on one thread", f"{job}, {verb}", times)
        for way in ("thread", "process", "process, checkpoint"):
            ratio = times[way] / times["plain call"]
            report.claim(f"{job}, {verb}", f"{way} to the plain call", ratio, "<= 1.05")


def check(found, right):
    """The same sums, but for rounding."""
    pairs = zip(found, right, strict=True) if isinstance(right, tuple) else [(found, right)]
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * np.abs(b).max())


def stores(report, folder, one):
    """A store beside the plain call on the same blocks, of some 50 ms each on one thread."""
    dense = {"form": "dense", "wrt": "inputs"}
    for N, rows, form in ((2**14, 2**9, dense), (2**17, 2**12, {"form": "outputs"})):
        job, path = Job("many inputs", N, folder), folder / "store.zarr"
        call, X = job.net.input_jacobian if form is dense else job.net, job.X
        out = call(X[:rows])

        def plain(call=call, X=X, rows=rows, out=out):
            for start in range(0, len(X), rows):
                call(X[start : start + rows], out=out, threads=1)

        def store(executor, job=job, path=path, how=form | {"rows": rows, "threads": 1}):
            shutil.rmtree(path, ignore_errors=True)
            dn.write(path, job.net, job.path, executor=executor, **how)

        with ThreadPoolExecutor(1) as thread:
            ways = {"thread": partial(store, thread), "process": partial(store, one)}
            times = turns({"plain call": plain, **ways})
        check(dn.open(path)[-rows:], out)
        block = f"{times['plain call'] / N * rows * 1e3:.3g} ms, {out.nbytes / 1e6:.3g} MB"
        case = f"{job}, {'dy/dx' if form is dense else 'y'}"
        title = "A store beside the plain call on one thread"
        report.row(title, case, times, **{"a block": block})
        for way in ways:
            ratio = times[way] / times["plain call"]
            report.claim(case, f"store by one {way} to the plain call", ratio, "<= 1.05")


def factors_to_disk(report, folder):
    """`dn.write` of factors beside `tofile` of the same bytes, which are in memory: until they are on disk."""
    job = Job("surrogate", 10**6, folder)
    J, path, file = job.net.jacobian(job.X), folder / "factors.zarr", folder / "numbers"
    numbers = np.concatenate([a.ravel() for a in (J.outputs, *J.deltas, *J.inputs)])
    del J

    def tofile():
        file.unlink(missing_ok=True)
        numbers.tofile(file)

    def write():
        shutil.rmtree(path, ignore_errors=True)
        dn.write(path, job.net, job.path)

    def on_disk(call):
        call()
        for each in [file] if call is tofile else path.rglob("*/c/**/*"):
            if each.is_file():
                with each.open("r+b") as opened:
                    os.fsync(opened)

    for place, way in (("memory of the system", lambda call: call()), ("disk", on_disk)):
        calls = {"tofile": partial(way, tofile), "dn.write": partial(way, write)}
        times = turns(calls, rounds=2 * ROUNDS)
        rates = {f"{way}, GB/s": f"{numbers.nbytes / t / 1e9:.3g}" for way, t in times.items()}
        case = f"{job}, factors, to the {place}"
        report.row("Factors computed and written, beside the write", case, times, **rates)
        rate = times["tofile"] / times["dn.write"]
        report.claim(case, "the rate of dn.write to that of tofile", rate, ">= 0.8")
def calls(sizes, N, verb, folder, one, two, threads):
    """name -> call, all with the same rows of a file."""
    net = dn.MLP(sizes, seed=0)
    rows = folder / f"{sizes[0]}-{N}.npy"
    if not rows.exists():
        np.save(rows, np.random.default_rng(0).standard_normal((N, sizes[0])))
    X = np.load(rows, mmap_mode="r")
    given = (X, np.ones((N, sizes[-1]))) if verb == "vjp" else (X,)
    call = functools.partial(getattr(net, verb), *given)
    return {
        "1 thread": functools.partial(call, threads=1),
        "2 threads": functools.partial(call, threads=2),
        "1 process": functools.partial(call, executor=one),
        "2 processes": functools.partial(call, executor=two),
        "2 workers in threads": functools.partial(call, executor=threads),
        "checkpoint, 1 thread": Checkpointed(call, folder),
    }


class Checkpointed:
    """A new checkpoint each time."""

    def __init__(self, call, folder):
        self.call, self.folder = call, folder

    def __call__(self):
        with tempfile.TemporaryDirectory(dir=self.folder) as path:
            return self.call(threads=1, checkpoint=path)


def check(results):
    """Those of ranges are the same to the last bit, and the plain ones to rounding."""
    plain, _, *spread = [np.concatenate(list(map(np.ravel, numbers(each)))) for each in results]
    assert all(each.tobytes() == spread[0].tobytes() for each in spread)
    assert abs(plain - spread[0]).max() <= 1e-11 * abs(plain).max()


def numbers(result):
    return [result] if isinstance(result, np.ndarray) else [A for pair in result for A in pair]


def claims(report, name, times):
    if name in TWO:
        gain = times["1 thread"] / times["2 processes"]
        report.claim(name, "two processes against one with one thread", gain, ">= 1.8")
        loss = times["2 processes"] / times["2 threads"]
        report.claim(name, "two processes against two threads of one", loss, "<= 1.1")
    plain = times["1 thread"]
    report.claim(name, "a process against the plain call", times["1 process"] / plain, "<= 1.05")
    kept = times["checkpoint, 1 thread"]
    report.claim(name, "with a checkpoint against the plain call", kept / plain, "<= 1.05")


def memory(report):
    """Peaks of the parent and of a worker above their import."""
    for verb, N in MANY.items():
        lines = child("-m", "bench.batch", verb, str(N)).split()
        parent, *workers = (float(mib) for mib in lines)
        cells = {"parent": f"{parent:.0f} MiB", "workers": f"{max(workers):.0f} MiB"}
        table = "Memory of a sum through two processes, above the import"
        case, bound = f"{verb}, {N:.0e} rows", "<= 300"
        report.row(table, case, {}, **cells)
        report.claim(case, "memory of the parent", parent, bound, "MiB")
        report.claim(case, "memory of a worker", max(workers), bound, "MiB")


def written(path, shape):
    """A file of numbers, made in pieces: the parent's memory is to show the sum alone."""
    random = np.random.default_rng(0)
    with open(path, "wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(0, shape[0], PIECE):
            file.write(random.standard_normal((PIECE, shape[1])).data)


def high():
    """(process, its peak in bytes since `low`)"""
    return os.getpid(), field("/proc/self/status", "VmHWM") - low.before


def low():
    """The memory at the beginning."""
    Path("/proc/self/clear_refs").write_text("5")
    low.before = resident()


def peaks(verb, N):
    """MiB of the parent, then of the workers."""
    with tempfile.TemporaryDirectory() as folder:
        for name, width in (("X", 10), ("u", 1)):
            written(f"{folder}/{name}.npy", (N, width))
        # a result of 8 MB, or one of few numbers whose ranges are the longest
        net = dn.MLP([10, 30, 30, 1] if verb == "ggn" else [10, 8, 1], seed=0)
        arguments = [f"{folder}/X.npy", *([f"{folder}/u.npy"] if verb == "vjp" else [])]
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, spawn, initializer=low) as pool:
            low()
            getattr(net, verb)(*arguments, executor=pool)
            print(high()[1] / MIB)
            found = dict(future.result() for future in [pool.submit(high) for _ in range(64)])
        print(*(peak / MIB for peak in found.values()))


if __name__ == "__main__":
    peaks(sys.argv[1], int(sys.argv[2]))
