"""KFAC: the Kronecker factors of J^T H J, and what is solved with them.

::

    block of a layer    B (x) A                         in the order [W b] row by row
    A = Q_A a Q_A^T,  B = Q_B b Q_B^T                   eigenvalues a (n_a,), b (n_b,)
    B (x) A + x I = (Q_B (x) Q_A) diag(b_j a_i + x) (Q_B (x) Q_A)^T

So damping and inverse are functions of the numbers b_j a_i alone, and exact.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import blas, eigh

from deltanet import _memory, _parallel, _validate

Array = NDArray[np.floating[Any]]
Pair = tuple[Array, Array]


class Spectrum(NamedTuple):
    """A block as (Q_B (x) Q_A) diag(values) (Q_B (x) Q_A)^T."""

    Q_A: Array  # (n_a, n_a)
    Q_B: Array  # (n_b, n_b)
    values: NDArray[np.float64]  # (n_b, n_a)


class KFAC:
    """Kronecker factors of J^T H J: a pair (A, B) for each layer, whose block is B (x) A.

    ``A = (1/N) sum_s [h 1]^T [h 1],    B = sum_s delta^T H delta``, in the order [W b] row by row.

    Made by `MLP.kfac` and `Jacobian.kfac`, or of pairs of your own. The pairs are there by iteration and by
    index. What `damped` gives is not a Kronecker product any more and has no pairs; everything else works
    with it, and `Jacobian.covariance` takes it.

    Parameters
    ----------
    pairs : sequence of ((n_a, n_a) array_like, (n_b, n_b) array_like)
        A and B of each layer, symmetric.
    bias : bool or sequence of bool
        Whether the last row and column of A belong to the bias; of all layers, or one each.

    Raises
    ------
    ValueError, TypeError
        If a pair is not of two square symmetric matrices of real numbers.

    Notes
    -----
    curvlinops' `KFACLinearOperator` has the same two factors by the names `input_covariances` (A) and
    `gradient_covariances` (B), with the same A = (1/N) sum_s a_s a_s^T, a_s the input of the layer. For a loss that
    is summed over samples, and the exact Gauss-Newton matrix (`FisherType.TYPE2`), its B is ours with H the Hessian
    of the loss by the outputs (of `MSELoss`: twice the identity); for a mean over samples it is that over N. Its
    `separate_weight_and_bias=False` is our joint block of [W b]; `True`, its default and what laplace-torch uses,
    is what `restrict("weights")` and `restrict("biases")` give, one after the other. The inverse with
    `use_exact_damping=True` is `damped(x).inverse()`; otherwise it adds to A and B, which is an approximation.

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
    _pairs: list[Pair] | None
    _biases: tuple[bool, ...]
    _made: list[Spectrum] | None

    def __init__(
        self,
        pairs: Iterable[tuple[ArrayLike, ArrayLike]],
        *,
        bias: bool | Sequence[bool] = True,
    ) -> None:
        self._pairs = _validate.kronecker(pairs)
        self._biases = _validate.flags(bias, len(self._pairs), "bias")
        self._made = None

    @classmethod
    def _of(
        cls,
        pairs: list[Pair] | None,
        biases: tuple[bool, ...],
        made: list[Spectrum] | None = None,
    ) -> "KFAC":
        """From what needs no check."""
        K = cls.__new__(cls)
        K._pairs, K._biases, K._made = pairs, biases, made
        return K

    @property
    def _spectra(self) -> list[Spectrum]:
        """The layers by eigenvalues, made when they are first asked for."""
        if self._made is None:
            self._made = [_spectrum(A, B, k) for k, (A, B) in enumerate(self._pairs or ())]
        return self._made

    @property
    def _shapes(self) -> list[tuple[int, int]]:
        """(n_a, n_b) of each layer."""
        if self._pairs is not None:
            return [(len(A), len(B)) for A, B in self._pairs]
        return [(len(one.Q_A), len(one.Q_B)) for one in self._spectra]

    @property
    def _dtype(self) -> np.dtype[Any]:
        first: Array = np.empty(0)
        for first, *_ in self._pairs if self._pairs is not None else self._spectra:
            break
        return first.dtype

    @property
    def _size(self) -> int:
        return sum(n_a * n_b for n_a, n_b in self._shapes)

    def __repr__(self) -> str:
        count, damped = len(self), "" if self._pairs is not None else ", damped"
        layers = f"{count} layer" + "s" * (count != 1)
        return f"KFAC({layers}, P={self._size}, dtype='{self._dtype}'{damped})"

    # The pairs

    def _factors(self) -> list[Pair]:
        if self._pairs is None:
            raise ValueError(
                "a KFAC that was damped is not a Kronecker product, and has no pairs (A, B); iterate over "
                "the one before `damped`, or use @, inverse, logdet and covariance"
            )
        return self._pairs

    def __len__(self) -> int:
        return len(self._biases)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._factors())

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        return self._factors()[index]

    # What is made of them

    def damped(self, x: float | Sequence[float]) -> "KFAC":
        """``B (x) A + x I`` of each layer, exact, by the eigenvalues of A and B.

        Parameters
        ----------
        x : float or sequence of float
            At least 0; of all layers, or one each: the precision of a prior, or the damping of a step.

        Returns
        -------
        KFAC
            Without pairs, but for an x of 0.

        Raises
        ------
        ValueError
            If x is negative or not finite, or a factor is not finite.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> K = dn.KFAC([([[2.0]], [[3.0, 0.0], [0.0, 4.0]])], bias=False)
        >>> K.damped(0.5) @ np.array([1.0, 1.0])
        array([6.5, 8.5])
        """
        shape = () if np.ndim(x) == 0 else (len(self),)
        each = np.broadcast_to(_validate.at_least_zero(x, shape, "x"), (len(self),))
        if not each.any():
            return self
        made = [
            one._replace(values=one.values + add)
            for one, add in zip(self._spectra, each, strict=True)
        ]
        return KFAC._of(None, self._biases, made)

    def inverse(self) -> "KFAC":
        """The inverse of each layer's block.

        Returns
        -------
        KFAC
            With the pairs (A^-1, B^-1), if this one has pairs.

        Raises
        ------
        ValueError
            If a block is singular: then `damped` comes first.

        Examples
        --------
        >>> import deltanet as dn
        >>> K = dn.KFAC([([[2.0]], [[4.0]])], bias=False)
        >>> [(A, B)] = K.inverse()
        >>> A, B
        (array([[0.5]]), array([[0.25]]))
        """
        for k, one in enumerate(self._spectra):
            if not one.values.all():
                raise ValueError(
                    f"the block of layer {k} must not be singular; an eigenvalue is 0 to rounding: "
                    "use damped(x).inverse()"
                )
        made = [one._replace(values=1 / one.values) for one in self._spectra]
        pairs = None
        if self._pairs is not None:
            pairs = [(_inverse(A), _inverse(B)) for A, B in self._pairs]
        return KFAC._of(pairs, self._biases, made)

    def logdet(self) -> float:
        """The logarithm of the determinant: ``sum_k sum_ji log(b_j a_i + x)``.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If a block is not positive definite.

        Examples
        --------
        >>> import deltanet as dn
        >>> dn.KFAC([([[2.0]], [[4.0]])], bias=False).logdet()  # log 8
        2.0794415416798357
        """
        total = 0.0
        for k, one in enumerate(self._spectra):
            if not (one.values > 0).all():
                raise ValueError(
                    f"the block of layer {k} must be positive definite; its smallest eigenvalue is "
                    f"{one.values.min():.3g} to rounding: use damped(x).logdet()"
                )
            total += float(np.log(one.values).sum())
        return total

    def __matmul__(self, v: ArrayLike) -> Array:
        """The product with v, (P,) or (P, r), in the order of `MLP.params`."""
        columns = _validate.columns(v, (self._size,), "v", self._dtype)
        rows = columns.reshape(-1, self._size)
        out, at = _memory.empty(rows.shape, self._dtype, "K v", "pass fewer columns at a time"), 0
        with _parallel.held_blas():
            for k, (n_a, n_b) in enumerate(self._shapes):
                part = slice(at, at + n_a * n_b)
                V = _joined(rows[:, part], n_a, n_b, self._biases[k])
                _part(out[:, part], self._apply(k, V), self._biases[k])
                at += n_a * n_b
        return out.T if columns.ndim == 2 else out[0]

    def _apply(self, k: int, V: Array) -> Array:
        """B V A of each V (r, n_b, n_a); or Q_B ((Q_B^T V Q_A) * values) Q_A^T."""
        if self._pairs is not None:
            A, B = self._pairs[k]
            return _product(B, V, A)
        Q_A, Q_B, values = self._spectra[k]
        return _product(Q_B, _product(Q_B.T, V, Q_A) * values.astype(V.dtype), Q_A.T)


def _spectrum(A: Array, B: Array, k: int) -> Spectrum:
    """The eigenvalues and eigenvectors of a layer's factors, in double precision."""
    (a, Q_A), (b, Q_B) = _eigen(A, f"A of layer {k}"), _eigen(B, f"B of layer {k}")
    return Spectrum(Q_A.astype(A.dtype), Q_B.astype(B.dtype), np.multiply.outer(b, a))


def _eigen(C: Array, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(eigenvalues, eigenvectors); a value that rounding alone keeps from 0 is 0."""
    from deltanet._fit.systems import blas_for

    _validate.finite(C, name)
    with blas_for(len(C)):
        values, vectors = eigh(C.astype(np.float64), driver="evd")
    rounding = len(C) * np.finfo(C.dtype).eps * np.abs(values).max(initial=0)
    values[np.abs(values) <= rounding] = 0
    return values, vectors


def _joined(rows: Array, n_a: int, n_b: int, bias: bool) -> Array:
    """[W b] (r, n_b, n_a) of the parameters of a layer (r, n_b n_a): W row by row, then b."""
    if not bias:
        return rows.reshape(len(rows), n_b, n_a)
    W, b = rows[:, : -n_b or None], rows[:, -n_b:]
    return np.concatenate([W.reshape(len(rows), n_b, n_a - 1), b[:, :, None]], axis=2)


def _part(out: Array, V: Array, bias: bool) -> None:
    """The inverse of `_joined`, into `out`."""
    r, n_b, n_a = V.shape
    if not bias:
        out[...] = V.reshape(r, n_b * n_a)
        return
    out[:, : n_b * (n_a - 1)] = V[:, :, :-1].reshape(r, n_b * (n_a - 1))
    out[:, n_b * (n_a - 1) :] = V[:, :, -1]


def _product(left: Array, V: Array, right: Array) -> Array:
    """left V right of each V (r, n_b, n_a), by SciPy's BLAS."""
    r, n_b, n_a = V.shape
    if not V.size:
        return V
    gemm = blas.dgemm if V.dtype == np.float64 else blas.sgemm
    # as BLAS sees rows: (V right)^T = right^T V^T
    V = gemm(1.0, right.T, V.reshape(r * n_b, n_a).T).T.reshape(r, n_b, n_a)
    V = V.transpose(1, 0, 2).reshape(n_b, r * n_a)
    return gemm(1.0, V.T, left.T).T.reshape(n_b, r, n_a).transpose(1, 0, 2)
