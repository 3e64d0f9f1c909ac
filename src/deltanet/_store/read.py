"""A store is opened: what it claims is compared with what is there, before anything of its size is made."""

import errno
import json
import os
from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deltanet import _factors, _io, _limits, _memory, _validate
from deltanet._io import _content
from deltanet._io._files import reading
from deltanet._io.jacobian import counts
from deltanet._store.documents import plain, rows
from deltanet._store.layout import (
    DOCUMENT,
    DONE,
    FORMAT_VERSION,
    FORMS,
    NET,
    WRT,
    Layout,
    chunk,
    done_key,
)
from deltanet._store.place import Place
from deltanet._types import Array, DType, Shape

if TYPE_CHECKING:
    from deltanet._mlp import MLP

STRANGE = "it must be a store that dn.write has made"
MARK_BYTES = 8  # of an entry of `done`
MOST = 2**62  # samples, or rows of a block


class Stored(NamedTuple):
    """A store that was found right. `about` is what it says of the job that wrote it."""

    place: Place
    layout: Layout
    net: "MLP"
    about: dict[str, Any]


def opened(path: str | os.PathLike[str], read_only: bool = True) -> Stored:
    """The store at a path, if `dn.write` has made it."""
    place = Place(path, read_only)
    if place.folder is not None and not place.folder.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place.name)
    with reading(place.name):
        (found,) = documents(place, [""], "group")
        about = found["attributes"].get("deltanet")
        if not isinstance(about, dict):
            raise ValueError(f"{STRANGE}; it says nothing of deltanet")
        layout = claimed(about)
        compare(place, rows(layout))
        net = inner_net(place, layout)
        if net._token() != about.get("net"):
            raise ValueError("the net in it is not the one of which it was computed")
    return Stored(place, layout, net, about)


def documents(place: Place, names: Sequence[str], kind: str) -> list[dict[str, Any]]:
    """What Zarr says of groups or arrays."""
    keys = [f"{name}/{DOCUMENT}".lstrip("/") for name in names]
    for key, size in zip(keys, place.sizes(keys), strict=True):
        if size is None:
            raise ValueError(f"{STRANGE}; it has no {key}")
        if size > _limits.DOCUMENT_BYTES:
            raise ValueError(f"{key} must have {_limits.DOCUMENT_BYTES} bytes at most; got {size}")
    made = []
    for key, text in zip(keys, place.get_all(keys), strict=True):
        found = json.loads(text or b"")
        if not isinstance(found, dict) or not isinstance(found.get("attributes"), dict):
            raise ValueError(f"{key} must be an object with attributes")
        if (found.get("zarr_format"), found.get("node_type")) != (3, kind):
            raise ValueError(f"{key} must be the one of a Zarr v3 {kind}")
        made.append(found)
    return made


def claimed(about: dict[str, Any]) -> Layout:
    """The layout that the attributes tell."""
    if about.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"format_version must be {FORMAT_VERSION}; got {about.get('format_version')!r}"
        )
    form = _validate.choice(about.get("form"), FORMS, "'form'")
    wrt = _validate.choice(about.get("wrt"), WRT, "'wrt'")
    sizes = _validate.sizes(counts(about, "sizes", 2))
    biases = _validate.flags(about.get("biases"), len(sizes) - 1, "'biases'")
    _factors.countable(sizes, biases)
    kind = _validate.dtype(str(about.get("dtype")))
    samples, rows = number(about, "samples", 0), number(about, "rows", 1)
    return Layout(form, wrt, sizes, biases, kind, samples, rows)


def number(about: dict[str, Any], name: str, least: int) -> int:
    """A count of the attributes."""
    value = about.get(name)
    if type(value) is not int or not least <= value < MOST:
        raise ValueError(f"{name!r} must be a count of at least {least}; got {value!r:.60}")
    return value


def compare(place: Place, wanted: dict[str, dict[str, Any]]) -> None:
    """Refuse arrays that are not as `dn.write` makes them: others would read their chunks otherwise."""
    for name, found in zip(wanted, documents(place, list(wanted), "array"), strict=True):
        for key, value in wanted[name].items():
            if found.get(key) != value:
                raise ValueError(f"{key} of {name} must be {value}; got {found.get(key)!r:.80}")


def inner_net(place: Place, layout: Layout) -> "MLP":
    """The net that lies in a store."""
    (found,) = documents(place, [NET], "group")
    header = found["attributes"]
    if header.get("sizes") != list(layout.sizes):
        raise ValueError(f"'sizes' of the net must be {list(layout.sizes)}")
    shapes: dict[str, Shape] = {}
    for k, (n_in, n_out) in enumerate(pairwise(layout.sizes)):
        shapes[f"layers.{k}.weight"] = (n_out, n_in)
        if layout.biases[k]:
            shapes[f"layers.{k}.bias"] = (n_out,)
    there = place.sizes([f"{NET}/{name}/{DOCUMENT}" for name in _content.SCALINGS])
    for name, size in zip(_content.SCALINGS, there, strict=True):
        if size is not None:
            shapes[name] = (layout.sizes[0 if name.startswith("input") else -1],)
    arrays = net_arrays(place, shapes, layout.dtype)
    return _io.built(_content.unpack(header, arrays), layout.dtype)


def net_arrays(place: Place, shapes: dict[str, Shape], kind: DType) -> dict[str, Array]:
    """The arrays of a net, each one chunk whose length is right."""
    compare(place, {f"{NET}/{name}": plain(n, n, kind.name, 0) for name, n in shapes.items()})
    keys = [chunk(f"{NET}/{name}", 0, len(shape) - 1) for name, shape in shapes.items()]
    for key, shape, size in zip(keys, shapes.values(), place.sizes(keys), strict=True):
        nbytes = prod(shape) * kind.itemsize
        if size != nbytes:
            raise ValueError(f"{key} must have {nbytes} bytes; got {size}")
    total = (sum(map(prod, shapes.values())),)
    _memory.room(total, kind, "the net", "use a machine with more memory")
    return {
        name: np.frombuffer(held or b"", kind.newbyteorder("<")).reshape(shapes[name])
        for name, held in zip(shapes, place.get_all(keys), strict=True)
    }


def marks(place: Place, blocks: Sequence[int]) -> list[int]:
    """The entries of `done` of some blocks; 0 of one that is missing, or was half written."""
    found = place.get_all([done_key(block) for block in blocks])
    return [
        int.from_bytes(each, "little") if each and len(each) == MARK_BYTES else 0 for each in found
    ]


def finished(place: Place, blocks: range) -> dict[int, int]:
    """{block: its entry} of the finished ones among `blocks`, by what there is of `done`."""
    names = [name for name in place.names(f"{DONE}/c") if name.isdecimal() and name.isascii()]
    there = sorted(block for block in map(int, names) if block in blocks)
    found = zip(there, marks(place, there), strict=True)
    return {block: mark for block, mark in found if mark}
