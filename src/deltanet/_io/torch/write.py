"""A net as a module of torch."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from deltanet._io._live import package
from deltanet._io.torch import TorchModule
from deltanet._mlp import MLP

# Modules of an activation: torch.nn, our own, parameters -> module. Defaults are the same in both
ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "tanh": lambda nn, own: nn.Tanh(),
    "lecun_tanh": lambda nn, own: own.LecunTanh(),
    "sigmoid": lambda nn, own: nn.Sigmoid(),
    "relu": lambda nn, own: nn.ReLU(),
    "relu6": lambda nn, own: nn.ReLU6(),
    "leaky_relu": lambda nn, own, *p: nn.LeakyReLU(*p),
    "elu": lambda nn, own, *p: nn.ELU(*p),
    "celu": lambda nn, own, *p: nn.CELU(*p),
    "selu": lambda nn, own: nn.SELU(),
    "softplus": lambda nn, own, beta=1.0: nn.Softplus(beta, SOFTPLUS_THRESHOLD),
    "gelu": lambda nn, own: nn.GELU(),
    "gelu_tanh": lambda nn, own: nn.GELU(approximate="tanh"),
    "silu": lambda nn, own: nn.SiLU(),
    "swish": lambda nn, own, *p: own.Swish(*p),
    "mish": lambda nn, own: nn.Mish(),
    "softsign": lambda nn, own: nn.Softsign(),
    "softshrink": lambda nn, own, *p: nn.Softshrink(*p),
    "tanhshrink": lambda nn, own: nn.Tanhshrink(),
    "logsigmoid": lambda nn, own: nn.LogSigmoid(),
    "hardtanh": lambda nn, own, *p: nn.Hardtanh(*p),
    "hardsigmoid": lambda nn, own: nn.Hardsigmoid(),
    "hardswish": lambda nn, own: nn.Hardswish(),
    "threshold": lambda nn, own, *p: nn.Threshold(*p),
    "gaussian": lambda nn, own: own.Gaussian(),
    "sin": lambda nn, own: own.Sin(),
    "cos": lambda nn, own: own.Cos(),
    "exp": lambda nn, own: own.Exp(),
    "abs": lambda nn, own: own.Abs(),
    "square": lambda nn, own: own.Square(),
    "erf": lambda nn, own: own.Erf(),
    "atan": lambda nn, own: own.Atan(),
    "softmax": lambda nn, own: nn.Softmax(dim=-1),
    "log_softmax": lambda nn, own: nn.LogSoftmax(dim=-1),
}
SOFTPLUS_THRESHOLD = 40  # beyond it, the identity is exact in double precision


def to_torch(net: MLP) -> TorchModule:
    """`MLP.to_torch`."""
    torch = package("torch", "torch", "to_torch")
    from deltanet._io.torch import modules as own

    parts = _scaling(torch, own.InputScaling, net.input_shift, net.input_scale)
    for W, b, spec in zip(net.weights, net.biases, net.activations, strict=True):
        parts.append(_linear(torch, W, b))
        name, *parameters = (spec,) if isinstance(spec, str) else spec
        if name == "identity":
            continue
        if name not in ACTIVATIONS:
            raise ValueError(
                f"activation {name!r} has no module in torch: to_torch cannot write it"
            )
        parts.append(ACTIVATIONS[name](torch.nn, own, *parameters))
    parts += _scaling(torch, own.OutputScaling, net.output_shift, net.output_scale)
    module: TorchModule = torch.nn.Sequential(*parts)
    return module


def _linear(torch: Any, W: NDArray[Any], b: NDArray[Any] | None) -> Any:
    n_out, n_in = W.shape
    dtype = getattr(torch, W.dtype.name)
    kind = torch.nn.Linear  # no numbers are drawn for it: torch's generator is left alone
    linear = torch.nn.utils.skip_init(kind, n_in, n_out, bias=b is not None, dtype=dtype)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(W))
        if b is not None:
            linear.bias.copy_(torch.from_numpy(b))
    return linear


def _scaling(torch: Any, kind: Any, shift: Any, scale: Any) -> list[Any]:
    return [] if shift is None else [kind(torch.tensor(shift), torch.tensor(scale))]
