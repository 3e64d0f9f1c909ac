"""One sample of tiny: as a program calls it, hot and with other work between.

The kernel alone is in c_interface.py.
"""

import numpy as np

from bench.baseline import Baseline
from bench.cases import Case, by_hand
from bench.dense import against_baseline, over
from bench.machine import vector_instructions
from bench.peers import Jax, jax
from bench.timing import Statement, mixed, rotate

LIMITS_US = {"call": 1.2, "dense(out=)": 1.1, "dx(out=)": 1.2, "jacobian": 3.5}


def statements(case):
    """{name: statement} of one sample, with names that every deltanet has."""
    net, x = case.net, case.X[0]
    out, dx = np.empty(case.shape[1:]), np.empty((case.shape[1], case.sizes[0]))
    return {
        "call": Statement("net(x)", net=net, x=x),
        "dense(out=)": Statement("dense(x, out=out)", dense=net.jacobian_dense, x=x, out=out),
        "dx(out=)": Statement("dx(x, out=out)", dx=net.input_jacobian, x=x, out=dx),
        "jacobian": Statement("jacobian(x)", jacobian=net.jacobian, x=x),
    }


def tiny(report, seconds, baseline=None):
    case = Case("tiny")
    x, out = case.X[0], np.empty(case.shape[1:])
    case.check(case.net.jacobian_dense(x, out=out)[None])
    calls = statements(case)
    older = Baseline(baseline, "tiny", "tiny") if baseline else None
    if older:
        calls |= {f"baseline {name}": older.call(name) for name in LIMITS_US}
    calls["NumPy"] = lambda: by_hand(case.net, case.X, out[None])
    if jax:
        calls["JAX"] = Jax(case.net, case.X).jacobian()
    times = rotate(calls, rounds=max(3, round(seconds / 2)))
    verb = case.net.jvp
    v = case.normal(case.shape[2])
    between = mixed({name: calls[name] for name in LIMITS_US}, lambda: verb(case.X, v))
    if older:
        older.close()
    report.row("One sample of tiny, hot", case, times)
    report.row("One sample of tiny, mixed", case, between)
    claims(report, case, times)


def claims(report, case, times):
    """Limits in us are of machines with AVX-512; elsewhere what counts is the baseline."""
    fast = vector_instructions() == "avx512"
    for name, limit in LIMITS_US.items():
        if fast:
            report.claim(case, f"{name}, hot", 1e6 * times[name], f"<= {limit}", "us")
    against_baseline(report, case, times, LIMITS_US)
    jax_ratio = over(times.get("JAX"), times["dense(out=)"])
    report.claim(case, "JAX's compiled call to dense(out=)", jax_ratio, ">= 20")
