"""Samples of any kind as rows that are read when they are asked for.

An array, a memory map, a Zarr or Dask array, or files: one table of N rows, of which a worker in another
process is given the description, and reads what it needs. Only arrays in memory travel with it.
"""

import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet import _limits, _validate
from deltanet._core.xxh64 import Xxh64
from deltanet._extras import package
from deltanet._types import Array, DType, Shape


class Rows:
    """N entries of one shape each, converted to `dtype` as they are read.

    Attributes
    ----------
    shape : tuple of int
        (N, ...): of X it is (N, n_0).
    dtype : dtype
        Of what is read.
    source : object
        Has `shape`, and `[a:b]`. It is pickled as it is: an array of NumPy in memory with all its numbers.
    """

    def __init__(self, source: Any, dtype: DType, name: str = "X") -> None:
        self.source, self.dtype, self.name = source, dtype, name
        self.shape: Shape = tuple(map(int, source.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> Array:
        """The rows a:b, where the core can read them."""
        start, stop, _ = part.indices(len(self))
        found = _validate.numbers(self.source[start:stop], self.name)
        wanted = (max(0, stop - start), *self.shape[1:])
        if found.shape != wanted:  # a file that was changed meanwhile
            raise ValueError(
                f"{self.name}[{start}:{stop}] must have shape {wanted}; got {found.shape}"
            )
        return _validate.ready(found, self.dtype)

    @property
    def is_in_memory(self) -> bool:
        """Whether a pickle holds all the numbers."""
        return type(self.source) is np.ndarray

    def some(self, start: int, stop: int) -> "Rows":
        """The rows start:stop as rows of their own: what one task is given."""
        if self.is_in_memory:
            return Rows(self.source[start:stop], self.dtype, self.name)
        if isinstance(self.source, Computed):
            return Rows(self.source.cut(start, stop), self.dtype, self.name)
        return Rows(Part(self.source, start, stop), self.dtype, self.name)

    def fingerprint(self, start: int, stop: int) -> int:
        """A hash of the numbers of these rows, as they are read."""
        total = Xxh64()
        for at in range(start, stop, _limits.COPY_SAMPLES):
            total.update(self[at : min(at + _limits.COPY_SAMPLES, stop)])
        return total.intdigest()


def rows(X: Any, shape: Shape, dtype: DType, name: str = "X") -> Rows:
    """X as rows of this shape each: () of numbers, (n_0,) of samples.

    Parameters
    ----------
    X : array_like, path or list of paths
        Anything with a shape, a dtype of NumPy's and slices is read when it is asked for; of a list of
        files the rows stand one behind the other.

    Raises
    ------
    ValueError, TypeError
        If X has another shape, or does not hold real numbers.
    """
    source = opened(X, shape, name)
    found = tuple(source.shape)
    if len(found) != len(shape) + 1 or found[1:] != shape:
        wanted = _validate.spelled("N", *shape)
        hint = _validate.rows(found, shape[0]) if len(shape) == 1 else ""
        raise ValueError(f"{name} must have shape {wanted}; got {found}{hint}")
    return Rows(source, dtype, name)


def opened(X: Any, shape: Shape, name: str) -> Any:
    """What the rows of X are read from."""
    paths = listed(X, name)
    if paths is not None:
        if len(shape) != 1:
            raise TypeError(f"{name} must be an array; got {len(paths)} files")
        from deltanet._io.table import open_tables

        tables = open_tables(paths, shape[0])
        return tables[0] if len(tables) == 1 else Chain(tables, shape)
    if isinstance(X, np.memmap):
        return mapped(X, name)
    if not isinstance(X, np.ndarray) and isinstance(getattr(X, "dtype", None), np.dtype):
        if hasattr(X, "__dask_graph__"):
            return Computed(X, name)
        if hasattr(X, "shape") and not hasattr(X, "iloc"):  # Zarr, HDF5; not a table of pandas
            return X
    return _validate.numbers(X, name)


def listed(X: Any, name: str) -> list[Path] | None:
    """The paths that X names, or None."""
    paths = [X] if isinstance(X, (str, os.PathLike)) else X
    if not isinstance(paths, (list, tuple)) or not paths:
        return None
    if not all(isinstance(path, (str, os.PathLike)) for path in paths):
        return None
    for path in paths:
        if "://" in os.fspath(path):
            raise ValueError(
                f"{name} must be files of this machine, or an array; got {path!r}: open it with Zarr or "
                "Dask, and give the array"
            )
    return [Path(path) for path in paths]


class Part:
    """Some rows of a source."""

    def __init__(self, source: Any, start: int, stop: int) -> None:
        self.source, self.start = source, start
        self.shape: Shape = (stop - start, *source.shape[1:])

    def __getitem__(self, part: slice) -> Any:
        start, stop, _ = part.indices(self.shape[0])
        return self.source[self.start + start : self.start + stop]


class Chain:
    """Tables one behind the other."""

    def __init__(self, tables: Sequence[Any], shape: Shape) -> None:
        self.tables = tables
        self.ends = np.cumsum([table.shape[0] for table in tables])
        self.dtype = np.result_type(*(table.dtype for table in tables))
        self.shape: Shape = (int(self.ends[-1]), *shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> NDArray[Any]:
        start, stop, _ = part.indices(self.shape[0])
        first = int(np.searchsorted(self.ends, start, "right"))
        found = []
        for table, end in zip(self.tables[first:], self.ends[first:].tolist(), strict=True):
            begin = end - table.shape[0]
            if begin >= stop:
                break
            found.append(table[max(start - begin, 0) : min(stop, end) - begin])
        return np.concatenate(found) if found else np.empty((0, *self.shape[1:]))


class Computed:
    """A Dask array, of which a slice is computed where it is read, by the thread that reads it."""

    def __init__(self, array: Any, name: str) -> None:
        if any(n != n for n in array.shape):
            raise ValueError(
                f"{name} must have chunks of known length: call {name}.compute_chunk_sizes()"
            )
        self.array, self.name = array, name
        self.shape: Shape = tuple(map(int, array.shape))

    def __getitem__(self, part: slice) -> Any:
        # a function, and not its name, of which Dask warns where a cluster is at hand
        return self.array[part].compute(scheduler=package("dask", "dask", "a Dask array").get)

    def cut(self, start: int, stop: int) -> "Computed":
        """Some rows, with what of the graph they need: the whole may hold arrays."""
        (array,) = package("dask", "dask", "a Dask array").optimize(self.array[start:stop])
        return Computed(array, self.name)


class Mapped:
    """The part of a file that a memory map shows: the path is pickled, not the numbers."""

    def __init__(self, path: str, dtype: DType, shape: Shape, strides: Shape, offset: int) -> None:
        self.path, self.dtype, self.shape = path, dtype, shape
        self.strides, self.offset = strides, offset
        self.array: NDArray[Any] | None = None

    def __getitem__(self, part: slice) -> NDArray[Any]:
        if self.array is None:
            with open(self.path, "rb") as file:
                bytes_ = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            try:
                self.array = np.ndarray(self.shape, self.dtype, bytes_, self.offset, self.strides)
            except (TypeError, ValueError):
                raise ValueError(
                    f"{self.path} holds {len(bytes_)} bytes: fewer than when it was opened"
                ) from None
        return self.array[part]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"array": None}


def mapped(X: Any, name: str) -> Any:
    """A memory map of NumPy's as a file and a place in it; if no file has its numbers, those."""
    root = X
    while isinstance(root.base, np.memmap):
        root = root.base
    held = isinstance(root.base, mmap.mmap)
    if not held or X.filename is None or X.mode == "c" or 0 in X.shape:
        return _validate.numbers(X, name)
    # `offset` of a slice is that of the whole: the place is told by the addresses
    ahead = X.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    if root.mode != "r":
        root.flush()
    found = Mapped(str(X.filename), X.dtype, X.shape, X.strides, root.offset + ahead)
    found.array = np.asarray(X)
    return found
