"""A net as a module of torch."""

from typing import Any

from numpy.typing import NDArray

from deltanet._extras import package
from deltanet._io.torch import TorchSequential
from deltanet._mlp import MLP

# The class of an activation, ours or that of torch.nn; its defaults are those of the activation
CLASSES = {
    "tanh": "Tanh",
    "lecun_tanh": "LecunTanh",
    "sigmoid": "Sigmoid",
    "relu": "ReLU",
    "relu6": "ReLU6",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "celu": "CELU",
    "selu": "SELU",
    "softplus": "Softplus",
    "gelu": "GELU",
    "gelu_tanh": "GELU",
    "silu": "SiLU",
    "swish": "Swish",
    "mish": "Mish",
    "softsign": "Softsign",
    "softshrink": "Softshrink",
    "tanhshrink": "Tanhshrink",
    "logsigmoid": "LogSigmoid",
    "hardtanh": "Hardtanh",
    "hardsigmoid": "Hardsigmoid",
    "hardswish": "Hardswish",
    "threshold": "Threshold",
    "gaussian": "Gaussian",
    "sin": "Sin",
    "cos": "Cos",
    "exp": "Exp",
    "abs": "Abs",
    "square": "Square",
    "erf": "Erf",
    "atan": "Atan",
    "softmax": "Softmax",
    "log_softmax": "LogSoftmax",
}
SOFTPLUS_THRESHOLD = 40  # beyond it, the identity is exact in double precision
KEYWORDS: dict[str, dict[str, Any]] = {
    "gelu_tanh": {"approximate": "tanh"},
    "softmax": {"dim": -1},
    "log_softmax": {"dim": -1},
    "softplus": {"threshold": SOFTPLUS_THRESHOLD},
}


def to_torch(net: MLP) -> TorchSequential:
    """`MLP.to_torch`."""
    torch = package("torch", "torch", "to_torch")
    from deltanet._io.torch import modules as own

    parts = _scaling(torch, own.InputScaling, net.input_shift, net.input_scale)
    for W, b, spec in zip(net.weights, net.biases, net.activations, strict=True):
        parts.append(_linear(torch, W, b))
        name, *parameters = (spec,) if isinstance(spec, str) else spec
        if name == "identity":
            continue
        if name not in CLASSES:
            raise ValueError(
                f"activation {name!r} has no module in torch: to_torch cannot write it"
            )
        kind = getattr(own, CLASSES[name], None) or getattr(torch.nn, CLASSES[name])
        parts.append(kind(*parameters, **KEYWORDS.get(name, {})))
    parts += _scaling(torch, own.OutputScaling, net.output_shift, net.output_scale)
    module: TorchSequential = torch.nn.Sequential(*parts)
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
