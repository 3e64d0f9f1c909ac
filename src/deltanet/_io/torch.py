"""Live modules of torch, and nets as modules of torch (extra: torch)."""

from collections.abc import Callable
from typing import Any, Protocol

from numpy.typing import NDArray

from deltanet._io import _live
from deltanet._mlp import MLP


class TorchModule(Protocol):
    """A `torch.nn.Module`, as far as it is needed here."""

    training: bool

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def parameters(self, recurse: bool = ...) -> Any: ...

    def state_dict(self) -> Any: ...


def from_torch(module: TorchModule) -> MLP:
    """A net with the layers of a torch module, and copies of their weights.

    Parameters
    ----------
    module : torch.nn.Module or torch.jit.ScriptModule
        A chain of dense layers and activations: a Sequential, Sequentials inside others, or a module whose
        forward calls one after the other. To take one part of a larger module, pass that part:
        ``dn.from_torch(module.actor)``. A TorchScript file is read by ``torch.jit.load`` first.

    Returns
    -------
    MLP
        Its dtype is that of the weights (float32 for half precision), and `params` are in the order in
        which forward uses the layers. That is the order of ``parameters_to_vector(module.parameters())``,
        if the module defines its layers in the order in which it uses them.

    Raises
    ------
    ValueError
        If the module is not such a chain: a skip connection, a layer used twice, an operation that
        deltanet does not know. The message names it.
    TypeError
        If `module` is not a torch module.
    ImportError
        If torch is not installed.

    Notes
    -----
    The forward is followed with torch.fx, that of a TorchScript module by its graph. Then the outputs of the
    net are compared with those of the module on a few random inputs: a net that differs is not returned.

    Dropout and BatchNorm1d must be in eval mode, by ``module.eval()``: in training mode their output is
    random or depends on the other samples of a batch, and ValueError is raised. In eval mode Dropout does
    nothing, and BatchNorm1d is an affine map. Such a map, and other arithmetic with constants, becomes the
    input scaling in front of the first layer, the output scaling behind the last activation, and is folded
    into the weights elsewhere. Its numbers, and the slope of a PReLU, are not parameters of the net.

    Flatten does nothing: samples are rows of n_0 numbers. Softplus is exact here, where torch takes the
    identity from its threshold on (2e-9 at the default).

    Examples
    --------
    >>> import deltanet as dn, torch
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> dn.from_torch(module)
    MLP([4, 8, 2], activation=['tanh'], output='identity', dtype='float32')
    """
    from deltanet._io import _torch_chain, _torch_steps

    torch = _live.package("torch", "torch", "from_torch")
    live: Any = getattr(module, "_orig_mod", module)  # of torch.compile
    if not isinstance(live, torch.nn.Module):
        raise TypeError(
            f"module must be a torch.nn.Module; got {type(module).__name__}: a TorchScript file is read by "
            "torch.jit.load, a state_dict by deltanet.load"
        )
    scripted = isinstance(live, torch.jit.ScriptModule)
    model = getattr(live, "original_name", "") or type(live).__name__
    read = _torch_steps.scripted if scripted else _torch_steps.traced
    with torch.no_grad():
        builder = _torch_chain.follow(torch, read(torch, live, model), model)

    def outputs(X: NDArray[Any]) -> NDArray[Any]:
        first = next(iter(live.parameters()), torch.from_numpy(X))
        with torch.no_grad():
            y = live(torch.from_numpy(X).to(dtype=first.dtype, device=first.device)).cpu()
        array: NDArray[Any] = (y.half() if y.dtype is torch.bfloat16 else y).numpy()
        return array.reshape(-1, 1) if array.ndim == 1 else array  # squeezed

    return builder.net(model, outputs)


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
    torch = _live.package("torch", "torch", "to_torch")
    from deltanet._io import _torch_modules

    def scaling(kind: Any, shift: Any, scale: Any) -> list[Any]:
        pair = shift, scale
        return [] if shift is None else [kind(*(torch.tensor(each) for each in pair))]

    modules = scaling(_torch_modules.InputScaling, net.input_shift, net.input_scale)
    dtype = getattr(torch, net.dtype.name)
    for W, b, spec in zip(net.weights, net.biases, net.activations, strict=True):
        n_out, n_in = W.shape
        linear = torch.nn.utils.skip_init(
            torch.nn.Linear, n_in, n_out, bias=b is not None, dtype=dtype
        )
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W))
            if b is not None:
                linear.bias.copy_(torch.from_numpy(b))
        modules.append(linear)
        name, *parameters = (spec,) if isinstance(spec, str) else spec
        if name != "identity":
            if name not in ACTIVATIONS:
                raise ValueError(
                    f"activation {name!r} has no module in torch: to_torch cannot write it"
                )
            modules.append(ACTIVATIONS[name](torch.nn, _torch_modules, *parameters))
    modules += scaling(_torch_modules.OutputScaling, net.output_shift, net.output_scale)
    module: TorchModule = torch.nn.Sequential(*modules)
    return module
