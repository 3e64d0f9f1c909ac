"""The residuals of a net as functions of its parameters, for `scipy.optimize.least_squares`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike

from deltanet import _validate
from deltanet._mlp import MLP
from deltanet._types import Array

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

Matrix = TypeVar("Matrix", covariant=True)


class Residuals:
    """r(theta) = W^(1/2) (f(X) - Y) as a vector, and its Jacobian; each call has a net of its own."""

    def __init__(
        self, net: MLP, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None
    ) -> None:
        self.net = net.astype("float64")
        self.X, self.Y = _validate.pair_of_data(net, X, Y)
        w = _validate.sample_weight(sample_weight, len(self.X))
        self.root: Array | None = None if w is None else np.sqrt(w)[:, None]

    def at(self, params: Array) -> MLP:
        """A net of these parameters: a new one, for calls from several threads at once."""
        net = self.net.copy()
        net.params = params
        return net

    def fun(self, params: Array) -> Array:
        """r: (P,) -> (N m,)."""
        r = self.at(params)(self.X) - self.Y
        return (r if self.root is None else r * self.root).reshape(-1)

    def dense(self, params: Array) -> Array:
        """dr/dtheta: (P,) -> (N m, P)."""
        J = self.at(params).jacobian_dense(self.X)
        if self.root is not None:
            J *= self.root[..., None]
        return J.reshape(-1, J.shape[-1])

    def operator(self, params: Array) -> "LinearOperator":
        """dr/dtheta: (P,) -> LinearOperator of shape (N m, P)."""
        J = self.at(params).jacobian(self.X).as_linear_operator()
        if self.root is None:
            return J
        from scipy.sparse import diags_array
        from scipy.sparse.linalg import aslinearoperator  # takes longer to import than all the rest

        rows = np.broadcast_to(self.root, self.Y.shape).reshape(-1)
        return aslinearoperator(diags_array(rows)) @ J


class Functions(NamedTuple, Generic[Matrix]):
    """What `residuals` returns."""

    fun: Callable[[Array], Array]
    jac: Callable[[Array], Matrix]


@overload
def residuals(
    net: MLP,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    jac: Literal["dense"] = "dense",
) -> Functions[Array]: ...
@overload
def residuals(
    net: MLP,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    jac: Literal["operator"],
) -> Functions["LinearOperator"]: ...
def residuals(
    net: MLP,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    jac: Literal["dense", "operator"] = "dense",
) -> Functions[Array] | Functions["LinearOperator"]:
    """fun and jac of ``r(theta) = W^(1/2) (f(X; theta) - Y)`` for `scipy.optimize.least_squares`.

    Parameters
    ----------
    net : MLP
        Its parameters are not used and not changed: `net.params` is the usual start. Evaluated in float64.
    X : (N, n_0) array_like
    Y : (N, m) array_like
    sample_weight : (N,) array_like, optional
        At least 0; as of `fit`, whose loss without a prior is SciPy's cost.
    jac : {"dense", "operator"}
        A new array, for ``method="lm"`` and ``tr_solver="exact"``; or a LinearOperator of the factors, for
        ``tr_solver="lsmr"``, which never forms N m P numbers.

    Returns
    -------
    fun : callable, (P,) -> (N m,) ndarray
    jac : callable, (P,) -> (N m, P) ndarray or LinearOperator

    Raises
    ------
    ValueError, TypeError
        If an argument has another shape or type, or holds NaN.

    Examples
    --------
    >>> import deltanet as dn, numpy as np
    >>> from scipy.optimize import least_squares
    >>> net, X = dn.MLP([1, 4, 1], seed=0), np.linspace(-2, 2, 30)[:, None]
    >>> fun, jac = dn.residuals(net, X, np.tanh(X))
    >>> net.params = least_squares(fun, net.params, jac, method="lm").x
    >>> bool(np.abs(net(X) - np.tanh(X)).max() < 1e-6)
    True
    """
    if jac not in ("dense", "operator"):
        raise ValueError(f"jac must be 'dense' or 'operator'; got {jac!r}")
    r = Residuals(net, X, Y, sample_weight)
    return Functions(r.fun, r.dense) if jac == "dense" else Functions(r.fun, r.operator)
