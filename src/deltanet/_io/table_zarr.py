"""Zarr arrays as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet._extras import package
from deltanet._io.table import Array, Request, Table


class ZarrTable(Table):
    """An array of Zarr in a folder, or at an address."""

    def _read(self, first: int, end: int, left_out: NDArray[np.int64]) -> Array:
        block: Array = np.asarray(_array(self.path)[first:end])
        return block if self.columns is None else block[:, self.columns]


def _array(path: str) -> Any:
    zarr = package("zarr", "zarr", f"reading {path}")
    if "://" in path:
        package("fsspec", "remote", f"reading {path}")
    return zarr.open_array(path, mode="r")


def open_zarr(request: Request) -> ZarrTable:
    """The table in a Zarr array of two axes."""
    array = _array(request.path)
    if len(array.shape) != 2 or array.dtype.kind not in "fiub":
        raise ValueError(
            "it must hold a table of numbers, one sample a row; "
            f"got shape {array.shape} of {array.dtype}"
        )
    rows, count = array.shape
    chosen = request.chosen(None, count)
    return ZarrTable(request.path, request.name, request.width, rows, array.dtype, *chosen)
