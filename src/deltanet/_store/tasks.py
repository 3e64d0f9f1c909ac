"""What a task does with some blocks of a store: it computes and writes them, or compares them with X."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deltanet import _memory
from deltanet._jobs.identity import environment
from deltanet._params import split
from deltanet._rows import Rows, digest
from deltanet._store.layout import Layout, done_key
from deltanet._store.place import Place
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
    threads: int | None
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
    for block, mark in zip(blocks, marks(place, blocks), strict=True):
        if not mark:
            X = task.rows[within(layout, task.start, block)]
            put(place, layout, block, X, computed(layout, net, X, task.threads))
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
        elif number(task.rows.fingerprint(part.start, part.stop)) != mark:
            wrong[block] = OTHER
    return wrong


def within(layout: Layout, first: int, block: int) -> slice:
    """The samples of a block among those from the block `first` on."""
    span, start = layout.span(block), first * layout.rows
    return slice(span.start - start, span.stop - start)


def computed(layout: Layout, net: "MLP", X: Array, threads: int | None) -> dict[str, Array]:
    """The arrays of a block, filled up with NaN behind the rows of X."""
    count, members = len(X), layout.members
    shapes = [(layout.rows, *member.shape) for member in members.values()]
    numbers = layout.block_bytes // layout.dtype.itemsize
    buffer = _memory.empty((numbers,), layout.dtype, "a block of the store", "give fewer rows=")
    arrays = dict(zip(members, split(buffer, shapes), strict=True))
    rows = {name: array[:count] for name, array in arrays.items()}
    for array in arrays.values():
        array[count:] = np.nan
    wanted: dict[str, Any] = {"y": rows["outputs"]}
    if layout.form == "factors":
        count_layers = range(len(layout.sizes) - 1)
        wanted["kept_inputs"] = [rows[f"input{k}"] for k in count_layers]
        wanted["kept_deltas"] = [rows[f"delta{k}"] for k in count_layers]
    elif layout.form == "dense":
        wanted["J" if layout.wrt == "params" else "Jx"] = rows["jacobian"]
    net._engine.run(count, net._kept.columns, X=X, threads=threads, reproducible=True, **wanted)
    return arrays


def put(place: Place, layout: Layout, block: int, X: Array, arrays: dict[str, Array]) -> None:
    """Write the chunks of a block, and when all are there its entry in `done`."""
    keys = layout.keys(block)
    for key in keys.values():
        place.sweep(key)
    place.put({keys[name]: array for name, array in arrays.items()})
    total = digest()
    total.update(X)
    place.put({done_key(block): np.array([number(total.digest())], np.uint64)})


def number(fingerprint: bytes) -> int:
    """The entry in `done` of rows with this hash: never 0."""
    return int.from_bytes(fingerprint[:8], "little") or 1


def is_whole(place: Place, layout: Layout, block: int) -> bool:
    """Whether the chunks of a block have the length that they must have."""
    keys, members = layout.keys(block), layout.members
    sizes = place.sizes(list(keys.values()))
    wanted = [
        layout.rows * int(np.prod(members[name].shape)) * layout.dtype.itemsize for name in keys
    ]
    return sizes == wanted
