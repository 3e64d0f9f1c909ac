"""Tables in files, the stores that are made of them, and the clock for calls that take long."""

import shutil
import statistics
import time

import numpy as np

import deltanet as dn

ROUNDS = 3
SURROGATE = [10, 20, 20, 1]
INPUTS = {"form": "dense", "wrt": "inputs"}
PIECE = 10**5  # rows of a table that are made at once


class Job:
    """A tanh net and N rows in a file: its path for a job, and X, a map of it, for a plain call."""

    def __init__(self, sizes, N, folder):
        self.sizes, self.N, self.path = sizes, N, folder / "X.npy"
        self.net = dn.MLP(sizes, activation="tanh", seed=0)
        table = np.lib.format.open_memmap(self.path, "w+", np.float64, (N, sizes[0]))
        for start in range(0, N, PIECE):
            part = table[start : start + PIECE]
            part[:] = np.random.default_rng(start).standard_normal(part.shape)

    def __str__(self):
        return f"{'-'.join(map(str, self.sizes))} [{self.N}]"

    @property
    def X(self):
        return np.load(self.path, mmap_mode="r")

    def write(self, path, **how):
        dn.write(path, self.net, self.path, **how)


def turns(calls, made=(), rounds=ROUNDS):
    """{name: median seconds} of long calls that take turns, each of them once before.

    The clock does not run while what was `made` (folders, files) by the call before is removed.
    """
    for call in calls.values():
        remove(made)
        call()
    times = {name: [] for name in calls}
    for turn in range(rounds):
        names = list(calls)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            remove(made)
            start = time.perf_counter()
            calls[name]()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in times.items()}


def remove(made):
    for path in made:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
