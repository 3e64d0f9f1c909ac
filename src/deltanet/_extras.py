"""Packages of the extras, which are imported when they are asked for."""

import importlib
from typing import Any


def package(name: str, extra: str, what: str) -> Any:
    """Import a module, and return its package, as `import a.b` returns a; ImportError names the extra."""
    root = name.partition(".")[0]
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):  # Keras without its backend
            raise ImportError(f"{root} cannot be imported: {error}") from error
        raise ImportError(
            f'{what} needs the extra {extra!r}: pip install "deltanet[{extra}]"'
        ) from error
    return importlib.import_module(root)
