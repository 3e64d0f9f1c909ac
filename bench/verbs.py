"""What is computed from the factors: Gram matrix, norms, diagonals, products, a step of a fit."""

import numpy as np

from bench import floor, ntk, peers
from bench.cases import Case
from bench.dense import best, over
from bench.timing import interleave


def gram(report, seconds):
    """`gram(out=)` given J, and from X on, beside neural-tangents and torch's dense Jacobian contracted."""
    for name, N, bound in (("small", 256, 4), ("deep", 64, 4), ("wide", 64, 1.5)):
        case = Case(name, N)
        J = case.net.jacobian(case.X)
        K = J.gram()
        rows = K.reshape(N * case.shape[1], -1)
        check_gram(case, J, rows)
        calls = {
            "syrk floor": floor.gram(case.net, N),
            "T1": lambda J=J, K=K: J.gram(out=K, threads=1),
            "default": lambda J=J, K=K: J.gram(out=K),
            "from X": lambda c=case: c.net.jacobian(c.X).gram(),
        }
        if peers.torch is not None:
            calls["torch"] = peers.Torch(case).gram()
            close(calls["torch"]().numpy(), rows)
        try:
            calls["neural-tangents"] = ntk.Peer(case)
            close(calls["neural-tangents"]().reshape(rows.shape), rows)
        except FileNotFoundError as error:
            print(error)
        times = interleave(calls, seconds)
        report.row("Gram matrix", case, times)
        if "neural-tangents" in calls:
            calls["neural-tangents"].close()
        ratio = over(times.get("neural-tangents"), times["from X"])
        report.claim(case, "neural-tangents to jacobian and gram", ratio, f">= {bound}")
        report.claim(
            case, "gram to its syrk shapes", times["default"] / times["syrk floor"], "<= 1.6"
        )


def check_gram(case, J, rows):
    """K u = J (J^T u), of which the right side is a complex step along J^T u."""
    u = case.normal(case.N, case.shape[1])
    expected = case.directional(J.rmatvec(u).astype(float))
    limit = (1e-10 if case.dtype == "float64" else 1e-3) * np.abs(expected).max()
    np.testing.assert_allclose((rows @ u.ravel()).reshape(u.shape), expected, rtol=0, atol=limit)


def close(a, b):
    limit = (1e-10 if b.dtype == np.float64 else 1e-3) * np.abs(b).max()
    np.testing.assert_allclose(np.asarray(a), b, rtol=0, atol=limit)


def norms(report, seconds):
    """`row_norms_squared` and `ggn_diagonal`, from X on for everybody."""
    for verb in ("row_norms_squared", "ggn_diagonal"):
        for name, N, bound in (("small", 256, 4), ("wide", 64, 100)):
            case = Case(name, N)
            calls = {"deltanet": lambda c=case, v=verb: getattr(c.net.jacobian(c.X), v)()}
            for peer in peers.frameworks(case):
                calls[peer.name] = getattr(peer, verb)()
                theirs = calls[peer.name]()
                if verb == "ggn_diagonal":
                    theirs = np.concatenate([np.ravel(D) for pair in theirs for D in pair])
                close(np.asarray(theirs), calls["deltanet"]())
            times = interleave(calls, seconds)
            report.row(f"`{verb}`, from X on", case, times)
            report.claim(
                case,
                f"best of torch and JAX to {verb}",
                over(best(times), times["deltanet"]),
                f">= {bound}",
            )


def products(report, seconds):
    """J v and J^T u given J, beside JAX's compiled jvp and vjp."""
    if peers.jax is None:
        return
    for name in ("small", "deep"):
        case = Case(name)
        v, u = case.normal(case.shape[-1]), case.normal(*case.shape[:2])
        J, peer = case.net.jacobian(case.X), peers.Jax(case)
        calls = {
            "J @ v": lambda J=J, v=v: J @ v,
            "JAX jvp": peer.jvp(v),
            "J.T @ u": lambda J=J, u=u: J.T @ u,
            "JAX vjp": peer.vjp(u),
        }
        close(calls["JAX jvp"](), J @ v)
        close(
            np.concatenate([np.ravel(D) for pair in calls["JAX vjp"]()[0] for D in pair]), J.T @ u
        )
        times = interleave(calls, seconds)
        report.row("Products, given J", case, times)
        report.claim(case, "JAX's jvp to J @ v", times["JAX jvp"] / times["J @ v"], ">= 1.5")
        report.claim(case, "JAX's vjp to J.T @ u", times["JAX vjp"] / times["J.T @ u"], ">= 1.5")
