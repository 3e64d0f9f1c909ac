"""check_jacobian: a net's derivatives against ones that share no code with the core.

The net is written out in complex NumPy, and each derivative is taken by a complex step:
``dy/dtheta_p = Im y(theta + i h e_p) / h``, which has no rounding error of a difference (W. Squire and
G. Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Review 40, 1998).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deltanet import _validate
from deltanet._activations import REGISTRY
from deltanet._params import offsets
from deltanet._types import Seed

if TYPE_CHECKING:
    from deltanet._mlp import MLP

__all__ = ["Check", "check_jacobian"]

STEP: float = 1e-30  # far below rounding, far above underflow
CHUNK: int = 2**19  # complex numbers in one array of a reference pass
FORMULAS: dict[str, Callable[..., Any]] = {name: each.formula for name, each in REGISTRY.items()}
TOLERANCES: dict[np.dtype[Any], float] = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-4}


Numbers = NDArray[np.inexact[Any]]  # real or complex


class _Reference:
    """The plain formula of a net in double precision, restartable at any layer."""

    def __init__(self, net: MLP) -> None:
        self.layers = [
            (np.asarray(W, np.float64), _double(b, 0.0), REGISTRY[name].formula, parameters)
            for W, b, (name, parameters) in zip(
                net.weights,
                net.biases,
                (_validate.activation(spec) for spec in net.activations),
                strict=True,
            )
        ]
        scalings = net.input_shift, net.input_scale, net.output_shift, net.output_scale
        self.shift, self.scale, self.out_shift, self.out_scale = (
            _double(value, default)
            for value, default in zip(scalings, (0.0, 1.0, 0.0, 1.0), strict=True)
        )

    def from_local_field(self, v: Numbers, k: int) -> Numbers:
        """y from v of layer k, counted from 0."""
        _, _, f, parameters = self.layers[k]
        h: Numbers = f(v, *parameters)
        for W, b, f, parameters in self.layers[k + 1 :]:
            h = f(h @ W.T + b, *parameters)
        return h * self.out_scale + self.out_shift

    def local_fields(self, X: Numbers) -> list[tuple[Numbers, Numbers]]:
        """[(h, v)]: what each layer was given, and its local field."""
        pairs: list[tuple[Numbers, Numbers]] = []
        h = (X - self.shift) / self.scale
        for W, b, f, parameters in self.layers:
            pairs.append((h, h @ W.T + b))
            h = f(pairs[-1][1] + 0j, *parameters).real
        return pairs

    def layer_block(self, X: Numbers, k: int, columns: NDArray[np.integer[Any]]) -> Numbers:
        """dy/dtheta of some columns of layer k's block, (N, m, columns)."""
        h, v = self.local_fields(X)[k]
        n_out, n_in = self.layers[k][0].shape
        with_bias = np.concatenate([h, np.ones((len(h), 1))], axis=1)
        rows = np.where(columns < n_out * n_in, columns // n_in, columns - n_out * n_in)
        cols = np.where(columns < n_out * n_in, columns % n_in, n_in)
        widest = max(W.shape[0] for W, *_ in self.layers)
        step = max(1, CHUNK // (max(1, len(X)) * widest))
        blocks = []
        for i in range(0, len(columns), step):
            j, c = rows[i : i + step], cols[i : i + step]
            field = np.repeat(v[None].astype(complex), len(j), axis=0)
            field[np.arange(len(j)), :, j] += 1j * STEP * with_bias[:, c].T
            blocks.append(self.from_local_field(field, k).imag / STEP)
        return np.moveaxis(np.concatenate(blocks), 0, -1)

    def input_block(self, X: Numbers) -> Numbers:
        """dy/dx, (N, m, n_0)."""
        n = X.shape[1]
        field = X + 1j * STEP * np.eye(n)[:, None, :]
        W, b, *_ = self.layers[0]
        y = self.from_local_field(((field - self.shift) / self.scale) @ W.T + b, 0)
        return np.moveaxis(y.imag / STEP, 0, -1)


def _double(value: ArrayLike | None, default: float) -> NDArray[np.float64] | float:
    return default if value is None else np.asarray(value, np.float64)


@dataclass(frozen=True)
class Check:
    """What `check_jacobian` found.

    Attributes
    ----------
    errors : tuple of float
        For each layer, the largest deviation relative to the largest entry of its block.
    input_error : float
        The same for dy/dx.
    tolerance : float
    oracle : str
        What the derivatives were compared with.
    """

    errors: tuple[float, ...]
    input_error: float
    tolerance: float
    oracle: str = "complex step"

    @property
    def passed(self) -> bool:
        """Whether every error is within the tolerance; NaN is not."""
        return all(error <= self.tolerance for error in (*self.errors, self.input_error))


def check_jacobian(
    net: MLP,
    X: ArrayLike,
    tolerance: float | None = None,
    max_columns: int = 4096,
    seed: Seed = 0,
) -> Check:
    """Compare every derivative of a net at X with a complex step of its plain formula.

    The dense Jacobian, the factored one and dy/dx are each compared.

    Parameters
    ----------
    net : MLP
    X : (N, n_0) or (n_0,) array_like
        Inputs off the kinks of the activations: there, rounding decides which slope is taken.
    tolerance : float, optional
        1e-12 for a float64 net and 1e-4 for a float32 one, the library's published accuracy.
    max_columns : int
        Parameters checked in each layer; where there are more, a random choice of that many.
    seed : int
        Of that choice.

    Returns
    -------
    Check

    Raises
    ------
    ValueError, TypeError
        If X has another shape or type.

    References
    ----------
    W. Squire and G. Trapp, "Using complex variables to estimate derivatives of real functions", SIAM
    Review 40 (1998).

    Examples
    --------
    >>> import deltanet as dn
    >>> dn.testing.check_jacobian(dn.MLP([4, 8, 2], seed=0), [[0.1, 0.2, 0.3, 0.4]]).passed
    True
    """
    X = np.atleast_2d(_validate.samples(X, net.sizes[0], net.dtype))
    if not len(X):
        raise ValueError("X must hold one sample at least; got none")
    reference, random = _Reference(net), np.random.default_rng(seed)
    X64, J, dense = X.astype(np.float64), net.jacobian(X), net.jacobian_dense(X)
    errors, starts = [], offsets(net.sizes, [b is not None for b in net.biases])
    for k, (start, stop) in enumerate(pairwise(starts)):
        columns = np.arange(stop - start)
        if len(columns) > max_columns:
            columns = np.sort(random.choice(columns, max_columns, replace=False))
        exact = reference.layer_block(X64, k, columns)
        parts = [J.weight(k).reshape(*J.shape[:2], -1)]
        parts += [J.bias(k)] if net.biases[k] is not None else []
        factored = np.concatenate(parts, axis=-1)
        errors.append(
            _deviation(dense[:, :, start + columns], factored[:, :, columns], exact),
        )
    exact = reference.input_block(X64)
    input_error = _deviation(net.input_jacobian(X), J.input_jacobian(), exact)
    default = TOLERANCES[net.dtype]
    return Check(tuple(errors), input_error, default if tolerance is None else float(tolerance))


def __dir__() -> list[str]:
    return __all__.copy()


def _deviation(one: Numbers, other: Numbers, exact: Numbers) -> float:
    """The largest deviation of two blocks, relative to the largest entry; NaN where there is any."""
    largest = float(np.abs(exact).max())
    deviation = float(np.max([np.abs(one - exact), np.abs(other - exact)]))
    return deviation / largest if largest else deviation
