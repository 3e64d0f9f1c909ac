"""safetensors files, through the `safetensors` package (extra: safetensors)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet import _extras
from deltanet._io._content import parse, text
from deltanet._io._files import regular_size, replacing
from deltanet._io._half import from_bfloat16

Array = NDArray[Any]
HEADER = "deltanet"  # the metadata key that holds the header as JSON
BFLOAT16 = "BF16"
TYPES = (
    "F64",
    "F32",
    "F16",
    BFLOAT16,
    "I64",
    "I32",
    "I16",
    "I8",
    "U64",
    "U32",
    "U16",
    "U8",
    "BOOL",
)


def package() -> Any:
    """The `safetensors` package."""
    return _extras.package("safetensors.numpy", "safetensors", "a file of safetensors")


def write(path: str | os.PathLike[str], header: Any, arrays: Mapping[str, Array]) -> None:
    """Write a header and arrays, whole or not at all."""
    library = package()
    with replacing(path) as partial:
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        metadata = {HEADER: text(header, arrays)}
        partial.write_bytes(library.numpy.save(contiguous, metadata=metadata))


def read(path: str | os.PathLike[str]) -> tuple[Any, dict[str, Array]]:
    """(header or None, arrays)."""
    library = package()
    size = regular_size(path)
    with open(path, "rb"):  # an OSError for a file that must not be read comes from here
        pass
    with library.safe_open(path, framework="np") as file:
        kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}
        for name, kind in kinds.items():
            if kind not in TYPES:
                raise ValueError(
                    f"array {name!r} has the type {kind}, which is not read: store it as F32, F16 or BF16"
                )
        arrays = {name: file.get_tensor(name) for name in kinds if kinds[name] != BFLOAT16}
        metadata = file.metadata() or {}
    if BFLOAT16 in kinds.values():
        arrays |= _bfloat16(library, path, size)
    header = parse(metadata[HEADER], size) if HEADER in metadata else None
    return header, arrays


def _bfloat16(library: Any, path: str | os.PathLike[str], size: int) -> dict[str, Array]:
    """The arrays of that type, which NumPy does not have, in float32."""
    with open(path, "rb") as file:
        entries = library.deserialize(file.read(size))
    return {
        name: from_bfloat16(np.frombuffer(entry["data"], "<u2").reshape(entry["shape"]))
        for name, entry in entries
        if entry["dtype"] == BFLOAT16
    }
