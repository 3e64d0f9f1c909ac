"""A Jacobian whose factors lie in a store: its verbs run over them block by block."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from deltanet import _columns, _factors, _validate, _verbs
from deltanet._core.engine import Engine
from deltanet._jacobian import Jacobian, Transposed
from deltanet._kfac import KFAC
from deltanet._store.array import StoredArray, StoredRows
from deltanet._store.blocks import Blocks
from deltanet._types import Array, Index, Pairs, Progress, Shape


class StoredSource(_verbs.Source):
    """The factors in a store as a source of the verbs, a block after the other."""

    def __init__(self, blocks: Blocks, kept: _columns.Kept, engine: Engine) -> None:
        layout = blocks.layout
        super().__init__(
            engine, layout.sizes, layout.dtype, kept, (layout.samples,), reproducible=True
        )
        self.blocks = blocks

    def is_whole(self) -> bool:
        """Never: a block is read when its turn comes."""
        return False

    def pieces(self) -> Iterator[tuple[slice, dict[str, Any]]]:
        self.blocks.require(range(self.blocks.layout.blocks))
        layers = range(len(self.sizes) - 1)
        for start, stop in self.blocks.pieces(0, self.N) if self.N else [(0, 0)]:
            inputs = [self.some(f"input{k}", start, stop) for k in layers]
            deltas = [self.some(f"delta{k}", start, stop) for k in layers]
            yield slice(start, stop), {"inputs": inputs, "deltas": deltas, "r": self.m}

    def some(self, name: str, start: int, stop: int) -> Array:
        """The rows of a piece, without a copy."""
        if start == stop:
            return np.empty((0, *self.blocks.layout.members[name].shape), self.dtype)
        return self.blocks.rows(name, start, stop)


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

    outputs: StoredArray
    inputs: tuple[StoredArray, ...]
    deltas: tuple[StoredArray, ...]

    def __init__(self, blocks: Blocks) -> None:
        super().__init__(blocks)
        layout = blocks.layout
        self._kept = _columns.everything(layout.sizes, layout.biases)
        self._engine = _factors.engine(layout.sizes, self._kept, layout.dtype, self.net.input_scale)
        self.outputs = StoredArray(blocks, "outputs")
        self.inputs, self.deltas = (
            tuple(StoredArray(blocks, f"{name}{k}") for k in range(len(layout.sizes) - 1))
            for name in ("input", "delta")
        )

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
        layout, net = self._blocks.layout, self.net
        inputs, deltas = (
            tuple(self._blocks.read(f"{name}{k}", chosen) for k in range(len(layout.sizes) - 1))
            for name in ("input", "delta")
        )
        J = Jacobian._of(
            _factors.Parts(
                layout.sizes,
                layout.biases,
                self._kept.layers,
                outputs.shape,
                outputs,
                inputs,
                deltas,
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

    def matvec(self, v: ArrayLike, threads: int | None = None, progress: Progress = None) -> Array:
        """J v, (N, m) or (N, m, r): see `Jacobian.matvec`."""
        return _verbs.jvp(self._source(), v, None, threads, progress)

    def rmatvec(self, u: ArrayLike, threads: int | None = None, progress: Progress = None) -> Array:
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
