"""Tasks through an executor: some at a time, and what to do when a worker dies or the caller stops."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

WAIT_SECONDS = 0.5  # after which Windows hears Ctrl-C
ADVICE = {
    True: "give the same checkpoint= again, and the job goes on from the ranges that are finished",
    False: "with checkpoint= a job goes on from the ranges that are finished",
}

Make = Callable[[int, int], Any]  # a task, of a range's index, and which try it is
Take = Callable[[int, Any], object]


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
    kept : bool
        Whether what is finished is kept when the job ends early.
    advice : dict of bool to str
        What to do about a worker that died, where it is kept and where not.
    """

    def __init__(
        self,
        executor: Any,
        rows: list[tuple[int, int]],
        retries: int,
        window: int,
        kept: bool,
        advice: Mapping[bool, str] = ADVICE,
    ) -> None:
        self.executor, self.rows, self.retries = executor, rows, retries
        self.window, self.kept, self.advice = window, kept, advice

    def go(
        self,
        function: Callable[[Any], Any],
        make: Make,
        todo: Iterable[int],
        take: Take,
        waiting: Callable[[], int] = lambda: 0,
    ) -> None:
        """function(make(index, ...)) of each range; `take` is given the outcomes as they come."""
        if self.executor is None:
            for index in todo:
                take(index, self.named(index, function, make(index, 0)))
            return
        self.function, self.make = function, make
        self.flying: dict[int, Any] = {}
        self.tries: dict[int, int] = {}
        self.done: SimpleQueue[int] = SimpleQueue()
        taking, left = False, deque(todo)
        try:
            while left or self.flying:
                while left and (not self.flying or len(self.flying) + waiting() < self.window):
                    self.submit(left.popleft())
                index = self.landed()
                outcome = self.outcome(index)
                if outcome is not None:
                    del self.flying[index]
                    taking = True
                    take(index, outcome)
                    taking = False
        except BaseException:
            self.stop(None if taking else take)
            raise

    def submit(self, index: int) -> None:
        task = self.make(index, self.tries.setdefault(index, 0))
        future = self.executor.submit(self.function, task)
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
            return self.named(index, lambda _: self.flying[index].result(), None)
        except Exception as error:
            if not is_death(error):
                raise
            self.tries[index] += 1
            if self.tries[index] > self.retries:
                raise self.died(index, error) from error
            try:
                self.submit(index)
            except BrokenExecutor as broken:
                raise self.died(index, broken) from error
            return None

    def named(self, index: int, function: Callable[[Any], Any], task: Any) -> Any:
        """function(task); an exception gets a note of which rows it is about."""
        try:
            return function(task)
        except Exception as error:
            start, stop = self.rows[index]
            error.add_note(f"deltanet: in the rows {start}:{stop} of X")
            raise

    def died(self, index: int, error: Exception) -> RuntimeError:
        start, stop = self.rows[index]
        text = f"a worker died while the rows {start}:{stop} of X were under way"
        if isinstance(error, BrokenExecutor):
            text += ", and its executor takes no more work: make a new one"
        else:
            text += f" ({type(error).__name__}: {error})"
        return RuntimeError(f"{text}; {self.advice[self.kept]}")

    def stop(self, take: Take | None) -> None:
        """Cancel what has not begun, and take what is finished."""
        flying, self.flying = self.flying, {}
        for future in flying.values():
            future.cancel()
        for index, future in flying.items():
            if take and self.kept and future.done() and not future.cancelled():
                if future.exception() is None:
                    with suppress(OSError):  # what has stopped the job is told, not this
                        take(index, future.result())


def checked(executor: Any) -> Any:
    """An executor, or None."""
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(
            "executor must have submit(function, *args), which returns a future, like those of "
            f"concurrent.futures or Dask's client.get_executor(); got {executor!r}"
        )
    return executor


def is_death(error: Exception) -> bool:
    """Whether a task was lost with its worker, or with the scheduler: nothing else cancels a future here."""
    if isinstance(error, (BrokenExecutor, CancelledError)):
        return True
    kind = type(error)  # of Dask, which is not imported for this
    return kind.__name__ == "KilledWorker" and kind.__module__.partition(".")[0] == "distributed"
