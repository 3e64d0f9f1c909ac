"""MixedHessian: d2(u^T y)/dtheta dx of each sample, by its factors."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from deltanet import _memory, _validate
from deltanet._columns import Kept
from deltanet._core import bends
from deltanet._types import Array, DType, Shape

Layers = Sequence[Array | None]


class MixedHessian:
    """The mixed second derivatives of u^T y in the parameters and the inputs, in factored form.

    ::

        d2(u^T y)/dW^(k)_ji dx_p = E^(k)_jp h^(k-1)_i + e^(k)_j T^(k-1)_ip
        d2(u^T y)/db^(k)_j dx_p  = E^(k)_jp

    with ``e^(k) = d(u^T y)/dv^(k)``, ``E^(k) = de^(k)/dx`` and ``T^(k) = dh^(k)/dx``. It is made by
    `MLP.mixed_hessian`, is read-only in what it holds, and does not change with the net.

    Attributes
    ----------
    shape : tuple of int
        (N, P, n_0), or (P, n_0) of a single sample.
    dtype : numpy.dtype
    deltas, deltas_dx : tuple of ndarray or None
        e^(k) (N, n_k) and E^(k) (N, n_k, n_0) of each layer, None where no parameter of it is kept.
    inputs, inputs_dx : tuple of ndarray or None
        h^(k-1) (N, n_{k-1}) and T^(k-1) (N, n_{k-1}, n_0). Those of the first layer are the scaled input
        and diag(1 / input_scale).

    References
    ----------
    T. Ukkonen, "General Gradient of Neural Network" (2017), differentiated once more in x.

    Examples
    --------
    >>> import deltanet as dn
    >>> net = dn.MLP([3, 8, 2], seed=0)
    >>> mixed = net.mixed_hessian([[0.1, 0.2, 0.3]], [[1.0, 0.0]])
    >>> mixed.shape, mixed.deltas_dx[0].shape
    ((1, 50, 3), (1, 8, 3))
    """

    def __init__(
        self,
        kept: Kept,
        lead: Shape,
        deltas: Layers,
        slopes: Layers,
        inputs: Layers,
        tangents: Layers,
        scale: Array,
        dtype: DType,
    ) -> None:
        self._kept, self._lead, self._scale = kept, lead, scale
        self.dtype: DType = dtype
        self._factors = tuple(deltas), tuple(slopes), tuple(inputs), tuple(tangents)
        self.shape: Shape = (*lead, kept.size, len(scale))

    def __repr__(self) -> str:
        return f"<MixedHessian {self.shape} of {self.dtype}>"

    @property
    def deltas(self) -> tuple[Array | None, ...]:
        """e^(1), ..., e^(L): d(u^T y)/dv, (N, n_out) each; None where no parameter of the layer is kept."""
        return self._led(0)

    @property
    def deltas_dx(self) -> tuple[Array | None, ...]:
        """E^(1), ..., E^(L): their derivatives in x, (N, n_out, n_0) each."""
        return self._led(1)

    @property
    def inputs(self) -> tuple[Array | None, ...]:
        """h^(0), ..., h^(L-1): what goes into each layer, (N, n_in) each."""
        return self._led(2)

    @property
    def inputs_dx(self) -> tuple[Array | None, ...]:
        """T^(0), ..., T^(L-1): their derivatives in x, (N, n_in, n_0) each."""
        tangents = list(self._led(3))
        if self._factors[0][0] is not None:
            diagonal = np.diag(1 / self._scale)
            tangents[0] = np.broadcast_to(diagonal, (*self._lead, *diagonal.shape))
        return tuple(tangents)

    def to_dense(self, out: Array | None = None) -> Array:
        """All entries, in theta's order.

        Parameters
        ----------
        out : (N, P, n_0) ndarray of the result's dtype, optional
            C-contiguous, writable, sharing no memory with the factors.

        Returns
        -------
        (N, P, n_0) ndarray, or (P, n_0) of a single sample

        Raises
        ------
        ValueError, TypeError
            If `out` has another shape or type; nothing is written then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn
        >>> net = dn.MLP([3, 8, 2], seed=0)
        >>> net.mixed_hessian([0.1, 0.2, 0.3], [1.0, 0.0]).to_dense().shape
        (50, 3)
        """
        if out is None:
            out = _memory.empty(self.shape, self.dtype, "to_dense", "use the factors, or pass out=")
        else:
            held = [a for group in self._factors for a in group if a is not None]
            _validate.out(out, self.shape, self.dtype, *held)
        rows = out.reshape(prod(self._lead), *self.shape[-2:])
        at = 0
        for k, weights, bias in self._kept.layers:
            delta, slope, h, tangent = (group[k] for group in self._factors)
            assert delta is not None and slope is not None and h is not None
            width, column, bias_column = delta.shape[-1], -1, -1
            if weights:
                column, at = at, at + width * h.shape[-1]
            if bias:
                bias_column, at = at, at + width
            scale = None if k else self._scale
            bends.dense_rows(rows, column, bias_column, delta, slope, h, tangent, scale)
        return out

    def _led(self, which: int) -> tuple[Any, ...]:
        """Factors of one kind, without the axis of samples where a single one was given."""
        group: list[Array | None] = []
        for a in self._factors[which]:
            group.append(None if a is None else a.reshape(*self._lead, *a.shape[1:]))
            if group[-1] is not None:
                group[-1].flags.writeable = False
        return tuple(group)
