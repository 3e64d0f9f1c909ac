"""Dense Jacobians of the five cases: beside the floor of the memory, by hand, and by the frameworks."""

import gc

import numpy as np

import deltanet as dn
from bench import floor, structured_dense
from bench.baseline import Baseline
from bench.cases import SIZES, Case, by_hand
from bench.machine import LINUX, peak
from bench.peers import Jax, frameworks, jax
from bench.report import duration
from bench.timing import rotate

THREADS = dn.get_num_threads()
TITLE = "Dense Jacobian, `jacobian_dense(X, out=)`"
AGAINST_BASELINE = ("T1", "out", "fresh")


def ours(case, out):
    """{name: call} of deltanet; also what an older one is asked for (baseline.py)."""
    net, X = case.net, case.X
    return {
        "T1": lambda: net.jacobian_dense(X, out=out, threads=1),
        "out": lambda: net.jacobian_dense(X, out=out),
        "fresh": lambda: net.jacobian_dense(X),
    }


def dense(report, seconds, baseline=None):
    stream = floor.Stream()
    for name in SIZES:
        case = Case(name)
        out = np.full(case.shape, np.nan, case.dtype)
        calls = {
            "floor T1": stream(out, 1),
            "floor": stream(out, THREADS),
            "NumPy": lambda case=case, out=out: by_hand(case.net, case.X, out),
        }
        calls |= ours(case, out)
        for call in ("T1", "out", "fresh", "NumPy"):
            out[...] = np.nan
            case.check(calls[call]())
        for peer in frameworks(case.net, case.X):
            calls[peer.name] = peer.jacobian()
            case.check(peer.dense(calls[peer.name]()))
        if jax:
            peer = Jax(case.net, case.X)
            check = lambda D, case=case, peer=peer: case.check(peer.dense(D))  # noqa: E731
            calls["structured JAX"] = peer.fastest(structured_dense.jacobian_dense, check=check)
        older = Baseline(baseline, "dense", name) if baseline else None
        if older:
            calls |= {f"baseline {n}": older.call(n) for n in AGAINST_BASELINE}
        times = rotate(calls, rounds=max(3, round(seconds / 1.2)))
        takes = {n: peak(calls[n]) for n in ("out", "torch", "JAX") if n in calls and LINUX}
        rows(report, case, out, times, takes)
        if older:
            older.close()
        del calls, out
        gc.collect()


def best(times, names=("torch", "JAX", "structured JAX")):
    """The shortest of the peers that are there."""
    return min((times[name] for name in names if name in times), default=None)


def over(a, b):
    return None if a is None or b is None else a / b


def rows(report, case, out, times, takes):
    peer, now = best(times), times["out"]
    report.row(
        TITLE,
        case,
        times,
        result=f"{out.nbytes / 1e6:.3g} MB",
        **{f"{name} takes": f"{nbytes / 1e6:.3g} MB" for name, nbytes in takes.items()},
        **{
            "out / floor": f"{now / times['floor']:.2f}",
            "peer / out": "-" if peer is None else f"{peer / now:.1f}",
        },
    )
    if case.name in ("lm", "wide", "deep"):
        report.claim(case, "dense to its floor", now / times["floor"], "<= 1.35")
        report.claim(case, "dense, best of torch and JAX to it", over(peer, now), ">= 7")
        fresh = over(peer, times["fresh"])
        report.claim(case, "fresh dense, best of torch and JAX to it", fresh, ">= 4")
    if case.name == "small":
        report.claim(case, "dense, best of torch and JAX to it", over(peer, now), ">= 3")
    against_baseline(report, case, times, AGAINST_BASELINE)


def against_baseline(report, case, times, names):
    """Not slower than 3 % than the deltanet that --baseline names."""
    for name in names:
        ratio = over(times[name], times.get(f"baseline {name}"))
        report.claim(case, f"{name}, to the deltanet of --baseline", ratio, "<= 1.03")
        if ratio is not None:
            print(f"{case} {name}: {duration(times[name])}, {ratio:.3f} of the baseline")
