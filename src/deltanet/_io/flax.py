"""Parameters of Flax: nested mappings of arrays. Flax itself is not needed to read them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet import _validate
from deltanet._io._live import Builder, Refused, Spec
from deltanet._mlp import MLP


def from_flax(
    params: Mapping[Any, Any],
    activation: Spec | Sequence[Spec],
    output: Spec = "identity",
    layers: Sequence[str] | None = None,
) -> MLP:
    """A net of Dense layers from their parameters in Flax.

    Parameters
    ----------
    params : mapping
        What ``module.init`` of flax.linen returns, or its "params"; or the state of a module of flax.nnx, as
        ``nnx.state(module)`` or ``nnx.to_pure_dict`` give it. Each layer holds a "kernel" (n_in, n_out) and,
        if it has one, a "bias".
    activation : str, (str, float) or list of these
        Of the hidden layers: one for all, or one each. Flax keeps it in code, not in the parameters.
    output : str or (str, float)
        Of the last layer.
    layers : sequence of str, optional
        Names of the layers in the order in which the module calls them, with dots if they are nested:
        ``["encoder.Dense_0", "head"]``. By default they are numbered names of one kind, Dense_0, Dense_1,
        ...; other names do not tell their order, and ValueError is raised.

    Returns
    -------
    MLP
        Its dtype is that of the kernels (float32 for half precision). W is the transpose of a kernel.

    Raises
    ------
    ValueError
        If a layer is not a Dense one, or the order is not told. The message names the layer.
    TypeError
        If `params` is not a mapping, or an activation is not a name.

    Notes
    -----
    The parameters alone do not say what the module does with them. Compare one output.

    Examples
    --------
    >>> import deltanet as dn, numpy as np
    >>> params = {
    ...     "Dense_0": {"kernel": np.ones((4, 8)), "bias": np.zeros(8)},
    ...     "Dense_1": {"kernel": np.ones((8, 2)), "bias": np.zeros(2)},
    ... }
    >>> dn.from_flax({"params": params}, activation="tanh")
    MLP([4, 8, 2], activation=['tanh'], output='identity', dtype='float64')
    """
    if not isinstance(params, Mapping):
        raise TypeError(
            f"params must be a mapping of layers, as module.init or nnx.state give it; got "
            f"{type(params).__name__}"
        )
    found: dict[str, Mapping[Any, Any]] = {}
    _collect(_of_params(params), (), found)
    if not found:
        raise Refused("params hold no layer: a layer is a mapping with a 'kernel'")
    names = _ordered(list(found)) if layers is None else _chosen(list(found), layers)
    hidden: list[Any] = _validate.hidden(activation, len(names) - 1)
    builder = Builder()
    for name, spec in zip(names, [*hidden, output], strict=True):
        part = f"layer {name!r}"
        kernel, bias = (_array(found[name].get(key), part) for key in ("kernel", "bias"))
        if kernel is None or kernel.ndim != 2:
            raise Refused(f"{part} must have a kernel of shape (n_in, n_out)")
        builder.dense(part, kernel.T, bias)
        _validate.activation(spec)
        builder.activate(part, spec)
    return builder.unchecked("params")


def _of_params(params: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Without the collection of flax.linen."""
    if "params" not in params:
        return params
    others = sorted(str(key) for key in params if key != "params")
    if others:
        raise Refused(
            f"params hold {', '.join(others)} too, which are not parameters of a Dense layer: a net that "
            "needs them cannot be read"
        )
    inner: Mapping[Any, Any] = params["params"]
    return inner


def _collect(tree: Mapping[Any, Any], path: tuple[str, ...], found: dict[str, Any]) -> None:
    """The layers of a tree, by their names with dots."""
    leaves = [str(key) for key, value in tree.items() if not isinstance(value, Mapping)]
    name = ".".join(path) or "params"
    if leaves:
        wrong = sorted(set(map(str, tree)) - {"kernel", "bias"})
        if wrong or "kernel" not in leaves:
            what = ", ".join(sorted(map(str, tree)))
            raise Refused(f"layer {name!r} holds {what}: a Dense layer has a kernel and a bias")
        found[name] = tree
        return
    for key, value in tree.items():
        _collect(value, (*path, str(key)), found)


def _ordered(names: list[str]) -> list[str]:
    """By their numbers, if that is all in which they differ."""
    if len(names) == 1:
        return names
    parts = [re.fullmatch(r"(.*?)(\d+)", name) for name in names]
    if any(part is None for part in parts) or len({part[1] for part in parts if part}) > 1:
        raise Refused(
            f"the layers {', '.join(names)} do not tell their order: give their names in order as layers=, "
            "or pass one part of params"
        )
    return sorted(names, key=lambda name: int(re.sub(r".*?(\d+)$", r"\1", name)))


def _chosen(names: list[str], layers: Sequence[str]) -> list[str]:
    chosen = list(layers)
    if sorted(chosen) != sorted(names):
        raise Refused(f"layers must name each of {', '.join(names)} once; got {', '.join(chosen)}")
    return chosen


def _array(leaf: Any, part: str) -> NDArray[Any] | None:
    """An array, or a variable of nnx; half precision as single."""
    if leaf is None:
        return None
    value = leaf.get_value() if hasattr(leaf, "get_value") else getattr(leaf, "value", leaf)
    if value is None:
        return None
    try:
        array = np.asarray(value)
        return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise Refused(f"{part} must hold arrays of numbers: {error}") from error
