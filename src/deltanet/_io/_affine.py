"""Affine maps and activations, one after the other, as the layers and scalings of a net.

What a file or a live model does to its samples is given to a `Chain` step by step: a product with a matrix,
numbers to multiply by or to add, features to pick, an activation. The value that the chain has now is ::

    scale * u + shift,    u = W h + b after a product, u = h otherwise,

h being the last layer's activation, or (x - input_shift) / input_scale before the first product. An
activation closes the layer, and scale and shift are folded into its W and b; behind the last layer they
are the net's output scaling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet._activations import REGISTRY

Array = NDArray[Any]
Spec = str | tuple[Any, ...]  # a name, or a name and parameters
FILLED_NUMBERS = 2**15  # that may be made of few: of a file of some bytes nothing large must come


def chosen(index: Array, width: int, given: int) -> Array:
    """The matrix that picks some of `width` features."""
    check_filled(index.size * width, given)
    matrix = np.zeros((index.size, width))
    matrix[np.arange(index.size), index] = 1
    return matrix


def check_filled(count: int, given: int = 0) -> None:
    """Refuse to make a large array of `given` numbers."""
    if count > FILLED_NUMBERS + 4 * given:
        raise ValueError(f"would make {count} numbers of {given}")


class Chain:
    """Layers so far, and the affine map behind the last of them.

    Attributes
    ----------
    label : str
        Name of the step that is made now, for `notes`.
    notes : list of str
        Which steps were folded into which layer.
    kinds : set of dtype
        Of the constants: the net is float64 if float64 is among them.
    """

    def __init__(self) -> None:
        self.label = ""
        self.notes: list[str] = []
        self.kinds: set[np.dtype[Any]] = set()
        self._done: list[tuple[Array, Array | None, Spec]] = []
        self._weight: Array | None = None
        self._bias: Array | None = None
        self._awaits_bias = False  # a product has come, and nothing since
        self._scale: Array = np.ones(())
        self._shift: Array = np.zeros(())
        self._input: tuple[Array, Array] | None = None  # shift, scale
        self._picked: Array | None = None  # features of the input
        self._inputs: int | None = None  # their number, where only some are picked
        self._mapped = False  # something has gone into scale and shift
        self._folded: list[str] = []  # its labels

    # Steps

    def multiply(self, c: Array) -> None:
        """By a number, or by one a feature."""
        if self._scales_input(lambda scale: scale / c):
            return
        self._scale, self._shift = self._scale * c, self._shift * c
        self._fold()

    def divide(self, c: Array) -> None:
        """By a number, or by one a feature; none is zero."""
        if not np.all(c):
            raise ValueError("divides by zero")
        if self._scales_input(lambda scale: scale * c):
            return
        self._scale, self._shift = self._scale / c, self._shift / c
        self._fold()

    def add(self, c: Array) -> None:
        """A number, or one a feature. Directly behind a product it is the layer's bias."""
        if self._awaits_bias and self._weight is not None:
            bias = np.broadcast_to(c, self._weight.shape[:1])
            self._bias = bias if self._bias is None else self._bias + bias
            self._awaits_bias = False
        elif self._is_open_input():
            shift, scale = self._input or (np.zeros(()), np.ones(()))
            picked = self._of_picked(shift) - c * self._of_picked(scale)
            self._input = self._into_picked(shift, picked), scale
        else:
            self._shift = self._shift + c
            self._fold()

    def take(self, index: Array, width: int) -> None:
        """Some of `width` features, in this order."""
        if not self._before_layers and np.unique(index).size < index.size:
            self.product(chosen(index, width, self._given))  # parameters are not copied
            return
        self._scale, self._shift = (a[index] if a.ndim else a for a in (self._scale, self._shift))
        if self._before_layers:
            self._inputs = width if self._inputs is None else self._inputs
            self._picked = index if self._picked is None else self._picked[index]
        elif self._weight is not None:
            self._weight = self._weight[index]
            self._bias = None if self._bias is None else self._bias[index]
        else:
            W, b, activation = self._done[-1]
            if REGISTRY[_name(activation)].couples:
                raise ValueError(
                    f"takes some outputs of {_name(activation)}, which depend on all of them: load "
                    "the whole output, and take columns of the result"
                )
            self._done[-1] = W[index], None if b is None else b[index], activation
        self._note()

    def product(self, W: Array, bias: Array | None = None) -> None:
        """W (n_out, n_in) times the features, plus a bias: a further layer.

        A layer that has no activation yet gets the identity.
        """
        if self._weight is not None:
            self.close("identity")
        self._awaits_bias = bias is None
        if np.any(self._shift != 0):  # W (scale h + shift) + bias
            extra = W.astype(np.float64) @ np.broadcast_to(self._shift, W.shape[1:])
            bias = extra if bias is None else bias + extra
        if np.any(self._scale != 1):
            W = W * self._scale
        self._weight, self._bias = self._of_all_inputs(W), bias
        self._settle(len(self._done))

    def close(self, activation: Spec) -> None:
        """f(scale (W h + b) + shift): the layer is complete."""
        if self._weight is None:
            raise ValueError("an activation must follow a dense layer")
        n_out = self._weight.shape[0]
        bias = self._bias
        if np.any(self._scale != 1):
            self._weight = np.broadcast_to(self._scale, n_out)[:, None] * self._weight
            bias = None if bias is None else self._scale * bias
        if np.any(self._shift != 0):
            bias = np.broadcast_to(self._shift, n_out) + (0 if bias is None else bias)
        self._done.append((self._weight, bias, activation))
        self._weight = self._bias = None
        self._awaits_bias = False
        self._settle(len(self._done) - 1)

    def finish(self) -> dict[str, Any]:
        """The arguments of `MLP.from_layers`."""
        kind = np.float64 if np.dtype(np.float64) in self.kinds else np.float32
        regular = np.all(self._scale.astype(kind))  # a scale must not be zero, a weight may be
        if not regular and self._weight is None and self._done:
            self._weigh_outputs()
        output = (self._shift, self._scale) if self._mapped and regular else None
        if self._weight is not None:
            if output is not None:
                self._scale, self._shift, self._folded = np.ones(()), np.zeros(()), []
            self.close("identity")
        if not self._done:
            raise ValueError("the graph has no dense layer")
        weights, biases, activations = zip(*self._done, strict=True)
        layers: dict[str, Any] = {
            "weights": [W.astype(kind, copy=False) for W in weights],
            "biases": [None if b is None else b.astype(kind, copy=False) for b in biases],
            "activations": list(activations),
        }
        for side, pair in (("input", self._input), ("output", output)):
            if pair is not None:
                layers[f"{side}_shift"], layers[f"{side}_scale"] = pair
        return layers

    @property
    def _given(self) -> int:
        """Weights so far."""
        return sum(W.size for W, _, _ in self._done) + (
            0 if self._weight is None else self._weight.size
        )

    # The input

    @property
    def _before_layers(self) -> bool:
        return self._weight is None and not self._done

    def _is_open_input(self) -> bool:
        """Whether a number a feature can go into the input scaling."""
        if not self._before_layers or np.any(self._scale != 1) or np.any(self._shift != 0):
            return False
        return self._picked is None or np.unique(self._picked).size == self._picked.size

    def _scales_input(self, change: Callable[[Array], Array]) -> bool:
        """Change the input's scale, if the result is one: so a mean and a deviation keep their digits."""
        if not self._is_open_input():
            return False
        shift, scale = self._input or (np.zeros(()), np.ones(()))
        picked = change(self._of_picked(scale))
        if not np.isfinite(picked).all() or not np.all(picked):
            return False
        self._input = shift, self._into_picked(scale, picked)
        return True

    def _of_picked(self, full: Array) -> Array:
        return full if self._picked is None or not full.ndim else full[self._picked]

    def _into_picked(self, full: Array, values: Array) -> Array:
        if self._picked is None or self._inputs is None:
            return np.asarray(values)
        full = np.array(np.broadcast_to(full, self._inputs), np.float64)
        full[self._picked] = values
        return full

    def _of_all_inputs(self, W: Array) -> Array:
        """W with a column of zeros for each input that is not picked."""
        if self._picked is None or self._inputs is None or self._done:
            return W
        check_filled(W.shape[0] * self._inputs, W.size)
        full = np.zeros((self._inputs, W.shape[0]), W.dtype)
        np.add.at(full, self._picked, W.T)
        self._picked = None
        return full.T

    # Scale and shift

    def _fold(self) -> None:
        """A step has gone into scale and shift."""
        self._awaits_bias, self._mapped = False, True
        self._note()

    def _note(self) -> None:
        if self.label and self.label not in self._folded[-1:]:
            self._folded.append(self.label)

    def _settle(self, layer: int) -> None:
        """Scale and shift have gone into a layer."""
        self._scale, self._shift, self._mapped = np.ones(()), np.zeros(()), False
        if self._folded:
            self.notes.append(f"{', '.join(self._folded)}: folded into layer {layer}")
        self._folded = []

    def _weigh_outputs(self) -> None:
        """A layer for scales of which some are zero, behind an activation."""
        n_out = self._done[-1][0].shape[0]
        check_filled(n_out * n_out, self._given)
        scale, shift = np.broadcast_to(self._scale, n_out), np.broadcast_to(self._shift, n_out)
        self._scale, self._shift = np.ones(()), np.zeros(())
        self.product(np.diag(scale), shift if np.any(shift != 0) else None)


def _name(activation: Spec) -> str:
    return activation if isinstance(activation, str) else activation[0]
