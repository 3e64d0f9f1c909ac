"""load and save: one file per format, dispatched by suffix."""

from pathlib import Path

from deltanet._io import _content, npz, safetensors
from deltanet._io._files import reading
from deltanet._mlp import MLP
from deltanet._parallel import check_environment

READERS = {".npz": npz.read, ".safetensors": safetensors.read}
WRITERS = {".npz": npz.write, ".safetensors": safetensors.write}


def load(path, activation=None, output=None, dtype=None):
    """A net from a model file. No code from the file is run.

    Parameters
    ----------
    path : str or os.PathLike
        `.npz` or `.safetensors` as `save` writes them, or a torch state_dict of a Sequential in one of
        these (keys 0.weight, 0.bias, 2.weight, ...); `.onnx`, a chain of dense layers and activations.
    activation, output : str, (str, float) or list of these, optional
        Of the hidden layers and of the last one, for a state_dict; other files name their own.
    dtype : {"float64", "float32"}, optional
        By default that of the file; float32 for half precision.

    Returns
    -------
    MLP

    Raises
    ------
    ValueError
        If the file is broken or holds something else than a multi-layer perceptron; an ONNX graph
        is refused by the name of the node.
    OSError
        If the file cannot be read.
    ImportError
        If the package that the format needs is not installed.

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
    check_environment()
    suffix = Path(path).suffix.lower()
    if suffix == ".onnx":
        if activation is not None or output is not None:
            raise ValueError(f"{path} names its activations: give no activation= and no output=")
        from deltanet._io import onnx

        layers = onnx.read(path)
    else:
        reader = known(READERS | {".onnx": None}, suffix, path)
        header, arrays = reader(path)
        with reading(path):
            layers = _content.unpack(header, arrays, activation, output)
    labels = layers.pop("labels", {})
    with reading(path):
        net = MLP.from_layers(**layers, dtype=dtype)
        for name, value in labels.items():
            setattr(net, name, value)
    return net


def save(net, path):
    """Write a net to a model file: layers, activations, scalings, names, units and a format version.

    The file is written beside the target and renamed: a stopped run leaves the old one or the new one.

    Parameters
    ----------
    net : MLP
    path : str or os.PathLike
        Ending in `.npz` or `.safetensors`.

    Raises
    ------
    ValueError
        For another ending, and where a parameter is NaN or infinite: `load` would refuse the file.
    OSError
        If the file cannot be written.
    ImportError
        If the package that the format needs is not installed.

    Examples
    --------
    See `load`.
    """
    known(WRITERS, Path(path).suffix.lower(), path)(path, *_content.pack(net))


def known(formats, suffix, path):
    """The function of a suffix."""
    if suffix not in formats:
        raise ValueError(f"{path} must end in one of {', '.join(formats)}")
    return formats[suffix]
