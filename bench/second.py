"""Second derivatives, beside JAX's own and beside the structured formula jitted in JAX."""

from bench import structured_second
from bench.cases import Case
from bench.dense import over
from bench.peers import Jax, jax
from bench.report import duration
from bench.timing import rotate
from bench.verbs import close, leaves

HESSIANS, PRODUCTS = ("tiny", "small", "deep"), {"small": ">= 1.5", "lm": ">= 1.1"}


def second(report, seconds):
    rounds = max(3, round(seconds / 0.6))
    for name in HESSIANS:
        case = Case(name)
        times = timed(case, case.net.input_hessian, rounds, ("usual_hessian", "input_hessian"))
        tell(report, case, "d2y/dx dx", times, {"usual_hessian": ">= 3", "input_hessian": ">= 1.5"})
    for name, bound in PRODUCTS.items():
        case = Case(name)
        u, v = case.normal(case.N, case.shape[1]), case.normal(case.shape[2])
        times = timed(case, case.net.hvp, rounds, ("hvp",), u, v)
        tell(report, case, "Hessian in theta times v", times, {"hvp": bound})


def timed(case, verb, rounds, formulas, *arguments):
    """{name: seconds}, of ours and of each peer, checked against ours."""
    calls = {"deltanet": lambda: verb(case.X, *arguments)}
    expected = leaves(calls["deltanet"]())
    if jax:
        peer = Jax(case.net, case.X)
        theirs = (arguments[0], peer.blocks(arguments[1])) if arguments else ()
        for name in formulas:
            calls[name] = peer.fastest(
                getattr(structured_second, name),
                *theirs,
                check=lambda found: close(found, expected),
            )
    return rotate(calls, rounds=rounds)


def tell(report, case, what, times, bounds):
    ratios = {name: over(times.get(name), times["deltanet"]) for name in bounds}
    report.row(
        "Second derivatives, from X on",
        f"{case}, {what}",
        times,
        **{f"{name} / deltanet": "-" if r is None else f"{r:.2f}" for name, r in ratios.items()},
    )
    for name, bound in bounds.items():
        report.claim(f"{case}, {what}", f"JAX's {name} to it", ratios[name], bound)
    print(f"{case} {what}: {duration(times['deltanet'])}")
