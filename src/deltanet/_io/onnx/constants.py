"""The constants of a graph: tensors in the file or beside it.

A tensor is read when it is used, and checked before anything is allocated for it.
"""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltanet._io._content import finite
from deltanet._io._files import regular_size
from deltanet._io._half import from_bfloat16

Array = NDArray[Any]
SMALL = 64  # entries of a shape or a flag: integers in a field of variable length may have no more
MOST_AXES = 8


class Type(NamedTuple):
    """How numbers of an ONNX type lie in a file."""

    name: str
    dtype: str  # of raw bytes
    field: str  # that holds the numbers where there are no raw bytes
    bits: bool = False  # they stand in that field as bits


TYPES = (
    Type("FLOAT", "<f4", "float_data"),
    Type("DOUBLE", "<f8", "double_data"),
    Type("FLOAT16", "<f2", "int32_data", bits=True),
    Type("BFLOAT16", "<u2", "int32_data", bits=True),
    Type("INT64", "<i8", "int64_data"),
    Type("INT32", "<i4", "int32_data"),
    Type("BOOL", "?", "int32_data"),
)


class Constants:
    """name -> array, by `in` and `[]`.

    Attributes
    ----------
    numbers : int
        As many as the file may hold: what is made of them must not be many more.
    doubles : bool
        Whether float64 was among them.
    """

    def __init__(self, library: Any, graph: Any, folder: Path, size: int) -> None:
        self._kinds, self._folder = library.TensorProto, folder
        self._types = {getattr(self._kinds, each.name): each for each in TYPES}
        self._tensors: dict[str, Any] = {}
        self._arrays: dict[str, Array] = {}  # of tensors that have been read
        self._made: dict[str, Array] = {}  # by nodes
        self.numbers, self.doubles = size // 4, False
        for tensor in graph.initializer:
            if tensor.name in self._tensors:
                raise ValueError(f"constant {tensor.name!r} is there twice")
            self._tensors[tensor.name] = tensor
        if graph.sparse_initializer:
            raise ValueError("sparse initializers are not supported")

    def __contains__(self, name: object) -> bool:
        return name in self._made or name in self._tensors

    def __getitem__(self, name: str) -> Array:
        if name in self._made:
            return self._made[name]
        if name not in self._arrays:
            self._arrays[name] = self.read(self._tensors[name], name)
        return self._arrays[name]

    def __setitem__(self, name: str, array: Array) -> None:
        self._made[name] = array

    def forget(self) -> None:
        """What nodes have made: they are followed once more."""
        self._made = {}

    @property
    def stored(self) -> list[str]:
        """Names of the tensors in the file."""
        return [*self._tensors]

    def dtype(self, kind: int) -> np.dtype[Any] | None:
        """The dtype of an ONNX type, or None."""
        found = self._types.get(kind)
        if found is None:
            return None
        return np.dtype("f4" if found.name == "BFLOAT16" else found.dtype)

    def read(self, tensor: Any, name: str) -> Array:
        """A tensor as an array, when its numbers are as many as its shape says."""
        what = f"constant {name!r}"
        kind = self._types.get(tensor.data_type)
        if kind is None:
            raise ValueError(f"{what} {self._refusal(tensor.data_type)}")
        if len(tensor.dims) > MOST_AXES or any(n < 0 for n in tensor.dims):
            raise ValueError(f"{what} must have up to {MOST_AXES} axes, none of negative length")
        shape = tuple(tensor.dims)
        if tensor.data_location == self._kinds.EXTERNAL or tensor.external_data:
            array = self._beside(tensor, np.dtype(kind.dtype), shape, what)
        else:
            array = _inside(tensor, kind, shape, what)
        if kind.name == "BFLOAT16":
            array = from_bfloat16(array)
        if array.dtype.kind == "f":
            finite(array, what)
            self.doubles |= array.dtype == np.float64
        return array.reshape(shape)

    def _refusal(self, kind: int) -> str:
        names = {number: name for name, number in self._kinds.DataType.items()}
        name = names.get(kind, str(kind))
        if name.startswith("FLOAT8"):
            return f"holds 8-bit floats ({name}), which are not read: store it as FLOAT"
        return f"must hold numbers; got ONNX type {name}"

    def _beside(
        self, tensor: Any, dtype: np.dtype[Any], shape: tuple[int, ...], what: str
    ) -> Array:
        """Numbers that lie in another file of the model's folder."""
        where = {entry.key: entry.value for entry in tensor.external_data}
        path = self._inside_folder(where.get("location", ""), what)
        try:
            size = regular_size(path)
        except (ValueError, OSError) as error:
            raise ValueError(f"{what} lies in {path.name!r}: {_reason(error)}") from error
        needed = math.prod(shape) * dtype.itemsize
        offset = _count(where.get("offset", "0"), what)
        length = _count(where.get("length", str(needed)), what)
        if length != needed or offset + needed > size:
            raise ValueError(
                f"{what} of shape {shape} takes {needed} bytes; the file says {length} from {offset} on, of "
                f"{size} bytes in {path.name!r}"
            )
        with open(path, "rb") as file:
            array = np.fromfile(file, dtype, math.prod(shape), offset=offset)
        self.numbers += array.size
        return array

    def _inside_folder(self, location: str, what: str) -> Path:
        """A path in the folder of the model, links followed."""
        parts = PurePosixPath(location).parts
        foreign = PureWindowsPath(location)
        inside = bool(parts) and not (foreign.drive or foreign.root or ".." in foreign.parts)
        folder = self._folder.resolve()
        path = (folder / location).resolve() if inside and "\0" not in location else folder
        if not inside or folder not in path.parents:
            raise ValueError(
                f"{what} lies in {location!r}: data must be in the folder of the model, or in the model "
                "itself (torch.onnx.export: external_data=False)"
            )
        if not path.exists():
            raise ValueError(
                f"{what} lies in another file, {location!r}, which is not there: put it beside the model, or "
                "export the model as one file (torch.onnx.export: external_data=False)"
            )
        return path


def _reason(error: ValueError | OSError) -> str:
    return (error.strerror or "") if isinstance(error, OSError) else str(error)


def _count(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(f"{what} has a place in another file that is no number: {text!r:.40}")
    return int(text)


def _inside(tensor: Any, kind: Type, shape: tuple[int, ...], what: str) -> Array:
    """Numbers that are in the file, as raw bytes or one by one."""
    dtype = np.dtype(kind.dtype)
    numbers = None if tensor.raw_data else getattr(tensor, kind.field)
    found = len(tensor.raw_data) / dtype.itemsize if numbers is None else len(numbers)
    if math.prod(shape) != found:
        raise ValueError(f"{what} of shape {shape} and type {kind.name} holds {found:g} numbers")
    if numbers is None:
        return np.frombuffer(tensor.raw_data, dtype)
    if kind.bits:
        return np.fromiter(numbers, "<u2", len(numbers)).view(dtype)
    if dtype.kind != "f" and len(numbers) > SMALL:
        raise ValueError(f"{what} has {len(numbers)} integers: more than {SMALL}")
    return np.fromiter(numbers, dtype, len(numbers))
