"""Jacobian: the structured result, and what is computed from it."""

import math

from deltanet import _columns, _memory, _verbs
from deltanet._core import engine as core
from deltanet._params import split

# No streaming stores into a fresh result: what the system has just cleared lies in the caches, and would
# be written to memory twice.
FRESH = False


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

    __array_ufunc__ = None  # `u @ J` is an error, not a dense Jacobian that nobody asked for

    def __init__(self, engine, sizes, kept, factors, buffer):
        own = self.__dict__
        own["_engine"], own["_sizes"], own["_kept"] = engine, sizes, kept
        own["_place"] = factors, buffer

    @property
    def outputs(self):
        return self._arrays[0]

    @property
    def inputs(self):
        return self._arrays[1]

    @property
    def deltas(self):
        return self._arrays[2]

    @property
    def _first_weight(self):
        return self._arrays[3]

    @property
    def _arrays(self):
        """(outputs, inputs, deltas, W^(1)): made when they are first asked for."""
        own = self.__dict__
        if "_made" not in own:
            factors, buffer = own["_place"]
            own["_made"] = factors.split(buffer)
        return own["_made"]

    def __setattr__(self, name, value):
        # the core takes the arrays for what `MLP.jacobian` made them
        raise AttributeError(f"{name} of a Jacobian cannot be set")

    @property
    def shape(self):
        """(N, m, P), or (m, P) of a single sample: the shape of the dense Jacobian."""
        return (*self.outputs.shape, self._kept.size)

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
        return sum(a.nbytes for a in (self.outputs, *self._factors()))

    def __repr__(self):
        dense = math.prod(self.shape) * self.dtype.itemsize
        return (
            f"Jacobian(shape={self.shape}, dtype='{self.dtype}', "
            f"{_memory.human(self.nbytes)} in factors, {_memory.human(dense)} dense)"
        )

    def __copy__(self):
        return self._with(self._kept, self.inputs, self.deltas)

    def __reduce__(self):
        raise TypeError("a Jacobian cannot be pickled: pickle its factors, or the net and X")

    def restrict(self, wrt):
        """The same Jacobian with the columns of some parameters only.

        Parameters
        ----------
        wrt : None, "last", "weights", "biases", list, or (P,) ndarray of bool
            All; those of the last layer; weights or biases only; layers by number, counted from 0, or pairs
            like ("biases", 2); a vector that is constant on each W and each b.

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
        kept = _columns.kept(wrt, self._sizes)
        have = {k: (W, b) for k, W, b in self._kept.layers}
        for k, W, b in kept.layers:
            if W > have.get(k, (False, False))[0] or b > have.get(k, (False, False))[1]:
                raise ValueError(f"wrt must name what this Jacobian has kept; got {wrt!r}")
        inputs, deltas = (
            [factor if kept.holds(k) else None for k, factor in enumerate(factors)]
            for factors in (self.inputs, self.deltas)
        )
        return self._with(kept, inputs, deltas)

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
            If there is no such layer.
        MemoryError
            If the block exceeds the memory available.

        Examples
        --------
        >>> import deltanet as dn
        >>> dn.MLP([4, 32, 2], seed=0).jacobian([[1, 2, 3, 4]]).weight(0).shape
        (1, 2, 32, 4)
        """
        delta, h = self._layer(k)[..., None], self.inputs[k][..., None, None, :]
        shape = (*delta.shape[:-1], h.shape[-1])
        _memory.room(shape, self.dtype, f"weight({k})", "use deltas[k] and inputs[k]")
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
        return self._layer(k).copy()

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
        if self._first_weight is None:
            raise ValueError("input_jacobian needs the delta of layer 0, which wrt has dropped")
        source = self._source()
        shape = (*self.outputs.shape, self._sizes[0])
        out = source.result(out, shape, "input_jacobian", instead="take fewer samples at a time")
        rows = out.reshape(source.N, source.m, self._sizes[0])
        source.run(threads, samplewise=("Jx",), Jx=rows, first_weight=self._first_weight)
        return out

    # Products

    def matvec(self, v, threads=None):
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

    def rmatvec(self, u, threads=None):
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

    def __matmul__(self, v):
        return self.matvec(v)

    @property
    def T(self):
        """J^T: `J.T @ u` is `J.rmatvec(u)`."""
        return Transposed(self)

    def as_linear_operator(self):
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

    def gram(self, other=None, out=None, threads=None):
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
            or layout.
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

    def gram_diagonal(self, threads=None):
        """The blocks of `gram` on its diagonal, sample by sample: ``J_s J_s^T`` (N, m, m)."""
        return self.covariance(1, threads=threads)

    def gram_per_output(self, other=None, threads=None):
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
        return _verbs.gram(self._source(), self._other(other), core.EACH, threads=threads)

    def gram_trace(self, other=None, threads=None):
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
        return _verbs.gram(self._source(), self._other(other), core.TRACED, threads=threads)

    def row_norms_squared(self, threads=None):
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

    def ggn(self, H=None, threads=None):
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

    def ggn_diagonal(self, H=None, threads=None):
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

    def kfac(self, H=None, threads=None):
        """[(A, B), ...]: the Kronecker factors of each layer's block of `ggn`.

        ``A = (1/N) sum_s [h 1]^T [h 1]``, ``B = sum_s delta^T H delta``: the block is close to B (x) A,
        and equal to it for one sample, in the order [W b] row by row.

        Parameters
        ----------
        H, threads
            As of `ggn`.

        Returns
        -------
        list of ((n_k + 1, n_k + 1) ndarray, (n_{k+1}, n_{k+1}) ndarray)

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

    def covariance(self, Sigma, full=False, threads=None):
        """J Sigma J^T: the covariance of the outputs for parameters of covariance Sigma.

        The predictive variance of a Laplace approximation, the delta method, the innovation covariance
        of an extended Kalman filter.

        Parameters
        ----------
        Sigma : float, (P,), (P, r) or (P, P) array_like, or list of pairs
            A multiple of the identity, a diagonal, a factor U of U U^T, a symmetric matrix (what is
            (P, P) is one, never a factor), or one Kronecker pair (A, B) a layer, with the shapes that
            `kfac` returns.
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
        """
        if full:
            return _verbs.full_covariance(self._source(), Sigma, threads)
        return _verbs.covariance(self._source(), Sigma, threads=threads)

    def solve(self, r, damping, damping_matrix="identity", solver="auto"):
        """``argmin |J p - r|^2 + damping |p|^2``: one damped Gauss-Newton step.

        With a damping of 0 it is the solution of least norm.

        Parameters
        ----------
        r : (N, m) array_like
        damping : float or sequence of float
            At least 0.
        damping_matrix : {"identity", "marquardt"}
            |p|^2, or ``p^T diag(J^T J) p``.
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

    def _with(self, kept, inputs, deltas):
        """The same samples with other columns."""
        weight = self._first_weight if kept.holds(0) else None
        other = Jacobian(self._engine, self._sizes, kept, None, None)
        other.__dict__["_made"] = self.outputs, tuple(inputs), tuple(deltas), weight
        return other

    def _factors(self):
        """The arrays of the factors that are kept."""
        return [factor for factor in (*self.inputs, *self.deltas) if factor is not None]

    def _layer(self, k):
        """delta of layer k, if it is kept."""
        if self.deltas[k] is None:
            raise ValueError(f"layer {k} must be one that wrt has kept; it was dropped")
        return self.deltas[k]

    def _source(self):
        """The factors as the verbs take them, with an N axis."""
        factors = self.inputs, self.deltas
        if self.outputs.ndim == 1:
            factors = tuple([f if f is None else f[None] for f in each] for each in factors)
        weight = () if self._first_weight is None else (self._first_weight,)
        read = (self.outputs, *self._factors(), *weight)
        return _verbs.Source(
            self._engine,
            self._sizes,
            self.dtype,
            self._kept,
            self.outputs.shape[:-1],
            factors=factors,
            read=read,
        )

    def _other(self, other):
        """The source of another Jacobian of the same sizes, dtype and columns."""
        if other is None:
            return None
        if not isinstance(other, Jacobian) or (other._sizes, other.dtype, other._kept) != (
            self._sizes,
            self.dtype,
            self._kept,
        ):
            raise ValueError(
                f"other must be a Jacobian of sizes {self._sizes}, the same columns and dtype "
                f"{self.dtype}; got {other!r}"
            )
        return other._source()


class Factors:
    """The places of the factors of some samples in one buffer: y, then h, delta and W^(1) of what is kept.

    One buffer where many arrays could be: the cache of memory gives it back without a page fault. W^(1) is
    there for dy/dx, so that later changes of the parameters do not change it.
    """

    def __init__(self, sizes, lead, kept):
        m, self.L = sizes[-1], len(sizes) - 1
        self.layers = [k for k, *_ in kept.layers]
        self.shapes = [(*lead, m)]
        self.shapes += [(*lead, sizes[k]) for k in self.layers]
        self.shapes += [(*lead, m, sizes[k + 1]) for k in self.layers]
        self.shapes += [(sizes[1], sizes[0])] if kept.holds(0) else []
        self.size = sum(math.prod(shape) for shape in self.shapes)

    def split(self, buffer):
        """(outputs, inputs, deltas, W^(1)): arrays in the buffer, None for layers that are not kept."""
        outputs, *rest = split(buffer, self.shapes)
        inputs, deltas, count = [None] * self.L, [None] * self.L, len(self.layers)
        for k, h, delta in zip(self.layers, rest, rest[count:], strict=False):
            inputs[k], deltas[k] = h, delta
        weight = rest[-1] if len(rest) > 2 * count else None
        return outputs, tuple(inputs), tuple(deltas), weight


class Transposed:
    """J^T, for ``J.T @ u``."""

    __array_ufunc__ = None

    def __init__(self, J):
        self.T = J

    def __matmul__(self, u):
        return self.T.rmatvec(u)
