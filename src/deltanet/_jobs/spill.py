"""Arrays in memory as files, which the processes of a pool read: a pipe would carry every number twice."""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from deltanet import _limits
from deltanet._rows import Rows, rows


@contextmanager
def spilled(executor: Any, given: dict[str, Rows]) -> Iterator[dict[str, Rows]]:
    """The same rows; large arrays in memory lie in temporary files, until the end of the block."""
    large = [name for name, each in given.items() if is_large(each)]
    if not large or not isinstance(executor, ProcessPoolExecutor):
        yield given
        return
    prefix = f"deltanet-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield given | {name: written(Path(folder, f"{name}.npy"), given[name]) for name in large}


def is_large(given: Rows) -> bool:
    return given.is_in_memory and given.source.nbytes > _limits.SPILL_BYTES


def written(path: Path, given: Rows) -> Rows:
    """Rows in a file, in the type in which they are read."""
    with open(path, "wb") as file:
        header = {"descr": given.dtype.str, "fortran_order": False, "shape": given.shape}
        np.lib.format.write_array_header_1_0(file, header)
        step = max(1, _limits.PIECE_NUMBERS * len(given) // max(1, given.source.size))
        for start in range(0, len(given), step):
            file.write(given[start : start + step].data)
    return rows(np.load(path, mmap_mode="r"), given.shape[1:], given.dtype, given.name)
