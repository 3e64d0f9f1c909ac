"""The same jobs as a user of JAX has them: a jitted formula, block by block, and `np.save` of each array."""

from functools import partial

import numpy as np

from bench import structured, structured_dense
from bench.long_table import INPUTS, SURROGATE, Job, turns
from bench.peers import Jax, jax

BLOCKS = 2**14, 2**16  # rows: whichever is faster
JOBS = {  # the formula, rows of the table, what dn.write is asked for
    "factors": (structured.jacobian, 2**20, {"form": "factors"}),
    "dense rows": (structured_dense.jacobian_dense, 2**17, {"form": "dense"}),
    "dy/dx": (structured.input_jacobian, 2**20, INPUTS),
}


def beside_jax(report, folder):
    for name, (formula, N, form) in JOBS.items():
        job, path = Job(SURROGATE, N, folder), folder / "ours.zarr"
        calls = {"deltanet": partial(job.write, path, **form)}
        for rows in BLOCKS:
            for way, (f, arrays) in ways(name, formula, job, rows).items():
                calls[f"{way}, {rows} rows"] = partial(saved, f, job.path, rows, folder / "jax")
                check(arrays, job, rows)
        times = turns(calls, [path, folder / "jax"])
        case = f"{job}, {name}"
        report.row("A job in blocks to disk, beside JAX and np.save of each array", case, times)
        best = min(seconds for way, seconds in times.items() if way != "deltanet")
        report.claim(case, "JAX's fastest way to ours", best / times["deltanet"], ">= 1")


def ways(name, formula, job, rows):
    """{way: (what a block is given to, its arrays of the first block)}; all give y too."""
    X = job.X[:rows]
    peer = Jax(job.net, X)
    way = peer.fastest(formula).way

    def factored(theta, x):
        found = formula(theta, x, *way)
        return found if name == "factors" else (structured.output(theta, x), found)

    calls = {"structured": factored}
    if name != "factors":
        by = 0 if name == "dense rows" else 1
        row = jax.jacrev(lambda theta, x: structured.output(theta, x[None])[0], argnums=by)
        both = jax.vmap(row, in_axes=(None, 0))
        calls["vmap(jacrev)"] = lambda theta, x: (structured.output(theta, x), both(theta, x))
    found = {}
    for key, f in calls.items():
        jitted = partial(jax.jit(f), peer.theta)
        found[key] = jitted, jax.tree.leaves(jitted(X))
    return found


def check(arrays, job, rows):
    """All arrays of the first block together have the norm of ours."""
    J = job.net.jacobian(job.X[:rows])
    kinds = {
        "factors": [J.outputs, *J.inputs[1:], *J.deltas[:-1]],
        "dense": [J.outputs, J.to_dense()],
        "inputs": [J.outputs, J.input_jacobian()],
    }
    norm = sum(float((np.asarray(a) ** 2).sum()) for a in arrays)
    norms = [sum(float((a**2).sum()) for a in kind) for kind in kinds.values()]
    if not np.isclose(norm, norms, rtol=1e-9).any():
        raise AssertionError(f"JAX's arrays have the norm {norm}; ours have one of {norms}")


def saved(f, path, rows, folder):
    """f of all blocks, each array in a file of its own."""
    folder.mkdir()
    X = np.load(path, mmap_mode="r")
    for start in range(0, len(X), rows):
        for i, array in enumerate(jax.tree.leaves(f(X[start : start + rows]))):
            np.save(folder / f"{start}-{i}.npy", np.asarray(array))
