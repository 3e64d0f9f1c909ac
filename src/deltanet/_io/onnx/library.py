"""The `onnx` package, and the key of our metadata."""

from __future__ import annotations

from typing import Any

METADATA = "deltanet"  # the key under which a model's metadata hold our header as JSON


def package() -> Any:
    """The `onnx` package."""
    try:
        import onnx.numpy_helper
    except ModuleNotFoundError as error:
        raise ImportError(
            "onnx files need the extra 'onnx': pip install \"deltanet[onnx]\""
        ) from error
    return onnx
