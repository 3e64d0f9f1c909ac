"""Memory: what a verb takes beyond its result, and what 200 nets leave behind (Linux).

`python -m bench.memory verbs N` and `python -m bench.memory nets` measure in a process of their own.
"""

import sys

import numpy as np

import deltanet as dn
from bench.machine import LINUX, child, peak, resident

MIB = 2**20
THREADS = dn.get_num_threads()
SAMPLES = (1_000, 10_000, 100_000, 1_000_000)
GRAM_SAMPLES = 3_000  # its result grows with the square
NETS = ([4, 32, 32, 2], [10, 50, 50, 1], [8, 64, 64, 3], [32] + 8 * [64] + [8])


def memory(report, seconds):
    if not LINUX:
        return
    extra = {N: peaks(child("-m", "bench.memory", "verbs", str(N))) for N in SAMPLES}
    for verb in extra[SAMPLES[0]]:
        cells = {f"N = {N}": extra[N].get(verb) for N in SAMPLES}
        report.row(
            "Memory beyond the result from X on, 10-10-10-1, MiB a thread",
            verb,
            {},
            **{N: "-" if mib is None else f"{mib:.2f}" for N, mib in cells.items()},
        )
        mib = max(value for value in cells.values() if value is not None)
        report.claim(
            f"10-10-10-1, {verb}", "memory beyond the result", mib, "<= 16", "MiB a thread"
        )
    before, after, limit = map(float, child("-m", "bench.memory", "nets").split())
    cells = {"kept": f"{before:.1f} MiB", "after clear_cache()": f"{after:.1f} MiB"}
    cells["limit of the cache"] = f"{limit:.0f} MiB"
    report.row("Memory beyond the parameters of 200 nets, used and kept", "200 nets", {}, **cells)
    report.claim("200 nets", "memory after clear_cache()", after, "<= 4", "MiB")
    report.claim("200 nets", "memory before clear_cache()", before, f"<= {limit:.0f}", "MiB")


def peaks(lines):
    """{verb: MiB a thread}"""
    pairs = (line.split() for line in lines.splitlines())
    return {verb: int(extra) / MIB / THREADS for verb, extra in pairs}


def calls(net, X):
    """{verb: call}: results that are large are given, so that what is seen is what comes on top."""
    N, P = len(X), net.num_params
    random = np.random.default_rng(1)
    v, u, R = random.standard_normal(P), np.ones((N, 1)), np.ones((N, 1))
    y, dx, norms, S = np.ones((N, 1)), np.ones((N, 1, 10)), np.ones((N, 1)), np.ones((N, 1, 1))
    verbs = {
        "call": lambda: net(X, out=y),
        "input_jacobian": lambda: net.input_jacobian(X, out=dx),
        "jvp": lambda: net.jvp(X, v, out=y),
        "vjp": lambda: net.vjp(X, u),
        "row_norms_squared": lambda: net.row_norms_squared(X, out=norms),
        "ggn_diagonal": lambda: net.ggn_diagonal(X),
        "ggn": lambda: net.ggn(X),
        "normal_equations": lambda: net.normal_equations(X, R),
        "kfac": lambda: net.kfac(X),
        "covariance": lambda: net.covariance(X, 0.01, out=S),
    }
    if N <= GRAM_SAMPLES:
        K = np.ones((N, 1, N, 1))
        verbs["gram"] = lambda: net.gram(X, out=K)
    dense = np.ones((N, 1, P))
    verbs["jacobian_dense"] = lambda: net.jacobian_dense(X, out=dense)
    return verbs


def measure_verbs(N):
    """Print each verb and its bytes; every one begins without buffers of an earlier call."""
    net = dn.MLP([10, 10, 10, 1], seed=0)
    X = np.random.default_rng(0).standard_normal((N, 10))
    for call in calls(net, X[:100]).values():
        call()  # what is loaded once, BLAS's buffers among it
    for name, call in calls(net, X).items():
        dn.clear_cache()
        print(name, peak(call))


def measure_nets():
    """Print the MiB that 200 nets hold beyond their parameters, also after clear_cache(), and its limit."""
    random = np.random.default_rng(0)

    def use(net):
        X = random.standard_normal((512, net.sizes[0]))
        for call in (net, net.jacobian, net.input_jacobian, net.ggn_diagonal, net.kfac):
            call(X)
        net.jacobian_dense(X[:16])

    for sizes in NETS:
        use(dn.MLP(sizes, seed=0))
    dn.clear_cache()
    before, nets = resident(), []
    for i in range(200):
        nets.append(dn.MLP(NETS[i % len(NETS)], seed=i))
        use(nets[-1])
    params = sum(net.params.nbytes for net in nets)
    kept = resident() - before - params
    dn.clear_cache()
    after = resident() - before - params
    print(kept / MIB, after / MIB, dn.cache_info()["limit_bytes"] / MIB)


if __name__ == "__main__":
    if sys.argv[1] == "verbs":
        measure_verbs(int(sys.argv[2]))
    else:
        measure_nets()
