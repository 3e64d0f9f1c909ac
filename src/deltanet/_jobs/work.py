"""What a task does: it reads the rows of its range, a piece at a time, and sums over them.

A piece has a number of rows that the widths of the arrays alone give, whatever kind of rows they are: so
memory is flat, and the bits of a sum depend on its range only.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deltanet._columns import Kept
from deltanet._core.xxh64 import Xxh64
from deltanet._jobs.ranges import piece_rows
from deltanet._rows import Rows
from deltanet._types import Array
from deltanet._verbs import Source

if TYPE_CHECKING:
    from deltanet._mlp import MLP

Places = list[tuple[int, bool, bool]]
Outcome = tuple[Array, list[bytes]]  # the sum of a range, a hash of each array's rows


class Sum(ABC):
    """A verb as a sum over samples: what is summed, by which net.

    Attributes
    ----------
    numbers : int
        Length of the vector in which a sum travels.
    layers : list
        The columns that are kept: see `Kept`.
    stopped : bool
        Whether nobody waits for it any more: threads of this process see it.
    """

    numbers: int
    stopped = False

    def __init__(self, net: "MLP", layers: Places) -> None:
        self.net, self.layers = net, layers

    @property
    def kept(self) -> Kept:
        """The kept columns, whose compiled table cannot travel."""
        return Kept(self.layers, self.net.sizes, self.net._kept.biases)

    @abstractmethod
    def fill(self, span: "Span", threads: int | None) -> Array:
        """The vector of some samples."""

    def check(self, name: str, piece: Array) -> Array:
        """A piece of an array as the core takes it."""
        return piece


class Reader:
    """One array of a range: the piece at hand, and a hash of all that was read."""

    def __init__(self, rows: Rows, check: Callable[[str, Array], Array], hashed: bool) -> None:
        self.rows, self.check = rows, check
        self.digest = Xxh64() if hashed else None
        self.start, self.piece = 0, rows[0:0]

    def read(self, part: slice) -> None:
        piece = self.rows[part]
        if self.digest is not None:
            self.digest.update(piece)
        self.start, self.piece = part.start, self.check(self.rows.name, piece)

    def __getitem__(self, part: slice) -> Array:
        """Samples of the piece at hand."""
        return self.piece[part.start - self.start : part.stop - self.start]


class Span(Source):
    """The samples of a range as a source of the verbs, with the arrays that go along with X."""

    def __init__(self, total: Sum, rows: Mapping[str, Rows], start: int, hashed: bool) -> None:
        net, self.start = total.net, start
        self.readers = {name: Reader(each, total.check, hashed) for name, each in rows.items()}
        self.total, N = total, len(rows["X"])
        super().__init__(net._engine, net.sizes, net.dtype, total.kept, (N,), X=self.readers["X"])
        self.beside = [name for name in rows if name != "X"]
        width = sum(int(np.prod(each.shape[1:])) for each in rows.values())
        self.step = piece_rows(width)

    def is_whole(self) -> bool:
        """Never: pieces are of the same rows for every kind of X."""
        return False

    def pieces(self) -> Iterator[tuple[slice, dict[str, Any]]]:
        for start in range(0, self.N, self.step):
            if self.total.stopped:
                raise CancelledError
            part = slice(start, min(start + self.step, self.N))
            for reader in self.readers.values():
                reader.read(part)
            yield part, {"X": self.X.piece}

    def hashes(self) -> list[bytes]:
        """Of each array, all pieces being read."""
        readers = self.readers.values()
        return [each.digest.digest() for each in readers if each.digest is not None]


class Task(NamedTuple):
    """One range, from row `start` on.

    `label` makes it unlike every other: of an equal task Dask returns the old result.
    """

    total: Sum
    rows: dict[str, Rows]
    start: int
    threads: int | None
    hashed: bool
    label: str


def summed(task: Task) -> Outcome:
    """The sum over the rows of a task, and their hashes if these are wanted."""
    span = Span(task.total, task.rows, task.start, task.hashed)
    vector = task.total.fill(span, task.threads)
    return vector, span.hashes()


def hashed(task: Task) -> Outcome:
    """The hashes alone."""
    span = Span(task.total, task.rows, task.start, hashed=True)
    for _ in span.pieces():
        pass
    return np.empty(0), span.hashes()
