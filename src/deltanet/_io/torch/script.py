"""The steps of a TorchScript module: its graph is walked."""

import operator
from collections.abc import Callable
from typing import Any

from deltanet._io._live import Refused
from deltanet._io.torch.steps import REMEDY, TRAINING, Ref, Step, Steps, apply, refs, shape_of

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
