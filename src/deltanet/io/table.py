"""Tables of samples, one a row: .npy, .csv and .npz files."""

import math
import tokenize
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np

from deltanet._validate import room

TABLE_NAMES = ("X", "x", "inputs")  # of the array to read from an .npz that holds several
# What NumPy and zipfile raise over a broken file, besides OSError.
BROKEN = (
    ValueError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_table(path: Path, width: int) -> np.ndarray:
    """The table of samples in a file, of shape (N, width)."""
    readers = {".npy": _read_npy, ".csv": _read_csv, ".npz": _read_npz}
    if path.suffix not in readers:
        raise ValueError(f"INPUTS must end in .npy, .csv or .npz; got {path}")
    try:
        with warnings.catch_warnings():  # NumPy warns of old headers and of tables without rows
            warnings.simplefilter("ignore")
            X = np.atleast_2d(readers[path.suffix](path))
    except BROKEN as error:
        raise ValueError(f"{path} is not a table of inputs: {error}") from None
    if X.ndim != 2 or X.shape[1] != width:
        raise ValueError(f"{path} must hold a table of shape (N, {width}); got {X.shape}")
    return X


def _read_npy(path: Path) -> np.ndarray:
    """A read-only map of the file, so that the table may exceed the memory."""
    with open(path, "rb") as file:
        shape, fortran, dtype = _npy_layout(file, path.stat().st_size)
        order, offset = "F" if fortran else "C", file.tell()
    return np.memmap(path, dtype, "r", offset, shape, order)


def _read_npz(path: Path) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        names = [*members] if len(members) == 1 else [n for n in TABLE_NAMES if n in members]
        if not names:
            raise ValueError(f"give one array, or name it X, x or inputs; got {', '.join(members)}")
        member = members[names[0]]
        with archive.open(member) as file:
            shape, _, dtype = _npy_layout(file, member.file_size)
        room(shape, dtype, f"the table in {path}", "give it as .npy, which is read in blocks")
        with archive.open(member) as file:
            return np.lib.format.read_array(file, allow_pickle=False)


def _npy_layout(file, size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype of the .npy array in `file`, if it holds as many bytes as they say."""
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(file)
    if version not in headers:
        raise ValueError(f"its .npy version must be 1.0 or 2.0; got {version}")
    shape, fortran, dtype = headers[version](file)
    if dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError(f"it must hold numbers; got shape {shape} of dtype {dtype}")
    if file.tell() + math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"it is too short for shape {shape} of dtype {dtype}")
    return shape, fortran, dtype


def _read_csv(path: Path) -> np.ndarray:
    with open(path, encoding="utf-8-sig") as file:
        fields = file.readline().strip().split(",")
        names = [field for field in fields if not _is_number(field)]
        if not names:
            file.seek(0)
        elif len(names) < len(fields):  # to take it for a header would lose a sample
            raise ValueError(f"its first line mixes numbers with {names[0]!r}")
        X = np.loadtxt(file, delimiter=",", ndmin=2, quotechar='"')
    return X if X.size else np.empty((0, len(fields)))


def _is_number(field: str) -> bool:
    try:
        float(field.strip(' "'))
    except ValueError:
        return False
    return True
