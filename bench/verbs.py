"""Nine verbs from X on, beside the same formula jitted in JAX and beside their floors."""

import numpy as np

from bench import arithmetic, structured
from bench.cases import Case
from bench.peers import Jax, jax
from bench.rates import Rates
from bench.timing import mixed, rotate

VERBS = {
    "row_norms_squared": "row norms",
    "ggn_diagonal": "diagonal of J^T J",
    "kfac": "Kronecker factors",
    "gram": "Gram matrix",
    "covariance": "covariance",
    "jacobian": "factors",
    "vjp": "J^T u",
    "jvp": "J v",
    "input_jacobian": "dy/dx",
}
FASTER = {"small": 2.0, "deep": 1.5, "lm": 1.15, "wide": 1.0}
MORE = {("deep", "gram"): 3.5, ("lm", "ggn_diagonal"): 1.3, ("lm", "kfac"): 1.3}
TO_FLOOR, TO_OWN_LOOP = "<= 1.4", "<= 1.2"


class Verb:
    """One verb of one case: deltanet's call, and the arguments of the peer's."""

    def __init__(self, case, name):
        self.case, self.name, self.peer_arguments = case, name, ()
        arguments = (case.X,)
        if name == "covariance":
            arguments += (0.01,)
        elif name == "vjp":
            u = case.normal(case.N, case.shape[1])
            arguments, self.peer_arguments = (case.X, u), (u,)
        elif name == "jvp":
            v = case.normal(case.shape[2])
            arguments, self.peer_arguments = (case.X, v), (v,)
        method = getattr(case.net, name)
        self.ours = lambda: method(*arguments)

    def peer(self):
        """JAX's call, in the formulation that is fastest here, each checked against ours."""
        jax_net = Jax(self.case.net, self.case.X)
        arguments = self.peer_arguments
        if self.name == "jvp":
            arguments = (jax_net.blocks(arguments[0]),)
        expected = leaves(self.ours())
        formula = getattr(structured, self.name)
        return jax_net.fastest(formula, *arguments, check=lambda theirs: close(theirs, expected))


def leaves(result):
    """The arrays of a result: of factors y, the hidden h and the hidden deltas."""
    if hasattr(result, "deltas"):
        result = result.outputs, *result.inputs[1:], *result.deltas[:-1]
    if hasattr(result, "shape"):
        return [np.asarray(result)]
    return [array for part in result for array in leaves(part)]


def close(theirs, expected):
    """Raise where a result differs; a tree of blocks may stand for one vector."""
    theirs = leaves(theirs)
    if len(theirs) > len(expected) == 1:
        theirs = [np.concatenate([array.ravel() for array in theirs])]
    for a, b in zip(theirs, expected, strict=True):
        limit = (1e-10 if b.dtype == np.float64 else 1e-3) * np.abs(b).max()
        np.testing.assert_allclose(a, b, rtol=0, atol=limit)


def verbs(report, seconds):
    rates = {}
    for name, bound in FASTER.items():
        case = Case(name)
        case.check(case.net.jacobian_dense(case.X))
        if case.dtype in rates:
            rates[case.dtype].update()
        else:
            rates[case.dtype] = Rates(case.dtype)
        for verb in VERBS:
            if (name, verb) != ("lm", "gram"):
                measure(report, case, verb, bound, rates[case.dtype], seconds)
    for dtype, rate in rates.items():
        report.row("Rates that the floors are made of", dtype, {}, **rate.row())


def measure(report, case, name, bound, rates, seconds):
    verb = Verb(case, name)
    calls = {"deltanet": verb.ours}
    if jax:
        calls["JAX"] = verb.peer()
    times = rotate(calls, rounds=max(3, round(seconds / 0.6)))
    other = case.net.jvp if name != "jvp" else case.net.vjp
    argument = case.normal(*(case.shape[2:] if name != "jvp" else case.shape[:2]))
    between = mixed(calls, lambda: other(case.X, argument))
    parts = arithmetic.floor(name, case, rates)
    floor = sum(parts.values())
    ours, theirs = times["deltanet"], times.get("JAX")
    report.row(
        f"{case}: from X on",
        VERBS[name],
        times | {"floor": floor} | {f"{n}, mixed": t for n, t in between.items()},
        **{
            "JAX / deltanet": "-" if theirs is None else f"{theirs / ours:.2f}",
            "deltanet / floor": f"{ours / floor:.2f}",
            "products : activations : result": " : ".join(
                f"{100 * t / floor:.0f}" for t in parts.values()
            ),
            "JAX's fastest way": "-" if theirs is None else way(calls["JAX"].way),
        },
    )
    label = f"{case}, {VERBS[name]}"
    bound = MORE.get((case.name, name), bound)
    faster = None if theirs is None else theirs / ours
    report.claim(label, "structured JAX to it", faster, f">= {bound}")
    report.claim(label, "it to its floor", ours / floor, TO_FLOOR)
    report.claim(label, "mixed to its own loop", between["deltanet"] / ours, TO_OWN_LOOP)


def way(chosen):
    layout, variant = chosen
    return f"{layout}, {variant + 1}"
