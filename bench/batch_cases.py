"""Nets, tables, processes and clocks of the jobs in batch.py."""

import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

import deltanet as dn

ROUNDS = 3
SIZES = {
    "surrogate": [10, 20, 20, 1],
    "small": [10, 10, 10, 1],
    "8 MB": [10, 26, 26, 1],  # of J^T J
    "lm": [10, 50, 50, 1],
    "many inputs": [256, 512, 256, 8],
}
PIECE = 10**5  # rows of a table that are made at once


class Job:
    """A tanh net and a table of N rows in a file: its path for a job, and X, a map of it, for a plain call."""

    def __init__(self, name, N, folder):
        self.sizes, self.N, self.path = SIZES[name], N, folder / "X.npy"
        self.net = dn.MLP(self.sizes, activation="tanh", seed=0)
        table = np.lib.format.open_memmap(self.path, "w+", np.float64, (N, self.sizes[0]))
        for start in range(0, N, PIECE):
            part = table[start : start + PIECE]
            part[:] = np.random.default_rng(start).standard_normal(part.shape)

    def __str__(self):
        return f"{'-'.join(map(str, self.sizes))} [{self.N}]"

    @property
    def X(self):
        return np.load(self.path, mmap_mode="r")


def pool(workers):
    """Processes that are there, and have imported what they need."""
    executor = ProcessPoolExecutor(workers, get_context("spawn"))
    net, X = dn.MLP(SIZES["small"], seed=0), np.ones((2**17, SIZES["small"][0]))
    for _ in range(3):
        net.ggn(X, executor=executor)
    return executor


def turns(calls, rounds=ROUNDS):
    """{name: median seconds} of calls that take turns, each of them once before."""
    for call in calls.values():
        call()
    times = {name: [] for name in calls}
    for turn in range(rounds):
        names = list(calls)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.perf_counter()
            calls[name]()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in times.items()}
