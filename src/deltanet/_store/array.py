"""One array of a store, whose rows are read when they are asked for."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from deltanet import _validate
from deltanet._store.blocks import Blocks
from deltanet._store.read import finished
from deltanet._types import Array, DType, Shape

if TYPE_CHECKING:
    from deltanet._mlp import MLP


class StoredRows:
    """What a store of any form has.

    Attributes
    ----------
    net : MLP
        The net that was evaluated.
    """

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    @property
    def net(self) -> "MLP":
        """The net that was evaluated, with its names and units."""
        return self._blocks.stored.net

    @property
    def dtype(self) -> DType:
        """float64 or float32."""
        return self._blocks.layout.dtype

    @property
    def done(self) -> NDArray[np.bool_]:
        """(N,): which samples are there, as of now."""
        return self._blocks.done()

    @property
    def finished(self) -> bool:
        """Whether all samples are there, as of now."""
        layout = self._blocks.layout
        return len(finished(self._blocks.stored.place, range(layout.blocks))) == layout.blocks

    def __len__(self) -> int:
        """N"""
        return self._blocks.layout.samples


class StoredArray(StoredRows):
    """One array of a store: ``A[a:b]``, ``A[i]``, ``A[mask]``, ``A[a:b, :, 3]`` read what they need.

    Rows that are not written yet are refused with a RuntimeError.
    """

    def __init__(self, blocks: Blocks, name: str) -> None:
        super().__init__(blocks)
        self._name = name

    @property
    def shape(self) -> Shape:
        """(N, ...)"""
        return len(self), *self._blocks.layout.members[self._name].shape

    @property
    def ndim(self) -> int:
        """How many axes."""
        return len(self.shape)

    @property
    def chunks(self) -> Shape:
        """The shape of a chunk: the rows of a block, and all of the other axes."""
        return self._blocks.layout.rows, *self.shape[1:]

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def outputs(self) -> "StoredArray":
        """y, (N, m), of the same store."""
        return StoredArray(self._blocks, "outputs")

    @property
    def array(self) -> Any:
        """The array as Zarr opens it, which shows rows that are not written as NaN."""
        return self._blocks.stored.place.array(self._name)

    def __getitem__(self, index: Any) -> Any:
        first, *rest = index if isinstance(index, tuple) and index else (index,)
        if first is Ellipsis:
            missing = self.ndim - len(rest)
            first, rest = slice(None), [slice(None)] * (missing - 1) + rest if missing else rest
        for each in rest:
            if not isinstance(each, (slice, int, np.integer, type(None), type(Ellipsis))):
                raise TypeError(
                    "behind the samples an index takes ints and slices; read the rows, or use .array, for "
                    f"others; got {each!r}"
                )
        return self._blocks.read(self._name, _validate.picked(first, len(self)), tuple(rest))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError(
                "the rows of a store are read into a new array: copy=False cannot be met"
            )
        rows: Array = self[:]
        return rows if dtype is None else rows.astype(dtype, copy=False)

    def __repr__(self) -> str:
        place = self._blocks.stored.place.name
        return f"<{self._name} of the store {place!r}: shape={self.shape}, dtype='{self.dtype}'>"
