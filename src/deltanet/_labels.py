"""Names and units of the inputs and outputs of a net: files keep them, no formula reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, overload

from deltanet import _validate

if TYPE_CHECKING:
    from deltanet._mlp import MLP

LABELS = ("input_names", "output_names", "input_units", "output_units")


MEANING = (
    "{}: a list of str, or None. Reading gives a new list; to change it, set a whole one. Copies, pickles "
    "and model files keep it. Neither a formula nor a comparison of nets reads it."
)


class Labels:
    """An attribute of `MLP` that is None or a list of str, one for each of its inputs or of its outputs.

    Examples
    --------
    >>> import deltanet as dn
    >>> net = dn.MLP([2, 8, 1], seed=0)
    >>> net.input_names, net.input_units = ["angle", "speed"], ["rad", "rad/s"]
    >>> net.copy().input_names, net.output_names
    (['angle', 'speed'], None)
    """

    def __init__(self, what: str, place: int) -> None:
        self.__doc__ = MEANING.format(what)
        self.place = place  # of their number in `sizes`

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, net: None, owner: type) -> Labels: ...

    @overload
    def __get__(self, net: MLP, owner: type) -> list[str] | None: ...

    def __get__(self, net: MLP | None, owner: type) -> Labels | list[str] | None:
        if net is None:
            return self
        labels = net._labels.get(self.name)
        return None if labels is None else list(labels)

    def __set__(self, net: MLP, value: Iterable[str] | None) -> None:
        labels = _validate.labels(value, net.sizes[self.place], self.name)
        net._labels = {**net._labels, self.name: labels}  # a new one: Jacobians have the old one


def captions(net: MLP, side: str) -> list[str] | None:
    """Of each "input" or "output" its name and unit, as far as they are known; None if neither is.

    Examples
    --------
    >>> import deltanet as dn
    >>> net = dn.MLP([2, 8, 1], seed=0)
    >>> net.input_names, net.input_units = ["speed", "count"], ["m/s", ""]
    >>> captions(net, "input"), captions(net, "output")
    (['speed [m/s]', 'count'], None)
    """
    names, units = getattr(net, f"{side}_names"), getattr(net, f"{side}_units")
    return joined(names, units)


def joined(names: Sequence[str] | None, units: Sequence[str] | None) -> list[str] | None:
    """The same of names and units, one of each, where there are any."""
    if names is None and units is None:
        return None
    empty = [""] * len(names or units or ())
    return [
        " ".join(part for part in (name, unit and f"[{unit}]") if part)
        for name, unit in zip(names or empty, units or empty, strict=True)
    ]
