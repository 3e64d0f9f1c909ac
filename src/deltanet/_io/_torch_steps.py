"""What the forward of a torch module does to its input, as a list of steps.

Two kinds of modules: Python ones, traced by torch.fx, which refuses what depends on the values; and
TorchScript ones, whose graph is walked. In both, what does not depend on the input is computed on the way.
"""

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from deltanet._io._live import Refused

REMEDY = "pass a submodule that is a plain chain, as in from_torch(module.actor)"
TRAINING = "in training mode, where its output is random or depends on the batch: call module.eval() before"
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
}  # of _torch_modules


class Ref:
    """A value that depends on the input."""


class Axis:
    """The length of an axis of such a value: it is known only when the module is called."""


SHAPE = SAMPLES, FEATURES = Axis(), Axis()


@dataclass
class Step:
    """One operation on such values."""

    op: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    part: str  # what messages call it
    function: Callable[..., Any]
    out: Ref = field(default_factory=Ref)

    def refs(self) -> list[Ref]:
        return list(refs((self.args, self.kwargs)))


@dataclass
class Steps:
    """All of them, in the order of the calls."""

    input: Ref
    output: Any
    steps: list[Step]


def refs(value: Any) -> Iterator[Ref]:
    """Those in a value, in lists and dicts too."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, dict):
        yield from refs(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from refs(each)


def shape_of(op: str, args: tuple[Any, ...]) -> Any:
    """What an operation says of the shape of a value of two axes; None if it is another operation."""
    if op == "dim":
        return 2
    if op == "size":
        return SHAPE if len(args) < 2 else SHAPE[args[1]]
    return None


def apply(
    op: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Any, part: str
) -> Any:
    """What an operation on constants gives."""
    if (op.endswith("_") and not op.endswith("__")) or kwargs.get("inplace"):
        raise Refused(f"{part} changes a tensor in place: {REMEDY}")
    try:
        return function(*args, **kwargs)
    except Exception as error:  # whatever the operation raises: it is not code of ours
        raise Refused(f"{part} failed ({_first_line(error)}): {REMEDY}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


# Python modules


def traced(torch: Any, module: Any, model: str) -> Steps:
    """Of a module with a forward in Python."""

    class Tracer(torch.fx.Tracer):  # type: ignore[misc]
        def is_leaf_module(self, m: Any, name: str) -> bool:
            return bool(known(torch, m) or super().is_leaf_module(m, name))

    root = torch.nn.Sequential(module)  # its own attributes may change: constants are put there
    try:
        graph = Tracer().trace(root)
    except Exception as error:  # whatever the forward raises: it is not code of ours
        why = f"the forward of {model} cannot be followed ({_first_line(error)})"
        raise Refused(f"{why}: {REMEDY}") from error
    return _Graph(torch, root, graph).read()


def known(torch: Any, module: Any) -> tuple[str, str] | None:
    """The operation of a module and its attributes; of a subclass, if it has the same forward."""
    from deltanet._io import _torch_modules

    if "forward" in vars(module):
        return None
    for base in type(module).__mro__:
        name = base.__name__
        for table, space in ((MODULES, torch.nn), (OWN_MODULES, _torch_modules)):
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
        source = Ref()
        for node in self.graph.nodes:
            if node.op == "placeholder":
                values[node] = source
                continue
            args, kwargs = self.torch.fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
            if node.op == "output":
                return Steps(source, args[0], self.steps)
            values[node] = getattr(self, node.op)(node.target, args, kwargs)
        raise AssertionError("a graph of torch.fx ends with its output")

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


# TorchScript


OPERATORS: dict[str, Callable[..., Any]] = {
    "aten::__is__": operator.is_,
    "aten::__isnot__": operator.is_not,
    "aten::__not__": operator.not_,
    "aten::__getitem__": operator.getitem,
    "aten::len": len,
    "aten::format": lambda *_: "",
    "aten::warn": lambda *_: None,
    "aten::Int": lambda each: each,  # of a traced length of an axis
    "prim::NumToTensor": lambda each: each,
    "prim::unchecked_cast": lambda each: each,
    "prim::ListConstruct": lambda *each: list(each),
    "prim::TupleConstruct": lambda *each: each,
}


def scripted(torch: Any, module: Any, model: str) -> Steps:
    """Of a TorchScript module."""
    try:
        graph = module.inlined_graph
    except (AttributeError, RuntimeError):
        raise Refused(f"{model} has no method forward: {REMEDY}") from None
    return _Script(torch, module, graph).read()


class _Script:
    """A graph of TorchScript: conditions that do not depend on the samples are decided on the way."""

    def __init__(self, torch: Any, module: Any, graph: Any) -> None:
        self.torch, self.graph = torch, graph
        owner, *inputs = graph.inputs()
        self.source = Ref()
        self.values: dict[str, Any] = {owner.debugName(): module}
        self.values |= {value.debugName(): self.source for value in inputs[:1]}
        self.places = {owner.debugName(): ""}  # of modules and their tensors: "actor.0.weight"
        self.steps: list[Step] = []

    def read(self) -> Steps:
        self.block(self.graph)
        (output,) = self.graph.outputs()
        return Steps(self.source, self.values[output.debugName()], self.steps)

    def block(self, block: Any) -> None:
        for node in block.nodes():
            results = self.node(node)
            for value, result in zip(node.outputs(), results, strict=True):
                self.values[value.debugName()] = result

    def node(self, node: Any) -> list[Any]:
        """The values of its outputs."""
        kind, part = node.kind(), self.part(node)
        if kind == "prim::Constant":
            return [node.output().toIValue()]
        try:
            args = [self.values[value.debugName()] for value in node.inputs()]
        except KeyError:
            raise Refused(f"{part} takes a second input of forward: {REMEDY}") from None
        if kind == "prim::GetAttr":
            return [self.attribute(node, *args)]
        if kind == "prim::If" and isinstance(args[0], bool):
            block = list(node.blocks())[0 if args[0] else 1]
            self.block(block)
            return [self.values[value.debugName()] for value in block.outputs()]
        if kind in OPERATORS:
            return [OPERATORS[kind](*args) for _ in range(node.outputsSize())]
        if not kind.startswith("aten::") or node.outputsSize() != 1:
            raise Refused(f"{part} is not one of a plain chain: {REMEDY}")
        return [self.call(node, kind.removeprefix("aten::"), args, part)]

    def part(self, node: Any) -> str:
        places = [self.places.get(value.debugName(), "") for value in node.inputs()]
        owner = next((place.rpartition(".")[0] for place in places if "." in place), "")
        return f"operation {node.kind()!r}" + (f" of module {owner!r}" if owner else "")

    def attribute(self, node: Any, owner: Any) -> Any:
        name, place = node.s("name"), self.places[node.input().debugName()]
        value = getattr(owner, name)
        self.places[node.output().debugName()] = f"{place}.{name}" if place else name
        users = [use.user.kind() for use in node.output().uses()]
        if name == "training" and value and "prim::If" in users:
            raise Refused(f"module {place!r} ({owner.original_name}) is {TRAINING}")
        return value

    def call(self, node: Any, op: str, args: list[Any], part: str) -> Any:
        function = getattr(self.torch.ops.aten, op)
        names = [a.name for a in self.torch._C.parse_schema(node.schema()).arguments]
        kwargs = dict(zip(names, args, strict=True))
        if not any(refs(args)):
            return apply(op, function, (), kwargs, part)
        shape = shape_of(op, tuple(args))
        if shape is not None:
            return shape
        self.steps.append(Step(op, (), kwargs, part, function))
        return self.steps[-1].out
