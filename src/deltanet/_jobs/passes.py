"""Passes over all rows: the same ranges and the same workers for one sum, or for the many of a fit."""

import secrets
from collections.abc import Callable, Collection, Sequence
from itertools import count
from typing import Any

from deltanet._jobs.checkpoint import Checkpoint, table
from deltanet._jobs.fold import Fold
from deltanet._jobs.run import Run, Take, window
from deltanet._jobs.work import Outcome, Sum, Task, hashed, summed
from deltanet._rows import Rows
from deltanet._tokens import digest
from deltanet._types import Report

Cuts = list[tuple[int, int]]


def checked(executor: Any) -> Any:
    """An executor, or None."""
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(
            "executor must have submit(function, *args), which returns a future, like those of "
            f"concurrent.futures or Dask's client.get_executor(); got {executor!r}"
        )
    return executor


class Passes:
    """Rows cut into ranges, and who works on them.

    Parameters
    ----------
    executor : object with `submit`, or None
    given : dict of Rows
        X and the arrays that go along with it.
    cuts : list of (start, stop)
    threads : int or None
        Of a worker: None is one, and all of this process without an executor.
    retries : int
    advice : str
        What to do after a worker has died.
    """

    def __init__(
        self,
        executor: Any,
        given: dict[str, Rows],
        cuts: Cuts,
        threads: int | None,
        retries: int,
        advice: str,
    ) -> None:
        self.executor, self.given, self.cuts = executor, given, cuts
        self.threads = 1 if executor is not None and threads is None else threads
        self.retries, self.advice = retries, advice
        self.job, self.number = secrets.token_hex(4), count()

    def run(
        self,
        function: Callable[[Task], Outcome],
        what: Sum,
        todo: Sequence[int],
        take: Take,
        fold: Fold | None = None,
        hashes: bool = False,
    ) -> None:
        """function(task) of some ranges, whose outcomes `take` is given."""

        def make(index: int) -> Task:
            start, stop = self.cuts[index]
            some = {name: each.some(start, stop) for name, each in self.given.items()}
            label = f"{self.job}-{next(self.number)}"
            return Task(what, some, start, self.threads, hashes, label)

        size = max(1, what.numbers) * what.net.dtype.itemsize
        what.stopped = False
        try:
            run = Run(self.executor, self.cuts, self.retries, window(size), self.advice)
            run.go(function, make, todo, take, fold)
        finally:
            what.stopped = True  # for threads that are still at work, after an error

    def compare(self, what: Sum, finished: Sequence[int], kept: Checkpoint) -> None:
        """Refuse a checkpoint whose finished ranges had other data."""

        def take(index: int, outcome: Outcome) -> None:
            start, stop = self.cuts[index]
            kept.compare(self.given, index, outcome[1], f"{start}:{stop}")

        self.run(hashed, what, finished, take, hashes=True)

    def digests(self, what: Sum) -> dict[str, str]:
        """A hash of each array: that of the hashes of its ranges."""
        found: dict[int, list[bytes]] = {}

        def take(index: int, outcome: Outcome) -> None:
            found[index] = outcome[1]

        self.run(hashed, what, range(len(self.cuts)), take, hashes=True)
        hashes = table([found[index] for index in sorted(found)])
        return {each.name: digest(hashes[:, k]) for k, each in enumerate(self.given.values())}

    def add_up(
        self, what: Sum, fold: Fold, finished: Collection[int] = (), report: Report = None
    ) -> None:
        """The ranges that are not finished, into a fold."""
        done = sum(stop - start for start, stop in map(self.cuts.__getitem__, finished))

        def take(index: int, outcome: Outcome) -> None:
            nonlocal done
            fold.take(index, *outcome)
            start, stop = self.cuts[index]
            done += stop - start
            if report:
                report(done)

        rest = [index for index in range(len(self.cuts)) if index not in finished]
        self.run(summed, what, rest, take, fold, fold.is_kept)
