"""Options and arguments of the commands: each stands here once, and commands take them in groups."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from deltanet._io import load_and_tell
from deltanet._io._told import Note

if TYPE_CHECKING:
    import typer as typer

    from deltanet._mlp import MLP
else:
    try:
        import typer
    except ModuleNotFoundError:  # main says so: without the extra these modules still import
        typer = None

HOW = "How it is run"  # headings of the help
WHAT_SAMPLES = "Which samples"
WHICH_MODEL = "How MODEL is read"
WHAT_IS_SAID = "What is said"


class Wrt(StrEnum):
    """The variables of the derivative."""

    params = "params"
    inputs = "inputs"


class Form(StrEnum):
    """What is written."""

    dense = "dense"
    factors = "factors"
    outputs = "outputs"


class Dtype(StrEnum):
    """Numbers of the net and of the results."""

    float32 = "float32"
    float64 = "float64"


def option(*names: str, **how: Any) -> Any:
    """An option of typer, or nothing if typer is not there."""
    return typer.Option(*names, **how) if typer else None


def argument(**how: Any) -> Any:
    """An argument of typer."""
    return typer.Argument(**how) if typer else None


Model = Annotated[
    str,
    argument(metavar="MODEL", help="Network: .npz, .safetensors or .onnx.", show_default=False),
]
Inputs = Annotated[
    list[str],
    argument(
        metavar="INPUTS",
        help="Samples, one a row; of several files one after the other: .csv (comma separated), .npy, .npz "
        "(a single array or one named X, x or inputs), .parquet, .arrow, .feather, a Zarr array, or - for "
        "a .csv from standard input.",
        show_default=False,
    ),
]
Json = Annotated[
    bool,
    option(
        "--json",
        help="Print one line of JSON instead; of a command that fails too.",
        rich_help_panel=WHAT_IS_SAID,
    ),
]
Force = Annotated[bool, option("--force", help="Overwrite OUT.")]


@dataclass
class ModelOptions:
    """The net."""

    model: Model
    activation: Annotated[
        str | None,
        option(
            "--activation",
            metavar="NAME",
            help="Activation of the hidden layers, where MODEL does not say it.",
            rich_help_panel=WHICH_MODEL,
        ),
    ] = None
    output: Annotated[
        str | None,
        option(
            "--output",
            metavar="NAME",
            help="Output to take of an .onnx MODEL that has several; of a state_dict, the activation of "
            "the last layer.",
            rich_help_panel=WHICH_MODEL,
        ),
    ] = None
    prefix: Annotated[
        list[str] | None,
        option(
            "--prefix",
            metavar="TEXT",
            help="Of a state_dict, take the layers whose names begin so; may be given several times.",
            rich_help_panel=WHICH_MODEL,
        ),
    ] = None
    keys: Annotated[
        str | None,
        option(
            "--keys",
            metavar="A,B,...",
            help="Of a state_dict, the names of the layers in their order, with commas.",
            rich_help_panel=WHICH_MODEL,
        ),
    ] = None
    dtype: Annotated[
        Dtype | None,
        option(
            "--dtype",
            help="Numbers of the net and of the results; by default those of MODEL.",
            rich_help_panel=WHICH_MODEL,
        ),
    ] = None

    def load_and_tell(self) -> tuple[MLP, list[Note]]:
        """The net, and what is to be said of it."""
        return load_and_tell(
            self.model,
            self.activation,
            self.output,
            self.dtype,
            prefix=self.prefix or None,
            keys=None if self.keys is None else self.keys.split(","),
        )

    def load(self) -> MLP:
        """The net; what `dn.load` would warn of is said on standard error."""
        net, notes = self.load_and_tell()
        for note in notes:
            if note.warn:
                print(f"deltanet: note: {note.text}", file=sys.stderr)
        return net


@dataclass
class TableOptions:
    """How INPUTS are read."""

    header: Annotated[
        bool | None,
        option(
            "--header/--no-header",
            help="Whether the first line of a .csv is a header; if it holds names, it is.",
            show_default=False,
            rich_help_panel=WHAT_SAMPLES,
        ),
    ] = None
    columns: Annotated[
        str | None,
        option(
            "--columns",
            metavar="A,B,...",
            help="Columns to take, in this order: names in the header of a .csv, of .parquet and .arrow, or "
            "numbers from 0.",
            rich_help_panel=WHAT_SAMPLES,
        ),
    ] = None
    skip_bad_rows: Annotated[
        bool,
        option(
            "--skip-bad-rows",
            help="Leave out rows that are not numbers, and count them; by default the first is refused.",
            rich_help_panel=WHAT_SAMPLES,
        ),
    ] = False


@dataclass
class WorkerOptions:
    """Who computes."""

    threads: Annotated[
        int | None,
        option(
            "--threads",
            metavar="N",
            help="Threads to use at most, in each process; 1 by default if there are workers.",
            rich_help_panel=HOW,
        ),
    ] = None
    workers: Annotated[
        int | None,
        option("--workers", metavar="N", help="Compute in N processes.", rich_help_panel=HOW),
    ] = None
    scheduler: Annotated[
        str | None,
        option(
            "--scheduler",
            metavar="ADDRESS",
            help="Compute on the workers of a Dask scheduler, such as tcp://10.0.0.1:8786.",
            rich_help_panel=HOW,
        ),
    ] = None


@dataclass
class SayOptions:
    """What is said on the way and at the end."""

    quiet: Annotated[
        bool,
        option(
            "--quiet",
            help="Show no progress, and no line at the end.",
            rich_help_panel=WHAT_IS_SAID,
        ),
    ] = False
    as_json: Json = False


def expanded(function: Callable[..., None]) -> Callable[..., None]:
    """A command whose groups of options are single parameters, as typer wants them."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in groups:
            kinds = get_type_hints(groups[name], include_extras=True)
            own = inspect.signature(groups[name]).parameters.values()
            parameters += [each.replace(annotation=kinds[each.name]) for each in own]
        else:
            parameters.append(parameter.replace(annotation=hints[name]))

    def command(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{each.name: given.pop(each.name) for each in fields(kind)})
        function(**given)

    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    vars(command)["__signature__"] = inspect.Signature(parameters)
    return command
