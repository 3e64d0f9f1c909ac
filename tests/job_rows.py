"""What the tests of jobs need in other processes: rows that misbehave, and programs that are killed."""

import math
import os
import sys
import time
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np

import deltanet as dn

N, ROWS = 3200, 100  # 32 ranges


def table():
    """Any numbers: the k-th row is the same in every process."""
    return np.sin(np.arange(N * 4.0)).reshape(N, 4)


def net():
    return dn.MLP([4, 6, 2], seed=0)


class Here:
    """The least that an executor is: it computes at once."""

    def __init__(self):
        self.count = 0

    def submit(self, function, *args):
        self.count += 1
        future = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future


class Dying(Here):
    """A worker of it dies at the k-th task, and another one takes its place."""

    def __init__(self, k, times):
        super().__init__()
        self.deaths = range(k, k + times)

    def submit(self, function, *args):
        if self.count not in self.deaths:
            return super().submit(function, *args)
        self.count += 1
        future = Future()
        future.set_exception(BrokenExecutor("gone"))
        return future


class Rows:
    """The table as rows that are read from nowhere."""

    shape, dtype = (N, 4), np.dtype(np.float64)

    def __getitem__(self, part):
        return table()[part]


class Killing(Rows):
    """A reader of this row dies, as long as there are lives left in a folder."""

    def __init__(self, row, lives):
        self.row, self.lives = row, Path(lives)

    def __getitem__(self, part):
        if part.start <= self.row < part.stop:
            for life in self.lives.iterdir():
                life.unlink()
                os._exit(1)
        return super().__getitem__(part)


class Failing(Rows):
    """Reading this row is an error, as long as a file is there."""

    def __init__(self, row, file):
        self.row, self.file = row, file

    def __getitem__(self, part):
        if part.start <= self.row < part.stop and os.path.exists(self.file):
            raise OSError("the disk has gone")
        return super().__getitem__(part)


def pause(*_):
    time.sleep(0.02)


class Slow(Rows):
    """Rows that take their time."""

    def __getitem__(self, part):
        pause()
        return super().__getitem__(part)


EXECUTORS = {
    "here": lambda: None,
    "threads": lambda: ThreadPoolExecutor(2),
    "processes": lambda: ProcessPoolExecutor(2),
}


def small_ranges():
    """Ranges of few rows, so that few rows make many."""
    from deltanet._jobs import ranges

    ranges.LEAST_ROWS, ranges.RANGE_WORK = ROWS, 1


def fitted(**how):
    """A fit of a part of the table, of 30 steps."""
    X = table()[:400]
    return dn.fit(net(), X, np.sin(9 * X[:, :2]), max_iter=30, **how)


def kept_each_step():
    """A checkpoint of a fit is written after each step."""
    from deltanet._fit import kept

    kept.KEEP_SECONDS, kept.KEEP_SHARE = 0, math.inf


def main(checkpoint, kind, verb="ggn"):
    """A job that prints the rows, or the steps, that are done, to be killed."""
    small_ranges()
    executor = EXECUTORS[kind]()

    def tell(done, total):
        print(done, flush=True)

    tell(0, N)
    if verb == "fit":
        kept_each_step()
        fitted(executor=executor, checkpoint=checkpoint, progress=tell, callback=pause)
        return
    result = net().ggn(Slow(), executor=executor, checkpoint=checkpoint, progress=tell)
    np.save(f"{checkpoint}.npy", result)


if __name__ == "__main__":
    main(*sys.argv[1:])
