"""`deltanet export`: a model as a file of C, or as an FMU."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from deltanet._cli.options import Force, ModelOptions, option
from deltanet._cli.samples import check_place


class Params(StrEnum):
    """Where theta is."""

    constant = "constant"
    argument = "argument"


class Math(StrEnum):
    """Formulas of the activations."""

    own = "own"
    libm = "libm"


class Fmi(StrEnum):
    """Versions of the standard of FMUs."""

    two = "2.0"
    three = "3.0"


Target = Annotated[
    Path,
    option("--out", "-o", metavar="OUT", help="A file of C (.c), or an FMU (.fmu)."),
]
Name = Annotated[
    str | None,
    option("--name", metavar="NAME", help="Name in C or of the FMU; by default OUT's stem."),
]
CasADi = Annotated[
    bool,
    option("--casadi", help="Add the functions that casadi.external looks for (.c)."),
]
ParamsOption = Annotated[
    Params, option("--params", help="Parameters as constants, or as an argument (.c).")
]
MathOption = Annotated[
    Math,
    option("--math", help="Activations by our formulas, or by the C library's (.c)."),
]
Header = Annotated[bool, option("--header", help="Also write a header beside OUT (.c).")]
FmiOption = Annotated[Fmi, option("--fmi", help="Version of the standard (.fmu).")]
States = Annotated[
    list[str] | None,
    option(
        "--state",
        metavar="INPUT=OUTPUT",
        help="An input that is a state, and the output that is its derivative (.fmu); may be given "
        "several times.",
    ),
]


def export(
    model: ModelOptions,
    out: Target,
    name: Name = None,
    casadi: CasADi = False,
    params: ParamsOption = Params.constant,
    math: MathOption = Math.own,
    header: Header = False,
    fmi: FmiOption = Fmi.three,
    state: States = None,
    force: Force = False,
) -> None:
    """Write MODEL and its derivatives as one file of C, or as an FMU."""
    fmu, states = out.suffix == ".fmu", _pairs(state)
    others: dict[str, bool] = {
        "--casadi": casadi,
        "--params": params is not Params.constant,
        "--math": math is not Math.own,
        "--header": header,
    }
    if not fmu:
        others = {"--fmi": fmi is not Fmi.three, "--state": state is not None}
    for each, given in others.items():
        if given:
            raise ValueError(f"{each} is for {'.c' if fmu else '.fmu'} files; OUT is {out}")
    if not fmu and out.suffix != ".c":
        raise ValueError(f"OUT must end in .c or .fmu; got {out}")
    targets = [out, *[out.with_suffix(".h")] * header]
    for target in targets:
        check_place(target, force, MODEL=model.model)
    net = model.load()
    if fmu:
        net.export_fmu(out, name=name, version=fmi.value, states=states)
    else:
        net.export_c(
            out, name=name, casadi=casadi, params=params.value, math=math.value, header=header
        )
    for target in targets:
        print(f"{target}: {target.stat().st_size} bytes, {net.num_params} parameters")


def _pairs(state: list[str] | None) -> dict[str | int, str | int] | None:
    if state is None:
        return None
    pairs: dict[str | int, str | int] = {}
    for pair in state:
        if pair.count("=") != 1:
            raise ValueError(f"--state must be INPUT=OUTPUT; got {pair}")
        name, _, derivative = pair.partition("=")
        if name in pairs:
            raise ValueError(f"--state must name an input once; got {name} twice")
        pairs[name] = derivative
    return pairs
