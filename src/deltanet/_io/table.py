"""Tables of samples, one a row: .npy, .csv and .npz files."""

import os
import zipfile
from itertools import chain, islice
from pathlib import Path

import numpy as np

from deltanet._io import _npy
from deltanet._io._files import reading
from deltanet._memory import room

TABLE_NAMES = ("X", "x", "inputs")  # of the array to read from an .npz that holds several
COLUMN = 256  # characters that a column of a .csv may take in a line
BLOCK = 4096  # lines of a .csv


def read_table(path: Path, width: int) -> np.ndarray:
    """The table of samples in a file, of shape (N, width)."""
    readers = {".npy": _read_npy, ".csv": _read_csv, ".npz": _read_npz}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise ValueError(f"INPUTS must end in .npy, .csv or .npz; got {path}")
    with reading(path, *_npy.BROKEN_ZIP):
        return readers[suffix](path, width)


def _read_npy(path: Path, width: int) -> np.ndarray:
    """A read-only map of the file, so that the table may exceed the memory."""
    with open(path, "rb") as file:
        shape, fortran, dtype = _layout(file, path.stat().st_size, width)
        order, offset = "F" if fortran else "C", file.tell()
    if 0 in shape:  # which cannot be mapped
        return np.empty(shape, dtype)
    return np.atleast_2d(np.memmap(path, dtype, "r", offset, shape, order))


def _read_npz(path: Path, width: int) -> np.ndarray:
    size = os.path.getsize(path)
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


def _layout(file, size: int, width: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """That of the .npy array in `file`, when it is a table of real numbers."""
    shape, fortran, dtype = _npy.layout(file, size)
    if dtype.kind not in "fiub":
        raise ValueError(f"it must hold real numbers; got dtype {dtype}")
    _check_width(shape if len(shape) != 1 else (1, *shape), width)
    return shape, fortran, dtype


def _check_width(shape: tuple[int, ...], width: int) -> None:
    if len(shape) != 2 or shape[1] != width:
        raise ValueError(f"it must hold a table of shape (N, {width}); got {shape}")


def _read_csv(path: Path, width: int) -> np.ndarray:
    """Read twice: the numbers of a file of text may take several times its size."""
    X = np.empty((sum(map(len, _csv_blocks(path, width))), width))
    start = 0
    for block in _csv_blocks(path, width):
        X[start : start + len(block)] = block
        start += len(block)
    return X


def _csv_blocks(path: Path, width: int):
    """The numbers of a .csv file, some lines at a time."""
    with open(path, encoding="utf-8-sig") as file:
        lines = _lines(file, COLUMN * (width + 1))
        first = next(lines, None)
        if first is None:
            raise ValueError(f"it must hold a table of shape (N, {width}); it is empty")
        fields = first.strip().split(",")
        names = [field for field in fields if not _is_number(field)]
        if names and len(names) < len(fields):  # to take it for a header would lose a sample
            raise ValueError(f"its first line mixes numbers with {names[0]!r}")
        _check_width((0, len(fields)), width)
        if not names:
            lines = chain([first], lines)
        start = 0
        while block := list(islice(lines, BLOCK)):
            yield _numbers(block, start, width)
            start += len(block)


def _lines(file, longest: int):
    """The lines that hold something."""
    while line := file.readline(longest):
        if len(line) == longest:
            raise ValueError(f"a line is longer than {longest - 1} characters")
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


def _numbers(lines: list[str], start: int, width: int) -> np.ndarray:
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
