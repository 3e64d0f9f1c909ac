"""Results in one file: .npy through a memory map, a block at a time, or .npz."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deltanet._cli.options import Form, Wrt
from deltanet._io import npz
from deltanet._memory import human
from deltanet._mlp import MLP
from deltanet._types import Array

BLOCK_BYTES = 2**28  # of a dense result in one step
Written = tuple[tuple[int, ...], int]  # shape of the result, all bytes written


def write_npy(
    path: Path,
    net: MLP,
    X: Any,
    wrt: Wrt,
    form: Form,
    threads: int | None,
    progress: Callable[[int, int], None],
) -> Written:
    """Write one array of all samples."""
    compute = _verb(net, wrt, form)
    shape = (len(X), *compute(X[:0], threads=threads).shape[1:])
    _check_disk(path.parent, math.prod(shape) * net.dtype.itemsize)
    D = np.lib.format.open_memmap(path, mode="w+", dtype=net.dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):  # a full disk is an OSError here, a bus error in the map
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    rows = max(1, BLOCK_BYTES // (math.prod(shape[1:]) * net.dtype.itemsize))
    for start in range(0, len(X), rows):
        stop = min(start + rows, len(X))
        compute(X[start:stop], out=D[start:stop], threads=threads)
        progress(stop, len(X))
    return shape, D.nbytes


def write_npz(path: Path, net: MLP, X: Array, wrt: Wrt, form: Form, threads: int | None) -> Written:
    """Write the outputs and, beside them, the derivatives."""
    arrays: dict[str, Any]
    if form is Form.factors:
        J = net.jacobian(X, threads=threads)
        biases = np.array([b is not None for b in net.biases])
        shape: tuple[int, ...] = J.shape
        arrays = {"outputs": J.outputs, "biases": biases}
        for k, (delta, h) in enumerate(zip(J.deltas, J.inputs, strict=True)):
            arrays |= {f"delta{k}": delta, f"input{k}": h}
    else:
        D = _verb(net, wrt, form)(X, threads=threads)
        shape, arrays = D.shape, {"outputs": D}
        if form is Form.dense:
            arrays = {"outputs": net(X, threads=threads), "jacobian": D}
    return shape, save(path, arrays)


def save(path: Path, arrays: dict[str, Any]) -> int:
    """Write arrays to an .npz file, or the only one to a .npy file; returns their bytes."""
    nbytes: int = sum(array.nbytes for array in arrays.values())
    _check_disk(path.parent, nbytes)
    if ".npy" in path.suffixes:
        (array,) = arrays.values()
        with open(path, "wb") as file:  # given a name, save would append .npy to it
            np.save(file, array)
    else:
        npz.put(path, arrays)
    return nbytes


def _verb(net: MLP, wrt: Wrt, form: Form) -> Callable[..., Array]:
    if form is Form.outputs:
        return net.__call__
    return net.jacobian_dense if wrt is Wrt.params else net.input_jacobian


def _check_disk(folder: Path, nbytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if nbytes > free:
        raise OSError(f"OUT would need {human(nbytes)}; {human(free)} are free on the disk")
