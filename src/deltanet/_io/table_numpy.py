"""Tables in .npy files, which are mapped, and in .npz files."""

from __future__ import annotations

import threading
import zipfile
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deltanet._io import _npy
from deltanet._io._files import regular_size
from deltanet._io.table import Array, Request, Table
from deltanet._memory import room

TABLE_NAMES = ("X", "x", "inputs")  # of the array to read from an .npz that holds several


@dataclass(frozen=True)
class NpyTable(Table):
    """A read-only map of the file, so that the table may exceed the memory."""

    whole: tuple[int, int] = (0, 0)  # shape of the array in the file
    order: Literal["C", "F"] = "C"
    offset: int = 0  # bytes, of the data in the file

    def _read(self, first: int, end: int, left_out: NDArray[np.int64]) -> Array:
        size = regular_size(self.path)
        if size < self.offset + self.rows * self.whole[1] * self.dtype.itemsize:
            raise ValueError(f"it holds {size} bytes: fewer than when it was opened")
        if self.order == "F":
            mapped = np.memmap(self.path, self.dtype, "r", self.offset, self.whole, "F")
            block: Array = mapped[first:end]
        else:  # of the rows alone
            begin = self.offset + first * self.whole[1] * self.dtype.itemsize
            block = np.memmap(self.path, self.dtype, "r", begin, (end - first, self.whole[1]))
        return block if self.columns is None else block[:, self.columns]


@dataclass(frozen=True)
class NpzTable(Table):
    """An array that is read whole, once in a process."""

    member: str = ""
    size: int = 0  # bytes of the file
    kept: dict[str, Array] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"kept": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)  # it is frozen

    def _read(self, first: int, end: int, left_out: NDArray[np.int64]) -> Array:
        with _LOCK:
            if not self.kept:
                self.kept["array"] = self._whole()
        return self.kept["array"][first:end]

    def _whole(self) -> Array:
        with zipfile.ZipFile(self.path) as archive:
            member = archive.getinfo(self.member)
            with _npy.opened(archive, member) as file:
                layout = shape, _, dtype = _layout(file, member.file_size, self.width)
                if member.file_size > 2 * self.size:
                    _check_length(archive, member)
                way_out = "give it as .npy, which is read in blocks"
                room(shape, dtype, f"the table in {self.name}", way_out)
                array = np.atleast_2d(_npy.data(file, *layout))
        return array if self.columns is None else array[:, self.columns]


_LOCK = threading.Lock()  # threads that begin at once read an archive once


def open_npy(request: Request) -> NpyTable:
    """The table in a .npy file."""
    size = regular_size(request.path)
    with open(request.path, "rb") as file:
        shape, fortran, dtype = _layout(file, size, request.width)
        offset = file.tell()
    rows, count = shape if len(shape) == 2 else (1, *shape)
    return NpyTable(
        *(request.path, request.name, request.width, rows, dtype, *request.chosen(None, count)),
        whole=(rows, count),
        order="F" if fortran else "C",
        offset=offset,
    )


def open_npz(request: Request) -> NpzTable:
    """The table in an archive: its only array, or one named X, x or inputs."""
    size = regular_size(request.path)
    _npy.check_directory(request.path, size)
    with zipfile.ZipFile(request.path) as archive:
        members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        names = [*members] if len(members) == 1 else [n for n in TABLE_NAMES if n in members]
        if not names:
            some = ", ".join([*members][:9])
            raise ValueError(f"give one array, or name it X, x or inputs; got {some}")
        member = members[names[0]]
        with _npy.opened(archive, member) as file:
            shape, _, dtype = _layout(file, member.file_size, request.width)
    rows, count = shape if len(shape) == 2 else (1, *shape)
    chosen = request.chosen(None, count)
    table = NpzTable(
        *(request.path, request.name, request.width, rows, dtype, *chosen),
        member=member.filename,
        size=size,
    )
    table.kept["array"] = table._whole()  # which finds now whether the archive is sound
    return table


def _check_length(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuse a member that is shorter than the archive claims, before it is given any memory."""
    with _npy.opened(archive, member) as file:
        while file.read(_npy.CHUNK):
            pass
        if file.tell() != member.file_size:
            raise ValueError(f"it holds {file.tell()} bytes and claims {member.file_size}")


def _layout(file: BufferedIOBase, size: int, width: int) -> _npy.Layout:
    """That of the .npy array in `file`, when it is a table of real numbers, or one row."""
    shape, fortran, dtype = _npy.layout(file, size)
    if dtype.kind not in "fiub":
        raise ValueError(f"it must hold real numbers; got dtype {dtype}")
    if len(shape) not in (1, 2):
        raise ValueError(f"it must hold a table of shape (N, {width}); got {shape}")
    return shape, fortran, dtype
