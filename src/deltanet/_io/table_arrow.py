"""Tables in files of Parquet and Arrow, by pyarrow."""

from __future__ import annotations

import os
import threading
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet._extras import package
from deltanet._io._files import regular_size
from deltanet._io.table import Array, Request, Table

_KEPT = (
    threading.local()
)  # of each thread: the group of rows that was read last, as blocks are smaller

FLOATS = {
    "halffloat": "float16",
    "float": "float32",
    "double": "float64",
}  # Arrow's names to NumPy's


@dataclass(frozen=True)
class GroupedTable(Table):
    """Columns whose rows lie in groups, of which a whole one is read at once."""

    fields: tuple[str, ...] = ()  # names of the columns that are taken
    ends: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))  # of the groups
    written: tuple[int, int] = (0, 0)  # bytes of the file, time of its last change

    @abstractmethod
    def _columns(self, group: int) -> Any:
        """A table of Arrow: the columns of a group of rows."""

    def _read(self, first: int, end: int, left_out: NDArray[np.int64]) -> Array:
        block = np.empty((end - first, self.width), self.dtype)
        group, at = int(np.searchsorted(self.ends, first, side="right")), first
        while at < end:
            numbers, _ = self._group(group)
            stop = min(end, int(self.ends[group]))
            begin = int(self.ends[group]) - len(numbers)
            block[at - first : stop - first] = numbers[at - begin : stop - begin]
            group, at = group + 1, stop
        return np.delete(block, left_out, axis=0) if len(left_out) else block

    def _group(self, group: int) -> tuple[Array, NDArray[np.bool_]]:
        """The numbers of a group, and which of its rows lack one."""
        key = (self.path, self.fields, self.written, group)
        kept: Any = getattr(_KEPT, "group", None)
        if kept is None or kept[0] != key:
            _KEPT.group = None  # its memory is given back first
            if regular_size(self.path) != self.written[0]:
                raise ValueError("it was changed while it was read")
            kept = _KEPT.group = (key, *self._numbers(self._columns(group)))
        return kept[1], kept[2]

    def _numbers(self, columns: Any) -> tuple[Array, NDArray[np.bool_]]:
        numbers = np.empty((columns.num_rows, self.width), self.dtype)
        missing = np.zeros(columns.num_rows, bool)
        for k, name in enumerate(self.fields):
            column = columns.column(name)
            if column.null_count:
                missing |= column.is_null().to_numpy()
                column = column.fill_null(0)
            numbers[:, k] = column.to_numpy()
        return numbers, missing

    def _bad(self, first: int, end: int) -> NDArray[np.int64]:
        found = np.empty(0, np.int64)
        for group in range(len(self.ends)):
            begin = int(self.ends[group - 1]) if group else 0
            if begin < end and first < self.ends[group]:
                _, missing = self._group(group)
                found = np.append(found, begin + np.flatnonzero(missing))
        return found[(first <= found) & (found < end)]


class ParquetTable(GroupedTable):
    """A file of Parquet."""

    def _columns(self, group: int) -> Any:
        parquet = _pyarrow("parquet").parquet
        with parquet.ParquetFile(self.path) as file:
            return file.read_row_group(group, columns=list(self.fields), use_threads=False)


class ArrowTable(GroupedTable):
    """A file of Arrow (IPC, also called Feather 2)."""

    def _columns(self, group: int) -> Any:
        pyarrow = _pyarrow("ipc")
        with pyarrow.memory_map(self.path) as file, pyarrow.ipc.open_file(file) as batches:
            return pyarrow.Table.from_batches([batches.get_batch(group)]).select(self.fields)


def open_parquet(request: Request) -> GroupedTable:
    """The table in a file of Parquet."""
    parquet = _pyarrow("parquet").parquet
    written = _written(request.path)
    with parquet.ParquetFile(request.path) as file:
        schema, metadata = file.schema_arrow, file.metadata
        groups = [metadata.row_group(k) for k in range(metadata.num_row_groups)]
        counts = [group.num_rows for group in groups]
        table = _described(ParquetTable, request, schema, counts, written)
        if _is_whole(groups, table.fields):
            return table
    return table.checked(request.skip_bad_rows)


def open_arrow(request: Request) -> GroupedTable:
    """The table in a file of Arrow."""
    pyarrow = _pyarrow("ipc")
    written = _written(request.path)
    with pyarrow.memory_map(request.path) as file, pyarrow.ipc.open_file(file) as batches:
        counts = [batches.get_batch(k).num_rows for k in range(batches.num_record_batches)]
        table = _described(ArrowTable, request, batches.schema, counts, written)
    return table.checked(request.skip_bad_rows)


def _written(path: str) -> tuple[int, int]:
    return regular_size(path), os.stat(path).st_mtime_ns


def _pyarrow(module: str) -> Any:
    return package(f"pyarrow.{module}", "parquet", "a file of Parquet or Arrow")


def _described(
    kind: type[GroupedTable],
    request: Request,
    schema: Any,
    counts: Sequence[int],
    written: tuple[int, int],
) -> GroupedTable:
    """A table of the chosen columns, when they hold numbers."""
    columns, names = request.chosen(schema.names, len(schema.names))
    fields = tuple(schema.names) if names is None else names
    types = _pyarrow("types").types
    for name in fields:
        kind_of = schema.field(name).type
        if not (types.is_floating(kind_of) or types.is_integer(kind_of)):
            raise ValueError(
                f"it must hold numbers; its column {name!r} holds {kind_of}: choose others by --columns"
            )
    kinds = {str(schema.field(name).type) for name in fields}
    dtypes = {np.dtype(FLOATS.get(each, each)) for each in kinds}
    dtype = np.result_type(*dtypes) if dtypes else np.dtype(float)
    return kind(
        *(request.path, request.name, request.width, sum(counts), dtype, columns, names),
        fields=fields,
        ends=np.cumsum(counts, dtype=np.int64),
        written=written,
    )


def _is_whole(groups: Sequence[Any], fields: Sequence[str]) -> bool:
    """Whether the statistics in a file of Parquet say that no number is missing."""
    for group in groups:
        for k in range(group.num_columns):
            column = group.column(k)
            if column.path_in_schema in fields:
                told = column.statistics
                if told is None or not told.has_null_count or told.null_count:
                    return False
    return True
