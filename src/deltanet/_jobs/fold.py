"""The sum of the ranges: added in their order, in double precision, whichever is finished first."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from deltanet import _memory
from deltanet._types import Array

FLOAT64: np.dtype[np.float64] = np.dtype(np.float64)


class Fold:
    """``((0 + s_0) + s_1) + ...``, or the largest of each number.

    Attributes
    ----------
    total : (numbers,) ndarray
    count : int
        Ranges that are in it: a range that comes early waits.
    is_kept : bool
        Whether it lasts longer than this process.
    advice : str
        What to do after a worker has died.
    """

    is_kept = False
    advice = "with checkpoint= the next job goes on from the ranges that are finished"

    def __init__(self, numbers: int, largest: bool = False) -> None:
        self.total: NDArray[np.float64] = _memory.zeros(
            (numbers,), FLOAT64, "the sum over all ranges", "use a smaller wrt="
        )
        self.join: np.ufunc = np.maximum if largest else np.add
        if largest:
            self.total.fill(-np.inf)
        self.count = 0
        self.early: dict[int, Array] = {}

    def finished(self) -> Collection[int]:
        """The ranges that need no work."""
        return [*range(self.count), *self.early]

    def waiting(self) -> int:
        """How many results lie in memory."""
        return len(self.early)

    def take(self, index: int, vector: Array, hashes: list[bytes]) -> None:
        """One more range."""
        if index > self.count:
            self.early[index] = vector
            return
        self.add(vector)
        while self.count in self.early:
            self.add(self.early.pop(self.count))

    def add(self, vector: Array) -> None:
        """The range whose turn it is."""
        with np.errstate(all="ignore"):
            self.join(self.total, vector, out=self.total)
        self.count += 1
