"""Jacobian: the structured result, and what is computed from it."""

import math
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from deltanet import _columns, _factors, _memory, _validate, _verbs
from deltanet._columns import Kept
from deltanet._core import tiles
from deltanet._core.engine import Engine
from deltanet._factors import Factors, Layers, Parts
from deltanet._kfac import KFAC
from deltanet._types import Array, DType, Index, Known, Pairs, Wrt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from scipy.sparse.linalg import LinearOperator


# No streaming stores into a fresh result: what the system has just cleared lies in the caches, and would
# be written to memory twice.
FRESH = False


class Jacobian:
    """dy/dtheta of a net at N samples, kept in the factors that the chain rule gives.

    ``dy_o/dW^(k)_ji = delta^(k)_oj h^(k-1)_i,    dy_o/db^(k)_j = delta^(k)_oj``

    Made by `MLP.jacobian`, `from_factors` or `load`. For a single sample every array below lacks its N axis.
    ``J[i]`` is the Jacobian of one sample, ``J[a:b]``, ``J[mask]`` and ``J[[3, 1]]`` are those of some;
    iteration goes over samples, and ``len(J)`` is N. A slice shares its memory with J.

    Attributes
    ----------
    outputs : (N, m) ndarray or None
        y, from the same pass; None if `from_factors` was given none.
    deltas : tuple of (N, m, n_{k+1}) ndarray or None
        `deltas[k]` is dy/dv of layer k, counted from 0: the local gradient matrix.
    inputs : tuple of (N, n_k) ndarray or None
        `inputs[k]` is what layer k was given; `inputs[0]` is x after the input scaling. None, in both, of a
        layer that `restrict` has dropped.

    Notes
    -----
    Pickles are for trusted data only; `save` writes files that can be loaded from anywhere.

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

    __array_ufunc__ = None  # `u @ J` is an error, not a dense Jacobian that nobody asked for

    _engine: Engine
    _sizes: tuple[int, ...]
    _kept: Kept
    _rows: tuple[int, ...]  # (N, m), or (m,) of a single sample
    _labels: dict[str, tuple[str, ...] | None]  # names and units of the net

    def __init__(
        self,
        engine: Engine,
        sizes: tuple[int, ...],
        kept: Kept,
        factors: Factors,
        buffer: Array,
        labels: dict[str, tuple[str, ...] | None],
    ) -> None:
        own = self.__dict__
        own["_engine"], own["_sizes"], own["_kept"] = engine, sizes, kept
        own["_rows"], own["_place"], own["_labels"] = factors.shapes[0], (factors, buffer), labels

    @classmethod
    def from_factors(
        cls,
        deltas: Sequence[ArrayLike | None],
        inputs: Sequence[ArrayLike | None],
        outputs: ArrayLike | None = None,
        *,
        bias: bool | Sequence[bool] = True,
        first_weight: ArrayLike | None = None,
        input_scale: ArrayLike | None = None,
    ) -> Self:
        """A Jacobian of factors that come from elsewhere: another framework, a file, a formula.

        ``dy_o/dW^(k)_ji = delta^(k)_oj h^(k-1)_i,    dy_o/db^(k)_j = delta^(k)_oj``

        Parameters
        ----------
        deltas : sequence of (N, m, n_{k+1}) array_like or None
            One a layer, without N of a single sample. None, here and in inputs: J has no columns of
            this layer.
        inputs : sequence of (N, n_k) array_like or None
            What each layer was given.
        outputs : (N, m) array_like, optional
        bias : bool or sequence of bool
            Whether the layers have a bias: all of them, or one each.
        first_weight : (n_1, n_0) array_like, optional
            W of layer 0, which `input_jacobian` needs.
        input_scale : (n_0,) array_like or float, optional
            What x was divided by before layer 0, for `input_jacobian` too.

        Returns
        -------
        Jacobian
            An array of its dtype that is C-contiguous is not copied. The dtype is float32 if all factors are
            in single or half precision, else float64.

        Raises
        ------
        ValueError, TypeError
            If the shapes do not fit each other, or an array does not hold real numbers.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> deltas = [np.ones((3, 2, 8)), np.ones((3, 2, 2))]
        >>> J = dn.Jacobian.from_factors(deltas, [np.ones((3, 4)), np.ones((3, 8))])
        >>> J.shape, J.ggn_diagonal().shape
        ((3, 2, 58), (58,))
        """
        return cls._of(_factors.given(deltas, inputs, outputs, bias, first_weight, input_scale))

    @classmethod
    def _of(cls, parts: Parts) -> Self:
        """From parts that are checked."""
        J = cls.__new__(cls)
        kept = Kept(parts.layers, parts.sizes, parts.biases)
        J.__dict__["_engine"] = _factors.engine(parts.sizes, kept, parts.dtype, parts.input_scale)
        made = parts.outputs, parts.inputs, parts.deltas, parts.first_weight
        J.__dict__.update(_sizes=parts.sizes, _kept=kept, _rows=parts.rows, _made=made, _labels={})
        return J

    @property
    def _parts(self) -> Parts:
        """All that this object holds."""
        outputs, inputs, deltas, weight = self._arrays
        n, kept = self._sizes[0], self._kept
        scale = self._engine.affine[n : 2 * n]
        return Parts(
            self._sizes,
            kept.biases,
            kept.layers,
            self._rows,
            outputs,
            inputs,
            deltas,
            weight,
            None if weight is None or (scale == 1).all() else scale,
            self.dtype,
        )

    @property
    def outputs(self) -> Known:
        """y, (N, m), or None: see `Jacobian`."""
        return self._arrays[0]

    @property
    def inputs(self) -> tuple[Known, ...]:
        """What each layer was given, (N, n_k), or None: see `Jacobian`."""
        return self._arrays[1]

    @property
    def deltas(self) -> tuple[Known, ...]:
        """dy/dv of each layer, (N, m, n_{k+1}), or None: see `Jacobian`."""
        return self._arrays[2]

    @property
    def _first_weight(self) -> Array | None:
        return self._arrays[3]

    @property
    def _arrays(self) -> tuple[Array | None, Layers, Layers, Array | None]:
        """(outputs, inputs, deltas, W^(1)): made when they are first asked for."""
        own = self.__dict__
        if "_made" not in own:
            factors, buffer = own["_place"]
            own["_made"] = factors.split(buffer)
        made: tuple[Array | None, Layers, Layers, Array | None] = own["_made"]
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        # the core takes the arrays for what `MLP.jacobian` made them
        raise AttributeError(f"{name} of a Jacobian cannot be set")

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, m, P), or (m, P) of a single sample: the shape of the dense Jacobian."""
        return (*self._rows, self._kept.size)

    @property
    def dtype(self) -> DType:
        """float64 or float32."""
        return self._engine.affine.dtype

    @property
    def ndim(self) -> int:
        """3, or 2 of a single sample."""
        return len(self._rows) + 1

    @property
    def nbytes(self) -> int:
        """Bytes held in outputs, inputs and deltas."""
        return sum(array.nbytes for array in self._held())

    def __repr__(self) -> str:
        dense = math.prod(self.shape) * self.dtype.itemsize
        return (
            f"Jacobian(shape={self.shape}, dtype='{self.dtype}', "
            f"{_memory.human(self.nbytes)} in factors, {_memory.human(dense)} dense)"
        )

    def __copy__(self) -> "Jacobian":
        return self._with(self._kept, self._rows, self.outputs, self.inputs, self.deltas)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._parts,), {"_labels": self._labels}

    def _repr_html_(self) -> str:
        from deltanet import _html

        return _html.jacobian(self)

    # Parts and weights of it

    def __len__(self) -> int:
        """N"""
        if len(self._rows) == 1:
            raise TypeError("a Jacobian of a single sample has no axis of samples")
        return self._rows[0]

    def __getitem__(self, index: int | Index) -> "Jacobian":
        """The Jacobian of one sample, or of some: J[i], J[a:b], J[mask], J[[3, 1]]."""
        N = len(self)
        chosen = _validate.picked(index, N)
        lead: tuple[int, ...] = ()
        if isinstance(chosen, slice):
            lead = (len(range(N)[chosen]),)
        elif not isinstance(chosen, int):
            lead = (len(chosen),)
            numbers = self.nbytes // max(1, N) // self.dtype.itemsize
            _memory.room(
                (*lead, numbers), self.dtype, "the factors", "take fewer samples at a time"
            )

        def part(array: Array | None) -> Array | None:
            return None if array is None else np.ascontiguousarray(array[chosen])

        inputs, deltas = (tuple(map(part, each)) for each in (self.inputs, self.deltas))
        return self._with(self._kept, (*lead, self._rows[-1]), part(self.outputs), inputs, deltas)

    def __iter__(self) -> Iterator["Jacobian"]:
        """One sample after the other."""
        return (self[i] for i in range(len(self)))

    def weighted(self, R: ArrayLike, threads: int | None = None) -> "Jacobian":
        """The rows R_s J_s of each sample, and R_s y_s as outputs.

        ``delta'^(k)_s = R_s delta^(k)_s``. For H = R^T R, ``J.weighted(R).ggn()`` is ``J.ggn(H)``. If R
        is the gradient of a loss by the outputs, one row a sample, the rows of the result are the gradients
        of the samples' losses by theta.

        Parameters
        ----------
        R : (N, q, m) or (N, m) array_like
            Combinations of the rows, q of each sample; or a factor for each row. One row a sample is
            (N, 1, m). Without N of a single sample.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.

        Returns
        -------
        Jacobian
            Of shape (N, q, P) or (N, m, P). Every verb works with it: q takes the place of m. It shares
            `inputs` with this one.

        Raises
        ------
        ValueError, TypeError
            If R has another shape or does not hold real numbers.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> J, R = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4))), np.ones((3, 1, 2))
        >>> J.weighted(R)
        Jacobian(shape=(3, 1, 58), dtype='float64', 552 bytes in factors, 1.4 kB dense)
        >>> bool(np.allclose(J.weighted(R).to_dense(), J.to_dense().sum(axis=1, keepdims=True)))
        True
        """
        R = _validate.row_weights(R, self._rows, self.dtype)
        layers = [k for k, *_ in self._kept.layers]
        arrays = [self.deltas[k] for k in layers] + [self.outputs][self.outputs is None :]
        rows, made = _factors.weighted(arrays, self._rows, R, threads)
        by_layer = dict(zip(layers, made, strict=False))
        deltas = tuple(by_layer.get(k) for k in range(len(self.deltas)))
        outputs = None if self.outputs is None else made[-1]
        J = self._with(self._kept, rows, outputs, self.inputs, deltas)
        J.__dict__["_labels"] = {}  # the rows are no longer the outputs of the net
        return J

    def restrict(self, wrt: Wrt) -> "Jacobian":
        """The same Jacobian with the columns of some parameters only.

        Parameters
        ----------
        wrt : None, "last", "weights", "biases", list, or (P,) ndarray of bool
            All; those of the last layer; weights or biases only, of what this Jacobian has kept; layers by
            number, counted from 0, or pairs like ("biases", 2); a vector, of all parameters of the net, that
            is constant on each W and each b.

        Returns
        -------
        Jacobian
            Its columns are in the order of `MLP.params`. Layers keep their numbers: in `deltas` and `inputs`
            those that are dropped are None. It shares the factors with this one.

        Raises
        ------
        ValueError, TypeError, IndexError
            If wrt has none of these forms, or names what this Jacobian has not kept.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> J = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4)))
        >>> J.shape, J.restrict("last").shape, J.restrict([("biases", 0)]).shape
        ((3, 2, 58), (3, 2, 18), (3, 2, 8))
        """
        if wrt is None:
            return self
        kept = _columns.kept(wrt, self._sizes, self._kept.biases)
        have = {k: (W, b) for k, W, b in self._kept.layers}
        layers = [(k, W and have[k][0], b and have[k][1]) for k, W, b in kept.layers if k in have]
        if isinstance(wrt, str) and wrt != "last":
            kept = Kept([each for each in layers if any(each[1:])], self._sizes, kept.biases)
        elif layers != kept.layers:
            raise ValueError(f"wrt must name what this Jacobian has kept; got {wrt!r}")
        inputs, deltas = (
            tuple(factor if kept.holds(k) else None for k, factor in enumerate(factors))
            for factors in (self.inputs, self.deltas)
        )
        return self._with(kept, self._rows, self.outputs, inputs, deltas)

    def weight(self, k: int) -> Array:
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
            If there is no such layer.
        MemoryError
            If the block exceeds the memory available.

        Examples
        --------
        >>> import deltanet as dn
        >>> dn.MLP([4, 32, 2], seed=0).jacobian([[1, 2, 3, 4]]).weight(0).shape
        (1, 2, 32, 4)
        """
        delta, h = self._layer(k)
        delta, h = delta[..., None], h[..., None, None, :]
        shape = (*delta.shape[:-1], h.shape[-1])
        _memory.room(shape, self.dtype, f"weight({k})", "use deltas[k] and inputs[k]")
        return delta * h

    def bias(self, k: int) -> Array:
        """dy/db of layer k, counted from 0: a copy of ``delta``.

        Parameters
        ----------
        k : int
            A negative one counts from the last layer.

        Returns
        -------
        (N, m, n_{k+1}) ndarray

        Raises
        ------
        IndexError
            If there is no such layer.
        ValueError
            If the layer has no bias, or wrt has dropped it.
        """
        delta, _ = self._layer(k)
        if not self._kept.biases[k]:
            raise ValueError(f"layer {k} must be one that has a bias; it has none")
        return delta.copy()

    def to_dense(self, out: Array | None = None, threads: int | None = None) -> Array:
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
            If out has another shape, type or layout, or shares memory with the factors; nothing is written
            then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn
        >>> net = dn.MLP([4, 32, 2], seed=0)
        >>> X = [[0.1, 0.2, 0.3, 0.4]]
        >>> bool((net.jacobian(X).to_dense() == net.jacobian_dense(X)).all())
        True
        """
        source = self._source()
        stream = FRESH if out is None else None
        instead = "use the factors, deltas and inputs"
        out = source.result(out, self.shape, "to_dense", instead=instead)
        rows = out.reshape(source.N, source.m, self._kept.size)
        source.run(threads, samplewise=("J",), J=rows, stream=stream)
        return out

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a dense Jacobian is always a new array: copy=False cannot be met")
        dense = self.to_dense()
        return dense if dtype is None else dense.astype(dtype, copy=False)

    def input_jacobian(self, out: Array | None = None, threads: int | None = None) -> Array:
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
            If out has another shape, type or layout, or shares memory with the factors; nothing is written
            then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn
        >>> dn.MLP([4, 32, 2], seed=0).jacobian([[1, 2, 3, 4]]).input_jacobian().shape
        (1, 2, 4)
        """
        if self.deltas[0] is None:
            raise ValueError("input_jacobian needs the delta of layer 0, which wrt has dropped")
        if self._first_weight is None:
            raise ValueError(
                "input_jacobian needs W of layer 0: give first_weight= to from_factors"
            )
        source = self._source()
        shape = (*self._rows, self._sizes[0])
        out = source.result(out, shape, "input_jacobian", instead="take fewer samples at a time")
        rows = out.reshape(source.N, source.m, self._sizes[0])
        source.run(threads, samplewise=("Jx",), Jx=rows, first_weight=self._first_weight)
        return out

    def plot(self, sample: int = 0, ax: "Axes | None" = None) -> "Axes":
        """A picture of one sample: a row for each output, a block for W and one for b of each layer.

        Color is the value, on a scale that is linear around zero and logarithmic beyond. The width of a block
        grows with the logarithm of its columns; if there are too many to be seen, each strip shows the
        largest of its entries in absolute value.

        Parameters
        ----------
        sample : int
            Which one; 0 where there is a single sample.
        ax : matplotlib.axes.Axes, optional
            Axes to draw into; by default those of a new figure, which no window and no other figure knows.

        Returns
        -------
        matplotlib.axes.Axes
            Its outputs are labelled by name and unit if the net had them: `MLP.output_names`, `output_units`.

        Raises
        ------
        IndexError
            If there is no such sample.
        ImportError
            If matplotlib is missing (extra: plot).

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> J = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4)))
        >>> J.plot(1).figure.savefig("jacobian.png")  # doctest: +SKIP
        """
        from deltanet import _plots

        return _plots.jacobian(self, sample, ax)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything that this object holds to a file, for `load`.

        The file is written beside the target and renamed: a stopped run leaves the old one or the new one.

        Parameters
        ----------
        path : str or os.PathLike
            Ending in `.npz`.

        Raises
        ------
        ValueError
            For another ending.
        OSError
            If the file cannot be written.

        Examples
        --------
        See `load`.
        """
        from deltanet._io import jacobian

        jacobian.write(path, self._parts)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The Jacobian in a file that `save` has written. No code from the file is run.

        Parameters
        ----------
        path : str or os.PathLike

        Returns
        -------
        Jacobian

        Raises
        ------
        ValueError
            If the file is broken or holds something else.
        OSError
            If the file cannot be read.

        Examples
        --------
        >>> import deltanet as dn, numpy as np, os, tempfile
        >>> J = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "jacobian.npz")
        ...     J.save(path)
        ...     bool((dn.Jacobian.load(path).to_dense() == J.to_dense()).all())
        True
        """
        from deltanet._io import jacobian

        return cls._of(jacobian.read(path))

    # Products

    def matvec(self, v: ArrayLike, threads: int | None = None) -> Array:
        """J v: the change of the outputs for a change v of the parameters.

        ``(J v)_so = sum_k delta^(k)_so . (V^(k) h^(k-1)_s + c^(k))``, V and c the blocks of v.

        Parameters
        ----------
        v : (P,) or (P, r) array_like
        threads : int, optional
            See `set_num_threads`.

        Returns
        -------
        (N, m) or (N, m, r) ndarray

        Raises
        ------
        ValueError, TypeError
            If v has another shape or does not hold real numbers.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> J = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4)))
        >>> (J @ np.ones(58)).shape, J.matvec(np.ones((58, 5))).shape
        ((3, 2), (3, 2, 5))
        """
        return _verbs.jvp(self._source(), v, threads=threads)

    def rmatvec(self, u: ArrayLike, threads: int | None = None) -> Array:
        """J^T u: the gradient of ``sum u_so y_so``.

        ``dW^(k) = s^(k)T h^(k-1)``, ``db^(k) = sum_s s^(k)_s`` with ``s^(k)_s = sum_o u_so delta^(k)_so``.

        Parameters
        ----------
        u : (N, m) or (N, m, r) array_like
        threads : int, optional
            See `set_num_threads`.

        Returns
        -------
        (P,) or (P, r) ndarray

        Raises
        ------
        ValueError, TypeError
            If u has another shape or does not hold real numbers.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> J = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4)))
        >>> (J.T @ np.ones((3, 2))).shape
        (58,)
        """
        return _verbs.vjp(self._source(), u, threads=threads)

    def __matmul__(self, v: ArrayLike) -> Array:
        return self.matvec(v)

    @property
    def T(self) -> "Transposed":
        """J^T: `J.T @ u` is `J.rmatvec(u)`."""
        return Transposed(self)

    def as_linear_operator(self) -> "LinearOperator":
        """J as a `scipy.sparse.linalg.LinearOperator` of shape (N m, P).

        For lsmr, svds, eigsh and `scipy.optimize.least_squares(tr_solver="lsmr")`.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4))).as_linear_operator().shape
        (6, 58)
        """
        from deltanet._operator import Operator  # SciPy's takes longer to import than all the rest

        return Operator(self)

    # Quadratic forms

    def gram(
        self,
        other: "Jacobian | None" = None,
        out: Array | None = None,
        threads: int | None = None,
    ) -> Array:
        """J J'^T, the empirical neural tangent kernel.

        ``K_so,s'o' = sum_k (delta^(k)_so . delta'^(k)_s'o') (h^(k-1)_s . h'^(k-1)_s' + 1)``

        Parameters
        ----------
        other : Jacobian, optional
            J', of the same net at other samples; J itself by default: then K is symmetric to the last bit.
        out : ndarray of the result's shape and dtype, optional
            C-contiguous, writable, sharing no memory with the factors.
        threads : int, optional
            See `set_num_threads`.

        Returns
        -------
        (N, m, N', m) ndarray
            An axis N is lost where a Jacobian is of a single sample.

        Raises
        ------
        ValueError, TypeError
            If `other` is not a Jacobian of a net of the same sizes and dtype, or out has another shape, type
            or layout. The rows a sample of a weighted Jacobian may be others.
        MemoryError
            If the result exceeds the memory available; take blocks of samples then.

        References
        ----------
        A. Jacot, F. Gabriel, C. Hongler, "Neural Tangent Kernel" (2018).

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> J = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4)))
        >>> K, D = J.gram(), J.to_dense().reshape(6, 58)
        >>> K.shape, bool(np.allclose(K.reshape(6, 6), D @ D.T))
        ((3, 2, 3, 2), True)
        """
        return _verbs.gram(self._source(), self._other(other), out=out, threads=threads)

    def gram_diagonal(self, threads: int | None = None) -> Array:
        """The blocks of `gram` on its diagonal, sample by sample: ``J_s J_s^T`` (N, m, m)."""
        return self.covariance(1, threads=threads)

    def gram_per_output(self, other: "Jacobian | None" = None, threads: int | None = None) -> Array:
        """``K_so,s'o`` (m, N, N'): a kernel for each output by itself.

        Parameters
        ----------
        other : Jacobian, optional
            As of `gram`.

        Returns
        -------
        (m, N, N') ndarray
            An axis N is lost where a Jacobian is of a single sample.

        Raises
        ------
        ValueError, TypeError, MemoryError
            As of `gram`.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> J = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4)))
        >>> bool(np.allclose(J.gram_per_output(), np.einsum("sozo->osz", J.gram())))
        True
        """
        return _verbs.gram(self._source(), self._other(other, True), tiles.EACH, threads=threads)

    def gram_trace(self, other: "Jacobian | None" = None, threads: int | None = None) -> Array:
        """``sum_o K_so,s'o / m`` (N, N'): the kernel of one output on average.

        Parameters
        ----------
        other : Jacobian, optional
            As of `gram`.

        Returns
        -------
        (N, N') ndarray
            An axis N is lost where a Jacobian is of a single sample. It costs one product a
            layer, as much as a net of one output does.

        Raises
        ------
        ValueError, TypeError, MemoryError
            As of `gram`.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> J = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4)))
        >>> bool(np.allclose(J.gram_trace(), J.gram_per_output().mean(axis=0)))
        True
        """
        return _verbs.gram(self._source(), self._other(other, True), tiles.TRACED, threads=threads)

    def row_norms_squared(self, threads: int | None = None) -> Array:
        """``|J_so|^2 = sum_k |delta^(k)_so|^2 (|h^(k-1)_s|^2 + 1)``: the diagonal of `gram`.

        Parameters
        ----------
        threads : int, optional
            See `set_num_threads`.

        Returns
        -------
        (N, m) ndarray

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> J = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4)))
        >>> bool(np.allclose(J.row_norms_squared(), (J.to_dense() ** 2).sum(axis=-1)))
        True
        """
        return _verbs.row_norms_squared(self._source(), threads=threads)

    def ggn(self, H: ArrayLike | None = None, threads: int | None = None) -> Array:
        """J^T H J: the generalized Gauss-Newton matrix, by syrk over dense rows in bounded memory.

        Parameters
        ----------
        H : (N,) or (N, m, m) array_like, optional
            Second derivatives of the loss by the outputs, or weights; the identity by default. It need
            not be positive.
        threads : int, optional
            See `set_num_threads`.

        Returns
        -------
        (P, P) ndarray
            Symmetric to the last bit.

        Raises
        ------
        ValueError, TypeError
            If H has another shape or type.
        MemoryError
            If the result exceeds the memory available.

        References
        ----------
        N. N. Schraudolph, "Fast curvature matrix-vector products" (2002).

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> J = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4)))
        >>> J.ggn().shape, J.restrict("last").ggn().shape
        ((58, 58), (18, 18))
        """
        return _verbs.ggn(self._source(), H, threads=threads)

    def ggn_diagonal(self, H: ArrayLike | None = None, threads: int | None = None) -> Array:
        """The diagonal of `ggn`, from the factors alone: ``sum_s (sum_o delta_soj^2) h_si^2``.

        Parameters
        ----------
        H, threads
            As of `ggn`.

        Returns
        -------
        (P,) ndarray

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> J = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4)))
        >>> bool(np.allclose(J.ggn_diagonal(), np.diag(J.ggn())))
        True
        """
        return _verbs.ggn_diagonal(self._source(), H, threads=threads)

    def kfac(self, H: ArrayLike | None = None, threads: int | None = None) -> KFAC:
        """The Kronecker factors (A, B) of each layer's block of `ggn`.

        ``A = (1/N) sum_s [h 1]^T [h 1]``, ``B = sum_s delta^T H delta``: the block is close to B (x) A,
        and equal to it for one sample, in the order [W b] row by row.

        Parameters
        ----------
        H, threads
            As of `ggn`.

        Returns
        -------
        KFAC
            Its pairs, by iteration or index, have shapes (n_k + 1, n_k + 1) and (n_{k+1}, n_{k+1}). Of
            weights alone A is (n_k, n_k), of biases alone (1, 1).

        References
        ----------
        J. Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate
        curvature" (2015); A. Botev, H. Ritter, D. Barber (2017) for the factors of a Gauss-Newton matrix.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> [(A, B), _] = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4))).kfac()
        >>> A.shape, B.shape
        ((5, 5), (8, 8))
        """
        return _verbs.kfac(self._source(), H, threads=threads)

    def covariance(
        self, Sigma: ArrayLike | Pairs | KFAC, full: bool = False, threads: int | None = None
    ) -> Array:
        """J Sigma J^T: the covariance of the outputs for parameters of covariance Sigma.

        The predictive variance of a Laplace approximation, the delta method, the innovation covariance
        of an extended Kalman filter.

        Parameters
        ----------
        Sigma : float, (P,), (P, r) or (P, P) array_like, KFAC or list of pairs
            A multiple of the identity, a diagonal, a factor U of U U^T, a symmetric matrix (what is
            (P, P) is one, never a factor), or Kronecker factors: a `KFAC`, damped and inverted or not, or
            pairs (A, B) of the shapes that `kfac` returns.
        full : bool
            Every sample against every other.

        Returns
        -------
        (N, m, m) ndarray, or (N, m, N, m) if full

        Raises
        ------
        ValueError, TypeError
            If Sigma has none of these forms.
        MemoryError
            If the full result exceeds the memory available.

        References
        ----------
        D. J. C. MacKay, "A practical Bayesian framework for backpropagation networks" (1992).

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> J = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4)))
        >>> J.covariance(0.1).shape, J.covariance(np.ones((58, 4)), full=True).shape
        ((3, 2, 2), (3, 2, 3, 2))
        >>> J.covariance(J.kfac().damped(0.1).inverse()).shape  # a Laplace approximation
        (3, 2, 2)
        """
        if full:
            return _verbs.full_covariance(self._source(), Sigma, threads)
        return _verbs.covariance(self._source(), Sigma, threads=threads)

    def solve(
        self,
        r: ArrayLike,
        damping: ArrayLike,
        damping_matrix: Literal["identity", "marquardt"] = "identity",
        solver: Literal["auto", "direct", "cg"] = "auto",
    ) -> Array:
        """``argmin |J p - r|^2 + damping |p|^2``: one damped Gauss-Newton step.

        With a damping of 0 it is the solution of least norm.

        Parameters
        ----------
        r : (N, m) array_like
        damping : float or sequence of float
            At least 0.
        damping_matrix : {"identity", "marquardt"}
            ``|p|^2``, or ``p^T diag(J^T J) p``.
        solver : {"auto", "direct", "cg"}
            "direct": a Cholesky factorization on the smaller side of J, P x P or (N m) x (N m); one
            eigendecomposition for several dampings; the singular values of the dense Jacobian for a damping
            of 0. "cg": conjugate gradients on `matvec` and `rmatvec`, which hold no matrix; LSMR for a
            damping of 0 or close to it. "auto": the one of less arithmetic, and "cg" if the matrices exceed
            a fourth of the memory available.

        Returns
        -------
        (P,) ndarray, or (len(damping), P) for several

        Raises
        ------
        ValueError, TypeError
            If r has another shape or type, or damping, damping_matrix or solver is none of these.

        References
        ----------
        K. Levenberg (1944); D. W. Marquardt, "An algorithm for least-squares estimation of nonlinear
        parameters" (1963).

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> J = dn.MLP([4, 8, 2], seed=0).jacobian(np.ones((3, 4)))
        >>> J.solve(np.ones((3, 2)), damping=1e-3).shape
        (58,)
        """
        from deltanet import _solve

        return _solve.solve(self, r, damping, damping_matrix, solver)

    # Inside the package

    def _with(
        self,
        kept: Kept,
        rows: tuple[int, ...],
        outputs: Array | None,
        inputs: Layers,
        deltas: Layers,
    ) -> "Jacobian":
        """Other samples, rows or columns of the same net."""
        J = Jacobian.__new__(Jacobian)
        made = outputs, inputs, deltas, self._first_weight if kept.holds(0) else None
        J.__dict__.update(
            _engine=self._engine,
            _sizes=self._sizes,
            _kept=kept,
            _rows=rows,
            _made=made,
            _labels=self._labels,
        )
        return J

    def _held(self) -> list[Array]:
        """The outputs and the factors, as far as there are."""
        return [a for a in (self.outputs, *self.inputs, *self.deltas) if a is not None]

    def _layer(self, k: int) -> tuple[Array, Array]:
        """delta and h of layer k, if it is kept."""
        delta, h = self.deltas[k], self.inputs[k]
        if delta is None or h is None:
            raise ValueError(f"layer {k} must be one that wrt has kept; it was dropped")
        return delta, h

    def _source(self) -> _verbs.Source:
        """The factors as the verbs take them, with an N axis."""
        factors: Any = self.inputs, self.deltas
        if len(self._rows) == 1:
            factors = tuple([f if f is None else f[None] for f in each] for each in factors)
        weight = () if self._first_weight is None else (self._first_weight,)
        return _verbs.Source(
            self._engine,
            self._sizes,
            self.dtype,
            self._kept,
            self._rows[:-1],
            factors=factors,
            read=(*self._held(), *weight),
            rows=self._rows[-1],
        )

    def _other(self, other: "Jacobian | None", each_row: bool = False) -> _verbs.Source | None:
        """The source of another Jacobian of the same columns; for `each_row`, of as many rows a sample."""
        if other is None:
            return None
        if not isinstance(other, Jacobian) or other._columns != self._columns:
            raise ValueError(
                f"other must be a Jacobian of sizes {self._sizes}, the same columns and dtype "
                f"{self.dtype}; got {other!r}"
            )
        if each_row and other._rows[-1] != self._rows[-1]:
            raise ValueError(
                f"other must have {self._rows[-1]} rows a sample, as this one has; got {other!r}"
            )
        return other._source()

    @property
    def _columns(self) -> tuple[Any, ...]:
        """What two Jacobians must share to have the same columns."""
        widths = [self._sizes[k : k + 2] for k, *_ in self._kept.layers]
        return self.dtype, self._kept.layers, widths


def _restored(parts: Parts) -> Jacobian:
    """A Jacobian from a pickle."""
    return Jacobian._of(parts)


class Transposed:
    """J^T, for ``J.T @ u``."""

    __array_ufunc__ = None

    def __init__(self, J: Any) -> None:
        self.T = J

    def __matmul__(self, u: ArrayLike) -> Array:
        product: Array = self.T.rmatvec(u)
        return product
