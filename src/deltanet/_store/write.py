"""dn.write: the way of the blocks into a store, through an executor or two threads of this process."""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, SupportsIndex

from deltanet import _limits, _validate
from deltanet._jobs.checkpoint import same_machine
from deltanet._jobs.identity import environment
from deltanet._jobs.run import Run, checked
from deltanet._jobs.spill import spilled
from deltanet._progress import reporting
from deltanet._rows import Rows
from deltanet._store import hold, tasks
from deltanet._store.layout import done_key
from deltanet._store.plan import Plan, check_room
from deltanet._store.read import Stored, finished
from deltanet._types import Progress, Report

if TYPE_CHECKING:
    from deltanet._mlp import MLP

OVERLAPPED = (
    2  # tasks at a time without an executor: one block is written while another is computed
)
LEAST_WINDOW, MOST_WINDOW = 16, 4096  # tasks in flight
ADVICE = {True: "give resume=True, and the job goes on from the blocks that are finished"}


def write(
    path: str | os.PathLike[str],
    net: "MLP",
    X: Any,
    *,
    form: Literal["factors", "dense", "outputs"] = "factors",
    wrt: Literal["params", "inputs"] = "params",
    rows: SupportsIndex | None = None,
    executor: Any = None,
    resume: bool = False,
    part: tuple[int, int] | None = None,
    retries: int = 0,
    threads: int | None = None,
    progress: Progress = None,
) -> None:
    """DOC"""
    plan, mine = Plan(path, net, X, form, wrt, rows), hold.checked(part)
    joins = _validate.flag(resume, "resume") or part is not None
    if checked(executor) is not None and threads is None:
        threads = 1  # one level of parallelism: the executor's workers
    how = How(executor, _validate.whole(retries, "retries", 0), _validate.count(threads))
    stored = plan.store(mine, joins)
    blocks = hold.blocks_of(mine, stored.layout.blocks)
    samples = range(stored.layout.samples)[blocks.start * stored.layout.rows :]
    samples = samples[: len(blocks) * stored.layout.rows]
    with (
        hold.held(stored.place, mine, stored.layout.blocks),
        reporting(progress, len(samples)) as report,
        spilled(executor, {"X": plan.X}) as travelling,
    ):
        Job(stored, travelling["X"], how, report).go(blocks)


class How(NamedTuple):
    """The way of the tasks."""

    executor: Any
    retries: int
    threads: int | None


class Job:
    """Some blocks of a store: which are finished, which are to be written."""

    def __init__(self, stored: Stored, X: Rows, how: How, report: Report) -> None:
        self.stored, self.X, self.how, self.report = stored, X, how, report
        self.layout, self.name, self.done = stored.layout, secrets.token_hex(4), 0
        self.machines = [environment()]

    def go(self, blocks: range) -> None:
        """Compare the finished blocks with X, then write the others."""
        there = set(finished(self.stored.place, blocks))
        executor = self.how.executor
        with ThreadPoolExecutor(OVERLAPPED) if executor is None else nullcontext(executor) as pool:
            there -= self.compared(pool, there)
            rest = [block for block in blocks if block not in there]
            check_room(self.stored.place, self.layout, len(rest))
            self.count(there)
            self.run(pool, tasks.written, rest, self.written)

    def compared(self, pool: Any, there: Iterable[int]) -> set[int]:
        """Refuse another X than that of the finished blocks; returns those that must be written again."""
        wrong: dict[int, str] = {}
        self.run(pool, tasks.compared, sorted(there), lambda _, found: wrong.update(found))
        for block in sorted(wrong):
            if wrong[block] == tasks.OTHER:
                span = self.layout.span(block)
                raise ValueError(
                    f"store {self.stored.place.name!r} is that of another X: its rows "
                    f"{span.start}:{span.stop} are others; give the X of before, or another path"
                )
        for block in wrong:
            self.stored.place.delete(done_key(block))
        return set(wrong)

    def written(self, blocks: range, machine: dict[str, str]) -> None:
        """A task is done, on this kind of machine."""
        self.count(blocks)
        if machine not in self.machines:
            self.machines.append(machine)
            same_machine(f"store {self.stored.place.name!r}", self.machines[0], machine)

    def count(self, blocks: Iterable[int]) -> None:
        """Tell how many samples are done."""
        spans = map(self.layout.span, blocks)
        self.done += sum(span.stop - span.start for span in spans)
        if self.report:
            self.report(self.done)

    def run(
        self,
        pool: Any,
        function: Callable[[tasks.Task], Any],
        blocks: Iterable[int],
        take: Callable[[range, Any], object],
    ) -> None:
        """function(task) for all blocks, some that follow each other in a task."""
        layout, how = self.layout, self.how
        x_bytes = self.X.dtype.itemsize * layout.rows * layout.sizes[0]
        most = max(1, _limits.TASK_BYTES // (layout.block_bytes + x_bytes))
        groups = list(grouped(blocks, most))
        spans = [(layout.span(g.start).start, layout.span(g.stop - 1).stop) for g in groups]
        window = _limits.FLIGHT_BYTES // (x_bytes * most) if self.X.is_in_memory else MOST_WINDOW
        window = min(max(window, LEAST_WINDOW), MOST_WINDOW)

        def make(index: int, attempt: int) -> tasks.Task:
            group, rows = groups[index], self.X.some(*spans[index])
            place, net = self.stored.place.name, self.stored.about["net"]
            threads, job = how.threads, self.name
            return tasks.Task(place, net, group.start, group.stop, rows, threads, job, attempt)

        Run(pool, spans, how.retries, window, True, ADVICE).go(
            function, make, range(len(groups)), lambda index, found: take(groups[index], found)
        )


def grouped(blocks: Iterable[int], most: int) -> Iterator[range]:
    """Blocks that follow each other, at most so many at once.

    Examples
    --------
    >>> list(grouped([0, 1, 2, 5, 6], 2))
    [range(0, 2), range(2, 3), range(5, 7)]
    """
    start = stop = -1
    for block in blocks:
        if block != stop or stop - start == most:
            if stop > start:
                yield range(start, stop)
            start = stop = block
        stop += 1
    if stop > start:
        yield range(start, stop)
