"""Jobs over long tables: processes, executors and stores, beside the plain call and beside JAX."""

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
