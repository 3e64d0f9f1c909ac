"""load and save, one file per format, dispatched by suffix; live models, one file per framework."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import DTypeLike

from deltanet._activations import registered
from deltanet._io import _content, npz, safetensors
from deltanet._io._files import reading
from deltanet._io._told import Content, Note
from deltanet._io.flax import from_flax
from deltanet._io.keras import from_keras
from deltanet._io.sklearn import from_sklearn
from deltanet._io.torch import from_torch
from deltanet._mlp import MLP
from deltanet._parallel import check_environment
from deltanet._types import Activation

__all__ = ["from_flax", "from_keras", "from_sklearn", "from_torch", "load", "save"]

Path_ = str | os.PathLike[str]
Function = TypeVar("Function", bound=Callable[..., Any] | None)
READERS = {".npz": npz.read, ".safetensors": safetensors.read}
WRITERS = {".npz": npz.write, ".safetensors": safetensors.write}

# What to do about the files of others: pickles run code, and are left to those who write them
_TORCH = (
    "load it with torch; give a module to from_torch, write a state_dict by numpy.savez for load"
)
_PICKLE = "load it with the package that wrote it, and give the model to from_sklearn or from_torch"
_KERAS = "load it with keras, and give the model to from_keras"
READ_BY = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".ts"), _TORCH),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), _PICKLE),
    **dict.fromkeys((".keras", ".h5"), _KERAS),
    ".mat": "read it with scipy.io.loadmat, and give its matrices to MLP.from_layers",
}
WRITTEN_BY = {
    **dict.fromkeys((".pt", ".pth"), "for torch, torch.save the state_dict of net.to_torch()"),
    ".mat": "for MATLAB, give weights, biases and scalings to scipy.io.savemat",
}


def load(
    path: Path_,
    activation: Activation | Sequence[Activation] | None = None,
    output: Activation | None = None,
    dtype: DTypeLike | None = None,
    *,
    prefix: str | Sequence[str] | None = None,
    keys: Sequence[str | tuple[str, str | None]] | None = None,
) -> MLP:
    """A net from a model file. No code from the file is run.

    Parameters
    ----------
    path : str or os.PathLike
        `.npz` or `.safetensors` as `save` writes them, or a state_dict in one of these: arrays with names
        like 0.weight, fc1.bias, W1, policy.dense.kernel; `.onnx`, a chain of dense layers and activations.
    activation : str, (str, float, ...) or list of these, optional
        Of the hidden layers, for a state_dict; other files name their own.
    output : str or (str, float, ...), optional
        For a state_dict, the activation of the last layer. For ONNX, the name of the output to take, if the
        graph has several.
    dtype : {"float64", "float32"}, optional
        By default that of the file; float32 for half precision and bfloat16.
    prefix : str or sequence of str, optional
        For a state_dict: only arrays whose names begin so. Of several prefixes, one after the other.
    keys : sequence of str or of (str, str or None), optional
        For a state_dict: the layers in their order, by the names of modules ("policy_net.0") or of weights
        ("policy_net.0.weight"), or as pairs of a weight's name and its bias's.

    Returns
    -------
    MLP

    Warns
    -----
    UserWarning
        If arrays of a state_dict were left out that neither `prefix` nor `keys` excludes, or if layers of an
        ONNX graph share a weight: each has a copy then. `deltanet info` says what else was done.

    Raises
    ------
    ValueError
        If the file is broken or holds something else than a multi-layer perceptron; an ONNX graph
        is refused by the name of the node.
    OSError
        If the file cannot be read.
    MemoryError
        If the parameters exceed the memory available.
    ImportError
        If the package that the format needs is not installed.

    Notes
    -----
    The layers of a state_dict come in the order of the numbers in their names. Layers whose names differ
    in more than numbers must follow each other, by their shapes, in one order only. Matrices are
    (n_out, n_in) as torch's are, but (n_in, n_out) where the name is "kernel".

    In an ONNX graph, affine operations before the first layer become the input scaling, those behind the
    last one the output scaling. In between they are folded into weights and biases.

    Examples
    --------
    >>> import deltanet as dn, os, tempfile
    >>> net = dn.MLP([4, 8, 2], seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.npz")
    ...     dn.save(net, path)
    ...     dn.load(path) == net
    True
    """
    net, notes = load_and_tell(path, activation, output, dtype, prefix=prefix, keys=keys)
    for note in notes:
        if note.warn:
            warnings.warn(f"{os.fspath(path)}: {note.text}", stacklevel=2)
    return net


def load_and_tell(
    path: Path_,
    activation: Any = None,
    output: Any = None,
    dtype: DTypeLike | None = None,
    *,
    prefix: Any = None,
    keys: Any = None,
) -> tuple[MLP, list[Note]]:
    """The net of `load`, and what is to be said of how it came about."""
    check_environment()
    suffix = Path(path).suffix.lower()
    known({**READERS, ".onnx": None}, suffix, path, READ_BY)
    with reading(path):  # nothing else catches: whatever a file does, it ends here
        content = _read(path, suffix, activation, output, prefix, keys)
        net = built(content, dtype)
    return net, content.notes


def built(content: Content, dtype: DTypeLike | None) -> MLP:
    """The net of what a file holds."""
    labels = content.layers.pop("labels", {})
    net = MLP.from_layers(**content.layers, dtype=dtype)
    for name, value in labels.items():
        setattr(net, name, value)
    return net


def _read(
    path: Path_, suffix: str, activation: Any, output: Any, prefix: Any, keys: Any
) -> Content:
    if suffix == ".onnx":
        from deltanet._io import onnx

        if any(each is not None for each in (activation, prefix, keys)):
            raise ValueError(
                "it names its activations and layers: give no activation=, prefix= or keys="
            )
        return onnx.read(path, output)
    header, arrays = READERS[suffix](path)
    return _content.unpack(header, arrays, activation, output, prefix, keys)


def save(net: MLP, path: Path_) -> None:
    """Write a net to a model file: layers, activations, scalings, names, units and a format version.

    The file is written beside the target and renamed: a stopped run leaves the old one or the new one.

    Parameters
    ----------
    net : MLP
    path : str or os.PathLike
        Ending in `.npz`, `.safetensors` or `.onnx`. An ONNX file has the input "x" and the output "y", of any
        number of samples; onnxruntime runs it, and `load` reads it back to the same bits.

    Raises
    ------
    ValueError
        For another ending, a registered activation, whose functions no file holds, and where a parameter
        is NaN or infinite: `load` would refuse the file.
    OSError
        If the file cannot be written.
    ImportError
        If the package that the format needs is not installed.

    Examples
    --------
    See `load`.
    """
    suffix = Path(path).suffix.lower()
    known({**WRITERS, ".onnx": None}, suffix, path, WRITTEN_BY)
    refuse_functions(net)
    if suffix == ".onnx":
        from deltanet._io import onnx

        onnx.write(path, net)
    else:
        WRITERS[suffix](path, *_content.pack(net))


def refuse_functions(net: MLP) -> None:
    """Refuse activations that no file can hold."""
    for k, functions in registered(net.activations):
        raise ValueError(
            f"layer {k} has the registered activation {functions.name!r}: a file holds no Python functions"
        )


def known(
    formats: Mapping[str, Function], suffix: str, path: Path_, others: Mapping[str, str]
) -> Function:
    """The function of a suffix. `others` says what to do about endings that other packages have."""
    if suffix not in formats:
        way = f"; {others[suffix]}" if suffix in others else ""
        raise ValueError(f"{os.fspath(path)} must end in one of {', '.join(formats)}{way}")
    return formats[suffix]
