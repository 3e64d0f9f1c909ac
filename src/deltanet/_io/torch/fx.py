"""The steps of a module with a forward in Python, traced by torch.fx."""

import operator
from typing import Any

from deltanet._io._live import Refused
from deltanet._io.torch import modules as own
from deltanet._io.torch.steps import (
    REMEDY,
    SHAPE,
    Ref,
    Step,
    Steps,
    apply,
    first_line,
    refs,
    shape_of,
)

# Modules of torch.nn: operation, and the attributes that are its arguments
MODULES = {
    "Linear": ("linear", "weight bias"),
    "BatchNorm1d": ("batch_norm", "running_mean running_var weight bias training eps"),
    "Dropout": ("dropout", "p training"),
    "AlphaDropout": ("dropout", "p training"),
    "Flatten": ("flatten", "start_dim end_dim"),
    "Identity": ("identity", ""),
    "Tanh": ("tanh", ""),
    "Sigmoid": ("sigmoid", ""),
    "ReLU": ("relu", ""),
    "ReLU6": ("relu6", ""),
    "LeakyReLU": ("leaky_relu", "negative_slope"),
    "PReLU": ("prelu", "weight"),
    "RReLU": ("rrelu", "lower upper training"),
    "ELU": ("elu", "alpha"),
    "CELU": ("celu", "alpha"),
    "SELU": ("selu", ""),
    "GELU": ("gelu", "approximate"),
    "SiLU": ("silu", ""),
    "Mish": ("mish", ""),
    "Softplus": ("softplus", "beta threshold"),
    "Softsign": ("softsign", ""),
    "Softshrink": ("softshrink", "lambd"),
    "Tanhshrink": ("tanhshrink", ""),
    "LogSigmoid": ("logsigmoid", ""),
    "Hardtanh": ("hardtanh", "min_val max_val"),
    "Hardsigmoid": ("hardsigmoid", ""),
    "Hardswish": ("hardswish", ""),
    "Threshold": ("threshold", "threshold value"),
    "Softmax": ("softmax", "dim"),
    "LogSoftmax": ("log_softmax", "dim"),
}
OWN_MODULES = {
    "LecunTanh": ("lecun_tanh", ""),
    "Gaussian": ("gaussian", ""),
    "Swish": ("swish", "beta"),
}  # of modules


def traced(torch: Any, module: Any, model: str) -> Steps:
    """Of a module with a forward in Python."""

    class Tracer(torch.fx.Tracer):  # type: ignore[misc]  # torch is Any here
        def is_leaf_module(self, m: Any, name: str) -> bool:
            return bool(known(torch, m) or super().is_leaf_module(m, name))

    root = torch.nn.Sequential(module)  # its own attributes may change: constants are put there
    try:
        graph = Tracer().trace(root)
    except Exception as error:  # whatever the forward raises: it is not code of ours
        why = f"the forward of {model} cannot be followed ({first_line(error)})"
        raise Refused(f"{why}: {REMEDY}") from error
    return _Graph(torch, root, graph).read()


def known(torch: Any, module: Any) -> tuple[str, str] | None:
    """The operation of a module and its attributes; of a subclass, if it has the same forward."""
    if "forward" in vars(module):
        return None
    for base in type(module).__mro__:
        name = base.__name__
        for table, space in ((MODULES, torch.nn), (OWN_MODULES, own)):
            if name in table and getattr(space, name) is base:
                return table[name] if type(module).forward is base.forward else None
    return None


class _Graph:
    """A graph of torch.fx."""

    def __init__(self, torch: Any, root: Any, graph: Any) -> None:
        self.torch, self.root, self.graph = torch, root, graph
        self.steps: list[Step] = []
        self.spaces = torch, torch.nn.functional, torch.special, torch._C._nn, operator

    def read(self) -> Steps:
        values: dict[Any, Any] = {}
        source = result = Ref()
        for node in self.graph.nodes:
            if node.op == "placeholder":
                values[node] = source
                continue
            args, kwargs = self.torch.fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
            result = values[node] = getattr(self, node.op)(node.target, args, kwargs)
        return Steps(source, result, self.steps)  # the last node is the output

    def output(self, target: str, args: Any, kwargs: Any) -> Any:
        return args[0]

    def get_attr(self, target: str, args: Any, kwargs: Any) -> Any:
        return operator.attrgetter(target)(self.root)

    def call_module(self, target: str, args: Any, kwargs: Any) -> Any:
        module = self.root.get_submodule(target)
        place = target.partition(".")[2]
        part = f"module {place!r} ({type(module).__name__})" if place else type(module).__name__
        op, names = known(self.torch, module) or (None, "")
        if op is None:
            raise Refused(f"{part} is not a dense layer or an activation of deltanet: {REMEDY}")
        kwargs = {**kwargs, **{name: getattr(module, name) for name in names.split()}}
        return self.call(op, module, args, kwargs, part)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        name = getattr(target, "__name__", repr(target))
        if target is getattr and args[1:] == ("shape",) and isinstance(args[0], Ref):
            return SHAPE
        part = f"function {name!r}"
        if any(refs((args, kwargs))) and all(
            getattr(s, name, None) is not target for s in self.spaces
        ):
            raise Refused(f"{part} is not one of torch that deltanet knows: {REMEDY}")
        return self.call(name, target, args, kwargs, part)

    def call_method(self, target: str, args: Any, kwargs: Any) -> Any:
        function = getattr(self.torch.Tensor, target)
        return self.call(target, function, args, kwargs, f"method {target!r}")

    def call(self, op: str, function: Any, args: Any, kwargs: Any, part: str) -> Any:
        if not any(refs((args, kwargs))):
            return apply(op, function, args, kwargs, part)
        shape = shape_of(op, args)
        if shape is not None:
            return shape
        self.steps.append(Step(op, args, kwargs, part, function))
        return self.steps[-1].out
