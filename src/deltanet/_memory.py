"""Sizes, refusals before anything is allocated, and the cache of memory that is used again."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet import _limits
from deltanet._core import buffers
from deltanet._machine import available_memory as available_memory
from deltanet._types import DType, Shape


def room(shape: Shape, kind: np.dtype[Any], what: str, instead: str) -> None:
    """Raise MemoryError if an array of this shape exceeds the memory available."""
    nbytes = math.prod(shape) * kind.itemsize
    if nbytes < _limits.WORTH_A_LOOK_BYTES:
        return
    free = available_memory()
    if nbytes > free:
        product = " x ".join(str(n) for n in shape)
        raise MemoryError(
            f"{what} would need {human(nbytes)} ({product} numbers of {kind}), {human(free)} are "
            f"available; {instead}"
        )


def human(nbytes: float) -> str:
    """A size in words: 1.5 GB, by powers of 1000."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if nbytes < 1000:
            return f"{nbytes} bytes" if unit == "bytes" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} PB"


def empty(shape: Shape, kind: DType, what: str, instead: str) -> NDArray[Any]:
    """A new array, not initialised, in memory that was used before where that fits."""
    room(shape, kind, what, instead)
    return buffers.lend(shape, kind)


def zeros(shape: Shape, kind: DType, what: str, instead: str) -> NDArray[Any]:
    """A new array of zeros."""
    array = empty(shape, kind, what, instead)
    array.fill(0)
    return array


def cache_info() -> dict[str, int]:
    """What is kept for the next calls: memory of results that have died, and workspaces of threads.

    Returns
    -------
    dict of str to int
        "result_bytes" of at most "limit_bytes", and "workspace_bytes".

    Examples
    --------
    >>> import deltanet as dn
    >>> dn.clear_cache()
    >>> dn.cache_info()["result_bytes"]
    0
    """
    results, workspaces = buffers.held()
    return {
        "result_bytes": results,
        "limit_bytes": _limits.CACHE_BYTES,
        "workspace_bytes": workspaces,
    }


def clear_cache() -> None:
    """Give the memory that `cache_info` counts back to the system. No array in use is touched.

    Examples
    --------
    >>> import deltanet as dn
    >>> dn.clear_cache()
    """
    buffers.clear()
