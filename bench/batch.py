"""Jobs over long tables: processes, executors, checkpoints and stores, beside the plain call and beside JAX.

`python -m bench.batch memory JOB N` prints what parent and workers take, in a process of its own (Linux).
"""

import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import deltanet as dn
from bench import structured, structured_dense
from bench.machine import LINUX, child, field
from bench.peers import Jax, jax

MIB = 2**20
ROUNDS = 3
BLOCK = 2**14  # rows that JAX takes at once
NETS = {
    "surrogate": [10, 20, 20, 1],
    "small": [10, 10, 10, 1],
    "8 MB": [10, 26, 26, 1],  # of J^T J
    "lm": [10, 50, 50, 1],
    "many inputs": [256, 128, 8],
}
MEMORY = {  # name -> (net, rows)
    "ggn": ("small", (10**6, 10**7)),
    "ggn of 8 MB": ("8 MB", (10**5, 10**6)),
    "ggn_diagonal": ("surrogate", (10**6, 10**7)),
    "write, dy/dx": ("surrogate", (10**6, 10**7)),
}


def network(name):
    return dn.MLP(NETS[name], activation="tanh", seed=0)


def samples(name, N):
    return np.random.default_rng(1).standard_normal((N, NETS[name][0]))


def pool(workers):
    """Processes that are there and have imported what they need."""
    found = ProcessPoolExecutor(workers, get_context("spawn"))
    net, X = network("small"), samples("small", 2**17)
    for _ in range(3):
        net.ggn(X, executor=found)
    return found


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def turns(calls, rounds=ROUNDS):
    """{name: median seconds} of calls that take turns, each once before."""
    for call in calls.values():
        call()
    times = {name: [] for name in calls}
    for turn in range(rounds):
        names = list(calls)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            times[name].append(timed(calls[name]))
    return {name: statistics.median(each) for name, each in times.items()}


def batch(report, seconds):
    with tempfile.TemporaryDirectory(prefix="bench-batch-") as folder:
        with pool(1) as one, pool(2) as two:
            processes(report, Path(folder), one, two)
            executors(report, Path(folder), one)
            stores(report, Path(folder), one)
        factors_to_disk(report, Path(folder))
        if jax:
            beside_jax(report, Path(folder))
    if LINUX:
        memory(report)


def table(folder, X):
    """The rows in a file, as jobs have them."""
    np.save(folder / "X.npy", X)
    return folder / "X.npy"


def processes(report, folder, one, two):
    """Two processes beside one and beside two threads, where arithmetic takes the time."""
    for name, verb, N in (("surrogate", "ggn", 2**18), ("lm", "normal_equations", 2**15)):
        net, X = network(name), samples(name, N)
        more = (X[:, :1].copy(),) if verb == "normal_equations" else ()
        path, plain = table(folder, X), getattr(net, verb)
        expected, found = plain(X, *more), plain(path, *more, executor=two)
        for right, is_ in zip(np.atleast_1d(expected), np.atleast_1d(found), strict=True):
            np.testing.assert_allclose(is_, right, rtol=0, atol=1e-10 * np.abs(right).max())
        times = turns(
            {
                "one thread": lambda: plain(X, *more, threads=1),
                "two threads": lambda: plain(X, *more, threads=2),
                "one process": lambda: plain(path, *more, executor=one),
                "two processes": lambda: plain(path, *more, executor=two),
            }
        )
        case = f"{shape(name)} [{N}], {verb}"
        report.row("Processes, each with one thread", case, times)
        gain = times["one thread"] / times["two processes"]
        report.claim(case, "two processes: times as fast as one thread", gain, ">= 1.8")
        ratio = times["two processes"] / times["two threads"]
        report.claim(case, "two processes to two threads", ratio, "<= 1.1")


def executors(report, folder, one):
    """What the way through an executor and a checkpoint costs: one worker beside one thread."""
    for name, verb, N in (("surrogate", "ggn", 2**17), ("surrogate", "ggn_diagonal", 2**21)):
        net, X = network(name), samples(name, N)
        path, plain = table(folder, X), getattr(net, verb)
        kept = folder / "checkpoint"

        def with_checkpoint(plain=plain, path=path, kept=kept):
            shutil.rmtree(kept, ignore_errors=True)
            plain(path, executor=one, checkpoint=kept)

        with ThreadPoolExecutor(1) as thread:
            times = turns(
                {
                    "plain call": lambda plain=plain, X=X: plain(X, threads=1),
                    "thread": lambda plain=plain, path=path: plain(path, executor=thread),
                    "process": lambda plain=plain, path=path: plain(path, executor=one),
                    "process, checkpoint": with_checkpoint,
                }
            )
        case = f"{shape(name)} [{N}], {verb}"
        report.row("One worker beside the plain call on one thread", case, times)
        for way in ("thread", "process", "process, checkpoint"):
            ratio = times[way] / times["plain call"]
            report.claim(case, f"{way} to the plain call", ratio, "<= 1.05")


def stores(report, folder, one):
    """A store beside the plain call on the same blocks, of some 50 ms and 8 MB each."""
    name, N, rows = "many inputs", 2**14, 2**9
    net, X = network(name), samples(name, N)
    path, out = table(folder, X), np.empty((rows, NETS[name][-1], NETS[name][0]))

    def plain():
        for start in range(0, N, rows):
            net.input_jacobian(X[start : start + rows], out=out, threads=1)

    def write(executor):
        shutil.rmtree(folder / "store.zarr", ignore_errors=True)
        how = {"form": "dense", "wrt": "inputs", "rows": rows, "threads": 1}
        dn.write(folder / "store.zarr", net, path, executor=executor, **how)

    with ThreadPoolExecutor(1) as thread:
        calls = {
            "plain call": plain,
            "thread": lambda: write(thread),
            "process": lambda: write(one),
        }
        times = turns(calls)
    np.testing.assert_array_equal(dn.open(folder / "store.zarr")[-rows:].shape, out.shape)
    case = f"{shape(name)} [{N}], dy/dx"
    blocks = {"block": f"{times['plain call'] / N * rows * 1e3:.3g} ms, {out.nbytes / 1e6:.3g} MB"}
    report.row("A store beside the plain call on one thread", case, times, **blocks)
    for way in ("thread", "process"):
        report.claim(
            case,
            f"store by one {way} to the plain call",
            times[way] / times["plain call"],
            "<= 1.05",
        )


def factors_to_disk(report, folder):
    """dn.write of factors beside `tofile` of the same bytes, which are there."""
    name, N = "surrogate", 10**6
    net, X = network(name), samples(name, N)
    J = net.jacobian(X)
    numbers = np.concatenate([a.ravel() for a in (J.outputs, *J.deltas, *J.inputs)])
    del J

    def tofile():
        (folder / "numbers").unlink(missing_ok=True)
        numbers.tofile(folder / "numbers")

    def write():
        shutil.rmtree(folder / "factors.zarr", ignore_errors=True)
        dn.write(folder / "factors.zarr", net, X)

    times = turns({"tofile": tofile, "dn.write": write}, rounds=2 * ROUNDS)
    case = f"{shape(name)} [{N}], factors"
    rates = {f"{way}, GB/s": f"{numbers.nbytes / t / 1e9:.3g}" for way, t in times.items()}
    report.row("Factors computed and written, beside the write alone", case, times, **rates)
    report.claim(case, "its rate to that of tofile", times["tofile"] / times["dn.write"], ">= 0.8")


def beside_jax(report, folder):
    """The same job as a user of JAX has it: a jitted formula, block by block, and `np.save` of each."""
    jobs = {
        "factors": (structured.jacobian, 2**20, {"form": "factors"}),
        "dense rows": (structured_dense.jacobian_dense, 2**17, {"form": "dense"}),
        "dy/dx": (structured.input_jacobian, 2**20, {"form": "dense", "wrt": "inputs"}),
    }
    name = "surrogate"
    net = network(name)
    for job, (formula, N, form) in jobs.items():
        X = samples(name, N)
        path, theirs = table(folder, X), folder / "jax"
        call = Jax(net, X[:BLOCK]).fastest(formula)
        f, theta = (
            jax.jit(lambda t, x, f=formula, way=call.way: f(t, x, *way)),
            Jax(net, X[:1]).theta,
        )
        usual = jax.jit(jax.vmap(jax.jacrev(lambda x, t=theta: structured.output(t, x[None])[0])))
        ways = {"JAX, structured": lambda x, f=f, theta=theta: f(theta, x)}
        if job == "dy/dx":
            ways["JAX, vmap(jacrev)"] = usual
        calls = {way: saving(g, net, path, theirs, job != "factors") for way, g in ways.items()}

        def ours(path=path, form=form):
            shutil.rmtree(folder / "ours.zarr", ignore_errors=True)
            dn.write(folder / "ours.zarr", net, path, **form)

        times = turns({"deltanet": ours, **calls})
        shutil.rmtree(theirs)
        case = f"{shape(name)} [{N}], {job}"
        report.row("A job in blocks to disk, beside JAX and np.save of each block", case, times)
        best = min(t for way, t in times.items() if way != "deltanet")
        report.claim(case, "JAX's way to ours", best / times["deltanet"], ">= 1")


def saving(f, net, path, folder, with_outputs):
    """All blocks by f, and the outputs where f does not give them; each array is saved by itself."""
    theta = Jax(net, np.zeros((1, net.sizes[0]))).theta
    outputs = jax.jit(structured.output)

    def call():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        X = np.load(path, mmap_mode="r")
        for start in range(0, len(X), BLOCK):
            x = jax.numpy.asarray(X[start : start + BLOCK])
            arrays = jax.tree.leaves(f(x)) + ([outputs(theta, x)] if with_outputs else [])
            for i, array in enumerate(arrays):
                np.save(folder / f"{start}-{i}.npy", np.asarray(array))

    return call


def shape(name):
    return "-".join(map(str, NETS[name]))


def memory(report):
    """Parent and workers at their peaks, above what they hold when all is imported."""
    for job, (name, lengths) in MEMORY.items():
        cells = {}
        for N in lengths:
            found = [
                int(n) / MIB for n in child("-m", "bench.batch", "memory", job, str(N)).split()
            ]
            cells |= {f"N = {N:.0e}": f"parent {found[0]:.0f}, workers {max(found[1:]):.0f}"}
        title = "Memory above the import, MiB, two processes over a file"
        report.row(title, f"{shape(name)}, {job}", {}, **cells)
        report.claim(
            f"{shape(name)}, {job}, N = {N:.0e}",
            "memory above the import",
            max(found),
            "<= 300",
            "MiB",
        )


def measure(job, N):
    """Print the bytes of the parent, then of each worker."""
    name, _ = MEMORY[job]
    net = network(name)
    with tempfile.TemporaryDirectory(prefix="bench-batch-") as folder, pool(2) as executor:
        path = Path(folder, "X.npy")
        X = np.lib.format.open_memmap(path, "w+", np.float64, (N, NETS[name][0]))
        for start in range(0, N, 10**5):
            X[start : start + 10**5] = np.random.default_rng(start).standard_normal(
                X[start : start + 10**5].shape
            )
        del X
        dn.write(Path(folder, "warm.zarr"), net, np.zeros((9, net.sizes[0])), executor=executor)
        pids = ["self", *executor._processes]
        for pid in pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        before = {pid: field(f"/proc/{pid}/status", "VmRSS") for pid in pids}
        if job.startswith("write"):
            dn.write(
                Path(folder, "s.zarr"), net, path, form="dense", wrt="inputs", executor=executor
            )
        else:
            getattr(net, job.split()[0])(path, executor=executor)
        print(*(field(f"/proc/{pid}/status", "VmHWM") - before[pid] for pid in pids))


if __name__ == "__main__":
    measure(sys.argv[2], int(sys.argv[3]))
