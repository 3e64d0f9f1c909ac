"""deltanet: the full, factored Jacobian of a multi-layer perceptron."""

import typing as _typing

from deltanet._config import __version__, get_include, show_config
from deltanet._core.capi import API as _C_API  # noqa: F401  # PyCapsule_Import finds it here
from deltanet._fit import Fit, fit, residuals
from deltanet._io import from_flax, from_keras, from_sklearn, from_torch, load, save
from deltanet._jacobian import Jacobian
from deltanet._kfac import KFAC
from deltanet._memory import cache_info, clear_cache
from deltanet._mixed_hessian import MixedHessian
from deltanet._mlp import MLP
from deltanet._parallel import get_num_threads, set_num_threads
from deltanet._register import register_activation

__all__ = [
    "KFAC",
    "MLP",
    "Fit",
    "Jacobian",
    "MixedHessian",
    "__version__",
    "cache_info",
    "clear_cache",
    "fit",
    "from_flax",
    "from_keras",
    "from_sklearn",
    "from_torch",
    "get_include",
    "get_num_threads",
    "load",
    "register_activation",
    "residuals",
    "save",
    "set_num_threads",
    "show_config",
    "testing",
    "write",
]


if _typing.TYPE_CHECKING:
    from deltanet import dask as dask
    from deltanet import testing
    from deltanet._store import open as open
    from deltanet._store import write
else:

    def __getattr__(name):
        # testing brings in scipy.special, which takes longer to import than all the rest
        if name == "testing":
            import deltanet.testing

            return deltanet.testing
        # open is not in __all__: `import *` leaves Python's own alone
        if name in ("open", "write"):
            from deltanet import _store

            return getattr(_store, name)
        if name == "dask":  # not in __all__: it would hide the package in `from deltanet import *`
            import deltanet.dask

            return deltanet.dask
        raise AttributeError(f"module 'deltanet' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, without the modules that hold them."""
    return sorted([*__all__, "open"])
