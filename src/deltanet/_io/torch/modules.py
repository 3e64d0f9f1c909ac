"""Modules for what torch.nn lacks: the scalings of a net, and some activations."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # types are complete where torch is not installed
    torch: Any
    Tensor = Any

    class Module:
        shift: Any
        scale: Any

        def register_buffer(self, name: str, tensor: Any) -> None: ...
else:
    try:
        import torch
        from torch import Tensor
        from torch.nn import Module
    except (
        ModuleNotFoundError
    ):  # tools that import every module of a package come here without torch
        Module, Tensor = object, Any


class Scaling(Module):
    """Numbers that are no parameters."""

    def __init__(self, shift: Any, scale: Any) -> None:
        super().__init__()
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)


class InputScaling(Scaling):
    """(x - shift) / scale"""

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.shift) / self.scale


class OutputScaling(Scaling):
    """y * scale + shift"""

    def forward(self, y: Tensor) -> Tensor:
        return y * self.scale + self.shift


class LecunTanh(Module):
    """1.7159 tanh(2 v / 3)"""

    def forward(self, v: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(v * (2 / 3))


class Gaussian(Module):
    """exp(-v^2)"""

    def forward(self, v: Tensor) -> Tensor:
        return torch.exp(-v * v)


class Swish(Module):
    """v sigmoid(beta v)"""

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, v: Tensor) -> Tensor:
        return v * torch.sigmoid(self.beta * v)


class Sin(Module):
    def forward(self, v: Tensor) -> Tensor:
        return torch.sin(v)


class Cos(Module):
    def forward(self, v: Tensor) -> Tensor:
        return torch.cos(v)


class Exp(Module):
    def forward(self, v: Tensor) -> Tensor:
        return torch.exp(v)


class Abs(Module):
    def forward(self, v: Tensor) -> Tensor:
        return torch.abs(v)


class Square(Module):
    def forward(self, v: Tensor) -> Tensor:
        return torch.square(v)


class Erf(Module):
    def forward(self, v: Tensor) -> Tensor:
        return torch.erf(v)


class Atan(Module):
    def forward(self, v: Tensor) -> Tensor:
        return torch.atan(v)
