"""The `onnx` package, and the key of our metadata."""

from __future__ import annotations

from typing import Any

from deltanet import _extras

METADATA = "deltanet"  # the key under which a model's metadata hold our header as JSON


def package() -> Any:
    """The `onnx` package."""
    return _extras.package("onnx.numpy_helper", "onnx", "a file of onnx")
