"""What a net is as a model of FMI: its variables, their names, units and start values, and its states."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deltanet._export import names
from deltanet._export.numbers import finite

if TYPE_CHECKING:
    from deltanet._mlp import MLP

VERSIONS = ("2.0", "3.0")
# 25 characters each at most, in one attribute of XML: libxml2, which most tools read with, takes 10 million
MOST_TUNABLE = 400_000
FORBIDDEN = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Variable(NamedTuple):
    """An input or an output: its value reference, name, unit ("" for none), and start and nominal value."""

    reference: int
    name: str
    unit: str
    start: float
    nominal: float


class Model:
    """A net with checked names and states, for one version of the standard.

    Value references are 0 for time, then those of the inputs, of the outputs, and of theta. `states` has
    pairs (index of an input, index of the output that is its derivative), in the order of the inputs.
    """

    def __init__(
        self,
        net: MLP,
        name: str,
        version: str,
        states: Mapping[str | int, str | int] | None,
    ) -> None:
        if version not in VERSIONS:
            raise ValueError(f"version must be '2.0' or '3.0', got {version!r}")
        self.net, self.name, self.version = net, names.check(name), version
        self.tunable = version == "3.0"
        if self.tunable and net.num_params > MOST_TUNABLE:
            raise ValueError(
                f"an FMU of version 3.0 has at most {MOST_TUNABLE} parameters, the net has {net.num_params}: "
                "use version='2.0', in which they are constants"
            )
        finite(net.params, "params")
        n_0, m = net.sizes[0], net.sizes[-1]
        inputs = net.input_names or [f"x{i}" for i in range(n_0)]
        outputs = net.output_names or [f"y{o}" for o in range(m)]
        _check_names(inputs, outputs)
        self.inputs = _variables(1, inputs, _units(net, "input"), net.input_shift, net.input_scale)
        self.outputs = _variables(
            1 + n_0, outputs, _units(net, "output"), net.output_shift, net.output_scale
        )
        self.theta_reference = 1 + n_0 + m
        self.time_name, self.theta_name = (
            _free(word, inputs + outputs) for word in ("time", "theta")
        )
        self.states = _states(states, inputs, outputs)

    @property
    def theta(self) -> list[float]:
        return [float(value) for value in self.net.params]


def _check_names(inputs: list[str], outputs: list[str]) -> None:
    """Names are unique, not empty, and what XML and the standard can hold."""
    seen: dict[str, str] = {}
    for side, labels in (("input", inputs), ("output", outputs)):
        for i, label in enumerate(labels):
            place = f"{side}_names[{i}]"
            if not label.strip():
                raise ValueError(f"{place} must not be empty: a variable of an FMU has a name")
            _check_characters(label, place)
            if label in seen:
                raise ValueError(
                    f"names must differ in an FMU; {label!r} is that of {seen[label]} and {place}"
                )
            seen[label] = place


def _check_characters(text: str, place: str) -> None:
    wrong = FORBIDDEN.search(text)
    if wrong:
        raise ValueError(
            f"{place} must have no tab, line break or other character that XML forbids; "
            f"got {wrong[0]!r} in {text!r}"
        )


def _units(net: MLP, side: str) -> list[str]:
    attribute = f"{side}_units"
    units: list[str] | None = getattr(net, attribute)
    for i, unit in enumerate(units or ()):
        _check_characters(unit, f"{attribute}[{i}]")
    return units or [""] * net.sizes[0 if side == "input" else -1]


def _variables(
    first: int,
    labels: list[str],
    units: list[str],
    shift: np.ndarray | None,
    scale: np.ndarray | None,
) -> list[Variable]:
    """The scalings are what is known of typical values: they start at the shift, and vary by the scale."""
    starts = np.zeros(len(labels)) if shift is None else shift
    nominals = np.ones(len(labels)) if scale is None else abs(scale)
    return [
        Variable(first + i, label, unit, float(start), float(nominal))
        for i, (label, unit, start, nominal) in enumerate(
            zip(labels, units, starts, nominals, strict=True)
        )
    ]


def _free(word: str, taken: Sequence[str]) -> str:
    while word in taken:
        word += "_"
    return word


def _states(
    states: Mapping[str | int, str | int] | None, inputs: list[str], outputs: list[str]
) -> list[tuple[int, int]]:
    if states is None:
        return []
    if not isinstance(states, Mapping):
        raise TypeError(f"states must be a dict {{input: output}} or None, got {states!r}")
    pairs = [(_index(i, inputs, "input"), _index(o, outputs, "output")) for i, o in states.items()]
    for which, side in enumerate(("input", "output")):
        used = [pair[which] for pair in pairs]
        for index in used:
            if used.count(index) > 1:
                label = (inputs, outputs)[which][index]
                raise ValueError(
                    f"states must use each {side} once; {label!r} is used twice in {dict(states)!r}"
                )
    return sorted(pairs)


def _index(key: object, labels: list[str], side: str) -> int:
    """Of an input or output that is given by its name or its number."""
    if isinstance(key, str):
        if key not in labels:
            raise ValueError(
                f"states must name {side}s of the net, which are {', '.join(map(repr, labels))}; got {key!r}"
            )
        return labels.index(key)
    if isinstance(key, bool) or not isinstance(key, (int, np.integer)):
        raise TypeError(f"states must have names or numbers of {side}s; got {key!r}")
    if not 0 <= key < len(labels):
        raise ValueError(f"states must have {side}s from 0 to {len(labels) - 1}; got {key}")
    return int(key)
