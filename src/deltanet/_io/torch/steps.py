"""What the forward of a torch module does to its input, as a list of steps.

Two kinds of modules: Python ones, traced by torch.fx (`fx`), which refuses what depends on the values; and
TorchScript ones, whose graph is walked (`script`). In both, what does not depend on the input is computed
on the way.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from deltanet._io._live import Refused

REMEDY = "pass a submodule that is a plain chain, as in from_torch(module.actor)"
TRAINING = "in training mode, where its output is random or depends on the batch: call module.eval() before"
ALIASES = {
    "truediv": "div",
    "true_divide": "div",
    "divide": "div",
    "subtract": "sub",
    "multiply": "mul",
    "negative": "neg",
    "iadd": "add",
    "isub": "sub",
    "imul": "mul",
    "itruediv": "div",
    "reshape": "view",
    "alpha_dropout": "dropout",
    "feature_dropout": "dropout",
    "clip": "clamp",
}


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


def named(step: Step) -> str:
    """The operation, by one of the names that torch has for it."""
    name = step.op.rstrip("_")
    return ALIASES.get(name, name)


def in_place(op: str, kwargs: dict[str, Any]) -> bool:
    return (op.endswith("_") and not op.endswith("__")) or bool(kwargs.get("inplace"))


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
    if in_place(op, kwargs):
        raise Refused(f"{part} changes a tensor in place: {REMEDY}")
    try:
        return function(*args, **kwargs)
    except Exception as error:  # whatever the operation raises: it is not code of ours
        raise Refused(f"{part} failed ({first_line(error)}): {REMEDY}") from error


def first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
