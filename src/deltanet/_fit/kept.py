"""Where a fit is, in a folder: a fit that was stopped, at any moment, goes on from there.

::

    job.json   what is asked, hashes of the data, and of which machine the bits are
    fit.npz    theta, the best one, D, the numbers of the descent, the history; `ended`: why, if it has
    lock       see _jobs/locks.py

J^T J and g are not kept: they are computed again at theta, with the same bits.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from deltanet import _validate
from deltanet._config import __version__
from deltanet._fit.descent import Descent, Step
from deltanet._fit.problem import Problem
from deltanet._fit.samples import Samples
from deltanet._io._files import reading
from deltanet._jobs.checkpoint import FIT, claimed, read, write
from deltanet._mlp import MLP
from deltanet._tokens import token
from deltanet._types import Seed, Wrt

KEEP_SECONDS, KEEP_SHARE = 1.0, 0.01  # between two writes at least; of all time, for writes
VECTORS = "theta", "best", "shape"
NUMBERS = "loss best_loss first validation mu nu by_column fixed least lowest since".split()
LIMITS = "patience", "tol"  # that decide whether a fit has ended
NOT_AN_END = "max_iter", "seconds"  # more of these may be given


def asked(
    net: MLP,
    data: Samples,
    held: Samples | None,
    wrt: Wrt,
    validation: Any,
    seed: Seed,
    **more: Any,
) -> dict[str, Any]:
    """What must be the same in the fit that goes on."""
    share = None
    if held is not None and not isinstance(validation, (tuple, list)):
        share = float(validation)
    told = {
        "verb": "fit",
        "deltanet": __version__,
        "dtype": str(net.dtype),
        "net": net._token(),
        "wrt": None if wrt is None else net._keep(wrt).layers,
        "validation": "given" if held and share is None else share,
        "seed": None if share is None else _validate.repeatable(seed),
        **{name: token(x) if isinstance(x, np.ndarray) else x for name, x in more.items()},
    }
    told |= {f"hash of {name}": digest for name, digest in data.digests().items()}
    if held:
        told |= {f"hash of validation {name}": x for name, x in held.digests().items()}
    return told


class Kept:
    """The file of a descent."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FIT
        self.due = time.perf_counter() + KEEP_SECONDS

    def keep(self, descent: Descent) -> None:
        """Write, if it is time to."""
        now = time.perf_counter()
        if now >= self.due:
            self.write(descent, "")
            done = time.perf_counter()
            self.due = done + max(KEEP_SECONDS, (done - now) / KEEP_SHARE)

    def write(self, descent: Descent, ended: str) -> None:
        problem = descent.problem
        found = {name: getattr(descent, name) for name in (*VECTORS, *NUMBERS)}
        found |= {name: getattr(problem, name) for name in problem.memory}
        found |= {name: getattr(descent.limits, name) for name in LIMITS}
        found |= {"seconds": time.perf_counter() - descent.began, "ended": ended}
        found["history"] = np.array(descent.history, float).reshape(-1, len(Step._fields))
        write(self.path, **{name: np.asarray(value) for name, value in found.items()})

    def restore(self, descent: Descent) -> bool:
        """Whether there was something to go on from: the descent is there then."""
        if not self.path.exists():
            return False
        problem, limits, P = descent.problem, descent.limits, descent.params.shape
        single = (*NUMBERS, *problem.memory, *LIMITS, "seconds", "ended")
        found: dict[str, Any] = read(
            self.path, {"theta": P, "best": P, **dict.fromkeys(single, ())}
        )
        with reading(self.path):
            np.broadcast_to(found["shape"], P)  # D is a number, or one a column
            descent.history = [Step(*row) for row in found["history"].tolist()]
        found = {name: x if x.ndim else x.item() for name, x in found.items()}
        for name in (*VECTORS, *NUMBERS):
            setattr(descent, name, found[name])
        for name in problem.memory:
            setattr(problem, name, found[name])
        descent.began -= found["seconds"]
        same = all(found[name] == getattr(limits, name) for name in LIMITS)
        if same and found["ended"] not in NOT_AN_END:
            descent.ended = found["ended"] or None
        return True


@contextmanager
def opened(path: str | os.PathLike[str], told: dict[str, Any], problem: Problem) -> Iterator[Kept]:
    """The checkpoint of a fit: see `claimed`."""
    solver = "direct" if problem.side else "cg"  # which "auto" has taken
    with claimed(path, {**told, "solver": solver}) as (folder, _):
        yield Kept(folder)
