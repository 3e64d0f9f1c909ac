"""Stores: Jacobians of any number of samples in Zarr, written by jobs that can be stopped at any moment."""

import os

from deltanet._store.array import StoredArray
from deltanet._store.blocks import Blocks
from deltanet._store.jacobian import StoredJacobian
from deltanet._store.read import opened
from deltanet._store.write import write

__all__ = ["open", "write"]


def open(path: str | os.PathLike[str]) -> StoredJacobian | StoredArray:
    """DOC"""
    blocks = Blocks(opened(path))
    form = blocks.layout.form
    if form == "factors":
        return StoredJacobian(blocks)
    return StoredArray(blocks, "jacobian" if form == "dense" else "outputs")
