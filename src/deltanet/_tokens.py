"""Short names of values, which are equal if the values are: of nets, and for keys of Dask."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet._core.xxh64 import Xxh64


def digest(array: NDArray[Any]) -> str:
    """A hash of the numbers of an array, which is fast: XXH64."""
    total = Xxh64()
    total.update(array)
    return total.digest().hex()


def token(*parts: object) -> str:
    """A hash of arrays, by dtype, shape and bytes, and of what else is told by its repr.

    Examples
    --------
    >>> import numpy as np
    >>> token("a", np.zeros(2)) == token("a", np.zeros(2)), token(np.zeros(2)) == token(np.zeros(3))
    (True, False)
    """
    found = hashlib.sha256(usedforsecurity=False)
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype.str}{part.shape};".encode())
            found.update(np.ascontiguousarray(part).data)
        else:
            found.update(f"{part!r};".encode())
    return found.hexdigest()
