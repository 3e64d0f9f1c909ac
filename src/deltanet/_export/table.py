"""What the text of a net in C is made from: its layers, and the arrays of its workspace (symbols: DESIGN)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil, prod
from typing import TYPE_CHECKING, NamedTuple

from deltanet._activations import REGISTRY
from deltanet._export import numbers

if TYPE_CHECKING:
    from deltanet._mlp import MLP


class Layer(NamedTuple):
    """Layer k: counts, W and b in theta, the activation, and the name of its loop."""

    k: int
    n_in: int
    n: int
    offset: int
    bias_offset: int  # -1: no bias
    activation: str
    parameters: tuple[float, ...]
    loop: str

    @property
    def W(self) -> str:
        return f"theta + {self.offset}"

    @property
    def has_bias(self) -> int:
        return int(self.bias_offset >= 0)

    @property
    def coupled(self) -> bool:
        return REGISTRY[self.activation].couples

    @property
    def log(self) -> int:
        """Of a coupled one, whether h is the logarithm of the probabilities."""
        return int(self.activation == "log_softmax")

    @property
    def half(self) -> str:
        """c of a coupled output's M."""
        return "1 / (real)2" if self.log else "1"

    @property
    def curved(self) -> bool:
        return self.activation != "identity"

    @property
    def fprime(self) -> str:
        return f"w->fprime{self.k}" if self.curved else "NULL"


class Table:
    """A net: n_0, m, P, theta, scalings and layers, and the widths of padded arrays."""

    def __init__(self, net: MLP) -> None:
        self.n_0, self.m, self.P = net.sizes[0], net.sizes[-1], net.num_params
        self.theta, self.dtype = net.params, net.dtype
        self.input, self.output = net._scaling
        self.lanes = 32 // self.dtype.itemsize
        self.columns, self.widest = self.padded(self.n_0), self.padded(max(net.sizes))
        self.layers: list[Layer] = []
        kinds, offset = list(dict.fromkeys(net._pairs)), 0
        for pair, b, W in zip(net._pairs, net.biases, net.weights, strict=True):
            same = [kind for kind in kinds if kind[0] == pair[0]]
            number = str(same.index(pair) + 1) if len(same) > 1 else ""
            loop = f"{pair[0]}{number}_row"
            end = offset + W.size
            bias_offset = -1 if b is None else end
            n, n_in = W.shape
            k = len(self.layers) + 1
            self.layers.append(Layer(k, n_in, n, offset, bias_offset, *pair, loop))
            offset = end if b is None else end + n

    @property
    def last(self) -> Layer:
        return self.layers[-1]

    def padded(self, n: int) -> int:
        """So many numbers in whole lanes."""
        return ceil(n / self.lanes) * self.lanes

    def h(self, k: int) -> str:
        """Where h^(k) is."""
        return f"w->h{k}" if k or self.input else "x"

    def each(self, *names: str) -> list[str]:
        """Arrays of one a layer."""
        return [f"{name}{at.k}[{self.padded(at.n)}]" for at in self.layers for name in names]

    @property
    def evaluation(self) -> list[str]:
        """The arrays of eval and vjp."""
        scaled = [f"h0[{self.columns}]"] if self.input else []
        return [*scaled, *self.each("h", "fprime"), f"rows[2][{self.m * self.widest}]"]

    @property
    def bends(self) -> list[str]:
        """Those that hess uses beside them."""
        wide = max(layer.n for layer in self.layers) * self.columns
        square = self.n_0 * self.columns
        return [
            *self.each("curve"),
            f"A[{wide}]",
            f"T[{wide}]",
            f"H[{square}]",
            f"ab[2][{self.columns}]",
        ]

    @property
    def directions(self) -> list[str]:
        """Those of Hessian-vector products in theta."""
        return [f"dh0[{self.columns}]", *self.each("delta", "dv", "dh")]

    def nbytes(self, groups: Sequence[Sequence[str]]) -> int:
        """Of groups of arrays."""
        lengths = (re.findall(r"\[(\d+)\]", array) for group in groups for array in group)
        return sum(prod(map(int, length)) for length in lengths) * self.dtype.itemsize


def space(groups: Sequence[Sequence[str]]) -> str:
    """The struct in `work`, a line for each group."""
    lines = "".join(f"    real {', '.join(group)};\n" for group in groups)
    return f"/* in work; eval and vjp use the first line alone */\ntypedef struct {{\n{lines}}} F(space);\n"


def constants(net: Table, with_theta: bool) -> str:
    """theta and the scalings."""
    text = numbers.array("F(theta)", net.theta, net.dtype) if with_theta else ""
    for side, scaling in (("input", net.input), ("output", net.output)):
        for what, values in zip(("shift", "scale"), scaling or (), strict=False):
            text += numbers.array(f"F({side}_{what})", values, net.dtype)
    return text
