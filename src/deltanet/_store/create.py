"""A store without its blocks: all that Zarr and a stranger must know to read them, and the net."""

import os
import secrets
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from deltanet._config import __version__
from deltanet._extras import package
from deltanet._io import _content
from deltanet._jobs.identity import environment
from deltanet._store.layout import DOCUMENT, DONE, NET, SAMPLE, Layout, attributes, chunk
from deltanet._store.place import Place, raw

if TYPE_CHECKING:
    from deltanet._mlp import MLP

PLAIN: dict[str, Any] = {
    "compressors": None,
    "filters": None,
}  # a chunk is the bytes of its numbers


def create(place: Place, layout: Layout, net: "MLP") -> bool:
    """Make the store at its place, unless another job is faster: False then.

    In a folder it is there as a whole or not at all. Behind a URL the document of the group is the last.
    """
    found = documents(layout, net)
    if place.folder is None:
        root = {DOCUMENT: found.pop(DOCUMENT)}
        place.put(found)
        place.put(root)
        return True
    partial = place.folder.with_name(f".{place.folder.name}.{secrets.token_hex(4)}.partial")
    try:
        partial.mkdir()
        Place(partial).put(found)
        os.rename(partial, place.folder)
    except OSError as error:
        if place.folder.exists():
            return False
        raise OSError(error.errno, error.strerror, place.name) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def documents(layout: Layout, net: "MLP") -> dict[str, Any]:
    """Everything but the blocks, by key."""
    zarr = package("zarr", "zarr", "a store")
    held: dict[str, Any] = {}
    about = attributes(layout, __version__, net._token(), environment())
    group = zarr.create_group(zarr.storage.MemoryStore(held), attributes=about)
    for name, member in layout.members.items():
        group.create_array(
            name,
            shape=(layout.samples, *member.shape),
            chunks=(layout.rows, *member.shape),
            dtype=layout.dtype.name,
            fill_value=np.nan,
            dimension_names=[SAMPLE, *member.axes],
            attributes={"about": member.about},
            **PLAIN,
        )
    group.create_array(
        DONE,
        shape=(layout.blocks,),
        chunks=(1,),
        dtype="uint64",
        fill_value=0,
        dimension_names=["block"],
        attributes={
            "about": f"0, or a hash of the inputs of {layout.rows} samples that are finished"
        },
        **PLAIN,
    )
    header, arrays = _content.pack(net)
    inner = group.create_group(NET, attributes=header)
    chunks = {}
    for name, array in arrays.items():
        inner.create_array(
            name,
            shape=array.shape,
            chunks=array.shape,
            dtype=array.dtype.name,
            fill_value=0,
            **PLAIN,
        )
        chunks[chunk(f"{NET}/{name}", 0, array.ndim - 1)] = raw(array)
    return {key: np.frombuffer(each.to_bytes(), np.uint8) for key, each in held.items()} | chunks
