"""dn.write: the way of the blocks into a store, through an executor or the threads of this process."""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, SupportsIndex

from deltanet import _limits, _parallel, _validate
from deltanet._jobs.checkpoint import same_machine
from deltanet._jobs.identity import environment
from deltanet._jobs.passes import checked
from deltanet._jobs.run import Run, window
from deltanet._jobs.spill import spilled
from deltanet._progress import reporting
from deltanet._rows import Rows
from deltanet._store import hold, tasks
from deltanet._store.layout import DONE, done_key
from deltanet._store.place import Place
from deltanet._store.plan import Plan, check_room
from deltanet._store.read import Stored, finished
from deltanet._types import Progress, Report

if TYPE_CHECKING:
    from deltanet._mlp import MLP

LEAST_TASKS = 64  # that blocks are not put together below
ADVICE = "give resume=True, and the job goes on from the blocks that are finished"


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
    """Write outputs and derivatives at all rows of X to a Zarr store, by a job that can be resumed.

    ::

        factors    outputs (N, m), delta0 (N, m, n_1), input0 (N, n_0), delta1, input1, ...
        dense      outputs (N, m), jacobian (N, m, P), or (N, m, n_0) for wrt="inputs"
        outputs    outputs (N, m)

    The samples are cut into blocks. A block that is finished is never lost, and never computed again:
    whatever ends the job, ``resume=True`` goes on with the blocks that are not.

    Parameters
    ----------
    path : str or os.PathLike
        A new folder, by custom with the ending .zarr, or a URL that fsspec knows, as ``s3://bucket/run.zarr``
        (extra: remote). The folder around it must exist.
    net : MLP
        Copied into the store. Registered activations are refused, as by `save`.
    X : (N, n_0) array_like, or path, or list of paths
        An array of NumPy, Zarr or Dask, a memory map, or files (.npy, .npz, .csv, .parquet, .arrow) whose
        rows follow each other. It is read a block at a time, by those who compute.
    form : {"factors", "dense", "outputs"}
        What is kept: see above. See `Jacobian` for the factors.
    wrt : {"params", "inputs"}
        What the derivatives of a dense store are by.
    rows : int, optional
        Samples of a block. By default a block has 32 to 64 MiB, its rows of X included; if the store is
        there, its number.
    executor : object with `submit`, optional
        Its workers compute and write the blocks: a ``concurrent.futures`` executor, or Dask's
        ``client.get_executor()``. All of them must reach `path`. By default threads of this process
        do it, each of them a block.
    resume : bool
        Whether a store of the same job may be at `path`: it is completed. If there is none, it is begun.
    part : (int, int), optional
        (i, n): write the i-th of n parts only, i from 0 to n - 1, for array jobs. The first of the jobs
        makes the store and the others join it, whichever comes first. A part that was begun before is
        completed, also without `resume`: a queue may run the same command again.
    retries : int
        How often a task is given to the executor again whose worker has died.
    threads : int, optional
        See `set_num_threads`; 1 with an executor.
    progress : callable or bool, optional
        Called with (samples done, samples of the part); True for a bar (extra: cli).

    Raises
    ------
    ValueError, TypeError
        If an argument breaks one of these rules, or the store at `path` is that of another job: of another
        net, X, form, `wrt`, `rows`, dtype, or version of deltanet. Nothing is written then.
    FileExistsError
        If there is something at `path` and neither `resume` nor `part` is given.
    BlockingIOError
        If another job writes the same part, or one that overlaps it.
    OSError
        If the disk is full, or something cannot be read or written. What is finished is kept.
    RuntimeError
        If a worker died, and `retries` did not help. What is finished is kept.
    ImportError
        If Zarr is not installed (extra: zarr), or fsspec for a URL (extra: remote).

    Warns
    -----
    RuntimeWarning
        If a part is computed with other vector instructions or another BLAS than those with which the store
        was begun: its last bits may be others. If the file system has no locks.

    Notes
    -----
    The bits of a row depend on the net, the row and the kind of processor, and on nothing else: a store
    that was stopped and resumed, or written in parts, or by an executor, has the same bytes in every array
    as one written in one go. Its metadata hold no time.

    Any reader of Zarr v3 reads the arrays; the attributes say what they are. A chunk holds one block, as
    the plain bytes of its numbers: rows are read without the rest of their block. Compression was measured:
    factors of tanh become 5 to 17 % smaller by it, those of relu up to 60 %, at 0.05 to 0.8 GB/s a core,
    where a disk takes several GB/s.

    A resumed job reads X again, and compares a hash of each finished block. Behind a URL there are no
    locks: see to it that no two jobs write the same part.

    See Also
    --------
    deltanet.open : Reads the store, also while it is written.

    Examples
    --------
    >>> import deltanet as dn, numpy as np, os, tempfile
    >>> net, X = dn.MLP([4, 8, 2], seed=0), np.ones((1000, 4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "factors.zarr")
    ...     dn.write(path, net, X)
    ...     S = dn.open(path)
    ...     S.shape, bool(np.allclose(S.ggn_diagonal(), net.ggn_diagonal(X)))
    ((1000, 2, 58), True)

    A job of an array of eight, which a queue may stop and start again:

    >>> i = int(os.environ.get("SLURM_ARRAY_TASK_ID", 0))
    >>> dn.write("factors.zarr", net, "table.npy", part=(i, 8))  # doctest: +SKIP
    """
    plan, mine = Plan(path, net, X, form, wrt, rows), hold.checked(part)
    joins = _validate.flag(resume, "resume") or part is not None
    checked(executor)
    retries, threads = _validate.whole(retries, "retries", 0), _validate.count(threads)
    stored = plan.store(mine, joins)
    blocks = hold.blocks_of(mine, stored.layout.blocks)
    # one level of parallelism: the executor's workers, or a thread for each block
    count = 1 if executor is not None else threads or _parallel.get_num_threads()
    workers = max(1, min(count, len(blocks)))
    how = How(
        executor, retries, workers, threads or 1 if executor is not None else count // workers
    )
    samples = range(stored.layout.samples)[blocks.start * stored.layout.rows :]
    samples = samples[: len(blocks) * stored.layout.rows]
    with (
        hold.held(stored.place, mine, stored.layout.blocks),
        reporting(progress, len(samples)) as report,
        spilled(executor, {"X": plan.X}) as travelling,
    ):
        Job(stored, travelling["X"], how, report).go(blocks)


class How(NamedTuple):
    """The way of the tasks.

    `workers` are the threads of this process that take them, if there is no executor; `threads` those of a
    worker.
    """

    executor: Any
    retries: int
    workers: int
    threads: int


class Job:
    """Some blocks of a store: which are finished, which are to be written."""

    def __init__(self, stored: Stored, X: Rows, how: How, report: Report) -> None:
        self.stored, self.X, self.how, self.report = stored, X, how, report
        self.layout, self.name, self.done = stored.layout, secrets.token_hex(4), 0
        self.machines, self.number = [environment()], count()

    def go(self, blocks: range) -> None:
        """Compare the finished blocks with X, then write the others."""
        sweep(self.stored.place, blocks)  # of a job that was killed
        there = set(finished(self.stored.place, blocks))
        executor = self.how.executor
        tasks.OPENED[self.name] = self.stored
        try:
            with (
                ThreadPoolExecutor(self.how.workers)
                if executor is None
                else nullcontext(executor) as pool
            ):
                there -= self.compared(pool, there)
                rest = [block for block in blocks if block not in there]
                check_room(self.stored.place, self.layout, len(rest))
                self.tell(there)
                self.run(pool, tasks.written, rest, self.written)
            sweep(self.stored.place, blocks)  # of workers that died
        finally:
            tasks.OPENED.pop(self.name, None)

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
        self.tell(blocks)
        if machine not in self.machines:
            self.machines.append(machine)
            same_machine(f"store {self.stored.place.name!r}", self.machines[0], machine)

    def tell(self, blocks: Iterable[int]) -> None:
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
        blocks = list(blocks)
        most = min(_limits.TASK_BYTES // (layout.block_bytes + x_bytes), len(blocks) // LEAST_TASKS)
        groups = list(grouped(blocks, max(1, most)))
        spans = [(layout.span(g.start).start, layout.span(g.stop - 1).stop) for g in groups]
        travelling = x_bytes * max(1, most) if self.X.is_in_memory else 0

        def make(index: int) -> tasks.Task:
            group, rows = groups[index], self.X.some(*spans[index])
            place, net = self.stored.place.name, self.stored.about["net"]
            threads, job, number = how.threads, self.name, next(self.number)
            return tasks.Task(place, net, group.start, group.stop, rows, threads, job, number)

        def took(index: int, found: Any) -> None:
            take(groups[index], found)

        Run(pool, spans, how.retries, window(travelling), ADVICE).go(
            function, make, range(len(groups)), took, None
        )


def sweep(place: Place, blocks: range) -> None:
    """Remove what killed writes have left of these blocks."""
    for name in place.names(f"{DONE}/c"):
        number, _, rest = name.partition(".")
        if rest.endswith("partial") and number.isdecimal() and int(number) in blocks:
            place.delete(f"{DONE}/c/{name}")


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
