"""Jacobian: the structured result, and what is computed from it."""

import math

import numpy as np

from deltanet import _validate
from deltanet.params import offsets


class Jacobian:
    """dy/dtheta of a net at N samples, kept in the factors that the chain rule gives.

    ``dy_o/dW^(k)_ji = delta^(k)_oj h^(k-1)_i,    dy_o/db^(k)_j = delta^(k)_oj``

    Made by `MLP.jacobian`. For a single sample every array below lacks its N axis.

    Attributes
    ----------
    outputs : (N, m) ndarray
        y, from the same pass.
    deltas : tuple of (N, m, n_{k+1}) ndarray
        `deltas[k]` is dy/dv of layer k, counted from 0: the local gradient matrix.
    inputs : tuple of (N, n_k) ndarray
        `inputs[k]` is what layer k was given; `inputs[0]` is x after the input scaling.

    References
    ----------
    T. Ukkonen, "General Gradient of Neural Network" (2017).

    Examples
    --------
    >>> import deltanet as dn
    >>> J = dn.MLP([4, 32, 2], seed=0).jacobian([[0.1, 0.2, 0.3, 0.4]])
    >>> J
    Jacobian(shape=(1, 2, 226), dtype='float64', 848 bytes in factors, 3.6 kB dense)
    """

    def __init__(self, engine, sizes, outputs, inputs, deltas, first_weight):
        self._engine = engine
        self._sizes = sizes
        self._first_weight = first_weight
        self.outputs = outputs
        self.inputs = tuple(inputs)
        self.deltas = tuple(deltas)

    @property
    def shape(self):
        """(N, m, P), or (m, P) of a single sample: the shape of the dense Jacobian."""
        return (*self.outputs.shape, offsets(self._sizes)[-1])

    @property
    def dtype(self):
        """float64 or float32."""
        return self.outputs.dtype

    @property
    def ndim(self):
        """3, or 2 of a single sample."""
        return self.outputs.ndim + 1

    @property
    def nbytes(self):
        """Bytes held in outputs, inputs and deltas."""
        return sum(a.nbytes for a in (self.outputs, *self.inputs, *self.deltas))

    def __repr__(self):
        dense = math.prod(self.shape) * self.dtype.itemsize
        return (
            f"Jacobian(shape={self.shape}, dtype='{self.dtype}', "
            f"{_validate.human(self.nbytes)} in factors, {_validate.human(dense)} dense)"
        )

    def weight(self, k):
        """dy/dW of layer k, counted from 0: ``delta_oj h_i``.

        Parameters
        ----------
        k : int
            A negative one counts from the last layer.

        Returns
        -------
        (N, m, n_{k+1}, n_k) ndarray

        Raises
        ------
        IndexError
            Where there is no such layer.
        MemoryError
            Where the block exceeds the memory available.

        Examples
        --------
        >>> import deltanet as dn
        >>> dn.MLP([4, 32, 2], seed=0).jacobian([[1, 2, 3, 4]]).weight(0).shape
        (1, 2, 32, 4)
        """
        delta, h = self.deltas[k][..., None], self.inputs[k][..., None, None, :]
        shape = (*delta.shape[:-1], h.shape[-1])
        _validate.room(shape, self.dtype, f"weight({k})", "use deltas[k] and inputs[k]")
        return delta * h

    def bias(self, k):
        """dy/db of layer k, counted from 0: a copy of ``delta``.

        Parameters
        ----------
        k : int
            A negative one counts from the last layer.

        Returns
        -------
        (N, m, n_{k+1}) ndarray
        """
        return self.deltas[k].copy()

    def to_dense(self, out=None, threads=None):
        """All entries as one array: N * m * P numbers, most often far more than the factors.

        Parameters
        ----------
        out : ndarray of the result's shape and dtype, optional
            C-contiguous, writable, sharing no memory with the factors.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.

        Returns
        -------
        (N, m, P) or (m, P) ndarray
            Columns are in the order of `MLP.params`.

        Raises
        ------
        ValueError
            Where out is not as above; nothing is written then.
        MemoryError
            Where the result exceeds the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn
        >>> net = dn.MLP([4, 32, 2], seed=0)
        >>> X = [[0.1, 0.2, 0.3, 0.4]]
        >>> bool((net.jacobian(X).to_dense() == net.jacobian_dense(X)).all())
        True
        """
        out = self._result(out, self.shape, "to_dense", "use the factors, deltas and inputs")
        self._engine.run(
            self.outputs.shape[:-1],
            J=out,
            h=self.inputs,
            delta=self.deltas,
            count=_validate.count(threads),
        )
        return out

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("a dense Jacobian is always a new array: copy=False cannot be met")
        dense = self.to_dense()
        return dense if dtype is None else dense.astype(dtype, copy=False)

    def input_jacobian(self, out=None, threads=None):
        """dy/dx from delta^(1), without a second pass: ``delta^(1) W^(1) diag(1 / input_scale)``.

        Parameters
        ----------
        out : ndarray of the result's shape and dtype, optional
            C-contiguous, writable, sharing no memory with the factors.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.

        Returns
        -------
        (N, m, n_0) or (m, n_0) ndarray

        Raises
        ------
        ValueError
            Where out is not as above; nothing is written then.
        MemoryError
            Where the result exceeds the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn
        >>> dn.MLP([4, 32, 2], seed=0).jacobian([[1, 2, 3, 4]]).input_jacobian().shape
        (1, 2, 4)
        """
        shape = (*self.outputs.shape, self._sizes[0])
        out = self._result(out, shape, "input_jacobian", "take fewer samples at a time")
        self._engine.run(
            self.outputs.shape[:-1],
            Jx=out,
            h=self.inputs,
            delta=self.deltas,
            first_weight=self._first_weight,
            count=_validate.count(threads),
        )
        return out

    def _result(self, out, shape, what, instead):
        if out is not None:
            factors = (self.outputs, *self.inputs, *self.deltas, self._first_weight)
            return _validate.out(out, shape, self.dtype, *factors)
        _validate.room(shape, self.dtype, what, instead)
        return np.empty(shape, self.dtype)
