"""NumPy archives: uncompressed, without pickles, sizes checked before anything is allocated."""

import json
import math
import os
import tokenize
import zipfile
import zlib

import numpy as np

from deltanet.io._files import reading, replacing

HEADER = "deltanet"  # the entry that holds the header as JSON
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, SyntaxError, tokenize.TokenError, RuntimeError)
SLACK = 2**20


def write(path, header, arrays):
    """Write a header and arrays, whole or not at all."""
    with replacing(path) as partial, open(partial, "xb") as file:
        np.savez(file, **{HEADER: np.array(json.dumps(header))}, **arrays)


def read(path):
    """(header or None, arrays)."""
    with reading(path, *BROKEN):
        arrays = members(path)
        header = arrays.pop(HEADER, None)
        if header is None:
            return None, arrays
        if header.dtype.kind != "U" or header.shape:
            raise ValueError(f"entry {HEADER!r} must be a string; got dtype {header.dtype}")
        return json.loads(str(header)), arrays


def members(path):
    """{name: array} of every entry."""
    arrays, size = {}, os.path.getsize(path)
    with zipfile.ZipFile(path) as archive:
        claimed = sum(info.file_size for info in archive.infolist())
        if claimed > 2 * size + SLACK:
            raise ValueError(f"its entries claim {claimed} bytes in a file of {size}")
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name in arrays or name == info.filename:
                raise ValueError(f"entry {info.filename!r} is repeated or no .npy array")
            with archive.open(info) as file:
                check(file, info.file_size, name)
            with archive.open(info) as file:
                arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays


def check(file, size, name):
    """Refuse an entry whose shape and dtype do not fill it exactly."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"entry {name!r} has .npy version {version}; known are 1.0 and 2.0")
    one = version == (1, 0)
    parse = np.lib.format.read_array_header_1_0 if one else np.lib.format.read_array_header_2_0
    shape, _, dtype = parse(file)
    if dtype.hasobject:
        raise ValueError(f"entry {name!r} holds pickled objects, which are never loaded")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size - file.tell():
        raise ValueError(
            f"entry {name!r} of shape {shape} and dtype {dtype} does not fill its place"
        )
