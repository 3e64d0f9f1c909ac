"""modelDescription.xml and buildDescription.xml, by the tables of the standard."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import quoteattr

from deltanet._config import __version__
from deltanet._export.fmu_model import Model, Variable

BEGIN = '<?xml version="1.0" encoding="UTF-8"?>\n'
OF_THETA = "The parameters of the net: W row by row and b of one layer after the other"
Unknown = tuple[int, list[int], str]  # its reference, those it depends on, and how


def model_description(model: Model, token: str, sources: Iterable[str]) -> str:
    """In FMI 2.0 with the list of the sources."""
    net, old = model.net, model.version == "2.0"
    about = (
        f"A multi-layer perceptron and its derivatives: {'-'.join(map(str, net.sizes))}, "
        + ", ".join(map(str, net.activations))
    )
    head = _tag(
        "fmiModelDescription",
        {
            "fmiVersion": model.version,
            "modelName": model.name,
            "guid" if old else "instantiationToken": token,
            "description": about,
            "generationTool": f"deltanet {__version__}",
            "variableNamingConvention": "flat",
            **({"numberOfEventIndicators": "0"} if old else {}),
        },
    )
    parts = [
        *_interfaces(model, sources),
        *_units(model),
        "<LogCategories>",
        '  <Category name="logStatusError"/>',
        "</LogCategories>",
        "<ModelVariables>",
        *_indented(_old_variables(model) if old else _variables(model)),
        "</ModelVariables>",
        "<ModelStructure>",
        *_indented(_old_structure(model) if old else _structure(model)),
        "</ModelStructure>",
    ]
    return BEGIN + "\n".join([f"{head}>", *_indented(parts), "</fmiModelDescription>", ""])


def build_description(model: Model, sources: Iterable[str]) -> str:
    """Of FMI 3.0: what is compiled."""
    override = _tag(
        "PreprocessorDefinition",
        {
            "name": "FMI3_OVERRIDE_FUNCTION_PREFIX",
            "optional": "true",
            "value": "",
            "description": "for a shared library, whose functions have no prefix",
        },
    )
    return "\n".join(
        [
            BEGIN + '<fmiBuildDescription fmiVersion="3.0">',
            f"  {_tag('BuildConfiguration', {'modelIdentifier': model.name})}>",
            '    <SourceFileSet language="C99">',
            *(f"      <SourceFile name={quoteattr(source)}/>" for source in sources),
            f"      {override}/>",
            "    </SourceFileSet>",
            '    <Library name="m" external="true" description="the C library\'s functions of math.h"/>',
            "  </BuildConfiguration>",
            "</fmiBuildDescription>",
            "",
        ]
    )


def _tag(name: str, attributes: dict[str, str]) -> str:
    """The begin of an element, without what closes it."""
    return " ".join(
        [f"<{name}", *(f"{key}={quoteattr(value)}" for key, value in attributes.items())]
    )


def _indented(lines: Iterable[str]) -> list[str]:
    return ["  " + line for line in lines]


ABLE = {  # the capabilities of both interfaces
    "2.0": [
        "canNotUseMemoryManagementFunctions",
        "canGetAndSetFMUstate",
        "canSerializeFMUstate",
        "providesDirectionalDerivative",
    ],
    "3.0": [
        "canGetAndSetFMUState",
        "canSerializeFMUState",
        "providesDirectionalDerivatives",
        "providesAdjointDerivatives",
    ],
}


def _interfaces(model: Model, sources: Iterable[str]) -> list[str]:
    """Co-Simulation is for nets without states: there is no integrator."""
    old, lines = model.version == "2.0", []
    kinds = {"ModelExchange": ["completedIntegratorStepNotNeeded"] if old else []}
    if not model.states:
        kinds["CoSimulation"] = ["canHandleVariableCommunicationStepSize"]
    for kind, more in kinds.items():
        able = dict.fromkeys(ABLE[model.version] + more, "true")
        element = _tag(kind, {"modelIdentifier": model.name} | able)
        if old:
            files = (f"    <File name={quoteattr(source)}/>" for source in sources)
            lines += [f"{element}>", "  <SourceFiles>", *files, "  </SourceFiles>", f"</{kind}>"]
        else:
            lines.append(f"{element}/>")
    return lines


def _units(model: Model) -> list[str]:
    units = dict.fromkeys(v.unit for v in (*model.inputs, *model.outputs) if v.unit)
    if not units:
        return []
    return [
        "<UnitDefinitions>",
        *(f"  <Unit name={quoteattr(unit)}/>" for unit in units),
        "</UnitDefinitions>",
    ]


def _roles(model: Model) -> Iterable[tuple[Variable, dict[str, str], dict[str, str]]]:
    """Of each input and output its attributes as a variable, and those as a number.

    States are outputs of the FMU, whose start values can be set; their derivatives are local variables.
    """
    derivative = {o: model.inputs[i].reference for i, o in model.states}
    states = {i for i, _ in model.states}
    for side, variables in enumerate((model.inputs, model.outputs)):
        for k, variable in enumerate(variables):
            numbers = {"unit": variable.unit} if variable.unit else {}
            numbers["nominal"] = repr(variable.nominal)
            if side == 0:
                numbers["start"] = repr(variable.start)
            elif k in derivative:
                numbers["derivative"] = str(derivative[k])
            role = {"causality": "input", "variability": "continuous"}
            if side == 0 and k in states:
                role |= {"causality": "output", "initial": "exact"}
            elif side == 1:
                role["causality"] = "local" if k in derivative else "output"
                role["initial"] = "calculated"
            yield variable, role, numbers


def _variables(model: Model) -> list[str]:
    def element(name: str, reference: int, attributes: dict[str, str]) -> str:
        return _tag("Float64", {"name": name, "valueReference": str(reference)} | attributes)

    time = element(model.time_name, 0, {"causality": "independent", "variability": "continuous"})
    theta = element(
        model.theta_name,
        model.theta_reference,
        {
            "description": OF_THETA,
            "causality": "parameter",
            "variability": "tunable",
            "start": " ".join(map(repr, model.theta)),
        },
    )
    scalars = (element(v.name, v.reference, role | numbers) for v, role, numbers in _roles(model))
    return [
        *(f"{line}/>" for line in (time, *scalars)),
        f"{theta}>",
        f'  <Dimension start="{len(model.theta)}"/>',
        "</Float64>",
    ]


def _old_variables(model: Model) -> list[str]:
    """In FMI 2.0 a derivative, and the structure, name a variable by its place from 1: here its reference."""
    lines = []
    for variable, role, numbers in _roles(model):
        attributes = {"name": variable.name, "valueReference": str(variable.reference)} | role
        lines += [
            f"{_tag('ScalarVariable', attributes)}>",
            f"  {_tag('Real', numbers)}/>",
            "</ScalarVariable>",
        ]
    return lines


def _unknowns(model: Model) -> tuple[list[Unknown], list[Unknown]]:
    """Outputs of the FMU, and derivatives: a net is dense, so each depends on all that can be set."""
    knowns = [variable.reference for variable in model.inputs]
    knowns += [model.theta_reference] * model.tunable
    derivatives = {o for _, o in model.states}
    outputs = [(s, [s], "constant") for s in (model.inputs[i].reference for i, _ in model.states)]
    outputs += [
        (v.reference, knowns, "dependent")
        for o, v in enumerate(model.outputs)
        if o not in derivatives
    ]
    slopes = [(model.outputs[o].reference, knowns, "dependent") for _, o in model.states]
    return outputs, slopes


def _lists(model: Model, names: tuple[str, str, str]) -> dict[str, list[Unknown]]:
    """Outputs, derivatives, and what is computed at the start, all but the states, by these names."""
    outputs, slopes = _unknowns(model)
    initial = sorted([unknown for unknown in outputs if unknown[2] != "constant"] + slopes)
    return dict(zip(names, (outputs, slopes, initial), strict=True))


def _dependent(element: str, key: str, unknown: Unknown) -> str:
    reference, knowns, kind = unknown
    attributes = {
        key: str(reference),
        "dependencies": " ".join(map(str, knowns)),
        "dependenciesKind": " ".join([kind] * len(knowns)),
    }
    return f"{_tag(element, attributes)}/>"


def _structure(model: Model) -> list[str]:
    lists = _lists(model, ("Output", "ContinuousStateDerivative", "InitialUnknown"))
    return [
        _dependent(element, "valueReference", unknown)
        for element, unknowns in lists.items()
        for unknown in unknowns
    ]


def _old_structure(model: Model) -> list[str]:
    lists, lines = _lists(model, ("Outputs", "Derivatives", "InitialUnknowns")), []
    for element, unknowns in lists.items():
        if unknowns:
            rows = (f"  {_dependent('Unknown', 'index', unknown)}" for unknown in unknowns)
            lines += [f"<{element}>", *rows, f"</{element}>"]
    return lines
