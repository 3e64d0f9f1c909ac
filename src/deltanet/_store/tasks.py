"""What a task does with some blocks of a store: it computes and writes them, or compares them with X."""

from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from math import prod
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from deltanet import _memory
from deltanet._core.xxh64 import Xxh64
from deltanet._jobs.identity import environment
from deltanet._params import split
from deltanet._rows import Rows
from deltanet._store.layout import Layout, done_key
from deltanet._store.place import Place, raw
from deltanet._store.read import Stored, marks, opened
from deltanet._types import Array

if TYPE_CHECKING:
    from deltanet._mlp import MLP

OTHER, DAMAGED = "other", "damaged"


class Task(NamedTuple):
    """Some blocks that follow each other.

    The net does not travel: it lies in the store. `job` and `number` make a task unlike every other: Dask
    returns an old result for an equal one.
    """

    store: str
    net: str  # its hash: the store of another net may lie there by now
    start: int
    stop: int
    rows: Rows  # of these blocks
    threads: int
    job: str
    number: int


OPENED: dict[str, Stored] = {}  # by job: of this process its own ones, of a worker the last one


def joined(task: Task) -> Stored:
    """The store of a task, opened once in each worker."""
    found = OPENED.get(task.job)
    if found is None:
        found = opened(task.store, read_only=False)
        if found.about["net"] != task.net:
            raise ValueError(f"{task.store}: it is no longer the store of this job")
        OPENED.clear()
        OPENED[task.job] = found
    return found


def written(task: Task) -> dict[str, str]:
    """Compute and write those blocks that are not finished; returns on what kind of machine."""
    place, layout, net, _ = joined(task)
    blocks = range(task.start, task.stop)
    with ThreadPoolExecutor(1) as writer:
        for block, mark in zip(blocks, marks(place, blocks), strict=True):
            if not mark:
                X = task.rows[within(layout, task.start, block)]
                write(place, layout, net, block, X, task.threads, writer)
    return environment()


def compared(task: Task) -> dict[int, str]:
    """{block: what is wrong with it} of the finished blocks of a task."""
    place, layout, *_ = joined(task)
    blocks = range(task.start, task.stop)
    wrong: dict[int, str] = {}
    for block, mark in zip(blocks, marks(place, blocks), strict=True):
        part = within(layout, task.start, block)
        if not mark or not is_whole(place, layout, block):
            wrong[block] = DAMAGED
        elif (task.rows.fingerprint(part.start, part.stop) or 1) != mark:
            wrong[block] = OTHER
    return wrong


def within(layout: Layout, first: int, block: int) -> slice:
    """The samples of a block among those from the block `first` on."""
    span, start = layout.span(block), first * layout.rows
    return slice(span.start - start, span.stop - start)


def write(
    place: Place, layout: Layout, net: "MLP", block: int, X: Array, threads: int, writer: Executor
) -> None:
    """The chunks of a block, NaN behind the rows of X, and when all are there its entry in `done`.

    A piece is hashed while it is computed, and written while the next one is computed.
    """
    keys, total, step = layout.keys(block), Xxh64(), layout.piece_rows
    free, full = piece(layout), piece(layout)
    writing: Future[None] | None = None
    with place.writing(keys.values(), done_key(block)) as files:
        for start in range(0, layout.rows, step):
            height = min(step, layout.rows - start)
            samples = X[start : start + height]
            hashing = writer.submit(total.update, samples)
            compute(layout, net, samples, free, threads)
            hashing.result()
            for array in free.values():
                array[len(samples) : height] = np.nan
            if writing:
                writing.result()
            free, full = full, free
            writing = writer.submit(append, files, full, height)
        if writing:
            writing.result()
    place.put({done_key(block): np.array([total.intdigest() or 1], np.uint64)}, done_key(block))


def append(files: Sequence[BinaryIO], arrays: dict[str, Array], height: int) -> None:
    """The first rows of the arrays, to their files."""
    for file, array in zip(files, arrays.values(), strict=True):
        file.write(raw(array[:height]))


def piece(layout: Layout) -> dict[str, Array]:
    """The arrays of a store for some rows of a block, which stay in the cache from one piece to the next."""
    shapes = [(layout.piece_rows, *member.shape) for member in layout.members.values()]
    numbers = sum(map(prod, shapes))
    buffer = _memory.empty((numbers,), layout.dtype, "a piece of the store", "give fewer rows=")
    return dict(zip(layout.members, split(buffer, shapes), strict=True))


def compute(layout: Layout, net: "MLP", X: Array, arrays: dict[str, Array], threads: int) -> None:
    """The first rows of the arrays, at all samples of X."""
    rows = {name: array[: len(X)] for name, array in arrays.items()}
    wanted: dict[str, Any] = {"y": rows["outputs"]}
    if layout.form == "factors":
        count_layers = range(len(layout.sizes) - 1)
        wanted["kept_inputs"] = [rows[f"input{k}"] for k in count_layers]
        wanted["kept_deltas"] = [rows[f"delta{k}"] for k in count_layers]
    elif layout.form == "dense":
        wanted["J" if layout.wrt == "params" else "Jx"] = rows["jacobian"]
    net._engine.run(len(X), net._kept.columns, X=X, threads=threads, reproducible=True, **wanted)


def is_whole(place: Place, layout: Layout, block: int) -> bool:
    """Whether the chunks of a block have the length that they must have."""
    keys, members = layout.keys(block), layout.members
    sizes = place.sizes(list(keys.values()))
    wanted = [layout.rows * prod(members[name].shape) * layout.dtype.itemsize for name in keys]
    return sizes == wanted
