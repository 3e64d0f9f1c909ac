"""KFAC: the Kronecker factors of J^T H J, and what is computed from them.

::

    block of a layer          B (x) A                        in the order [W b] row by row
    A = Q_A diag(a) Q_A^T     B = Q_B diag(b) Q_B^T
    B (x) A + x I = (Q_B (x) Q_A) diag(b_j a_i + x) (Q_B (x) Q_A)^T

So damping, inverse and determinant are functions of the numbers b_j a_i, and exact.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import blas, eigh

from deltanet import _memory, _parallel, _validate
from deltanet._tokens import token
from deltanet._types import Array

Pair = tuple[Array, Array]


class Spectrum(NamedTuple):
    """A block as (Q_B (x) Q_A) diag(values) (Q_B (x) Q_A)^T, in double precision."""

    Q_A: Array  # (n_a, n_a)
    Q_B: Array  # (n_b, n_b)
    a: Array  # (n_a,)
    b: Array  # (n_b,)
    values: Array  # (n_b, n_a): b_j a_i, or what damping and inverse made of it


class KFAC:
    """Kronecker factors of J^T H J: a pair (A, B) for each layer, whose block is B (x) A.

    ``A = (1/N) sum_s [h 1]^T [h 1],    B = sum_s delta^T H delta``, the block in the order [W b] row by row.

    Made by `MLP.kfac` and `Jacobian.kfac`, or from pairs of your own. Its pairs are there by iteration and by
    index. What `damped` gives is not a Kronecker product any more: it has no pairs, but all the rest, and
    `Jacobian.covariance` takes it too. ``K @ v`` is the product with v, (P,) or (P, r), in the order of
    `MLP.params`.

    Parameters
    ----------
    pairs : sequence of ((n_a, n_a) array_like, (n_b, n_b) array_like)
        A and B of each layer, symmetric.
    bias : bool or sequence of bool
        Whether the last row and column of A belong to the bias: of all layers, or one each.

    Raises
    ------
    ValueError, TypeError
        If a pair does not consist of two square, symmetric matrices of real numbers.

    Notes
    -----
    curvlinops' `KFACLinearOperator` holds the same two factors: its input covariances are A, with the 1/N,
    its gradient covariances are B. It writes a block as A (x) B, of W stacked by columns; that is the matrix
    B (x) A of W row by row.

    - Its B for `FisherType.TYPE2` and a loss that is summed is ours, with H the Hessian of the loss by the
      outputs (twice the identity for `MSELoss`). For a mean over samples it is ours over N.
    - `separate_weight_and_bias=False` is our joint block of [W b]. Its default, and what laplace-torch
      takes, are two blocks: ours of `J.restrict("weights")` and of `J.restrict("biases")`.
    - `KFACInverseLinearOperator(damping=x, use_exact_damping=True)` is `damped(x).inverse()`. Without
      `use_exact_damping` it damps A and B one by one, which is an approximation.

    References
    ----------
    J. Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature" (2015).

    Examples
    --------
    >>> import deltanet as dn, numpy as np
    >>> K = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4))).kfac()
    >>> K
    KFAC(2 layers, P=58, dtype='float64')
    >>> [(A.shape, B.shape) for A, B in K]
    [((5, 5), (8, 8)), ((9, 9), (2, 2))]
    >>> v = np.ones(58)
    >>> bool(np.allclose(K.damped(0.1).inverse() @ (K @ v + 0.1 * v), v))
    True
    """

    __array_ufunc__ = None  # `v @ K` is an error, not an array of objects

    def __init__(
        self,
        pairs: Iterable[tuple[ArrayLike, ArrayLike]],
        *,
        bias: bool | Sequence[bool] = True,
    ) -> None:
        checked, dtype = _validate.kronecker(pairs)
        self._fill(checked, _validate.flags(bias, len(checked), "bias"), dtype)

    def _fill(
        self,
        pairs: list[Pair] | None,
        biases: tuple[bool, ...],
        dtype: np.dtype[Any],
        spectra: list[Spectrum] | None = None,
    ) -> "KFAC":
        """This object, with what needs no check: pairs, spectra or both."""
        self._pairs, self._biases, self._dtype, self._made = pairs, biases, dtype, spectra
        self._shapes = (
            [(len(one.a), len(one.b)) for one in spectra or ()]
            if pairs is None
            else [(len(A), len(B)) for A, B in pairs]
        )
        self._size = sum(n_a * n_b for n_a, n_b in self._shapes)
        return self

    def _like(self, pairs: list[Pair] | None, spectra: list[Spectrum]) -> "KFAC":
        """Another one of the same layers."""
        return KFAC.__new__(KFAC)._fill(pairs, self._biases, self._dtype, spectra)

    @property
    def _spectra(self) -> list[Spectrum]:
        """The layers by eigenvalues, made when they are first asked for."""
        if self._made is None:
            self._made = [spectrum(A, B, k) for k, (A, B) in enumerate(self._pairs or ())]
        return self._made

    @property
    def _factors(self) -> list[Pair]:
        if self._pairs is None:
            raise ValueError(
                "what damped() gives is not a Kronecker product and has no pairs (A, B); use @, inverse, "
                "logdet or covariance, or the pairs of the KFAC before it was damped"
            )
        return self._pairs

    def __repr__(self) -> str:
        layers = f"{len(self)} layer" + "s" * (len(self) != 1)
        damped = ", damped" if self._pairs is None else ""
        return f"KFAC({layers}, P={self._size}, dtype='{self._dtype}'{damped})"

    def __dask_tokenize__(self) -> tuple[str, str]:
        """What Dask makes keys of: the same for equal factors, also if their eigenvalues are known."""
        layers: Sequence[Sequence[Array]] = self._spectra if self._pairs is None else self._pairs
        arrays = [array for layer in layers for array in layer]
        return "deltanet.KFAC", token(self._pairs is None, self._biases, self._dtype, *arrays)

    def __len__(self) -> int:
        return len(self._shapes)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._factors)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        return self._factors[index]

    def damped(self, x: ArrayLike) -> "KFAC":
        """``B (x) A + x I`` of each layer, exact, by the eigenvalues of A and B.

        Parameters
        ----------
        x : float or sequence of float
            At least 0: of all layers, or one each. The precision of a prior, or the damping of a step.

        Returns
        -------
        KFAC
            Without pairs, unless every x is 0.

        Raises
        ------
        ValueError
            If x is negative or not finite, or a factor holds NaN or infinity.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> K = dn.KFAC([([[2.0]], [[3.0, 0.0], [0.0, 4.0]])], bias=False)
        >>> K.damped(0.5) @ np.array([1.0, 1.0])
        array([6.5, 8.5])
        """
        each = _validate.at_least_zero(x, () if np.ndim(x) == 0 else (len(self),), "x")
        if not each.any():
            return self
        adds = np.broadcast_to(each, (len(self),))
        spectra = [
            one._replace(values=one.values + add)
            for one, add in zip(self._spectra, adds, strict=True)
        ]
        return self._like(None, spectra)

    def inverse(self) -> "KFAC":
        """The inverse of each layer's block.

        Returns
        -------
        KFAC
            With the pairs (A^-1, B^-1), if this one has pairs.

        Raises
        ------
        ValueError
            If a block is singular, to rounding: `damped` mends that. Or if a factor holds NaN or infinity.

        Examples
        --------
        >>> import deltanet as dn
        >>> dn.KFAC([([[2.0]], [[4.0]])], bias=False).inverse()[0]
        (array([[0.5]]), array([[0.25]]))
        """
        spectra, pairs = [], []
        for k, (Q_A, Q_B, a, b, values) in enumerate(self._spectra):
            if not values.all():
                raise ValueError(
                    f"block {k} must not be singular; its smallest eigenvalue is 0 to rounding: use "
                    "damped(x).inverse()"
                )
            if self._pairs is None:
                spectra.append(Spectrum(Q_A, Q_B, a, b, 1 / values))
                continue
            spectra.append(Spectrum(Q_A, Q_B, 1 / a, 1 / b, 1 / values))
            pairs.append((composed(Q_A, 1 / a, self._dtype), composed(Q_B, 1 / b, self._dtype)))
        return self._like(None if self._pairs is None else pairs, spectra)

    def logdet(self) -> float:
        """The logarithm of the determinant: ``sum_k sum_ji log(b_j a_i + x)``.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If a block is not positive definite, to rounding, or a factor holds NaN or infinity.

        Examples
        --------
        >>> import deltanet as dn
        >>> round(dn.KFAC([([[2.0]], [[4.0]])], bias=False).logdet(), 6)  # log 8
        2.079442
        """
        total = 0.0
        for k, one in enumerate(self._spectra):
            if not (one.values > 0).all():
                raise ValueError(
                    f"block {k} must be positive definite; its smallest eigenvalue is "
                    f"{one.values.min():.3g} to rounding: use damped(x).logdet()"
                )
            total += float(np.log(one.values).sum())
        return total

    def __matmul__(self, v: ArrayLike) -> Array:
        """The product with v, (P,) or (P, r)."""
        columns = _validate.columns(v, (self._size,), "v", self._dtype)
        rows = columns if columns.ndim == 2 else columns[None]
        out: Array = _memory.empty(rows.shape, self._dtype, "K v", "pass fewer columns at a time")
        at = 0
        with _parallel.held_blas():
            for k, (n_a, n_b) in enumerate(self._shapes):
                part = slice(at, at + n_a * n_b)
                V = joined(rows[:, part], n_a, n_b, self._biases[k])
                out[:, part] = parted(self._apply(k, V), self._biases[k])
                at += n_a * n_b
        return out.T if columns.ndim == 2 else out[0]

    def _apply(self, k: int, V: Array) -> Array:
        """B V A of each V (r, n_b, n_a), or Q_B (values * (Q_B^T V Q_A)) Q_A^T."""
        if self._pairs is not None:
            A, B = self._pairs[k]
            return product(B, V, A)
        Q_A, Q_B, _, _, values = self._spectra[k]
        inner = product(Q_B.T, V.astype(np.float64, copy=False), Q_A)
        with np.errstate(under="ignore"):
            inner = inner * values
        return product(Q_B, inner, Q_A.T)


def spectrum(A: Array, B: Array, k: int) -> Spectrum:
    """The eigenvalues and eigenvectors of the factors of layer k."""
    a, Q_A = eigen(A, f"A of layer {k}")
    b, Q_B = eigen(B, f"B of layer {k}")
    with np.errstate(under="ignore"):
        return Spectrum(Q_A, Q_B, a, b, np.multiply.outer(b, a))


def eigen(C: Array, name: str) -> tuple[Array, Array]:
    """(eigenvalues, eigenvectors); a value that only rounding keeps from 0 is 0."""
    from deltanet._fit.systems import blas_for, driver  # imports what imports this module

    _validate.finite(C, name)
    with blas_for(len(C)):
        values, vectors = eigh(C.astype(np.float64), driver=driver(len(C)), overwrite_a=True)
    rounding = len(C) * np.finfo(C.dtype).eps * np.abs(values).max(initial=0)
    values[np.abs(values) <= rounding] = 0
    return values, vectors


def composed(Q: Array, values: Array, dtype: np.dtype[Any]) -> Array:
    """Q diag(values) Q^T"""
    with _parallel.held_blas(), np.errstate(under="ignore"):
        C: Array = blas.dgemm(1.0, Q * values, Q, trans_b=True)
        return np.ascontiguousarray((C + C.T) / 2, dtype)


def joined(rows: Array, n_a: int, n_b: int, bias: bool) -> Array:
    """[W b] (r, n_b, n_a) of a layer's parameters (r, n_b n_a): W row by row, then b."""
    if not bias:
        return rows.reshape(len(rows), n_b, n_a)
    W, b = rows[:, :-n_b], rows[:, -n_b:]
    return np.concatenate([W.reshape(len(rows), n_b, n_a - 1), b[:, :, None]], axis=2)


def parted(V: Array, bias: bool) -> Array:
    """The inverse of `joined`."""
    r, n_b, n_a = V.shape
    if not bias:
        return V.reshape(r, n_b * n_a)
    return np.concatenate([V[:, :, :-1].reshape(r, n_b * (n_a - 1)), V[:, :, -1]], axis=1)


def product(left: Array, V: Array, right: Array) -> Array:
    """left V right of each V (r, n_b, n_a), by SciPy's BLAS."""
    r, n_b, n_a = V.shape
    if not V.size:
        return V
    gemm = blas.dgemm if V.dtype == np.float64 else blas.sgemm
    # BLAS reads rows as columns: (V right)^T = right^T V^T, and the same of left
    V = gemm(1.0, right.T, V.reshape(r * n_b, n_a).T).T.reshape(r, n_b, n_a)
    V = V.transpose(1, 0, 2).reshape(n_b, r * n_a)
    V = gemm(1.0, V.T, left.T).T.reshape(n_b, r, n_a)
    return V.transpose(1, 0, 2)
