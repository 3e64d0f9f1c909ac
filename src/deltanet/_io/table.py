"""Tables of samples, one a row, in files of many kinds: what is asked for is read, and no more."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from deltanet._io._files import reading

Array = NDArray[Any]
Columns = Sequence[str] | None  # names, or numbers from 0
CHECKED_ROWS = 2**14  # that are read at once in search of bad ones


@dataclass(frozen=True)
class Table(ABC):
    """Some columns of a file.

    A table pickles as its path and what was found in the file once, and every read opens the file anew: a
    table may be sent to other processes.
    """

    path: str
    name: str  # in messages
    width: int  # columns that are taken
    rows: int  # in the file
    dtype: np.dtype[Any]  # of what is read
    columns: tuple[int, ...] | None  # numbers of those that are taken; None: all
    names: tuple[str, ...] | None  # of the columns that are taken, if the file names them
    bad: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))  # rows left out

    @property
    def shape(self) -> tuple[int, int]:
        """(rows of the table, columns that are taken)."""
        return len(self), self.width

    @property
    def skipped(self) -> int:
        """Rows of the file that are left out, as they hold no numbers."""
        return len(self.bad)

    def __len__(self) -> int:
        return self.rows - len(self.bad)

    def __getitem__(self, rows: slice) -> Array:
        """A block of rows, of shape (rows, width); it may be a read-only map of the file."""
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise IndexError(f"rows of a table must be a block without steps; got {rows}")
        if stop <= start:
            return np.empty((0, self.width), self.dtype)
        first, last = self._in_file(start), self._in_file(stop - 1)
        left_out = self.bad[np.searchsorted(self.bad, first) : np.searchsorted(self.bad, last)]
        with reading(self.name):
            return self._read(first, last + 1, left_out - first)

    def _in_file(self, row: int) -> int:
        """The number in the file of a row of the table."""
        before = self.bad - np.arange(len(self.bad))  # rows of the table before each bad one
        return row + int(np.searchsorted(before, row, side="right"))

    @abstractmethod
    def _read(self, first: int, end: int, left_out: NDArray[np.int64]) -> Array:
        """Rows [first, end) of the file without some, which are counted from `first`."""

    def _bad(self, first: int, end: int) -> NDArray[np.int64]:
        """The rows of [first, end) in the file that hold no numbers."""
        return np.empty(0, np.int64)

    def _why(self, row: int) -> str:
        """What is wrong with a bad row of the file, and where it is."""
        return f"row {row}, counted from 0, lacks a number"

    def checked(self, skip_bad_rows: bool) -> Self:
        """This table without its bad rows, or ValueError about the first of them."""
        found = []
        for first in range(0, self.rows, CHECKED_ROWS):
            bad = self._bad(first, min(first + CHECKED_ROWS, self.rows))
            if len(bad) and not skip_bad_rows:
                raise ValueError(self._why(int(bad[0])))
            found.append(bad)
        return replace(self, bad=np.concatenate(found)) if found else self


@dataclass(frozen=True)
class Request:
    """What is asked of a file."""

    path: str
    name: str  # in messages
    width: int  # columns that the net takes
    columns: Columns
    header: bool | None  # whether the first line of a .csv is one; None: if it holds names, it is
    skip_bad_rows: bool

    def chosen(
        self, names: Sequence[str] | None, count: int
    ) -> tuple[tuple[int, ...] | None, tuple[str, ...] | None]:
        """Numbers and names of the columns to take, of a file with `count` columns."""
        if self.columns is None:
            if count != self.width:
                more = f"; choose {self.width} by --columns" if count > self.width else ""
                raise ValueError(
                    f"it must hold a table of shape (N, {self.width}); got {count} columns{more}"
                )
            return None, None if names is None else tuple(names)
        if len(self.columns) != self.width:
            raise ValueError(
                f"the net has {self.width} inputs; --columns names {len(self.columns)}, "
                f"{','.join(map(str, self.columns))}"
            )
        found = tuple(self._number(column, names, count) for column in self.columns)
        return found, None if names is None else tuple(names[k] for k in found)

    def _number(self, column: str, names: Sequence[str] | None, count: int) -> int:
        """The number of a column: a name goes before a number."""
        known = [] if names is None else list(names)
        if known.count(column) > 1:
            raise ValueError(f"it has {known.count(column)} columns of the name {column!r}")
        if column in known:
            return known.index(column)
        if column.isdecimal() and int(column) < count:
            return int(column)
        what = f"its columns are {', '.join(known)[:200]}" if known else f"it has {count} columns"
        raise ValueError(f"it has no column {column!r}: {what}")


def open_table(
    path: str | os.PathLike[str],
    width: int,
    *,
    columns: Columns = None,
    header: bool | None = None,
    skip_bad_rows: bool = False,
    name: str | None = None,
) -> Table:
    """The table of samples in a file, with `width` columns.

    Parameters
    ----------
    path : str or os.PathLike
        .npy, .csv, .npz, .parquet, .arrow, .feather, or the folder (or address) of a Zarr array.
    width : int
        Columns that the table must have.
    columns : sequence of str, optional
        Those to take: names in a header or of Parquet and Arrow, or numbers from 0. By default all.
    header : bool, optional
        Whether the first line of a .csv is one; by default, if it holds names, it is.
    skip_bad_rows : bool
        Leave out rows of a .csv that are not numbers, and rows of Parquet and Arrow that lack one.
    name : str, optional
        Of the file in messages; by default its path.

    Raises
    ------
    ValueError
        If the file is broken, has other columns, or has a bad row: its line is named.
    OSError, MemoryError, ImportError
        If it cannot be read, or a package for that is not installed.
    """
    path = os.fspath(path)
    suffix = Path(path).suffix.lower()
    opener = _opener(path, suffix)
    if header is not None and suffix != ".csv":
        raise ValueError(f"only a .csv may have a header; got {path}")
    request = Request(path, name or path, width, columns, header, skip_bad_rows)
    with reading(request.name):
        return opener(request)


def _opener(path: str, suffix: str) -> Callable[[Request], Table]:
    """The function that reads a kind of files; its module and package are imported when it is asked for."""
    if suffix == ".csv":
        from deltanet._io.table_csv import open_csv

        return open_csv
    if suffix in (".npy", ".npz"):
        from deltanet._io.table_numpy import open_npy, open_npz

        return open_npy if suffix == ".npy" else open_npz
    if suffix in (".parquet", ".arrow", ".feather"):
        from deltanet._io.table_arrow import open_arrow, open_parquet

        return open_parquet if suffix == ".parquet" else open_arrow
    if suffix == ".zarr" or "://" in path or Path(path).is_dir():
        from deltanet._io.table_zarr import open_zarr

        return open_zarr
    raise ValueError(
        f"INPUTS must end in .npy, .csv, .npz, .parquet, .arrow or .feather, or be a Zarr array; got {path}"
    )


def open_tables(
    paths: Sequence[str | os.PathLike[str]],
    width: int,
    *,
    names: Mapping[str, str] | None = None,
    **options: Any,
) -> list[Table]:
    """`open_table` of each path, which may have another name in messages.

    If their columns have names, these must be the same.
    """
    called = names or {}
    tables = [
        open_table(path, width, name=called.get(os.fspath(path)), **options) for path in paths
    ]
    named = [table for table in tables if table.names is not None]
    for table in named:
        if table.names != named[0].names:
            own, first = (",".join(each.names or ())[:200] for each in (table, named[0]))
            raise ValueError(
                f"{table.name}: its columns are {own}, and those of {named[0].name} are {first}; "
                "choose by --columns"
            )
    return tables


def read_table(path: str | os.PathLike[str], width: int, header: bool | None = None) -> Array:
    """The whole table of samples in a file, of shape (N, width); a map of the file if it is .npy."""
    return open_table(path, width, header=header)[:]
