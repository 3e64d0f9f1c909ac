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
