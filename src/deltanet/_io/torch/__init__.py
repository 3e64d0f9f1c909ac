"""Live modules of torch, and nets as modules of torch (extra: torch)."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self

from numpy.typing import NDArray

from deltanet._extras import package
from deltanet._mlp import MLP


class TorchModule(Protocol):
    """A `torch.nn.Module`, as far as it is needed here."""

    training: bool

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def parameters(self, recurse: bool = ...) -> Iterator[Any]: ...

    def state_dict(self) -> Mapping[str, Any]: ...


class TorchSequential(TorchModule, Protocol):
    """A `torch.nn.Sequential`, as far as one goes on with it: what `MLP.to_torch` returns."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...

    def eval(self) -> Self: ...

    def train(self, mode: bool = ...) -> Self: ...

    def to(self, *args: Any, **kwargs: Any) -> Self: ...

    def requires_grad_(self, requires_grad: bool = ...) -> Self: ...

    def zero_grad(self, set_to_none: bool = ...) -> None: ...

    def named_parameters(self) -> Iterator[tuple[str, Any]]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = ...) -> Any: ...


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
    torch = package("torch", "torch", "from_torch")  # before the modules that are made with it
    from deltanet._io.torch import chain, fx, script

    live: Any = getattr(module, "_orig_mod", module)  # of torch.compile
    if not isinstance(live, torch.nn.Module):
        raise TypeError(
            f"module must be a torch.nn.Module; got {type(module).__name__}: a TorchScript file is read by "
            "torch.jit.load; a state_dict goes into its module by module.load_state_dict, or into a file by "
            "safetensors.torch.save_file, for deltanet.load"
        )
    scripted = isinstance(live, torch.jit.ScriptModule)
    model = getattr(live, "original_name", "") or type(live).__name__
    read = script.scripted if scripted else fx.traced
    with torch.no_grad():
        builder = chain.follow(torch, read(torch, live, model), model)

    def outputs(X: NDArray[Any]) -> NDArray[Any]:
        first = next(iter(live.parameters()), torch.from_numpy(X))
        with torch.no_grad():
            y = live(torch.from_numpy(X).to(dtype=first.dtype, device=first.device)).cpu()
        array: NDArray[Any] = (y.half() if y.dtype is torch.bfloat16 else y).numpy()
        return array.reshape(-1, 1) if array.ndim == 1 else array  # squeezed

    return builder.net(model, outputs)
