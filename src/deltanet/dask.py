"""The verbs of a net at samples that Dask holds: results are lazy, the user's own scheduler computes them.

Each chunk of samples is one task, on one thread of its worker. Sums go over the chunks in pairs, then over
pairs of these sums, and so on: their bits depend on the chunks, but not on the scheduler or its workers. The
net is in the graph once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from deltanet import _chunks, _verbs
from deltanet._chunks import DaskArray, DaskDelayed, Samples, is_lazy, only
from deltanet._mlp import MLP
from deltanet._tokens import token
from deltanet._types import Wrt

__all__ = [
    "Factors",
    "covariance",
    "ggn",
    "ggn_diagonal",
    "input_jacobian",
    "jacobian",
    "kfac",
]


@dataclass(frozen=True, eq=False)
class Factors:
    """dy/dtheta of a net in its factors, as Dask arrays: what `jacobian` returns.

    ``dy_o/dW^(k)_ji = delta^(k)_oj h^(k-1)_i,    dy_o/db^(k)_j = delta^(k)_oj``

    The chunks of every array are those of X along the samples, and whole along the other axes. One task a
    chunk makes all of them: ask for all that you need at once, as in ``dask.compute(J)`` or
    ``dask.persist(J.outputs, *J.deltas)``.

    Attributes
    ----------
    outputs : (N, m) dask.array.Array
        y, from the same pass.
    deltas : tuple of (N, m, n_{k+1}) dask.array.Array or None
        `deltas[k]` is dy/dv of layer k, counted from 0.
    inputs : tuple of (N, n_k) dask.array.Array or None
        `inputs[k]` is what layer k was given. None, in both, of a layer that wrt has dropped.

    See Also
    --------
    deltanet.Jacobian.from_factors : The Jacobian, with its verbs, of arrays that are computed.

    Examples
    --------
    >>> import dask, dask.array as da, deltanet as dn
    >>> net, X = dn.MLP([4, 8, 2], seed=0), da.random.random((100, 4), chunks=(40, 4))
    >>> J = dn.dask.jacobian(net, X)
    >>> J.deltas[0].shape, J.deltas[0].chunks[0]
    ((100, 2, 8), (40, 40, 20))

    All samples, and those of one chunk, as a `deltanet.Jacobian`. If not all layers have a bias, ``bias=``
    says which; of a layer that wrt keeps in part, it has all columns, of which `Jacobian.restrict` chooses.

    >>> (made,) = dask.compute(J)
    >>> dn.Jacobian.from_factors(made.deltas, made.inputs, made.outputs).shape
    (100, 2, 58)
    >>> deltas, inputs = dask.compute([d.blocks[2] for d in J.deltas], [h.blocks[2] for h in J.inputs])
    >>> dn.Jacobian.from_factors(deltas, inputs).shape
    (20, 2, 58)
    """

    outputs: DaskArray
    deltas: tuple[DaskArray | Any, ...]
    inputs: tuple[DaskArray | Any, ...]


def jacobian(net: MLP, X: Any, wrt: Wrt = None) -> Factors:
    """dy/dtheta in its factors, in the chunks of X: see `deltanet.MLP.jacobian`.

    ``delta^(k-1) = delta^(k) W^(k) diag(f'(v^(k-1)))`` from ``delta^(L) = diag(f'(v^(L)))``.

    Parameters
    ----------
    net : MLP
        It is copied: later changes of its parameters change no result. A registered activation must be
        registered on the workers too.
    X : (N, n_0) dask.array.Array, or dask.dataframe.DataFrame
        In chunks of samples, whose lengths need not be known; chunks of features are joined. Of a dataframe
        the columns are taken that `deltanet.MLP.input_names` tells; None is all of them, in their order.
    wrt : optional
        The parameters to keep, all by default: see `Jacobian.restrict`.

    Returns
    -------
    Factors

    Raises
    ------
    ValueError, TypeError
        If an argument has another shape or type; nothing is computed before.
    ImportError
        If Dask is not installed (extra: dask).

    References
    ----------
    T. Ukkonen, "General Gradient of Neural Network" (2017).

    Examples
    --------
    >>> import dask.array as da, deltanet as dn
    >>> net, X = dn.MLP([4, 8, 2], seed=0), da.random.random((100, 4), chunks=(40, 4))
    >>> J = dn.dask.jacobian(net, X, wrt="last")
    >>> J.outputs.shape, J.deltas[0], J.deltas[1].shape, J.inputs[1].shape
    ((100, 2), None, (100, 2, 2), (100, 8))
    """
    samples = Samples(net, X, wrt=wrt)
    m, layers = net.sizes[-1], [k for k, *_ in samples.kept.layers]
    task = partial(_chunks.factors, "jacobian", wrt=samples.wrt)
    made = samples.each(task, (), np.dtype(object))
    deltas: list[DaskArray | None] = [None] * (len(net.sizes) - 1)
    inputs = deltas.copy()
    for i, k in enumerate(layers, 1):
        deltas[k] = samples.part(made, i, (m, net.sizes[k + 1]))
        inputs[k] = samples.part(made, len(layers) + i, (net.sizes[k],))
    return Factors(samples.part(made, 0, (m,)), tuple(deltas), tuple(inputs))


def input_jacobian(net: MLP, X: Any) -> DaskArray:
    """dy/dx = delta^(1) W^(1) diag(1 / input_scale), in the chunks of X: see `deltanet.MLP.input_jacobian`.

    Parameters
    ----------
    net : MLP
    X : (N, n_0) dask.array.Array, or dask.dataframe.DataFrame
        See `jacobian`.

    Returns
    -------
    (N, m, n_0) dask.array.Array

    Raises
    ------
    ValueError, TypeError
        If an argument has another shape or type; nothing is computed before.
    ImportError
        If Dask is not installed (extra: dask).

    Examples
    --------
    >>> import dask.array as da, deltanet as dn
    >>> net, X = dn.MLP([4, 8, 2], seed=0), da.random.random((100, 4), chunks=(40, 4))
    >>> dn.dask.input_jacobian(net, X)
    dask.array<deltanet-input_jacobian, shape=(100, 2, 4), dtype=float64, chunksize=(40, 2, 4), ...>
    """
    samples = Samples(net, X)
    shape = net.sizes[-1], net.sizes[0]
    return samples.each(partial(_chunks.rows, "input_jacobian"), shape)


def ggn(net: MLP, X: Any, H: Any = None, wrt: Wrt = None) -> DaskArray:
    """J^T H J: the generalized Gauss-Newton matrix over all samples, see `deltanet.MLP.ggn`.

    Parameters
    ----------
    net : MLP
    X : (N, n_0) dask.array.Array, or dask.dataframe.DataFrame
        See `jacobian`.
    H : (N,) or (N, m, m) dask.array.Array or array_like, optional
        See `Jacobian.ggn`. It is brought into the chunks of X along the samples. If their lengths are not
        known, it must be a Dask array with chunks of the same lengths, or a column of the same dataframe.
    wrt : optional
        The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count.

    Returns
    -------
    (P, P) dask.array.Array
        In one chunk, symmetric to the last bit.

    Raises
    ------
    ValueError, TypeError
        If an argument has another shape or type; nothing is computed before. The numbers of H are checked
        when they are computed.
    ImportError
        If Dask is not installed (extra: dask).

    Notes
    -----
    Each chunk of X makes a matrix of its own, and these are added. With N m well above P in a chunk, the
    products take the time, not the sums.

    Examples
    --------
    >>> import dask.array as da, deltanet as dn
    >>> net, X = dn.MLP([4, 8, 2], seed=0), da.random.random((100, 4), chunks=(40, 4))
    >>> dn.dask.ggn(net, X).compute().shape
    (58, 58)
    """
    samples = Samples(net, X, H, wrt)
    task = partial(_chunks.total, "ggn", wrt=samples.wrt)
    return samples.sum(task, (samples.kept.size, samples.kept.size))


def ggn_diagonal(net: MLP, X: Any, H: Any = None, wrt: Wrt = None) -> DaskArray:
    """The diagonal of `ggn`, without the matrix: see `deltanet.MLP.ggn_diagonal`.

    ``sum_s (sum_op delta_soj H_sop delta_spj) h_si^2``

    Parameters
    ----------
    net : MLP
    X : (N, n_0) dask.array.Array, or dask.dataframe.DataFrame
        See `jacobian`.
    H : (N,) or (N, m, m) dask.array.Array or array_like, optional
        See `ggn`.
    wrt : optional
        The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count.

    Returns
    -------
    (P,) dask.array.Array
        In one chunk.

    Raises
    ------
    ValueError, TypeError
        If an argument has another shape or type; nothing is computed before. The numbers of H are checked
        when they are computed.
    ImportError
        If Dask is not installed (extra: dask).

    Examples
    --------
    >>> import dask.array as da, deltanet as dn
    >>> net, X = dn.MLP([4, 8, 2], seed=0), da.random.random((100, 4), chunks=(40, 4))
    >>> dn.dask.ggn_diagonal(net, X).compute().shape
    (58,)
    """
    samples = Samples(net, X, H, wrt)
    task = partial(_chunks.total, "ggn_diagonal", wrt=samples.wrt)
    return samples.sum(task, (samples.kept.size,))


def kfac(net: MLP, X: Any, H: Any = None, wrt: Wrt = None) -> DaskDelayed:
    """The Kronecker factors of each layer's block of `ggn`: see `deltanet.MLP.kfac`.

    ``A = (1/N) sum_s [h 1]^T [h 1],    B = sum_s delta^T H delta``

    Parameters
    ----------
    net : MLP
    X : (N, n_0) dask.array.Array, or dask.dataframe.DataFrame
        See `jacobian`.
    H : (N,) or (N, m, m) dask.array.Array or array_like, optional
        See `ggn`.
    wrt : optional
        The parameters to keep, all by default: see `Jacobian.restrict`.

    Returns
    -------
    dask.delayed.Delayed
        Of a `KFAC`, whose methods may be called before it is computed. `covariance` takes it as it is. If you
        use it more than once, compute or persist it first: otherwise each use sums over X again.

    Raises
    ------
    ValueError, TypeError
        If an argument has another shape or type; nothing is computed before. The numbers of H are checked
        when they are computed.
    ImportError
        If Dask is not installed (extra: dask).

    References
    ----------
    J. Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature" (2015).

    Examples
    --------
    >>> import dask.array as da, deltanet as dn
    >>> net, X = dn.MLP([4, 8, 2], seed=0), da.random.random((100, 4), chunks=(40, 4))
    >>> dn.dask.kfac(net, X).damped(0.1).inverse().compute()
    KFAC(2 layers, P=58, dtype='float64', damped)
    """
    samples = Samples(net, X, H, wrt)
    length = sum(n * n for n in _verbs.kfac_sides(samples.kept.layers, net.sizes))
    task = partial(_chunks.kfac_sums, "kfac", wrt=samples.wrt)
    sums, N = only(samples.sum(task, (length,))), samples.X.shape[0]
    if math.isnan(N):
        N = only(samples.sum(partial(_chunks.count, "count"), (), np.dtype(np.int64)))
    options = samples.kept.layers, net.sizes
    key = token("kfac", sums.key, getattr(N, "key", N), *options)
    made = samples.dask.delayed(partial(_chunks.kfac, *options), pure=True)
    found: DaskDelayed = made(sums, N, dask_key_name=f"deltanet-kfac-{key}")
    return found


def covariance(net: MLP, X: Any, Sigma: Any, wrt: Wrt = None) -> DaskArray:
    """J Sigma J^T of each sample, in the chunks of X: see `deltanet.MLP.covariance`.

    Parameters
    ----------
    net : MLP
    X : (N, n_0) dask.array.Array, or dask.dataframe.DataFrame
        See `jacobian`.
    Sigma : float, (P,), (P, r) or (P, P) array_like, KFAC or list of pairs
        See `Jacobian.covariance`. Or one of these as an object of Dask, such as what `kfac` gives; it is
        checked when it is there.
    wrt : optional
        The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count.

    Returns
    -------
    (N, m, m) dask.array.Array

    Raises
    ------
    ValueError, TypeError
        If an argument has another shape or type; nothing is computed before.
    ImportError
        If Dask is not installed (extra: dask).

    Examples
    --------
    >>> import dask.array as da, deltanet as dn
    >>> net, X = dn.MLP([4, 8, 2], seed=0), da.random.random((100, 4), chunks=(40, 4))
    >>> Sigma = dn.dask.kfac(net, X).damped(1.0).inverse()  # a Laplace posterior, not computed yet
    >>> dn.dask.covariance(net, X, Sigma).compute().shape
    (100, 2, 2)
    """
    samples = Samples(net, X, wrt=wrt)
    if not is_lazy(Sigma):
        none = np.empty((0, net.sizes[0]), net.dtype)
        net.covariance(none, Sigma, wrt=samples.wrt)  # checks Sigma
    shared = samples.dask.delayed(Sigma, pure=True)
    task = partial(_chunks.rows, "covariance", wrt=samples.wrt)
    return samples.each(task, (net.sizes[-1], net.sizes[-1]), Sigma=shared)


def __dir__() -> list[str]:
    return __all__.copy()
