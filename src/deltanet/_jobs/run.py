"""Tasks through an executor: some at a time, and what to do when a worker dies or the caller stops."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any

from deltanet import _limits
from deltanet._jobs.fold import Fold

WAIT_SECONDS = 0.5  # after which Windows hears Ctrl-C
LEAST_WINDOW, MOST_WINDOW = 16, 4096

Take = Callable[[int, Any], object]


def window(nbytes: int) -> int:
    """How many tasks may be under way, for so many bytes that travel with each."""
    return min(max(_limits.FLIGHT_BYTES // max(1, nbytes), LEAST_WINDOW), MOST_WINDOW)


class Run:
    """Some ranges on their way through an executor.

    Parameters
    ----------
    executor : object with `submit`, or None
        None: one range after the other, here.
    rows : list of (start, stop)
        Of the ranges, for the messages.
    retries : int
        How often a range is submitted again whose worker has died.
    window : int
        Results that may be awaited or wait for their turn.
    advice : str
        What to do after a worker has died.
    """

    def __init__(
        self,
        executor: Any,
        rows: list[tuple[int, int]],
        retries: int,
        window: int,
        advice: str,
    ) -> None:
        self.executor, self.rows, self.retries = executor, rows, retries
        self.window, self.advice = window, advice

    def go(
        self,
        function: Callable[[Any], Any],
        make: Callable[[int], Any],
        todo: Iterable[int],
        take: Take,
        fold: Fold | None,
    ) -> None:
        """function(make(index)) of each range; `take` is given the outcomes as they come, for a fold."""
        if self.executor is None:
            for index in todo:
                with self.naming(index):
                    outcome = function(make(index))
                take(index, outcome)
            return
        self.function, self.make = function, make
        self.flying: dict[int, Any] = {}
        self.tries: dict[int, int] = {}
        self.done: SimpleQueue[int] = SimpleQueue()
        taking, left = False, deque(todo)
        try:
            while left or self.flying:
                while left and (not self.flying or self.held(fold) < self.window):
                    self.submit(left.popleft())
                index = self.landed()
                landed = self.outcome(index)
                if landed is not None:
                    del self.flying[index]
                    taking = True
                    take(index, landed)
                    taking = False
        except BaseException:
            kept = fold is not None and fold.is_kept
            self.stop(take if kept and not taking else None)
            raise

    def held(self, fold: Fold | None) -> int:
        """Results that are awaited, or wait for their turn in memory."""
        return len(self.flying) + (fold.waiting() if fold else 0)

    def submit(self, index: int) -> None:
        try:
            future = self.executor.submit(self.function, self.make(index))
        except BrokenExecutor as error:
            raise self.died(index, error) from error
        self.flying[index] = future
        future.add_done_callback(lambda _: self.done.put(index))

    def landed(self) -> int:
        """The next range whose future is done."""
        while True:
            with suppress(Empty):
                return self.done.get(timeout=WAIT_SECONDS)

    def outcome(self, index: int) -> Any:
        """What the future of a range has, or None if it was submitted again."""
        try:
            with self.naming(index):
                return self.flying[index].result()
        except Exception as error:
            if not is_death(error):
                raise
            tries = self.tries[index] = self.tries.get(index, 0) + 1
            if tries > self.retries:
                raise self.died(index, error) from error
            self.submit(index)
            return None

    @contextmanager
    def naming(self, index: int) -> Iterator[None]:
        """An exception gets a note of which rows it is about."""
        try:
            yield
        except Exception as error:
            start, stop = self.rows[index]
            error.add_note(f"deltanet: in the rows {start}:{stop} of X")
            raise

    def died(self, index: int, error: Exception) -> RuntimeError:
        start, stop = self.rows[index]
        who, why = "a worker", f" ({type(error).__name__}: {error})"
        if isinstance(error, BrokenExecutor):
            why = ", and its executor takes no more work: make a new one"
        elif isinstance(error, CancelledError):  # by Dask's client, which says no more
            who, why = "the scheduler, or a worker,", ""
        return RuntimeError(
            f"{who} died while the rows {start}:{stop} of X were under way{why}; {self.advice}"
        )

    def stop(self, take: Take | None) -> None:
        """Cancel what has not begun, and take what is finished."""
        flying, self.flying = self.flying, {}
        for future in flying.values():
            future.cancel()
        for index, future in flying.items():
            if take and future.done() and not future.cancelled():
                if future.exception() is None:
                    with suppress(OSError):  # what has stopped the job is told, not this
                        take(index, future.result())


def is_death(error: Exception) -> bool:
    """Whether a task was lost with its worker, or with the scheduler: nothing else cancels a future here."""
    if isinstance(error, (BrokenExecutor, CancelledError)):
        return True
    kind = type(error)  # of Dask, which is not imported for this
    return kind.__name__ == "KilledWorker" and kind.__module__.partition(".")[0] == "distributed"
