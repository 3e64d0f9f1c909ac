"""The documents of a store, which Zarr v3 calls zarr.json: of the group, of each array, of the net inside.

They are written as the specification has them, so that their bytes do not depend on the version of Zarr.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deltanet._config import __version__
from deltanet._io import _content
from deltanet._jobs.identity import environment
from deltanet._store.layout import DOCUMENT, DONE, NET, SAMPLE, Layout, attributes, chunk
from deltanet._types import Shape

if TYPE_CHECKING:
    from deltanet._mlp import MLP

Document = dict[str, Any]


def plain(shape: Shape, chunks: Shape, kind: str, fill: float | str) -> Document:
    """What must be said of an array whose chunks are the bytes of its numbers."""
    return {
        "shape": list(shape),
        "data_type": kind,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    }


def rows(layout: Layout) -> dict[str, Document]:
    """What must be said of the arrays of the samples, and of `done`, by name."""
    found = {
        name: plain(
            (layout.samples, *member.shape),
            (layout.rows, *member.shape),
            layout.dtype.name,
            "NaN",
        )
        for name, member in layout.members.items()
    }
    return found | {DONE: plain((layout.blocks,), (1,), "uint64", 0)}


def everything(layout: Layout, net: "MLP") -> dict[str, NDArray[Any]]:
    """Everything but the blocks, by key."""
    found = {DOCUMENT: group(attributes(layout, __version__, net._token(), environment()))}
    about = {
        name: ([SAMPLE, *member.axes], member.about) for name, member in layout.members.items()
    }
    text = f"0, or XXH64 (seed 0; 1 for 0) of the inputs of {layout.rows} samples that are finished"
    about[DONE] = ["block"], text
    for name, told in rows(layout).items():
        axes, words = about[name]
        found[f"{name}/{DOCUMENT}"] = array(told, axes, {"about": words})
    header, arrays = _content.pack(net)
    found[f"{NET}/{DOCUMENT}"] = group(header)
    for name, numbers in arrays.items():
        told = plain(numbers.shape, numbers.shape, numbers.dtype.name, 0)
        found[f"{NET}/{name}/{DOCUMENT}"] = array(told, None, {})
        found[chunk(f"{NET}/{name}", 0, numbers.ndim - 1)] = numbers
    return found


def group(about: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The document of a group."""
    return written({"attributes": about, "zarr_format": 3, "node_type": "group"})


def array(told: Document, axes: list[str] | None, about: Mapping[str, str]) -> NDArray[np.uint8]:
    """The document of an array."""
    named = {} if axes is None else {"dimension_names": axes}
    return written(
        {**told, "attributes": about, **named, "zarr_format": 3, "node_type": "array"}
        | {"storage_transformers": []}
    )


def written(document: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The bytes of a document."""
    return np.frombuffer(json.dumps(document, indent=1).encode(), np.uint8)
