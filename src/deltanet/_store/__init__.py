"""Stores: Jacobians of any number of samples in Zarr, written by jobs that can be stopped at any moment."""

import os

from deltanet._store.array import StoredArray
from deltanet._store.blocks import Blocks
from deltanet._store.jacobian import StoredJacobian
from deltanet._store.read import opened
from deltanet._store.writer import write

__all__ = ["open", "write"]


def open(path: str | os.PathLike[str]) -> StoredJacobian | StoredArray:
    """Open a store that `write` has made, also one that is not finished. No code from it is run.

    Parameters
    ----------
    path : str or os.PathLike
        A folder, or a URL that fsspec knows (extra: remote).

    Returns
    -------
    Jacobian or array, in the store
        Of ``form="factors"`` a Jacobian S. ``S[a:b]``, ``S[mask]`` and ``S[[3, 1]]`` are a `Jacobian` in
        memory, and ``S[i]`` is that of one sample. ``S.outputs``, ``S.deltas[k]`` and ``S.inputs[k]`` are
        arrays in the store. ``S.ggn(H)``, ``S.ggn_diagonal(H)``, ``S.kfac(H)``, ``S @ v``, ``S.T @ u``,
        ``S.row_norms_squared()``, ``S.covariance(Sigma)`` and ``S.input_jacobian()`` are those of
        `Jacobian`, with `threads=` and `progress=`; they run over the blocks, one in memory at a time.

        Of the other forms an array A, ``jacobian`` or ``outputs``. ``A[a:b]``, ``A[i]``, ``A[mask]`` and
        ``A[a:b, :, 3]`` read what they need; ``A.outputs`` are the outputs of the same store.

        All have ``shape``, ``dtype``, ``net`` (the `MLP`), ``done`` (which samples are there, (N,)) and
        ``finished`` (whether all are); arrays also ``chunks`` and ``array``, as Zarr opens it.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    ValueError
        If it is not a store of deltanet, or its parts contradict each other.
    RuntimeError
        By what is returned, if a row is asked for that is not written yet.
    ImportError
        If Zarr is not installed (extra: zarr).

    Examples
    --------
    >>> import deltanet as dn, numpy as np, os, tempfile
    >>> net, X = dn.MLP([4, 8, 2], seed=0), np.ones((1000, 4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "dense.zarr")
    ...     dn.write(path, net, X, form="dense")
    ...     A = dn.open(path)
    ...     A.shape, A.finished, A[998:, 1, -3:].shape, A.net == net
    ((1000, 2, 58), True, (2, 3), True)
    """
    blocks = Blocks(opened(path))
    form = blocks.layout.form
    if form == "factors":
        return StoredJacobian(blocks)
    return StoredArray(blocks, "jacobian" if form == "dense" else "outputs")
