"""What `dn.open` returns: rows that are read when they are asked for, and verbs that run over them block by block."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from deltanet import _columns, _factors, _memory, _validate, _verbs
from deltanet._jacobian import Jacobian, Transposed
from deltanet._kfac import KFAC
from deltanet._store.layout import Layout
from deltanet._store.read import Stored, finished, marks
from deltanet._types import Array, DType, Index, Pairs, Progress, Shape

if TYPE_CHECKING:
    from deltanet._mlp import MLP


class Blocks:
    """The blocks of a store, as they are read: only those that are finished, and only the rows asked for."""

    def __init__(self, stored: Stored) -> None:
        self.stored, self.known = stored, set[int]()

    @property
    def layout(self) -> Layout:
        return self.stored.layout

    def require(self, blocks: NDArray[np.intp] | range) -> None:
        """Raise RuntimeError if one of these blocks is not finished."""
        asked = [int(block) for block in blocks if block not in self.known]
        for block, mark in zip(asked, marks(self.stored.place, asked), strict=True):
            if not mark:
                part = self.layout.span(block)
                raise RuntimeError(
                    f"{self.stored.place.name}: the samples {part.start}:{part.stop} are not written yet; "
                    "dn.write(..., resume=True) goes on with them, and `done` says which are there"
                )
            self.known.add(block)

    def done(self) -> NDArray[np.bool_]:
        """Which samples are there."""
        layout = self.layout
        _memory.room((layout.samples,), np.dtype(bool), "done", "read the array done by Zarr")
        mask = np.zeros(layout.samples, bool)
        for block in finished(self.stored.place, range(layout.blocks)):
            mask[layout.span(block)] = True
        return mask

    def rows(self, name: str, start: int, stop: int) -> Array:
        """The rows start:stop of an array, which all lie in one block."""
        layout = self.layout
        shape, kind = layout.members[name].shape, layout.dtype.newbyteorder("<")
        block = start // layout.rows
        at, step = block * layout.rows, math.prod(shape) * kind.itemsize
        key = layout.keys(block)[name]
        found = self.stored.place.part(key, (start - at) * step, (stop - at) * step)
        if found is None or found.size != (stop - start) * step:
            raise OSError(f"{self.stored.place.name}: {key} is damaged, and must be written again")
        return found.view(kind).astype(layout.dtype, copy=False).reshape(stop - start, *shape)

    def pieces(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """(start, stop) within one block each."""
        rows = self.layout.rows
        while start < stop:
            end = min(stop, (start // rows + 1) * rows)
            yield start, end
            start = end

    def read(self, name: str, chosen: Any, rest: tuple[Any, ...] = ()) -> Array:
        """Of an array some samples, an int, a slice or an array of ints; `rest` is taken of each piece."""
        N = self.layout.samples
        if isinstance(chosen, int):
            self.require(range(chosen // self.layout.rows, chosen // self.layout.rows + 1))
            one: Array = self.rows(name, chosen, chosen + 1)[0]
            return np.array(one[rest] if rest else one)
        whole = range(N)[chosen] if isinstance(chosen, slice) else chosen
        shape = (len(whole), *self.layout.members[name].shape)
        if not rest:
            _memory.room(shape, self.layout.dtype, f"{name}[...]", "read fewer samples at a time")
        if isinstance(whole, range) and whole.step == 1:
            return self.joined(name, list(self.pieces(whole.start, whole.stop)), shape, rest)
        return self.gathered(name, np.asarray(whole, np.intp), shape, rest)

    def joined(
        self, name: str, pieces: list[tuple[int, int]], shape: Shape, rest: tuple[Any, ...]
    ) -> Array:
        """Pieces that follow each other."""
        self.require(np.unique([start // self.layout.rows for start, _ in pieces]).astype(np.intp))
        if not pieces:
            return np.empty(shape, self.layout.dtype)[(slice(None), *rest)]
        if rest:
            return np.concatenate(
                [self.rows(name, *piece)[(slice(None), *rest)] for piece in pieces]
            )
        found, at = np.empty(shape, self.layout.dtype), 0
        for start, stop in pieces:
            found[at : at + stop - start] = self.rows(name, start, stop)
            at += stop - start
        return found

    def gathered(
        self, name: str, chosen: NDArray[np.intp], shape: Shape, rest: tuple[Any, ...]
    ) -> Array:
        """Samples in any order: of each block the rows from the first to the last that is wanted."""
        blocks = chosen // self.layout.rows
        self.require(np.unique(blocks))
        result = np.empty(shape, self.layout.dtype)[(slice(None), *rest)]
        for block in np.unique(blocks):
            places = np.flatnonzero(blocks == block)
            wanted = chosen[places]
            first = int(wanted.min())
            rows = self.rows(name, first, int(wanted.max()) + 1)
            result[places] = rows[wanted - first][(slice(None), *rest)]
        return result


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
        import zarr

        return zarr.open_array(self._blocks.stored.place.zarr, path=self._name, mode="r")

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
            raise ValueError("the rows of a store are read into a new array: copy=False cannot be met")
        rows: Array = self[:]
        return rows if dtype is None else rows.astype(dtype, copy=False)

    def __repr__(self) -> str:
        place = self._blocks.stored.place.name
        return f"<{self._name} of the store {place!r}: shape={self.shape}, dtype='{self.dtype}'>"


class StoredSource(_verbs.Source):
    """The factors in a store as a source of the verbs, a block after the other."""

    def __init__(self, blocks: Blocks, kept: _columns.Kept, engine: Any) -> None:
        layout = blocks.layout
        super().__init__(engine, layout.sizes, layout.dtype, kept, (layout.samples,))
        self.blocks = blocks

    def is_whole(self) -> bool:
        """Never: a block is read when its turn comes."""
        return False

    def pieces(self) -> Iterator[tuple[slice, dict[str, Any]]]:
        self.blocks.require(range(self.blocks.layout.blocks))
        for start, stop in self.blocks.pieces(0, self.N) if self.N else [(0, 0)]:
            inputs, deltas = layers(self.blocks, lambda name: self.some(name, start, stop))
            yield slice(start, stop), {"inputs": inputs, "deltas": deltas, "r": self.m}

    def some(self, name: str, start: int, stop: int) -> Array:
        """The rows of a piece, without a copy."""
        if start == stop:
            return np.empty((0, *self.blocks.layout.members[name].shape), self.dtype)
        return self.blocks.rows(name, start, stop)


def layers(blocks: Blocks, made: Callable[[str], Any]) -> tuple[list[Any], list[Any]]:
    """(inputs, deltas) of each layer."""
    count = range(len(blocks.layout.sizes) - 1)
    return [made(f"input{k}") for k in count], [made(f"delta{k}") for k in count]


class StoredJacobian(StoredRows):
    """dy/dtheta in the factors of a store: a Jacobian of which only what is asked for is in memory.

    ``S[a:b]``, ``S[mask]`` and ``S[[3, 1]]`` are a `Jacobian` in memory, ``S[i]`` is that of one sample. The
    other methods run over the blocks, one in memory at a time, and return what those of `Jacobian` do. Rows
    that are not written yet are refused with a RuntimeError.

    Attributes
    ----------
    outputs : (N, m) array of the store
    deltas, inputs : tuple of arrays of the store
        (N, m, n_{k+1}) and (N, n_k) of layer k: ``S.deltas[0][a:b]`` reads rows of it.
    """

    __array_ufunc__ = None

    def __init__(self, blocks: Blocks) -> None:
        super().__init__(blocks)
        layout = blocks.layout
        self._kept = _columns.everything(layout.sizes, layout.biases)
        self._engine = _factors.engine(
            layout.sizes, self._kept, layout.dtype, self.net.input_scale
        )
        self.outputs: StoredArray = StoredArray(blocks, "outputs")
        inputs, deltas = layers(blocks, lambda name: StoredArray(blocks, name))
        self.inputs: tuple[StoredArray, ...] = tuple(inputs)
        self.deltas: tuple[StoredArray, ...] = tuple(deltas)

    @property
    def shape(self) -> Shape:
        """(N, m, P): the shape of the dense Jacobian."""
        return len(self), self._blocks.layout.sizes[-1], self._kept.size

    @property
    def ndim(self) -> int:
        """3"""
        return 3

    def __repr__(self) -> str:
        place = self._blocks.stored.place.name
        return f"<Jacobian in the store {place!r}: shape={self.shape}, dtype='{self.dtype}'>"

    def __getitem__(self, index: int | Index) -> Jacobian:
        """The Jacobian of one sample, or of some, in memory."""
        chosen = _validate.picked(index, len(self))
        outputs: Array = self._blocks.read("outputs", chosen)
        inputs, deltas = layers(self._blocks, lambda name: self._blocks.read(name, chosen))
        layout, net = self._blocks.layout, self.net
        J = Jacobian._of(
            _factors.Parts(
                layout.sizes,
                layout.biases,
                self._kept.layers,
                outputs.shape,
                outputs,
                tuple(inputs),
                tuple(deltas),
                net.weights[0],
                net.input_scale,
                layout.dtype,
            )
        )
        J.__dict__["_labels"] = net._labels
        return J

    def __iter__(self) -> Iterator[Jacobian]:
        """One sample after the other."""
        return (self[i] for i in range(len(self)))

    def _source(self) -> StoredSource:
        return StoredSource(self._blocks, self._kept, self._engine)

    def matvec(
        self, v: ArrayLike, threads: int | None = None, progress: Progress = None
    ) -> Array:
        """J v, (N, m) or (N, m, r): see `Jacobian.matvec`."""
        return _verbs.jvp(self._source(), v, None, threads, progress)

    def rmatvec(
        self, u: ArrayLike, threads: int | None = None, progress: Progress = None
    ) -> Array:
        """J^T u, (P,) or (P, r): see `Jacobian.rmatvec`."""
        return _verbs.vjp(self._source(), u, None, threads, progress)

    def __matmul__(self, v: ArrayLike) -> Array:
        return self.matvec(v)

    @property
    def T(self) -> Transposed:
        """J^T: `S.T @ u` is `S.rmatvec(u)`."""
        return Transposed(self)

    def row_norms_squared(self, threads: int | None = None, progress: Progress = None) -> Array:
        """The squared norm of each row of J, (N, m): see `Jacobian.row_norms_squared`."""
        return _verbs.row_norms_squared(self._source(), None, threads, progress)

    def ggn(
        self, H: ArrayLike | None = None, threads: int | None = None, progress: Progress = None
    ) -> Array:
        """J^T H J, (P, P): see `Jacobian.ggn`."""
        return _verbs.ggn(self._source(), H, None, threads, progress)

    def ggn_diagonal(
        self, H: ArrayLike | None = None, threads: int | None = None, progress: Progress = None
    ) -> Array:
        """The diagonal of `ggn`, (P,): see `Jacobian.ggn_diagonal`."""
        return _verbs.ggn_diagonal(self._source(), H, None, threads, progress)

    def kfac(
        self, H: ArrayLike | None = None, threads: int | None = None, progress: Progress = None
    ) -> KFAC:
        """The Kronecker factors of each layer's block of `ggn`: see `Jacobian.kfac`."""
        return _verbs.kfac(self._source(), H, threads, progress)

    def covariance(
        self,
        Sigma: ArrayLike | Pairs | KFAC,
        threads: int | None = None,
        progress: Progress = None,
    ) -> Array:
        """J Sigma J^T of each sample, (N, m, m): see `Jacobian.covariance`."""
        return _verbs.covariance(self._source(), Sigma, None, threads, progress)

    def input_jacobian(
        self, out: Array | None = None, threads: int | None = None, progress: Progress = None
    ) -> Array:
        """dy/dx, (N, m, n_0): see `Jacobian.input_jacobian`."""
        source, n = self._source(), self._blocks.layout.sizes[0]
        out = source.result(out, (source.N, source.m, n), "input_jacobian")
        source.run(threads, progress, ("Jx",), Jx=out, first_weight=self.net.weights[0])
        return out
