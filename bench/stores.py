"""Stores of a long table: beside the plain call, beside `tofile` of the same bytes, and their memory.

`python -m bench.stores N` measures the memory of N rows in a process of its own (Linux).
"""

import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import deltanet as dn
from bench.long_table import INPUTS, ROUNDS, SURROGATE, Job, remove, turns
from bench.machine import LINUX, child, field
from bench.peers import jax
from bench.stores_jax import beside_jax

MIB = 2**20
HEAVY = [64, 256, 256, 8]  # whose rows cost more than their bytes
MANY = 10**6, 10**7


def stores(report, seconds):
    with tempfile.TemporaryDirectory(prefix="bench-stores-") as folder:
        overhead(report, Path(folder))
        factors_to_disk(report, Path(folder))
        if jax:
            beside_jax(report, Path(folder))
    if LINUX:
        memory(report)


def overhead(report, folder):
    """One worker that fills a store, beside the plain call on the same blocks of some 50 ms."""
    path = folder / "store.zarr"
    for N, rows, form in ((2**16, 2**10, INPUTS), (2**19, 2**13, {"form": "outputs"})):
        job = Job(HEAVY, N, folder)
        call = job.net.input_jacobian if form is INPUTS else job.net
        out = call(job.X[:rows])

        def plain(call=call, job=job, rows=rows, out=out):
            X = job.X  # mapped anew, as a job maps it
            for start in range(0, len(X), rows):
                call(X[start : start + rows], out=out, threads=1)

        write = partial(job.write, path, rows=rows, threads=1, **form)
        spawn = get_context("spawn")
        with ThreadPoolExecutor(1) as thread, ProcessPoolExecutor(1, spawn) as process:
            ways = {
                "thread": partial(write, executor=thread),
                "process": partial(write, executor=process),
            }
            times = turns({"plain call": plain, **ways}, [path])
        remove([path])
        write()
        np.testing.assert_allclose(dn.open(path)[-rows:], out, rtol=0, atol=1e-12)
        block = f"{times['plain call'] / N * rows * 1e3:.3g} ms, {out.nbytes / 1e6:.3g} MB"
        case = f"{job}, {'dy/dx' if form is INPUTS else 'y'}"
        title = "A store by one worker, beside the plain call on one thread"
        report.row(title, case, times, **{"a block": block})
        for way in ways:
            ratio = times[way] / times["plain call"]
            report.claim(case, f"store by a {way} to the plain call", ratio, "<= 1.05")


def factors_to_disk(report, folder):
    """`dn.write` of factors beside `tofile` of the same bytes, which are there."""
    job = Job(SURROGATE, 10**6, folder)
    J, path, file = job.net.jacobian(job.X), folder / "factors.zarr", folder / "numbers"
    numbers = np.concatenate([a.ravel() for a in (J.outputs, *J.deltas, *J.inputs)])
    del J

    tofile = partial(numbers.tofile, file)

    def on_disk(call):
        call()
        for each in [file, *path.rglob("*")]:
            if each.is_file():
                with each.open("r+b") as opened:
                    os.fsync(opened)

    write = partial(job.write, path)
    for place, way in (("memory of the system", lambda call: call()), ("disk", on_disk)):
        calls = {"tofile": partial(way, tofile), "dn.write": partial(way, write)}
        times = turns(calls, [path, file], 2 * ROUNDS)
        rates = {f"{way}, GB/s": f"{numbers.nbytes / t / 1e9:.3g}" for way, t in times.items()}
        case = f"{job}, factors, to the {place}"
        report.row("Factors computed and written, beside the write", case, times, **rates)
        rate = times["tofile"] / times["dn.write"]
        report.claim(case, "the rate of dn.write to that of tofile", rate, ">= 0.8")


def memory(report):
    """Parent and workers at their peaks, above what they hold when all is imported."""
    cells = {}
    for N in MANY:
        case, *numbers = child("-m", "bench.stores", str(N)).splitlines()
        parent, *workers = [int(number) / MIB for number in numbers]
        cells[f"{N:.0e} rows"] = f"parent {parent:.0f} MiB, workers {max(workers):.0f} MiB"
    report.row("Memory of a store by two processes, above the import", case, {}, **cells)
    report.claim(case, "memory of the parent", parent, "<= 300", "MiB")
    report.claim(case, "memory of a worker", max(workers), "<= 300", "MiB")


def measure(N):
    """Print the case, then the bytes of the parent and of each worker, a line each."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-stores-") as name,
        ProcessPoolExecutor(2, get_context("spawn")) as executor,
    ):
        folder = Path(name)
        Job(SURROGATE, 10**4, folder).write(folder / "small.zarr", executor=executor, rows=10)
        job, processes = Job(SURROGATE, N, folder), ["self", *executor._processes]
        for each in processes:
            Path(f"/proc/{each}/clear_refs").write_text("5")  # VmHWM = VmRSS
        before = [field(f"/proc/{each}/status", "VmRSS") for each in processes]
        job.write(folder / "sensitivities.zarr", executor=executor, **INPUTS)
        print(f"{job}, dy/dx")
        for each, start in zip(processes, before, strict=True):
            print(field(f"/proc/{each}/status", "VmHWM") - start)


if __name__ == "__main__":
    measure(int(sys.argv[1]))
