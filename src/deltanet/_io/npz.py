"""NumPy archives: without pickles, sizes checked before anything is allocated."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet._io import _npy
from deltanet._io._content import longest, parse, text
from deltanet._io._files import regular_size, replacing

Array = NDArray[Any]
HEADER = "deltanet"  # the entry that holds the header as JSON
SLACK = 2**16


def write(
    path: str | os.PathLike[str], header: dict[str, Any], arrays: Mapping[str, Array]
) -> None:
    """Write a header and arrays, whole or not at all."""
    with replacing(path) as partial:
        put(partial, {HEADER: np.array(text(header, arrays)), **arrays})


def put(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Write arrays to a new file."""
    # not np.savez: before NumPy 2.1, where it fails it leaves a ZipFile that complains on standard error
    with zipfile.ZipFile(path, "x") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def read(path: str | os.PathLike[str]) -> tuple[Any, dict[str, Array]]:
    """(header or None, arrays)."""
    size = regular_size(path)
    arrays = members(path, size)
    header = arrays.pop(HEADER, None)
    if header is None:
        return None, arrays
    if header.dtype.kind != "U" or header.shape:
        raise ValueError(f"entry {HEADER!r} must be a string; got dtype {header.dtype}")
    return parse(header.item(), size), arrays


def members(path: str | os.PathLike[str], size: int) -> dict[str, Array]:
    """{name: array} of every entry."""
    arrays: dict[str, Array] = {}
    _npy.check_directory(path, size)
    with zipfile.ZipFile(path) as archive:
        claimed = sum(info.file_size for info in archive.infolist())
        if claimed > 2 * size + SLACK:
            raise ValueError(f"its entries claim {claimed} bytes in a file of {size}")
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            stored = min(size, info.compress_size)
            if name == HEADER and info.file_size > max(4 * longest(size), stored) + SLACK:
                raise ValueError(
                    f"entry {name!r} of {info.file_size} bytes is too long for a header"
                )
            if name in arrays or name == info.filename:
                raise ValueError(f"entry {info.filename!r} is repeated or no .npy array")
            try:
                arrays[name] = member(archive, info)
            except ValueError as error:
                raise ValueError(f"entry {name!r}: {error}") from None
    return arrays


def member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    """The array of one entry, which fills it exactly."""
    with _npy.opened(archive, info) as file:
        shape, fortran, dtype = _npy.layout(file, info.file_size)
        if file.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
            raise ValueError(f"shape {shape} of dtype {dtype} does not fill its place")
        return _npy.data(file, shape, fortran, dtype)
