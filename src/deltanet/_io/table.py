"""Tables of samples, one a row: .npy, .csv and .npz files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from io import BufferedIOBase
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from deltanet._io import _npy
from deltanet._io._files import reading, regular_size
from deltanet._memory import room

Array = NDArray[Any]
TABLE_NAMES = ("X", "x", "inputs")  # of the array to read from an .npz that holds several
COLUMN = 256  # characters that a column of a .csv may take in a line
BLOCK = 4096  # lines of a .csv
SUFFIXES = (".npy", ".csv", ".npz")
SAY_WHETHER = "say --header, or --no-header if it is a sample"


def open_table(path: Path, width: int) -> Array:
    """What the rows of a file are read from: `shape`, and `[a:b]`."""
    return read_table(path, width)


def read_table(path: Path, width: int, header: bool | None = None) -> Array:
    """The table of samples in a file, of shape (N, width).

    `header` says whether the first line of a .csv is one; None: if it holds names, it is.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"INPUTS must end in .npy, .csv or .npz; got {path}")
    if header is not None and suffix != ".csv":
        raise ValueError(f"only a .csv may have a header; got {path}")
    with reading(path):
        size = regular_size(path)
        if suffix == ".csv":
            return _read_csv(path, width, header)
        return (_read_npy if suffix == ".npy" else _read_npz)(path, width, size)


def _read_npy(path: Path, width: int, size: int) -> Array:
    """A read-only map of the file, so that the table may exceed the memory."""
    with open(path, "rb") as file:
        shape, fortran, dtype = _layout(file, size, width)
        order: Literal["F", "C"] = "F" if fortran else "C"
        offset = file.tell()
    if 0 in shape:  # which cannot be mapped
        return np.empty(shape, dtype)
    return np.atleast_2d(np.memmap(path, dtype, "r", offset, shape, order))


def _read_npz(path: Path, width: int, size: int) -> Array:
    _npy.check_directory(path, size)
    with zipfile.ZipFile(path) as archive:
        members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        names = [*members] if len(members) == 1 else [n for n in TABLE_NAMES if n in members]
        if not names:
            some = ", ".join([*members][:9])
            raise ValueError(f"give one array, or name it X, x or inputs; got {some}")
        member = members[names[0]]
        with _npy.opened(archive, member) as file:
            layout = shape, _, dtype = _layout(file, member.file_size, width)
            if member.file_size > 2 * size:
                _check_length(archive, member)
            room(shape, dtype, f"the table in {path}", "give it as .npy, which is read in blocks")
            return np.atleast_2d(_npy.data(file, *layout))


def _check_length(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuse a member that is shorter than the archive claims, before it is given any memory."""
    with _npy.opened(archive, member) as file:
        while file.read(_npy.CHUNK):
            pass
        if file.tell() != member.file_size:
            raise ValueError(f"it holds {file.tell()} bytes and claims {member.file_size}")


def _layout(file: BufferedIOBase, size: int, width: int) -> _npy.Layout:
    """That of the .npy array in `file`, when it is a table of real numbers."""
    shape, fortran, dtype = _npy.layout(file, size)
    if dtype.kind not in "fiub":
        raise ValueError(f"it must hold real numbers; got dtype {dtype}")
    _check_width(shape if len(shape) != 1 else (1, *shape), width)
    return shape, fortran, dtype


def _check_width(shape: tuple[int, ...], width: int) -> None:
    if len(shape) != 2 or shape[1] != width:
        raise ValueError(f"it must hold a table of shape (N, {width}); got {shape}")


def _read_csv(path: Path, width: int, header: bool | None) -> Array:
    """Read twice: the numbers of a file of text may take several times its size."""
    X = np.empty((sum(map(len, _csv_blocks(path, width, header))), width))
    start = 0
    for block in _csv_blocks(path, width, header):
        X[start : start + len(block)] = block
        start += len(block)
    return X


def _csv_blocks(path: Path, width: int, header: bool | None) -> Iterator[Array]:
    """The numbers of a .csv file, some lines at a time."""
    with open(path, encoding="utf-8-sig") as file:
        lines = _lines(file, COLUMN * (width + 1))
        first = next(lines, None)
        if first is None:
            raise ValueError(f"it must hold a table of shape (N, {width}); it is empty")
        second = next(lines, None)
        is_header = _is_header(first, second) if header is None else header
        _check_width((0, len(_fields(first))), width)
        ahead = [second] if is_header else [first, second]
        lines = chain([line for line in ahead if line is not None], lines)
        start = 0
        while block := list(islice(lines, BLOCK)):
            yield _numbers(block, start, width)
            start += len(block)


def _is_header(first: str, second: str | None) -> bool:
    """Whether the first line holds names. Numbers may be names too: then the user must say it."""
    fields = _fields(first)
    names = [field for field in fields if not _is_number(field)]
    if names and len(names) < len(fields):
        raise ValueError(f"its first line mixes numbers with {names[0]!r}: {SAY_WHETHER}")
    if names or (_is_quoted(first) and second is not None and not _is_quoted(second)):
        return True
    counted = len(fields) > 1 and fields == [str(k) for k in range(len(fields))]
    whole = all(map(str.isdecimal, fields)) and len(set(fields)) == len(fields)
    numbers = [] if second is None else [field.lstrip("+-") for field in _fields(second)]
    if counted or (whole and numbers and not any(map(str.isdecimal, numbers))):
        raise ValueError(f"its first line, {','.join(fields)[:80]}, may be a header: {SAY_WHETHER}")
    return False


def _fields(line: str) -> list[str]:
    return [field.strip(' "') for field in line.strip().split(",")]


def _is_quoted(line: str) -> bool:
    return all(field.strip().startswith('"') for field in line.split(","))


def _lines(file: IO[str], longest: int) -> Iterator[str]:
    """The lines that hold something."""
    while line := file.readline(longest):
        if len(line) == longest:
            raise ValueError(f"a line is longer than {longest - 1} characters")
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


def _numbers(lines: list[str], start: int, width: int) -> Array:
    try:
        block = np.loadtxt(lines, delimiter=",", ndmin=2, quotechar='"')
    except ValueError as error:
        reason = str(error).partition("; use `usecols`")[0]  # advice for callers of loadtxt
        raise ValueError(f"among its rows from {start} on: {reason}") from None
    _check_width(block.shape, width)
    return block


def _is_number(field: str) -> bool:
    try:
        float(field.strip(' "'))
    except ValueError:
        return False
    return True
