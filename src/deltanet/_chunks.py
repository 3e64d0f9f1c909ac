"""Samples in chunks that Dask holds -> the graph of a verb: what each task computes, how sums are added."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any, Protocol

import numpy as np

from deltanet import _validate, _verbs
from deltanet._extras import package
from deltanet._kfac import KFAC
from deltanet._mlp import MLP
from deltanet._types import Array, Shape, Wrt

HOW: dict[str, Any] = {"threads": 1}  # of each verb in a task: the scheduler owns the threads


class DaskCollection(Protocol):
    """An object of Dask, as far as it is needed here."""

    def compute(self, **kwargs: Any) -> Any: ...

    def __getattr__(self, name: str, /) -> Any: ...


class DaskArray(DaskCollection, Protocol):
    """A `dask.array.Array`."""

    dtype: Any
    shape: Any
    chunks: Any


class DaskDelayed(DaskCollection, Protocol):
    """A `dask.delayed.Delayed`."""

    key: Any


class Samples:
    """X of a net in chunks of rows, beside H if there is one.

    `each` and `sum` call a task at every chunk: ``partial(function, name, ...)(*blocks, net=net)``, where the
    name goes into its keys too.

    Attributes
    ----------
    dask : module
    X : (N, n_0) dask.array.Array
    arrays : list of dask.array.Array
        X, and H.
    net : dask.delayed.Delayed
        The net as bytes, which all tasks share. Each task makes a net of them. If it cannot, as without a
        registered activation, the task fails and says so; an object that a worker cannot unpickle would cut
        that worker off.
    dtype : dtype
    kept : Kept
    wrt : tuple of (str, int)
        The same as pairs: one form of all ways to say it.
    """

    def __init__(self, net: MLP, X: Any, H: Any = None, wrt: Wrt = None) -> None:
        if not isinstance(net, MLP):
            raise TypeError(f"net must be a deltanet.MLP; got {type(net).__name__}")
        self.dask = package("dask.array", "dask", "deltanet.dask")
        self.kept, self.dtype = net._keep(wrt), net.dtype
        self.wrt: Any = tuple(
            (kind, k)
            for k, *parts in self.kept.layers
            for kind, holds in zip(("weights", "biases"), parts, strict=True)
            if holds
        )
        self.X = self._rows(net, X)
        self.arrays = [self.X] if H is None else [self.X, self._weights(net, H)]
        name, key = net.__dask_tokenize__()
        self.net = self.dask.delayed(pickle.dumps(net), name=f"{name}-{key}", traverse=False)

    def _rows(self, net: MLP, X: Any) -> DaskArray:
        """X as an array whose chunks are rows."""
        array = columns(net, X) if is_frame(X) else X
        if not isinstance(array, self.dask.array.Array):
            raise TypeError(
                f"X must be a Dask array or dataframe; got {type(X).__name__}. For an array in memory call "
                "the verb of the net, or give dask.array.from_array(X, chunks=...)"
            )
        _validate.chunked_samples(array.shape, array.dtype, net.sizes[0])
        found: DaskArray = array.rechunk({1: -1})
        return found

    def _weights(self, net: MLP, H: Any) -> DaskArray:
        """H in the chunks of X."""
        rows = self.X.chunks[0]
        if is_frame(H):  # a column of one
            H = H.to_dask_array()
        elif not isinstance(H, self.dask.array.Array):
            if is_lazy(H):
                raise TypeError(f"H must be a Dask array or array_like; got {type(H).__name__}")
            _validate.with_known_chunks(H, rows)
            H = self.dask.array.from_array(_validate.numbers(H, "H"))
        known = _validate.chunked_weights(H.shape, H.dtype, H.chunks[0], rows, net.sizes[-1])
        whole = dict.fromkeys(range(1, H.ndim), -1)
        found: DaskArray = H.rechunk(whole | {0: rows}) if known else H.rechunk(whole)
        return found

    def each(
        self,
        task: partial[Any],
        shape: Shape,
        dtype: np.dtype[Any] | None = None,
        one: bool = False,
        **shared: Any,
    ) -> DaskArray:
        """The results (n, *shape) of all chunks as one array: n is a chunk's count of samples, or 1."""
        axes, dtype = tuple(range(1 + len(shape))), dtype or self.dtype
        arguments, free = [], len(axes)
        for array in self.arrays:  # axis 0 is that of the samples; the others end here
            arguments += [array, (0, *range(free, free + array.ndim - 1))]
            free += array.ndim - 1
        found: DaskArray = self.dask.array.blockwise(
            task,
            axes,
            *arguments,
            new_axes=dict(zip(axes[1:], shape, strict=True)),
            adjust_chunks={0: 1} if one else None,
            align_arrays=False,
            dtype=dtype,
            meta=np.empty((0,) * len(axes), dtype),
            token=prefix(task),
            net=self.net,
            **shared,
        )
        return found

    def part(self, made: DaskArray, place: int, shape: Shape) -> DaskArray:
        """The arrays (n, *shape) at a place of the tuples that are the results of all chunks."""
        axes = tuple(range(1 + len(shape)))
        task = partial(factor, "factor", place=place)
        found: DaskArray = self.dask.array.blockwise(
            task,
            axes,
            made,
            (0,),
            new_axes=dict(zip(axes[1:], shape, strict=True)),
            dtype=self.dtype,
            meta=np.empty((0,) * len(axes), self.dtype),
            token=prefix(task),
        )
        return found

    def sum(
        self, task: partial[Any], shape: Shape, dtype: np.dtype[Any] | None = None
    ) -> DaskArray:
        """The sum (*shape) of the results (1, *shape): of neighbors first, then of neighbors of these."""
        found: DaskArray = self.dask.array.reduction(
            self.each(task, shape, dtype, one=True),
            chunk=same,
            combine=added,
            aggregate=added,
            axis=0,
            concatenate=False,
            split_every=2,
            dtype=dtype or self.dtype,
            meta=np.empty((0,) * len(shape), dtype or self.dtype),
            name=prefix(task),
        )
        return found


def prefix(task: partial[Any]) -> str:
    """What the keys of a task begin with."""
    return f"deltanet-{task.args[0]}"


def only(array: DaskArray) -> DaskDelayed:
    """The one chunk of an array.

    Its graph is optimized here, as that of an array would be later: a key has the same task in both.
    """
    (chunk,) = array.to_delayed(optimize_graph=True).flat
    found: DaskDelayed = chunk
    return found


# The tasks


def block(nested: Any) -> Any:
    """An array of a chunk: it comes in a list for each axis that ends in the task."""
    while isinstance(nested, list):
        (nested,) = nested
    return nested


def rows(name: str, *blocks: Any, net: bytes, **options: Any) -> Any:
    """A verb of the net that gives a row a sample, whose bits do not depend on the chunks."""
    return getattr(pickle.loads(net), name)(
        *map(block, blocks), **HOW, reproducible=True, **options
    )


def total(name: str, *blocks: Any, net: bytes, **options: Any) -> Any:
    """A verb of the net that gives a sum, as one row."""
    return getattr(pickle.loads(net), name)(*map(block, blocks), **HOW, **options)[None]


def factors(name: str, X: Any, net: bytes, wrt: Wrt) -> tuple[Array, ...]:
    """outputs, deltas, inputs of a Jacobian, without those that are None."""
    J = rows(name, X, net=net, wrt=wrt)
    return tuple(each for each in (J.outputs, *J.deltas, *J.inputs) if each is not None)


def factor(name: str, made: tuple[Array, ...], place: int) -> Array:
    """One of them. It is copied, because they all lie in one buffer, which any of them would keep."""
    return made[place].copy()


def kfac_sums(name: str, X: Any, H: Any = None, *, net: bytes, wrt: Wrt) -> Any:
    """The sums that `kfac` is made of, as one row."""
    source = pickle.loads(net)._source(block(X), wrt)
    return _verbs.kfac_sums(source, block(H), **HOW)[None]


def count(name: str, X: Any, H: Any = None, *, net: bytes) -> Any:
    """How many samples, as one row."""
    return np.array([len(block(X))])


def kfac(layers: Any, sizes: Shape, sums: Array, N: int) -> KFAC:
    """What the sums over all samples make."""
    return _verbs.kfac_of(sums.copy(), int(N), layers, sizes, threads=1)


def same(row: Array, axis: Any, keepdims: bool) -> Array:
    return row


def added(some: list[Array], axis: Any, keepdims: bool) -> Any:
    """The sum of one or two arrays of one row; at the end of all sums without the axis of rows."""
    one, *other = some
    if other:
        with np.errstate(all="ignore"):  # as the core adds
            one = one + other[0]
    return one if keepdims else one[0]


# What a user gives


def is_lazy(value: Any) -> bool:
    """Whether an object of Dask is in it."""
    if isinstance(value, (list, tuple)):
        return any(map(is_lazy, value))
    return hasattr(value, "__dask_graph__")


def is_frame(value: Any) -> bool:
    """Whether it is a dataframe of Dask, or a column of one. A Delayed would have any attribute."""
    return is_lazy(value) and hasattr(type(value), "to_dask_array")


def columns(net: MLP, frame: Any) -> Any:
    """The columns of a dataframe that are the inputs of a net, as an array."""
    chosen = _validate.columns_of_inputs(list(frame.columns), net.input_names, net.sizes[0])
    some = frame if chosen is None else frame[chosen]
    for label, dtype in zip(some.columns, some.dtypes, strict=True):
        _validate.column(label, dtype)
    return some.astype(net.dtype).to_dask_array()
