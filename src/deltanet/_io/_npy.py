""".npy arrays, alone or in a zip archive: what their header says is checked before anything is allocated."""

from __future__ import annotations

import ast
import math
import os
import struct
import zipfile
from io import BufferedIOBase
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Layout = tuple[tuple[int, ...], bool, np.dtype[Any]]  # shape, Fortran order, dtype

LONGEST_HEADER = 4096  # bytes; that of an array of numbers has some hundred
LONGEST_TEXT = 512  # of it, without the spaces that fill it up
# Of the header, by version of the format
LENGTHS: dict[tuple[int, ...], str] = {(1, 0): "<H", (2, 0): "<I"}
CHUNK = 2**16
# Bytes of an archive's directory, and an eighth of the file: zipfile makes objects of it.
DIRECTORY = 2**15


def layout(file: BufferedIOBase, size: int) -> Layout:
    """(shape, fortran order, dtype) of the array in `file` of `size` bytes, which stands at its data then."""
    if file.read(6) != b"\x93NUMPY":
        raise ValueError("it is no .npy array: its magic string is missing")
    version = tuple(file.read(2))
    if version not in LENGTHS:
        raise ValueError(f"its .npy version must be 1.0 or 2.0; got {version}")
    prefix = file.read(struct.calcsize(LENGTHS[version]))
    length = int.from_bytes(prefix, "little")
    if length > LONGEST_HEADER or file.tell() + length > size:
        raise ValueError(
            f"its header claims {length} bytes; it may have {LONGEST_HEADER} and no more than the file"
        )
    shape, fortran, dtype = header(file.read(length).decode("latin1"))
    if dtype.hasobject or dtype.itemsize == 0:
        raise ValueError(f"its dtype is {dtype}: pickled objects are never loaded")
    needed, found = math.prod(shape) * dtype.itemsize, size - file.tell()
    if needed > found:
        raise ValueError(
            f"it is too short for shape {shape} of dtype {dtype}: {found} bytes of {needed}"
        )
    return shape, fortran, dtype


def header(text: str) -> Layout:
    """(shape, fortran order, dtype) of {'descr': ..., 'fortran_order': ..., 'shape': ...}."""
    text = text.strip()
    if len(text) > LONGEST_TEXT:
        raise ValueError(
            f"its header of {len(text)} characters is too long for an array of numbers"
        )
    try:
        fields = ast.literal_eval(text)
        shape, fortran = fields["shape"], fields["fortran_order"]
        dtype = np.dtype(fields["descr"])
    except (ValueError, TypeError, SyntaxError, KeyError, RecursionError, MemoryError) as error:
        # the last two come from Python's parser where the text nests too deep
        raise ValueError(f"its header cannot be read ({type(error).__name__})") from None
    right = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not right or not isinstance(fortran, bool):
        raise ValueError(
            "its header must hold a tuple 'shape' of counts and a flag 'fortran_order'"
        )
    return shape, fortran, dtype


def data(
    file: BufferedIOBase, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """The array itself, from a file that stands at its data."""
    array = np.empty(math.prod(shape), dtype)
    target = array.view(np.uint8).data
    done = 0
    while done < len(target):
        count = file.readinto(target[done : done + CHUNK])
        if not count:
            raise ValueError(f"it ends after {done} bytes of {len(target)}")
        done += count
    file.read(1)  # at its end an archive compares the checksum
    return array.reshape(shape, order="F" if fortran else "C")


def check_directory(path: str | os.PathLike[str], size: int) -> None:
    """Refuse an archive that is mostly a list of names, before zipfile reads the list."""
    with open(path, "rb") as file:
        file.seek(max(0, size - 2**16 - 42))
        tail = file.read()
    end = tail.rfind(b"PK\5\6")
    length = int.from_bytes(tail[end + 12 : end + 16], "little") if end >= 0 else 0
    if tail[max(0, end - 20) : end].startswith(b"PK\6\7") and size < 2**32:
        raise ValueError("its directory is in the format of archives over 4 GB")
    if length > DIRECTORY + size // 8:
        raise ValueError(f"its directory of names takes {length} bytes of {size}")


def opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BufferedIOBase:
    """A member of an archive, to be read."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"it is compressed by method {member.compress_type}; known is deflate")
    return cast(BufferedIOBase, archive.open(member))  # of which typing says IO[bytes]
