"""show_config: what this installation runs on."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Literal, overload

import numpy as np
import scipy

from deltanet._core.context import simd

__version__: str = version("deltanet")


def get_include() -> str:
    """The folder of deltanet.h, the C interface: for the -I of a compiler.

    Returns
    -------
    str

    See Also
    --------
    MLP.c_address, MLP.c_net, MLP.c_functions : A net, and the functions, for C.

    Examples
    --------
    >>> import deltanet as dn, os
    >>> os.listdir(dn.get_include())
    ['deltanet.h']
    """
    return str(Path(__file__).with_name("include"))


@overload
def show_config(mode: Literal["stdout"] = "stdout") -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, str]: ...
def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, str] | None:
    """Versions, BLAS and vector instructions in use.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        Print, or return a dict.

    Returns
    -------
    dict of str, or None
        None if it is printed.

    Raises
    ------
    ValueError
        If mode has another value, or the environment variable DELTANET_SIMD.

    Examples
    --------
    >>> import deltanet as dn
    >>> dn.show_config(mode="dicts")["deltanet"] == dn.__version__
    True
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"mode must be 'stdout' or 'dicts'; got {mode!r}")
    blas = scipy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    config = {
        "deltanet": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "blas": f"{blas['name']} {blas['version']}",
        "simd": simd(),
    }
    if mode == "dicts":
        return config
    width = max(map(len, config))
    for key, value in config.items():
        print(f"{key:{width}}  {value}")
    return None
