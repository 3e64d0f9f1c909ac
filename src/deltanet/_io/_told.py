"""What a reader hands back: layers, and what the user should know of how they came about."""

from __future__ import annotations

from typing import Any, NamedTuple


class Note(NamedTuple):
    """One sentence for `deltanet info`; with `warn` also a warning of `load`."""

    text: str
    warn: bool = False


class Content(NamedTuple):
    """The arguments of `MLP.from_layers`, and notes."""

    layers: dict[str, Any]
    notes: list[Note]


def spelled(activation: str | tuple[Any, ...]) -> str:
    """tanh, or leaky_relu(0.1) where there is a parameter."""
    if isinstance(activation, str):
        return activation
    name, *parameters = activation
    return f"{name}({', '.join(f'{parameter:g}' for parameter in parameters)})"
