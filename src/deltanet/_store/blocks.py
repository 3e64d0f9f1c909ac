"""The blocks of a store, as they are read: only those that are finished, and only the rows asked for."""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet import _memory
from deltanet._store.layout import Layout
from deltanet._store.place import AT_ONCE
from deltanet._store.read import Stored, finished, marks
from deltanet._types import Array, Shape


class Blocks:
    """The rows of a store.

    Attributes
    ----------
    stored : Stored
    known : set of int
        Blocks that were found finished: they stay so.
    """

    def __init__(self, stored: Stored) -> None:
        self.stored: Stored = stored
        self.known: set[int] = set()

    @property
    def layout(self) -> Layout:
        return self.stored.layout

    def require(self, blocks: NDArray[np.intp] | range) -> None:
        """Raise RuntimeError if one of these blocks is not finished."""
        asked = (int(block) for block in blocks if block not in self.known)
        while some := list(islice(asked, AT_ONCE)):
            for block, mark in zip(some, marks(self.stored.place, some), strict=True):
                if not mark:
                    part = self.layout.span(block)
                    raise RuntimeError(
                        f"{self.stored.place.name}: the samples {part.start}:{part.stop} are not written "
                        "yet; dn.write(..., resume=True) goes on with them, and `done` says which are there"
                    )
                self.known.add(block)

    def done(self) -> NDArray[np.bool_]:
        """Which samples are there."""
        layout = self.layout
        _memory.room((layout.samples,), np.dtype(np.bool_), "done", "use finished")
        mask = np.zeros(layout.samples, bool)
        for block in finished(self.stored.place, range(layout.blocks)):
            mask[layout.span(block)] = True
        return mask

    def rows(self, name: str, start: int, stop: int) -> Array:
        """The rows start:stop of an array, which all lie in one block."""
        layout = self.layout
        shape, kind = layout.members[name].shape, layout.dtype.newbyteorder("<")
        block = start // layout.rows
        at, step = block * layout.rows, math.prod(shape) * kind.itemsize
        key = layout.keys(block)[name]
        found = self.stored.place.part(key, (start - at) * step, (stop - at) * step)
        if found is None or found.size != (stop - start) * step:
            raise OSError(f"{self.stored.place.name}: {key} is damaged, and must be written again")
        return found.view(kind).astype(layout.dtype, copy=False).reshape(stop - start, *shape)

    def pieces(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """(start, stop) within one block each."""
        rows = self.layout.rows
        while start < stop:
            end = min(stop, (start // rows + 1) * rows)
            yield start, end
            start = end

    def read(self, name: str, chosen: Any, rest: tuple[Any, ...] = ()) -> Array:
        """Of an array some samples, an int, a slice or an array of ints; `rest` is taken of each piece."""
        N = self.layout.samples
        if isinstance(chosen, int):
            self.require(range(chosen // self.layout.rows, chosen // self.layout.rows + 1))
            one: Array = self.rows(name, chosen, chosen + 1)[0]
            return np.array(one[rest] if rest else one)
        whole = range(N)[chosen] if isinstance(chosen, slice) else chosen
        shape = (len(whole), *self.layout.members[name].shape)
        if not rest:
            _memory.room(shape, self.layout.dtype, f"{name}[...]", "read fewer samples at a time")
        if isinstance(whole, range) and whole.step == 1:
            return self.joined(name, list(self.pieces(whole.start, whole.stop)), shape, rest)
        return self.gathered(name, np.asarray(whole, np.intp), shape, rest)

    def joined(
        self, name: str, pieces: list[tuple[int, int]], shape: Shape, rest: tuple[Any, ...]
    ) -> Array:
        """Pieces that follow each other."""
        self.require(np.unique([start // self.layout.rows for start, _ in pieces]).astype(np.intp))
        if not pieces:
            return np.empty(shape, self.layout.dtype)[(slice(None), *rest)]
        if rest:
            return np.concatenate(
                [self.rows(name, *piece)[(slice(None), *rest)] for piece in pieces]
            )
        found, at = np.empty(shape, self.layout.dtype), 0
        for start, stop in pieces:
            found[at : at + stop - start] = self.rows(name, start, stop)
            at += stop - start
        return found

    def gathered(
        self, name: str, chosen: NDArray[np.intp], shape: Shape, rest: tuple[Any, ...]
    ) -> Array:
        """Samples in any order: of each block the rows from the first to the last that is wanted."""
        blocks = chosen // self.layout.rows
        self.require(np.unique(blocks))
        result = np.empty(shape, self.layout.dtype)[(slice(None), *rest)]
        for block in np.unique(blocks):
            places = np.flatnonzero(blocks == block)
            wanted = chosen[places]
            first = int(wanted.min())
            rows = self.rows(name, first, int(wanted.max()) + 1)
            result[places] = rows[wanted - first][(slice(None), *rest)]
        return result
