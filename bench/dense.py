"""Dense and factored Jacobians: the five cases of the design, fresh results, factors, sweeps, memory."""

import ctypes
import gc
import math
import subprocess
import sys

import numpy as np

import deltanet as dn
from bench import floor, peers
from bench.cases import SIZES, Case, by_hand
from bench.timing import interleave, once
from deltanet import machine

THREADS = dn.get_num_threads()
LINUX = sys.platform.startswith("linux")


def best(times, names=("torch", "JAX")):
    """The shortest of the peers that are there."""
    return min((times[name] for name in names if name in times), default=None)


def over(a, b):
    return None if a is None or b is None else a / b


def dense(report, seconds):
    """jacobian_dense(out=), fresh, by hand and by the frameworks."""
    stream = floor.Stream()
    for name in SIZES:
        case = Case(name)
        out = np.full(case.shape, np.nan, case.dtype)
        one_thread = np.empty(case.shape, case.dtype)
        case.check(case.net.jacobian_dense(case.X, out=out, threads=THREADS))
        np.testing.assert_array_equal(
            case.net.jacobian_dense(case.X, out=one_thread, threads=1), out
        )
        del one_thread
        case.check(by_hand(case.net, case.X, np.empty_like(out)))
        calls = {
            "floor T1": stream(out, 1),
            "floor": stream(out, THREADS),
            "T1": lambda c=case, out=out: c.net.jacobian_dense(c.X, out=out, threads=1),
            "T2": lambda c=case, out=out: c.net.jacobian_dense(c.X, out=out, threads=THREADS),
            "fresh": lambda c=case: c.net.jacobian_dense(c.X),
            "NumPy": lambda c=case, out=out: by_hand(c.net, c.X, out),
        }
        for peer in peers.frameworks(case):
            calls[peer.name] = peer.jacobian()
            case.check(peer.dense(calls[peer.name]()))
        times = interleave(calls, seconds)
        peer = best(times)
        report.row(
            "Dense Jacobian, `jacobian_dense(X, out=)`",
            case,
            times,
            result=f"{out.nbytes / 1e6:.3g} MB",
            **{
                f"{name} takes": f"{peak(calls[name]) / 1e6:.3g} MB"
                for name in ("T2", "torch", "JAX")
                if name in calls and LINUX
            },
            **{
                "T2 / floor": f"{times['T2'] / times['floor']:.2f}",
                "peer / T2": "-" if peer is None else f"{peer / times['T2']:.1f}",
            },
        )
        claims(report, case, times, peer)
        del calls, out
        gc.collect()


def claims(report, case, times, peer):
    if case.name in ("lm", "wide", "deep"):
        report.claim(
            case, "dense, all threads, to the floor", times["T2"] / times["floor"], "<= 1.35"
        )
        report.claim(case, "dense, best of torch and JAX to it", over(peer, times["T2"]), ">= 7")
        report.claim(
            case, "fresh dense, best of torch and JAX to it", over(peer, times["fresh"]), ">= 4"
        )
    if case.name == "small":
        report.claim(case, "dense, best of torch and JAX to it", over(peer, times["T2"]), ">= 3")
    if case.name in ("lm", "deep"):
        report.claim(case, "dense, one thread to two", times["T1"] / times["T2"], ">= 1.8")
        report.claim(
            case,
            "the floor itself, one thread to two",
            times["floor T1"] / times["floor"],
            ">= 1.8",
        )
    report.claim(
        case, "dense on one thread, best of torch and JAX to it", over(peer, times["T1"]), ">= 1"
    )


class Loop:
    """A call that repeats itself without Python between."""

    def __init__(self, loop):
        self.timed = lambda repeats: once(lambda: loop(100 * repeats), 1) / (100 * repeats)


def tiny(report, seconds):
    """One sample: from Python, and the kernel alone in a loop beside CasADi's C."""
    case = Case("tiny")
    x, out = case.X[0], np.empty(case.shape[1:])
    case.check(case.net.jacobian_dense(x, out=out)[None])
    calls = {
        "Python": lambda: case.net.jacobian_dense(x, out=out),
        "kernel": Loop(lambda repeats: case.net._engine.single(x, out, repeats)),
        "NumPy": lambda: by_hand(case.net, case.X, out[None]),
    }
    if peers.casadi is not None:
        generated = peers.Casadi(case)
        generated.loop(1)
        case.check(generated.J)
        calls["CasADi C"] = Loop(generated.loop)
    if peers.jax is not None:
        calls["JAX"] = peers.Jax(case).jacobian()
    times = interleave(calls, seconds)
    report.row("One sample through tiny", case, times)
    report.claim(case, "dense from Python", times["Python"] * 1e6, "<= 5", "us")
    report.claim(
        case,
        "JAX's compiled call to dense from Python",
        over(times.get("JAX"), times["Python"]),
        ">= 20",
    )
    report.claim(case, "the kernel alone", times["kernel"] * 1e6, "<= 2", "us")
    report.claim(
        case, "the kernel to CasADi's C", over(times["kernel"], times.get("CasADi C")), "<= 1"
    )


def factors(report, seconds):
    """`jacobian`: h, f' and delta, against its own gemm shapes."""
    for name in ("small", "lm", "wide", "deep"):
        case = Case(name)
        case.check(np.asarray(case.net.jacobian(case.X, threads=THREADS)))
        times = interleave(
            {
                "gemm floor": floor.factors(case.net, case.N),
                "T1": lambda c=case: c.net.jacobian(c.X, threads=1),
                "T2": lambda c=case: c.net.jacobian(c.X, threads=THREADS),
                "default": lambda c=case: c.net.jacobian(c.X),
            },
            seconds,
        )
        report.row("Factors, `jacobian(X)`", case, times)
        if name in ("wide", "deep"):
            report.claim(
                case,
                "factors to their gemm shapes",
                times["default"] / times["gemm floor"],
                "<= 1.3",
            )


def inputs(report, seconds):
    """`input_jacobian`."""
    for name in ("small", "lm", "deep"):
        case = Case(name)
        out = np.empty((case.N, case.shape[1], case.sizes[0]))
        calls = {
            "T1": lambda c=case, out=out: c.net.input_jacobian(c.X, out=out, threads=1),
            "T2": lambda c=case, out=out: c.net.input_jacobian(c.X, out=out, threads=THREADS),
        }
        expected = case.net.input_jacobian(case.X)
        for peer in peers.frameworks(case):
            calls[peer.name] = peer.input_jacobian()
            np.testing.assert_allclose(np.asarray(calls[peer.name]()), expected, atol=1e-10)
        times = interleave(calls, seconds)
        report.row("Input Jacobian, `input_jacobian(X, out=)`", case, times)
        if name in ("small", "deep"):
            report.claim(
                case,
                "best of torch and JAX to the input Jacobian",
                over(best(times), times["T2"]),
                ">= 2",
            )


def sweep(report, seconds):
    """Time against N and against P; returns the series of the plot."""
    over_N = {"jacobian_dense": ([], []), "jacobian": ([], [])}
    for N in (1, 10, 100, 1000, 10000):
        case = Case("small", N)
        out = np.zeros(case.shape, case.dtype)
        calls = {
            "jacobian_dense": lambda c=case, out=out: c.net.jacobian_dense(c.X, out=out),
            "jacobian": lambda c=case: c.net.jacobian(c.X),
        }
        for peer in peers.frameworks(case):
            calls[peer.name] = peer.jacobian()
        times = interleave(calls, seconds / 2, least=5)
        report.row("small, N from 1 to 10000", case, times)
        for name, (x, y) in over_N.items():
            x.append(N)
            y.append(times[name])
        del calls, out
    for name in ("tiny", "lm", "small"):
        case = Case(name, 100000)
        if 8 * math.prod(case.shape) > 0.6 * machine.available_memory():
            continue
        out = np.ones(case.shape)
        calls = {
            N: lambda N=N, c=case, out=out: c.net.jacobian_dense(c.X[:N], out=out[:N])
            for N in (1000, 10000, 100000)
        }
        times = {f"N = {N}": t / N for N, t in interleave(calls, seconds).items()}
        report.row("Time of a sample", name, times)
        ratio = max(times.values()) / min(times.values())
        report.claim(
            name, "time of a sample, N = 1000 to 100000, longest to shortest", ratio, "<= 1.15"
        )
        del calls, out
    over_P = {"jacobian_dense": ([], [])}
    for width in (8, 16, 32, 64, 128, 256, 512):
        net = dn.MLP([16, width, width, 4], seed=0)
        X = np.random.default_rng(0).standard_normal((64, 16))
        out = np.zeros((64, 4, net.num_params))
        over_P["jacobian_dense"][0].append(net.num_params)
        call = {"t": lambda net=net, X=X, out=out: net.jacobian_dense(X, out=out)}
        over_P["jacobian_dense"][1].append(interleave(call, seconds / 4)["t"])
    return {"N, samples of small": over_N, "P, parameters of 16-n-n-4 [64]": over_P}


def narrow(N):
    net = dn.MLP([10, 10, 10, 1], seed=0)
    return net, np.random.default_rng(0).standard_normal((N, 10))


def memory(report, seconds):
    """What a call takes beyond its result, in a process of its own (Linux)."""
    if not LINUX:
        return
    extra = {}
    for N in (1000, 10000, 100000, 1000000):
        command = [sys.executable, "-m", "bench.dense", str(N)]
        extra[N] = max(
            map(
                int,
                subprocess.run(command, check=True, capture_output=True, text=True).stdout.split(),
            )
        )
    report.row(
        "Memory beyond the result, 10-10-10-1",
        "N from 1000 to 1000000",
        {},
        **{str(N): f"{b / 2**20:.1f} MiB" for N, b in extra.items()},
    )
    report.claim(
        "10-10-10-1",
        "memory beyond the result, largest of N to 1000000",
        max(extra.values()) / 2**20,
        "<= 16",
        "MiB",
    )


def peak(call):
    """Bytes by which the resident memory grew over `call()`, at its peak."""
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = status("VmRSS")
    call()
    return status("VmHWM") - before


def status(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(field))


def measure_memory(N):
    """Print the peaks of a dense call and of an input Jacobian: both with X as it lies, and not."""
    net, X = narrow(N)
    out, Jx = np.ones((N, 1, net.num_params)), np.ones((N, 1, 10))
    net.jacobian_dense(X[:1000], threads=THREADS)
    for call in (
        lambda: net.jacobian_dense(X, out=out, threads=THREADS),
        lambda: net.input_jacobian(X, out=Jx, threads=THREADS),
    ):
        print(peak(call))


def crossover():
    """Where BLAS overtakes the plain loops, and streaming stores plain ones.

    CROSSOVER in src/deltanet/core/blas.pxd, STREAM in engine.pyx.
    """
    for m in (1, 2, 4):
        for n in (4, 8, 16, 24, 32, 40, 48):
            net = dn.MLP([n, n, n, m], seed=0)
            x, out = np.ones(n), np.empty((m, net.num_params))
            loop, blas = (
                Loop(lambda r, net=net, x=x, out=out, c=c: net._engine.single(x, out, r, c))
                for c in (2**60, 0)
            )
            times = interleave({"loops": loop, "BLAS": blas}, 0.3)
            print(f"m = {m}, n = {n}: products of {n * n} and {m * n * n} numbers,", end=" ")
            print(", ".join(f"{name} {t * 1e6:.2f} us" for name, t in times.items()))
    cache = machine.last_level_cache()
    for share in (0.25, 0.5, 0.75, 1, 1.5, 2, 4):
        case = Case("small", round(share * cache / 8 / math.prod(Case("small", 1).shape)))
        J, out = case.net.jacobian(case.X), np.ones(case.shape)
        calls = {
            f"{store} T{count}": lambda J=J, out=out, stream=stream, count=count: J.engine.run(
                (len(J.outputs),), J=out, h=J.inputs, delta=J.deltas, count=count, stream=stream
            )
            for store, stream in (("plain", False), ("streaming", True))
            for count in (1, THREADS)
        }
        times = interleave(calls, 2)
        print(f"{share} of the last-level cache:", end=" ")
        print(", ".join(f"{name} {t * 1e3:.3g} ms" for name, t in times.items()))


if __name__ == "__main__":
    measure_memory(int(sys.argv[1]))
