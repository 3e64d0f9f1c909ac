"""MLP: parameters and calls. Validates, allocates, delegates."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from deltanet import _columns, _memory, _params, _scaling, _second, _validate, _verbs
from deltanet._activations import CODES, REGISTRY, registered
from deltanet._core import bends, capi
from deltanet._core.engine import Engine
from deltanet._factors import Factors
from deltanet._jacobian import FRESH, Jacobian
from deltanet._kfac import KFAC
from deltanet._labels import Labels
from deltanet._mixed_hessian import MixedHessian
from deltanet._tokens import token
from deltanet._types import (
    Activation,
    Array,
    DType,
    Executor,
    Known,
    Pair,
    Pairs,
    Progress,
    Scaling,
    Seed,
    Shape,
    Wrt,
)

if TYPE_CHECKING:
    from deltanet._io.torch import TorchSequential
    from deltanet._jobs.job import Job

Block = tuple[Array, Known]  # W, b of a layer
LEAN = "use jacobian(X), which keeps the factors only, or pass blocks of X with out="


class MLP:
    """A multi-layer perceptron and its derivatives.

    ::

        h^(0) = (x - input_shift) / input_scale
        v^(k) = W^(k) h^(k-1) + b^(k),    h^(k) = f_k(v^(k)),    k = 1 .. L
        y     = h^(L) * output_scale + output_shift

    Parameters
    ----------
    sizes : sequence of int
        Widths n_0, ..., n_L of the input, the hidden layers and the output.
    activation : str, (str, float, ...) or list of these
        f_k of the hidden layers: one for all, or a list of one each. A tuple gives the parameters of an
        activation that has some.
    output : str or (str, float, ...)
        f_L. The coupled "softmax" and "log_softmax" are allowed here only.
    bias : bool
        Whether the layers have a bias b^(k). Without one `params` has no entry and J no column for it.
        `from_layers` chooses layer by layer.
    dtype : {"float64", "float32"}
        Type of the parameters and of every result.
    seed : int, numpy.random.Generator or None
        Weights are drawn from N(0, g / n_in), with g = 2 for the relu family and 1 otherwise; biases
        are zero.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks one of these rules.

    Notes
    -----
    Element-wise activations, with their parameters and defaults: identity, tanh, lecun_tanh
    (1.7159 tanh(2v/3)), sigmoid, relu, leaky_relu (slope 0.01), elu (alpha 1), selu, softplus (beta 1),
    gelu (erf), gelu_tanh, silu, softsign, gaussian (exp(-v^2)), sin, relu6, hardtanh (min -1, max 1),
    hardsigmoid, hardswish, celu (alpha 1), mish, exp, logsigmoid, tanhshrink, softshrink (lambda 0.5),
    threshold (threshold and value, which have no default), swish (beta 1), cos, abs, square, erf, atan.
    Their meanings are torch's; at a kink the slope is the left one. Names of torch, Keras,
    scikit-learn and MATLAB ("ReLU", "linear", "logistic", "tansig", ...) are known too.
    `register_activation` adds others.

    Jacobians follow T. Ukkonen, "General Gradient of Neural Network" (2017).

    A net may be read by many threads at once. Writing `params` while a call runs gives that call a
    mixture of old and new values. Pickles are for trusted data only; `deltanet.save` writes files that
    can be loaded from anywhere.

    Examples
    --------
    >>> import deltanet as dn
    >>> net = dn.MLP([4, 32, 32, 2], activation="tanh", seed=0)
    >>> net
    MLP([4, 32, 32, 2], activation=['tanh', 'tanh'], output='identity', dtype='float64')
    >>> net([0.1, 0.2, 0.3, 0.4]).shape
    (2,)
    >>> net.jacobian([[0.1, 0.2, 0.3, 0.4]]).shape
    (1, 2, 1282)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Activation | Sequence[Activation] = "tanh",
        output: Activation = "identity",
        bias: bool = True,
        dtype: DTypeLike = "float64",
        seed: Seed = None,
    ) -> None:
        sizes, dtype = _validate.sizes(sizes), _validate.dtype(dtype)
        hidden = _validate.hidden(activation, len(sizes) - 2)
        pairs = _validate.activations([*hidden, output], len(sizes) - 1)
        biases = (_validate.flag(bias, "bias"),) * len(pairs)
        self._build(sizes, pairs, biases, dtype, None, None)
        random = np.random.default_rng(seed)
        for W, (name, _) in zip(self.weights, pairs, strict=True):
            W[...] = random.standard_normal(W.shape) * np.sqrt(REGISTRY[name].gain / W.shape[1])

    def _build(
        self,
        sizes: tuple[int, ...],
        pairs: list[Pair],
        biases: tuple[bool, ...],
        dtype: DType,
        input_scaling: Scaling | None,
        output_scaling: Scaling | None,
    ) -> None:
        """Lay out theta and the compiled engine; theta is left at zero."""
        *offsets, P = _params.offsets(sizes, biases)
        _memory.room((P,), dtype, "the parameters", "use a smaller net")
        self._sizes, self._pairs = sizes, pairs
        self._scaling = input_scaling, output_scaling
        self._labels: dict[str, tuple[str, ...] | None] = {}
        self._params = np.zeros(P, dtype)
        blocks = _params.views(self._params, sizes, biases)
        self._weights, self._biases = (tuple(group) for group in zip(*blocks, strict=True))
        unit = [(np.zeros(n, dtype), np.ones(n, dtype)) for n in (sizes[0], sizes[-1])]
        affine = np.concatenate([*(input_scaling or unit[0]), *(output_scaling or unit[1])])
        self._kept = _columns.everything(sizes, biases)
        self._single = Factors(sizes, (), self._kept)
        layers = [
            (
                False,
                CODES[name],
                *(*parameters, 0, 0)[:2],
                n_in,
                n_out,
                start,
                start + n_in * n_out if bias else -1,
            )
            for (name, parameters), bias, start, n_in, n_out in zip(
                pairs, biases, offsets, sizes, sizes[1:], strict=False
            )
        ]
        self._engine = Engine(
            self._params,
            affine,
            layers,
            input_scaling is not None,
            output_scaling is not None,
            self._kept.columns,
            [REGISTRY[name].functions for name, _ in pairs],
        )

    @classmethod
    def from_layers(
        cls,
        weights: Sequence[ArrayLike],
        biases: Sequence[ArrayLike | None],
        activations: Sequence[Activation],
        input_shift: ArrayLike | None = None,
        input_scale: ArrayLike | None = None,
        output_shift: ArrayLike | None = None,
        output_scale: ArrayLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> Self:
        """A net of given layers and scalings: x' = (x - shift) / scale, y' = y * scale + shift.

        Parameters
        ----------
        weights : sequence of (n_out, n_in) array_like
        biases : sequence of (n_out,) array_like or None
            None is a layer without a bias: `params` and the columns of J have none.
        activations : sequence of str or (str, float, ...)
            One a layer, the last layer's included.
        input_shift, input_scale : (n_0,) array_like or float, optional
        output_shift, output_scale : (m,) array_like or float, optional
            Part of the net, not parameters; every derivative accounts for them.
        dtype : {"float64", "float32"}, optional
            By default that of the arrays; float64 for integers.

        Returns
        -------
        MLP

        Raises
        ------
        ValueError, TypeError
            If shapes do not follow each other, or a scale is zero or not finite.

        Examples
        --------
        >>> import deltanet as dn
        >>> net = dn.MLP.from_layers([[[1.0, 2.0]]], [[0.5]], ["identity"], input_scale=[1.0, 2.0])
        >>> net([1.0, 1.0]), net.input_jacobian([1.0, 1.0])
        (array([2.5]), array([[1., 1.]]))
        >>> dn.MLP.from_layers([[[1.0, 2.0]]], [None], ["identity"]).params  # no entry for a bias
        array([1., 2.])
        """
        weights, biases, sizes, dtype = _validate.layers(weights, biases, dtype)
        pairs = _validate.activations(activations, len(weights))
        net = cls.__new__(cls)
        net._build(
            sizes,
            pairs,
            tuple(b is not None for b in biases),
            dtype,
            _validate.scaling(input_shift, input_scale, sizes[0], dtype, "input"),
            _validate.scaling(output_shift, output_scale, sizes[-1], dtype, "output"),
        )
        for (W, b), W0, b0 in zip(net._blocks(), weights, biases, strict=True):
            W[...] = W0
            if b is not None:
                b[...] = b0
        return net

    @classmethod
    def standardized(
        cls,
        X: ArrayLike,
        Y: ArrayLike,
        hidden: Sequence[int] = (32, 32),
        activation: Activation | Sequence[Activation] = "tanh",
        output: Activation = "identity",
        bias: bool = True,
        dtype: DTypeLike = "float64",
        seed: Seed = None,
    ) -> Self:
        """A new net for data in any units: its layers see inputs and outputs of mean 0 and deviation 1.

        ::

            input_shift, input_scale = mean, standard deviation of each column of X
            output_shift, output_scale = the same of Y, if the output is the identity

        Parameters
        ----------
        X : (N, n_0) or (N,) array_like
            (N,) is one input. N >= 2.
        Y : (N, m) or (N,) array_like
            (N,) is one output.
        hidden : sequence of int
            Widths of the hidden layers; empty for none.
        activation, output, bias, dtype, seed
            As of `MLP`. An output that is not the identity has a range of its own, and is not scaled.

        Returns
        -------
        MLP
            With no scale of zero: a column that is constant, to rounding, gets the scale 1.

        Raises
        ------
        ValueError, TypeError
            If an argument breaks one of these rules, or X or Y holds NaN or infinity.

        Examples
        --------
        >>> import deltanet as dn
        >>> net = dn.MLP.standardized([2000, 2012, 2024], [1e6, 3e6, 2e6], hidden=[8], seed=0)
        >>> net.sizes, net.input_shift, net.output_shift
        ((1, 8, 1), array([2012.]), array([2000000.]))
        """
        dtype = _validate.dtype(dtype)
        X, Y = _validate.data_to_scale(X, Y, dtype)
        sizes = [X.shape[1], *_validate.hidden_sizes(hidden), Y.shape[1]]
        net = cls(sizes, activation, output, bias, dtype, seed)
        scalings = _scaling.from_data(X, Y, net.activations[-1] == "identity")
        return cls.from_layers(net.weights, net.biases, net.activations, *scalings, dtype=dtype)

    def _blocks(self) -> Iterator[Block]:
        return zip(self._weights, self._biases, strict=True)

    # What the net is

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths n_0, ..., n_L, a tuple of int."""
        return self._sizes

    @property
    def activations(self) -> tuple[Activation, ...]:
        """One activation a layer: a name, or (name, parameter, ...) where these are not the defaults."""
        return tuple(
            name if parameters == REGISTRY[name].defaults else (name, *parameters)
            for name, parameters in self._pairs
        )

    @property
    def dtype(self) -> DType:
        """float64 or float32: of the parameters and of every result."""
        return self._params.dtype

    @property
    def num_params(self) -> int:
        """P, the count of all weights and biases."""
        return self._params.size

    @property
    def params(self) -> Array:
        """theta, (P,), writable: W^(1) row-major, b^(1), ..., W^(L), b^(L), without biases that are None."""
        return self._params

    @params.setter
    def params(self, value: ArrayLike) -> None:
        self._params[...] = _validate.vector(value, self._params.size, "params")

    @property
    def weights(self) -> tuple[Array, ...]:
        """W^(1), ..., W^(L): views of shape (n_out, n_in) into `params`."""
        return self._weights

    @property
    def biases(self) -> tuple[Known, ...]:
        """b^(1), ..., b^(L): views of shape (n_out,) into `params`; None of a layer without a bias."""
        return self._biases

    @property
    def input_shift(self) -> Array | None:
        """(n_0,), read-only, or None: x' = (x - shift) / scale goes into the first layer."""
        return self._scaling[0] and self._scaling[0][0]

    @property
    def input_scale(self) -> Array | None:
        """(n_0,) or None: see `input_shift`."""
        return self._scaling[0] and self._scaling[0][1]

    @property
    def output_shift(self) -> Array | None:
        """(m,), read-only, or None: y' = y * scale + shift is what a call returns."""
        return self._scaling[1] and self._scaling[1][0]

    @property
    def output_scale(self) -> Array | None:
        """(m,) or None: see `output_shift`."""
        return self._scaling[1] and self._scaling[1][1]

    input_names: Labels = Labels("Names of the n_0 inputs", 0)
    output_names: Labels = Labels("Names of the m outputs", -1)
    input_units: Labels = Labels("Units of the n_0 inputs", 0)
    output_units: Labels = Labels("Units of the m outputs", -1)

    def to_torch(self) -> "TorchSequential":
        """The same net as a torch module, with copies of the parameters.

        Returns
        -------
        torch.nn.Sequential
            Of Linear layers and activations, with the scalings in front and behind where the net has them,
            whose numbers are buffers. ``parameters_to_vector(module.parameters())`` is `params`.

        Raises
        ------
        ValueError
            If torch has no module for an activation.
        ImportError
            If torch is not installed.

        See Also
        --------
        deltanet.from_torch : The way back.

        Examples
        --------
        >>> import deltanet as dn
        >>> dn.MLP([4, 8, 2], dtype="float32", seed=0).to_torch()
        Sequential(
          (0): Linear(in_features=4, out_features=8, bias=True)
          (1): Tanh()
          (2): Linear(in_features=8, out_features=2, bias=True)
        )
        """
        from deltanet._io.torch.write import to_torch

        return to_torch(self)

    def unravel(self, v: ArrayLike) -> list[Block]:
        """A vector of P numbers as [(W, b), ...]: views of it, in the shapes of the layers.

        Parameters
        ----------
        v : (P,) array_like

        Returns
        -------
        list of ((n_out, n_in) ndarray, (n_out,) ndarray or None)
            None for b of a layer without a bias.

        Raises
        ------
        ValueError
            If v has another shape.

        Examples
        --------
        >>> import deltanet as dn
        >>> net = dn.MLP([2, 3, 1], seed=0)
        >>> [(W.shape, b.shape) for W, b in net.unravel(net.params)]
        [((3, 2), (3,)), ((1, 3), (1,))]
        """
        v = _validate.vector(v, self.num_params, "v")
        return _params.views(v, self._sizes, self._kept.biases)

    def ravel(self, blocks: Iterable[tuple[ArrayLike, ArrayLike | None]]) -> Array:
        """[(W, b), ...] as one new vector of P numbers: the inverse of `unravel`.

        Parameters
        ----------
        blocks : sequence of ((n_out, n_in) array_like, (n_out,) array_like or None)

        Returns
        -------
        (P,) ndarray of the net's dtype

        Raises
        ------
        ValueError
            If the count or a shape differs from the net's.

        Examples
        --------
        >>> import deltanet as dn
        >>> net = dn.MLP([2, 3, 1], seed=0)
        >>> bool((net.ravel(net.unravel(net.params)) == net.params).all())
        True
        """
        blocks = list(blocks)
        if len(blocks) != len(self._weights):
            raise ValueError(f"there must be {len(self._weights)} blocks (W, b); got {len(blocks)}")
        v = np.empty(self.num_params, self.dtype)
        for k, ((W, b), (W0, b0)) in enumerate(zip(self.unravel(v), blocks, strict=True)):
            for target, value, name in ((W, W0, "W"), (b, b0, "b")):
                if target is not None:
                    target[...] = _validate.block(value, target.shape, f"{name} of block {k}")
                elif value is not None:
                    raise ValueError(f"{name} of block {k} must be None: the layer has no bias")
        return v

    # Evaluation

    def __call__(
        self,
        X: ArrayLike,
        out: Array | None = None,
        threads: int | None = None,
        *,
        reproducible: bool = False,
    ) -> Array:
        """y, the outputs.

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        out : ndarray of the result's shape and dtype, optional
            C-contiguous, writable, sharing no memory with an argument or `params`.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        reproducible : bool
            Whether a sample's part is to have the same bits beside any other samples, and alone. By
            default one that is alone takes a shorter way, and may differ by rounding.

        Returns
        -------
        (N, m) or (m,) ndarray

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; nothing is written then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn
        >>> dn.MLP([3, 8, 2], seed=0)([[0.1, 0.2, 0.3]]).shape
        (1, 2)
        """
        if threads is None and out is None and not reproducible:
            y = self._engine.outputs(X)
            if y is not None:
                return y
        given = X
        X, lead = self._samples(X)
        y = self._result(out, (*lead, self._sizes[-1]), "the outputs", "pass blocks of X", X, given)
        self._engine.run(
            lead[0] if lead else 1,
            X=X,
            y=y,
            threads=_validate.count(threads),
            reproducible=reproducible,
        )
        return y

    def jacobian(
        self,
        X: ArrayLike,
        wrt: Wrt = None,
        threads: int | None = None,
        *,
        reproducible: bool = False,
    ) -> Jacobian:
        """dy/dtheta in its factors: never N * m * P numbers.

        ``delta^(k-1) = delta^(k) W^(k) diag(f'(v^(k-1)))`` from ``delta^(L) = diag(f'(v^(L)))``.

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        wrt : optional
            The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        reproducible : bool
            Whether a sample's part is to have the same bits beside any other samples, and alone. By
            default one that is alone takes a shorter way, and may differ by rounding.

        Returns
        -------
        Jacobian
            Of shape (N, m, P), or (m, P) for a single sample. Later changes of `params` do not change it.

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; nothing is written then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        References
        ----------
        T. Ukkonen, "General Gradient of Neural Network" (2017).

        Examples
        --------
        >>> import deltanet as dn
        >>> J = dn.MLP([3, 8, 2], seed=0).jacobian([[0.1, 0.2, 0.3]])
        >>> J.shape, J.outputs.shape, J.deltas[0].shape, J.inputs[0].shape
        ((1, 2, 50), (1, 2), (1, 2, 8), (1, 3))
        """
        if threads is None and wrt is None and not reproducible:
            buffer = self._engine.factors(X)
            if buffer is not None:
                return Jacobian(
                    self._engine, self._sizes, self._kept, self._single, buffer, self._labels
                )
        return self._factors(X, wrt, threads, reproducible)

    def _factors(
        self,
        X: ArrayLike,
        wrt: Wrt,
        threads: int | None,
        reproducible: bool,
        Jx: Array | None = None,
    ) -> Jacobian:
        """The Jacobian, and with Jx also dy/dx from the same pass."""
        X, lead = self._samples(X)
        kept = self._keep(wrt)
        factors = Factors(self._sizes, lead, kept)
        buffer = _memory.empty((factors.size,), self.dtype, "the factors", "pass blocks of X")
        J = Jacobian(self._engine, self._sizes, kept, factors, buffer, self._labels)
        if J._first_weight is not None:
            J._first_weight[...] = self._weights[0]
        self._engine.run(
            lead[0] if lead else 1,
            kept.columns,
            X=X,
            y=J.outputs,
            Jx=Jx,
            kept_inputs=J.inputs,
            kept_deltas=J.deltas,
            threads=_validate.count(threads),
            reproducible=reproducible,
        )
        return J

    def linearize(
        self, X: ArrayLike, threads: int | None = None, *, reproducible: bool = False
    ) -> tuple[Array, Array, Jacobian]:
        """y, dy/dx and dy/dtheta in its factors, from one pass.

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        reproducible : bool
            Whether a sample's part is to have the same bits beside any other samples, and alone. By
            default one that is alone takes a shorter way, and may differ by rounding.

        Returns
        -------
        y : (N, m) or (m,) ndarray
        Jx : (N, m, n_0) or (m, n_0) ndarray
        J : Jacobian

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; nothing is written then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn
        >>> y, Jx, J = dn.MLP([3, 8, 2], seed=0).linearize([[0.1, 0.2, 0.3]])
        >>> y.shape, Jx.shape, J.shape
        ((1, 2), (1, 2, 3), (1, 2, 50))
        """
        X, lead = self._samples(X)
        shape = (*lead, self._sizes[-1], self._sizes[0])
        Jx = _memory.empty(shape, self.dtype, "dy/dx", "pass blocks of X")
        J = self._factors(X, None, threads, reproducible, Jx)
        return J.outputs, Jx, J

    def jacobian_dense(
        self,
        X: ArrayLike,
        wrt: Wrt = None,
        out: Array | None = None,
        threads: int | None = None,
        *,
        reproducible: bool = False,
    ) -> Array:
        """dy/dtheta as one array, in one fused pass over blocks of samples.

        ``dy_o/dW^(k)_ji = delta^(k)_oj h^(k-1)_i,    dy_o/db^(k)_j = delta^(k)_oj``

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        wrt : optional
            The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count.
        out : ndarray of the result's shape and dtype, optional
            C-contiguous, writable, sharing no memory with an argument or `params`.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        reproducible : bool
            Whether a sample's part is to have the same bits beside any other samples, and alone. By
            default one that is alone takes a shorter way, and may differ by rounding.

        Returns
        -------
        (N, m, P) or (m, P) ndarray
            `out` if it was given. Columns are in the order of `params`.

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; nothing is written then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        References
        ----------
        T. Ukkonen, "General Gradient of Neural Network" (2017).

        Examples
        --------
        >>> import deltanet as dn
        >>> net = dn.MLP([3, 8, 2], seed=0)
        >>> net.jacobian_dense([[0.1, 0.2, 0.3]]).shape
        (1, 2, 50)
        """
        if wrt is None and not reproducible and (threads is None or _validate.count(threads)):
            J = self._engine.rows(X, out)
            if J is not None:
                return J
        given, stream = X, FRESH if out is None else None
        X, lead = self._samples(X)
        kept = self._keep(wrt)
        shape = (*lead, self._sizes[-1], kept.size)
        out = self._result(out, shape, "jacobian_dense", LEAN, X, given)
        self._engine.run(
            lead[0] if lead else 1,
            kept.columns,
            X=X,
            J=out,
            threads=_validate.count(threads),
            stream=stream,
            reproducible=reproducible,
        )
        return out

    def input_jacobian(
        self,
        X: ArrayLike,
        out: Array | None = None,
        threads: int | None = None,
        *,
        reproducible: bool = False,
    ) -> Array:
        """dy/dx = delta^(1) W^(1) diag(1 / input_scale).

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        out : ndarray of the result's shape and dtype, optional
            C-contiguous, writable, sharing no memory with an argument or `params`.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        reproducible : bool
            Whether a sample's part is to have the same bits beside any other samples, and alone. By
            default one that is alone takes a shorter way, and may differ by rounding.

        Returns
        -------
        (N, m, n_0) or (m, n_0) ndarray

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; nothing is written then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn
        >>> net = dn.MLP.from_layers([[[2.0, 3.0]]], [[0.0]], ["identity"])
        >>> net.input_jacobian([1.0, 1.0])
        array([[2., 3.]])
        """
        if not reproducible and (threads is None or _validate.count(threads)):
            Jx = self._engine.rows(X, out, True)
            if Jx is not None:
                return Jx
        given = X
        X, lead = self._samples(X)
        shape = (*lead, self._sizes[-1], self._sizes[0])
        out = self._result(out, shape, "input_jacobian", "pass blocks of X", X, given)
        self._engine.run(
            lead[0] if lead else 1,
            X=X,
            Jx=out,
            threads=_validate.count(threads),
            reproducible=reproducible,
        )
        return out

    # Fused from X on: X of any length, also a memory map, and nothing but the result is made

    def jvp(
        self,
        X: ArrayLike,
        v: ArrayLike,
        wrt: Wrt = None,
        out: Array | None = None,
        threads: int | None = None,
        progress: Progress = None,
        *,
        reproducible: bool = False,
    ) -> Array:
        """J v: the change of the outputs for a change v of the parameters, forward without any delta.

        ``dv^(k) = W^(k) dh^(k-1) + V^(k) h^(k-1) + c^(k),    dh^(k) = f'(v^(k)) dv^(k)``

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        v : (P,) or (P, r) array_like
            V^(k) and c^(k) are its blocks.
        wrt : optional
            The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count.
        out : ndarray of the result's shape and dtype, optional
            C-contiguous, writable, sharing no memory with an argument or `params`.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        progress : callable or bool, optional
            Called with (samples done, N); True for a bar (extra: cli).
        reproducible : bool
            Whether a sample's part is to have the same bits beside any other samples, and alone. By
            default one that is alone takes a shorter way, and may differ by rounding.

        Returns
        -------
        (N, m) or (N, m, r) ndarray

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; nothing is written then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> net, X = dn.MLP([4, 8, 2], seed=0), np.ones((3, 4))
        >>> bool(np.allclose(net.jvp(X, net.params), net.jacobian(X) @ net.params))
        True
        """
        return _verbs.jvp(self._source(X, wrt, reproducible), v, out, threads, progress)

    def vjp(
        self,
        X: ArrayLike,
        u: ArrayLike,
        wrt: Wrt = None,
        out: Array | None = None,
        threads: int | None = None,
        progress: Progress = None,
        *,
        executor: Executor | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        retries: int = 0,
    ) -> Array:
        """J^T u: the gradient of ``sum u_so y_so``, by plain back-propagation.

        ``dW^(k) = sum_s d^(k)T h^(k-1),    db^(k) = sum_s d^(k)`` with the rows d = u^T delta, one a sample.

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        u : (N, m) or (N, m, r) array_like
        wrt : optional
            The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count.
        out : ndarray of the result's shape and dtype, optional
            C-contiguous, writable, sharing no memory with an argument or `params`.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        progress : callable or bool, optional
            Called with (samples done, N); True for a bar (extra: cli).
        executor, checkpoint, retries : optional
            The sum in the workers of an executor, and kept in a folder: see `ggn`.

        Returns
        -------
        (P,) or (P, r) ndarray

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; nothing is written then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> net, X = dn.MLP([4, 8, 2], seed=0), np.ones((3, 4))
        >>> u = np.ones((3, 2))
        >>> bool(np.allclose(net.vjp(X, u), net.jacobian(X).T @ u))
        True
        """
        if executor is not None or checkpoint is not None:
            return self._job(executor, checkpoint, retries, threads, progress).vjp(X, u, wrt, out)
        return _verbs.vjp(self._source(X, wrt), u, out, threads, progress)

    def normal_equations(
        self,
        X: ArrayLike,
        R: ArrayLike,
        H: ArrayLike | None = None,
        wrt: Wrt = None,
        threads: int | None = None,
        progress: Progress = None,
        *,
        executor: Executor | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        retries: int = 0,
    ) -> tuple[Array, Array]:
        """J^T H J and J^T H R in one pass: the normal equations of weighted least squares.

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        R : (N, m) array_like
            Residuals.
        H : (N,) or (N, m, m) array_like, optional
            See `Jacobian.ggn`.
        wrt : optional
            The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        progress : callable or bool, optional
            Called with (samples done, N); True for a bar (extra: cli).
        executor, checkpoint, retries : optional
            The sum in the workers of an executor, and kept in a folder: see `ggn`.

        Returns
        -------
        A : (P, P) ndarray
        g : (P,) ndarray

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; nothing is written then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> net, X = dn.MLP([4, 8, 2], seed=0), np.ones((3, 4))
        >>> A, g = net.normal_equations(X, np.ones((3, 2)))
        >>> A.shape, g.shape
        ((58, 58), (58,))
        """
        if executor is not None or checkpoint is not None:
            return self._job(executor, checkpoint, retries, threads, progress).normal_equations(
                X, R, H, wrt
            )
        return _verbs.normal_equations(self._source(X, wrt), R, H, threads, progress)

    def ggn(
        self,
        X: ArrayLike,
        H: ArrayLike | None = None,
        wrt: Wrt = None,
        out: Array | None = None,
        threads: int | None = None,
        progress: Progress = None,
        *,
        executor: Executor | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        retries: int = 0,
    ) -> Array:
        """J^T H J: the generalized Gauss-Newton matrix over all samples.

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        H : (N,) or (N, m, m) array_like, optional
            See `Jacobian.ggn`.
        wrt : optional
            The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count.
        out : ndarray of the result's shape and dtype, optional
            C-contiguous, writable, sharing no memory with an argument or `params`.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        progress : callable or bool, optional
            Called with (samples done, N); True for a bar (extra: cli).
        executor : concurrent.futures.Executor or another object with `submit`, optional
            Its workers sum ranges of the samples: see Notes.
        checkpoint : str or os.PathLike, optional
            A folder that keeps the ranges which are finished: the same call goes on from there.
        retries : int
            How often a range is submitted again whose worker has died.

        Returns
        -------
        (P, P) ndarray
            Symmetric to the last bit.

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; nothing is written then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        BlockingIOError
            If another job uses the checkpoint.
        RuntimeError
            If a worker dies, and `retries` is over.

        Notes
        -----
        With `executor` or `checkpoint`, X and what goes along with it (H, R, u) may also be memory maps, Zarr
        or Dask arrays; and X, R and u paths or lists of paths. The samples are cut into ranges by N and P
        alone, at most 16 if the result is large. Each range is read in pieces and summed by one thread of a
        worker (`threads` gives it more), and the ranges are added in their order, in double precision. So the
        result is the same, to the last bit, for any executor, number of workers and kind of X, and after a
        restart; that of the plain call, which adds in another order, differs by rounding. A net with a
        registered activation needs it registered in the workers too.

        A process pool reads arrays in memory from temporary files. To Dask's workers they are sent: give
        these a file, or a Zarr or Dask array.

        A checkpoint is refused if the net, a shape, an option or the data of finished ranges have changed.
        Any error, Ctrl-C or the end of the process leaves it as far as it was.

        References
        ----------
        N. N. Schraudolph, "Fast curvature matrix-vector products" (2002).

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> net, X = dn.MLP([4, 8, 2], seed=0), np.ones((3, 4))
        >>> net.ggn(X).shape, net.ggn(X, wrt="last").shape
        ((58, 58), (18, 18))
        """
        if executor is not None or checkpoint is not None:
            return self._job(executor, checkpoint, retries, threads, progress).ggn(X, H, wrt, out)
        return _verbs.ggn(self._source(X, wrt), H, out, threads, progress)

    def ggn_diagonal(
        self,
        X: ArrayLike,
        H: ArrayLike | None = None,
        wrt: Wrt = None,
        out: Array | None = None,
        threads: int | None = None,
        progress: Progress = None,
        *,
        executor: Executor | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        retries: int = 0,
    ) -> Array:
        """The diagonal of `ggn`, without the matrix.

        ``sum_s (sum_op delta_soj H_sop delta_spj) h_si^2``

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        H : (N,) or (N, m, m) array_like, optional
            See `Jacobian.ggn`.
        wrt : optional
            The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count.
        out : ndarray of the result's shape and dtype, optional
            C-contiguous, writable, sharing no memory with an argument or `params`.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        progress : callable or bool, optional
            Called with (samples done, N); True for a bar (extra: cli).
        executor, checkpoint, retries : optional
            The sum in the workers of an executor, and kept in a folder: see `ggn`.

        Returns
        -------
        (P,) ndarray

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; nothing is written then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> net, X = dn.MLP([4, 8, 2], seed=0), np.ones((3, 4))
        >>> bool(np.allclose(net.ggn_diagonal(X), np.diag(net.ggn(X))))
        True
        """
        if executor is not None or checkpoint is not None:
            return self._job(executor, checkpoint, retries, threads, progress).ggn_diagonal(
                X, H, wrt, out
            )
        return _verbs.ggn_diagonal(self._source(X, wrt), H, out, threads, progress)

    def kfac(
        self,
        X: ArrayLike,
        H: ArrayLike | None = None,
        wrt: Wrt = None,
        threads: int | None = None,
        progress: Progress = None,
        *,
        executor: Executor | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        retries: int = 0,
    ) -> KFAC:
        """The Kronecker factors of each layer's block of `ggn`: see `Jacobian.kfac`.

        ``A = (1/N) sum_s [h 1]^T [h 1],    B = sum_s delta^T H delta``

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        H : (N,) or (N, m, m) array_like, optional
            See `Jacobian.ggn`.
        wrt : optional
            The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        progress : callable or bool, optional
            Called with (samples done, N); True for a bar (extra: cli).
        executor, checkpoint, retries : optional
            The sum in the workers of an executor, and kept in a folder: see `ggn`.

        Returns
        -------
        KFAC

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; nothing is written then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        References
        ----------
        J. Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate
        curvature" (2015).

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> net, X = dn.MLP([4, 8, 2], seed=0), np.ones((3, 4))
        >>> [(A, B), _] = net.kfac(X)
        >>> A.shape, B.shape
        ((5, 5), (8, 8))
        """
        if executor is not None or checkpoint is not None:
            return self._job(executor, checkpoint, retries, threads, progress).kfac(X, H, wrt)
        return _verbs.kfac(self._source(X, wrt), H, threads, progress)

    def row_norms_squared(
        self,
        X: ArrayLike,
        wrt: Wrt = None,
        out: Array | None = None,
        threads: int | None = None,
        progress: Progress = None,
        *,
        reproducible: bool = False,
    ) -> Array:
        """The squared norms of the rows of J: the diagonal of `gram`.

        ``|J_so|^2 = sum_k |delta^(k)_so|^2 (|h^(k-1)_s|^2 + 1)``

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        wrt : optional
            The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count.
        out : ndarray of the result's shape and dtype, optional
            C-contiguous, writable, sharing no memory with an argument or `params`.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        progress : callable or bool, optional
            Called with (samples done, N); True for a bar (extra: cli).
        reproducible : bool
            Whether a sample's part is to have the same bits beside any other samples, and alone. By
            default one that is alone takes a shorter way, and may differ by rounding.

        Returns
        -------
        (N, m) ndarray

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; nothing is written then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> net, X = dn.MLP([4, 8, 2], seed=0), np.ones((3, 4))
        >>> bool(np.allclose(net.row_norms_squared(X), (net.jacobian_dense(X) ** 2).sum(axis=-1)))
        True
        """
        return _verbs.row_norms_squared(self._source(X, wrt, reproducible), out, threads, progress)

    def gram(
        self,
        X: ArrayLike,
        X2: ArrayLike | None = None,
        wrt: Wrt = None,
        out: Array | None = None,
        threads: int | None = None,
        progress: Progress = None,
    ) -> Array:
        """J J'^T, the empirical neural tangent kernel of the samples X and X2: see `Jacobian.gram`.

        ``K_so,s'o' = sum_k (delta^(k)_so . delta'^(k)_s'o') (h^(k-1)_s . h'^(k-1)_s' + 1)``

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        X2 : (N', n_0) or (n_0,) array_like, optional
            X itself by default: then K is symmetric to the last bit.
        wrt : optional
            The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count.
        out : ndarray of the result's shape and dtype, optional
            C-contiguous, writable, sharing no memory with an argument or `params`.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        progress : callable or bool, optional
            Called with (samples done, N); True for a bar (extra: cli).

        Returns
        -------
        (N, m, N', m) ndarray

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; nothing is written then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        References
        ----------
        A. Jacot, F. Gabriel, C. Hongler, "Neural Tangent Kernel" (2018).

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> net, X = dn.MLP([4, 8, 2], seed=0), np.ones((3, 4))
        >>> net.gram(X).shape, net.gram(X, X[0]).shape
        ((3, 2, 3, 2), (3, 2, 2))
        """
        other = None if X2 is None else self._source(X2, wrt)
        source = self._source(X, wrt)
        return _verbs.gram(source, other, out=out, threads=threads, progress=progress)

    def covariance(
        self,
        X: ArrayLike,
        Sigma: ArrayLike | Pairs | KFAC,
        wrt: Wrt = None,
        out: Array | None = None,
        threads: int | None = None,
        progress: Progress = None,
        *,
        reproducible: bool = False,
    ) -> Array:
        """J Sigma J^T of each sample: see `Jacobian.covariance`.

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        Sigma : float, (P,), (P, r) or (P, P) array_like, KFAC or list of pairs
            See `Jacobian.covariance`.
        wrt : optional
            The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count.
        out : ndarray of the result's shape and dtype, optional
            C-contiguous, writable, sharing no memory with an argument or `params`.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        progress : callable or bool, optional
            Called with (samples done, N); True for a bar (extra: cli).
        reproducible : bool
            Whether a sample's part is to have the same bits beside any other samples, and alone. By
            default one that is alone takes a shorter way, and may differ by rounding.

        Returns
        -------
        (N, m, m) ndarray

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; nothing is written then.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn, numpy as np
        >>> net, X = dn.MLP([4, 8, 2], seed=0), np.ones((3, 4))
        >>> net.covariance(X, 0.1).shape
        (3, 2, 2)
        """
        return _verbs.covariance(self._source(X, wrt, reproducible), Sigma, out, threads, progress)

    # Second derivatives

    def input_hessian(
        self,
        X: ArrayLike,
        u: ArrayLike | None = None,
        out: Array | None = None,
        threads: int | None = None,
        progress: Progress = None,
    ) -> Array:
        """d2y/dx dx of each output, or d2(u^T y)/dx dx.

        ``H = sum_k A^(k)T diag(f''(v^(k)) q^(k)) A^(k)`` with ``A^(k) = dv^(k)/dx`` and
        ``q^(k) = d(u^T y)/dh^(k)``. A softmax has a full matrix in place of the last diagonal.

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        u : (N, m) or (m,) array_like, optional
            Weights of the outputs: the Hessian of u^T y alone is made, which costs less.
        out : ndarray of the result's shape and dtype, optional
            C-contiguous, writable, sharing no memory with an argument or `params`.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        progress : callable or bool, optional
            Called with (samples done, N); True for a bar (extra: cli).

        Returns
        -------
        (N, m, n_0, n_0) ndarray, or (N, n_0, n_0) with u

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; if a registered activation has no fsecond.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        Notes
        -----
        At a kink f'' is the left one, as f' is: 0 of a relu. Tested to 1e-12 of the largest entry.

        Examples
        --------
        >>> import deltanet as dn
        >>> net = dn.MLP.from_layers([[[1.0, 2.0]]], [[0.0]], ["square"])
        >>> net.input_hessian([1.0, 1.0])
        array([[[2., 4.],
                [4., 8.]]])
        """
        if out is None and threads is None and progress is None:
            H = bends.lone_input_hessian(self._engine, X, u)
            if H is not None:
                return H
        source = self._bent(X, None)
        return _second.input_hessian(source, u, out, threads, progress)

    def mixed_hessian(
        self,
        X: ArrayLike,
        u: ArrayLike,
        wrt: Wrt = None,
        threads: int | None = None,
        progress: Progress = None,
    ) -> MixedHessian:
        """d2(u^T y)/dtheta dx of each sample, by its factors.

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        u : (N, m) or (m,) array_like
            Weights of the outputs.
        wrt : optional
            The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        progress : callable or bool, optional
            Called with (samples done, N); True for a bar (extra: cli).

        Returns
        -------
        MixedHessian
            Of shape (N, P, n_0), or (P, n_0) for a single sample.

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; if a registered activation has no fsecond.
        MemoryError
            If the factors exceed the memory available; nothing is allocated then.

        Examples
        --------
        >>> import deltanet as dn
        >>> dn.MLP([3, 8, 2], seed=0).mixed_hessian([0.1, 0.2, 0.3], [1.0, 0.0])
        <MixedHessian (50, 3) of float64>
        """
        return _second.mixed_hessian(self._bent(X, wrt), u, threads, progress)

    def hvp(
        self,
        X: ArrayLike,
        u: ArrayLike,
        v: ArrayLike,
        wrt: Wrt = None,
        out: Array | None = None,
        threads: int | None = None,
        progress: Progress = None,
    ) -> Array:
        """The Hessian of ``sum_so u_so y_so`` in the parameters, times v.

        Forward with the tangent v, then backward with that of delta: exact, at the cost of about two
        gradients. With u the gradient of a loss in y, and ``J^T H J v`` added, it is the Hessian of the loss.

        Parameters
        ----------
        X : (N, n_0) or (n_0,) array_like
        u : (N, m) or (m,) array_like
            Weights of the outputs.
        v : (P,) array_like
        wrt : optional
            The parameters to keep, all by default: see `Jacobian.restrict`. P is then their count, and the
            result the block of the Hessian between them.
        out : (P,) ndarray of the net's dtype, optional
            C-contiguous, writable, sharing no memory with an argument or `params`.
        threads : int, optional
            See `set_num_threads`, whose number is the default where the work is large enough.
        progress : callable or bool, optional
            Called with (samples done, N); True for a bar (extra: cli).

        Returns
        -------
        (P,) ndarray

        Raises
        ------
        ValueError, TypeError
            If an argument has another shape or type; if a registered activation has no fsecond.
        MemoryError
            If the result exceeds the memory available; nothing is allocated then.

        References
        ----------
        B. A. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6 (1994).

        Examples
        --------
        >>> import deltanet as dn
        >>> net = dn.MLP.from_layers([[[3.0]]], [[0.0]], ["square"])  # y = (w x + b)^2
        >>> net.hvp([2.0], [1.0], [1.0, 0.0])
        array([8., 4.])
        """
        return _second.hvp(self._bent(X, wrt), u, v, out, threads, progress)

    def _bent(self, X: ArrayLike, wrt: Wrt) -> _verbs.Source:
        """X as a source of second derivatives."""
        _second.smooth(self.activations)
        return self._source(X, wrt)

    # The C interface

    @property
    def c_address(self) -> int:
        """Address of the net for C: a ``const dn_net *`` of deltanet.h. It is valid as long as this object.

        ValueError if an activation is computed by Python functions: C cannot call those.
        """
        self._for_c()
        return capi.address(self._engine)

    @property
    def c_net(self) -> Any:
        """The same as a capsule named "deltanet.dn_net", which keeps the net alive."""
        self._for_c()
        return capi.capsule(self._engine)

    @property
    def c_functions(self) -> dict[str, int]:
        """Address of each function of deltanet.h, by its name, for ctypes, cffi and Numba.

        See Also
        --------
        deltanet.get_include : Where the header is, which says what the functions take.

        Examples
        --------
        >>> import ctypes, deltanet as dn
        >>> net = dn.MLP([4, 8, 2], seed=0)
        >>> inputs = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p)(net.c_functions["num_inputs"])
        >>> inputs(net.c_address)
        4
        """
        return dict(capi.FUNCTIONS)

    def _for_c(self) -> None:
        for _, functions in registered(self.activations):
            raise ValueError(
                f"activation {functions.name!r} is computed by Python functions, "
                "which the C interface cannot call"
            )

    # Out of Python

    def export_c(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        casadi: bool = False,
        params: Literal["constant", "argument"] = "constant",
        math: Literal["own", "libm"] = "own",
        header: bool = False,
    ) -> None:
        """Write the net and its derivatives as one self-contained file of C.

        ::

            name_eval(x, y, jx, jtheta, work)           y (m,), dy/dx (m, n_0), dy/dtheta (m, P)
            name_vjp(x, u, grad_theta, grad_x, work)    gradients of u^T y: (P,), (n_0,)
            name_hess(x, u, hxx, work)                  d2(u^T y)/dx dx (n_0, n_0)
            name_work_size()                            bytes of work

        The file is C99, and C++17 too. It needs libm alone, allocates nothing and keeps no state. What is
        passed as NULL is not computed. The sizes are macros: NAME_INPUTS, NAME_OUTPUTS, NAME_PARAMS,
        NAME_WORK. Compiled with -DNAME_TEST, it is a program that compares itself with results of this net.

        Parameters
        ----------
        path : str or os.PathLike
            Written beside and renamed: an error leaves what was there.
        name : str, optional
            Of the functions; the stem of `path` by default.
        casadi : bool
            Add the functions by which ``casadi.external(name, library)`` finds the net, its Jacobian and its
            exact Hessian. The file computes in double then.
        params : {"constant", "argument"}
            Whether theta is written into the file, or is the first argument of every function.
        math : {"own", "libm"}
            Formulas of the activations: ours, vectorized and within 4 ulp, or those of the C library.
        header : bool
            Also write a header beside it, with the suffix .h.

        Raises
        ------
        ValueError, TypeError
            If an argument breaks one of these rules; if C or CasADi forbid the name; if a parameter is not
            finite; if there are more than 4,000,000 of them as constants; if a registered activation has no
            c_code. Nothing is written then.
        OSError
            If a file cannot be written.

        Warns
        -----
        UserWarning
            If CasADi will find no second derivatives, as for theta as an argument with P > 1000.

        Notes
        -----
        Results agree with those of this class to 1e-14 of the largest entry, in float32 to about 1e-6 (3e-6
        where a sum cancels). The same net gives the same bytes.

        Examples
        --------
        >>> import deltanet as dn, pathlib, tempfile
        >>> net = dn.MLP([4, 32, 32, 2], seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "policy.c")
        ...     net.export_c(path)
        ...     "void policy_eval(const double *x" in path.read_text()
        True
        """
        from deltanet._export import c_file  # which nothing else needs

        _validate.flag(casadi, "casadi")
        _validate.flag(header, "header")
        argument = _validate.choice(params, ("constant", "argument"), "params") == "argument"
        libm = _validate.choice(math, ("own", "libm"), "math") == "libm"
        c_file.export_c(self, path, name, argument, libm, header, casadi)

    def export_fmu(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        version: Literal["3.0", "2.0"] = "3.0",
        states: Mapping[str | int, str | int] | None = None,
    ) -> None:
        """Write the net as a Functional Mock-up Unit (FMU), for simulators that know this standard.

        ::

            y = f(x)                                    Model Exchange and Co-Simulation

            dz/dt = f_d(z, u),  y = f_r(z, u)           with states: Model Exchange
            z: inputs that are states, u: the others; f_d: outputs that are derivatives, f_r: the others

        Parameters
        ----------
        path : str or os.PathLike
            Must end in .fmu. Written beside and renamed: an error leaves what was there.
        name : str, optional
            Of the model, as C allows it; the stem of `path` by default.
        version : {"3.0", "2.0"}
            Of the standard, FMI. In "3.0" `params` is a tunable parameter, the array theta, and there are
            adjoint derivatives; in "2.0" the parameters are constants.
        states : dict, optional
            Inputs that are continuous states, each with the output that is its derivative by time, by
            names or numbers: ``{"speed": "acceleration"}``, ``{0: 1}``.

        Raises
        ------
        ValueError, TypeError
            If an argument breaks one of these rules; if names of inputs and outputs are empty, used twice,
            or have characters that XML forbids; if a parameter is not finite; if there are more than 400,000
            of them in version "3.0", or 4,000,000 in "2.0"; if a registered activation has no c_code.
            Nothing is written then.
        OSError
            If the file cannot be written.

        Warns
        -----
        UserWarning
            If there is no C compiler, or it fails: the FMU then has sources only, which the simulator
            must compile. The environment variable CC can name a compiler.

        Notes
        -----
        The FMU has the net's names and units; inputs without names are x0, x1, ..., outputs y0, y1, ....
        An input starts at its `input_shift`, or 0; its nominal value is its `input_scale`, or 1. All is in
        double precision: a float32 net is converted. Directional derivatives are exact.

        The file holds C sources, and a library for the platform that the compiler builds for. The same net
        gives the same sources and description, byte for byte.

        Examples
        --------
        >>> import deltanet as dn, os, tempfile
        >>> net = dn.MLP([2, 8, 1], seed=0)
        >>> net.input_names, net.output_names = ["position", "force"], ["speed"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net.export_fmu(os.path.join(folder, "drive.fmu"), states={"position": "speed"})
        """
        from deltanet._export.fmu import export_fmu  # which nothing else needs

        export_fmu(self, path, name, version, states)

    def _keep(self, wrt: Any) -> _columns.Kept:
        """The columns that `wrt` keeps."""
        return self._kept if wrt is None else _columns.kept(wrt, self._sizes, self._kept.biases)

    def _samples(self, X: ArrayLike) -> tuple[Array, Shape]:
        """X where the core can read it, and the leading shape of every result: (N,) or ()."""
        if not self._engine.reads(X):
            X = _validate.ready(_validate.samples(X, self._sizes[0], self.dtype), self.dtype)
        return X, X.shape[:-1]

    def _source(self, X: ArrayLike, wrt: Wrt, reproducible: bool = False) -> _verbs.Source:
        """X as a source of factors, for the verbs."""
        kept = self._keep(wrt)
        rows: Array = (
            X if self._engine.reads(X) else _validate.samples(X, self._sizes[0], self.dtype)
        )
        read = (X, rows, self._params)
        return _verbs.Source(
            self._engine,
            self._sizes,
            self.dtype,
            kept,
            rows.shape[:-1],
            X=rows,
            read=read,
            reproducible=reproducible,
        )

    def _job(
        self,
        executor: Executor | None,
        checkpoint: str | os.PathLike[str] | None,
        retries: int,
        threads: int | None,
        progress: Progress,
    ) -> "Job":
        """The verbs that are sums, through an executor or a checkpoint."""
        from deltanet._jobs.job import Job  # which few need

        return Job(self, executor, checkpoint, retries, threads, progress)

    def _result(
        self,
        out: Array | None,
        shape: Shape,
        what: str,
        instead: str,
        X: Array,
        given: ArrayLike,
    ) -> Array:
        """`out`, or a fresh array; X is what the core reads, `given` what the caller passed for it."""
        if out is None:
            return _memory.empty(shape, self.dtype, what, instead)
        if X is given and self._engine.writes(out, shape, X):
            return out
        return _validate.out(out, shape, self.dtype, given, X, self._params)

    # The net as a value

    def __repr__(self) -> str:
        *hidden, output = self.activations
        biases = self._kept.biases
        biased = "" if all(biases) else f", bias={list(biases) if any(biases) else False}"
        scaled = "".join(
            f", {side} scaled"
            for side, pair in zip(("input", "output"), self._scaling, strict=True)
            if pair
        )
        return (
            f"MLP({list(self._sizes)}, activation={hidden}, output={output!r}, "
            f"dtype='{self.dtype}'{biased}{scaled})"
        )

    def _repr_html_(self) -> str:
        from deltanet import _html

        return _html.net(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MLP):
            return NotImplemented
        return (
            (self._sizes, self._pairs, self.dtype) == (other._sizes, other._pairs, other.dtype)
            and self._kept.biases == other._kept.biases
            and np.array_equal(self._params, other._params)
            and all(
                a is b if a is None or b is None else np.array_equal(a, b)
                for a, b in zip(self._scaling, other._scaling, strict=True)
            )
        )

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # object has one

    def copy(self) -> "MLP":
        """A net of the same values that shares no memory with this one."""
        return self.astype(self.dtype)

    def astype(self, dtype: DTypeLike) -> "MLP":
        """A new net with parameters and scalings converted to `dtype`, "float64" or "float32"."""
        net = MLP.from_layers(
            self._weights,
            self._biases,
            self.activations,
            self.input_shift,
            self.input_scale,
            self.output_shift,
            self.output_scale,
            dtype,
        )
        net._labels = self._labels.copy()
        return net

    def __reduce__(self) -> tuple[Any, ...]:
        input_scaling, output_scaling = (pair or (None, None) for pair in self._scaling)
        weights = [W.copy() for W in self._weights]
        blocks = weights, [b if b is None else b.copy() for b in self._biases]
        scalings = (*input_scaling, *output_scaling)
        state = {"_labels": self._labels.copy()}
        return MLP.from_layers, (*blocks, self.activations, *scalings, self.dtype.str), state

    def __dask_tokenize__(self) -> tuple[str, str]:
        """What Dask makes keys of: the same for nets that are equal in every number and label."""
        return "deltanet.MLP", token(self._token(), sorted(self._labels.items()))

    def _token(self) -> str:
        """A hash of theta, of the table of layers and of the scalings."""
        arrays = [array for pair in self._scaling for array in pair or (None, None)]
        return token((self._sizes, self._pairs, self._kept.biases), self._params, *arrays)
