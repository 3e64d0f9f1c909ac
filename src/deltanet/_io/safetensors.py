"""safetensors files, through the `safetensors` package (extra: safetensors)."""

import os

import numpy as np

from deltanet._io._content import parse, text
from deltanet._io._files import reading, replacing

HEADER = "deltanet"  # the metadata key that holds the header as JSON


def package():
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ImportError(
            "safetensors files need the extra 'safetensors': pip install \"deltanet[safetensors]\""
        ) from error
    return safetensors


def write(path, header, arrays):
    """Write a header and arrays, whole or not at all."""
    library = package()
    with replacing(path) as partial:
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        metadata = {HEADER: text(header, arrays)}
        partial.write_bytes(library.numpy.save(contiguous, metadata=metadata))


def read(path):
    """(header or None, arrays)."""
    library = package()
    with (
        reading(path, library.SafetensorError),
        open(path, "rb"),  # an OSError for a folder or a missing file comes from here
        library.safe_open(path, framework="np") as file,
    ):
        arrays = {name: file.get_tensor(name) for name in file.keys()}
        metadata = file.metadata() or {}
        return parse(
            metadata[HEADER], os.path.getsize(path)
        ) if HEADER in metadata else None, arrays
