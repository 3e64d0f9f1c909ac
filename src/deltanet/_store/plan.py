"""What dn.write is asked for, and the store at its path: a new one, or one that was begun."""

import errno
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deltanet import _io, _validate
from deltanet._config import __version__
from deltanet._jobs.checkpoint import same_job, same_machine
from deltanet._jobs.identity import environment
from deltanet._memory import human
from deltanet._rows import rows as rows_of
from deltanet._store.create import create
from deltanet._store.hold import Part, blocks_of
from deltanet._store.layout import DOCUMENT, DONE, FORMS, NET, WRT, Layout, attributes, planned
from deltanet._store.place import Place
from deltanet._store.read import Stored, opened

if TYPE_CHECKING:
    from deltanet._mlp import MLP


class Plan:
    """The arguments of dn.write that decide what lies in the store."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        net: "MLP",
        X: Any,
        form: object,
        wrt: object,
        rows: Any,
    ) -> None:
        form = _validate.choice(form, FORMS, "form")
        wrt = _validate.choice(wrt, WRT, "wrt")
        if wrt == "inputs" and form != "dense":
            raise ValueError(f"wrt='inputs' needs form='dense'; got form={form!r}")
        self.rows = None if rows is None else _validate.whole(rows, "rows", 1)
        _io.refuse_functions(net)
        self.net, self.place = net, Place(path)
        self.X = rows_of(X, net.sizes[:1], net.dtype)
        biases = [b is not None for b in net.biases]
        self.layout = planned(form, wrt, net.sizes, biases, net.dtype, len(self.X), self.rows)

    def store(self, part: Part, joins: bool) -> Stored:
        """The store at the path, a new one or the one of this job; `joins`: whether it may be there."""
        place, blocks = self.place, blocks_of(part, self.layout.blocks)
        if not self.is_begun(joins):
            check_room(place, self.layout, len(blocks))
            if not create(place, self.layout, self.net) and not joins:
                raise self.in_the_way()
        found = opened(place.name, read_only=False)
        self.compare(found)
        return found

    def is_begun(self, joins: bool) -> bool:
        """Whether there is a store to be joined. What must not be overwritten is refused."""
        there, begun = self.found()
        if there and not joins:
            raise self.in_the_way()
        return begun

    def found(self) -> tuple[bool, bool]:
        """Whether there is something at the path, and whether it is to be opened as a store."""
        place = self.place
        if place.folder is None:
            names = place.names("")
            # without the document of the group, a store whose making was stopped
            if DOCUMENT not in names and not {*names} <= {*self.layout.members, DONE, NET}:
                raise ValueError(f"{place.name} holds other things than a store of deltanet")
            return bool(names), DOCUMENT in names
        if os.path.lexists(place.folder):
            empty = place.folder.is_dir() and not os.listdir(place.folder)
            return True, not empty
        if not place.folder.parent.is_dir():
            raise FileNotFoundError(f"{place.name} must be in a folder that exists")
        return False, False

    def in_the_way(self) -> FileExistsError:
        return FileExistsError(
            f"{self.place.name} exists: give resume=True to go on with it, or another path"
        )

    def compare(self, stored: Stored) -> None:
        """Refuse the store of another job; warn if it was begun on another kind of machine."""
        layout, name = self.layout, f"store {self.place.name!r}"
        if self.rows is None:  # those of the store
            layout = replace(layout, rows=stored.layout.rows)
        machine = environment()
        told = attributes(layout, __version__, self.net._token(), machine)["deltanet"]
        same_job(name, without(stored.about, "machine"), without(told, "machine"))
        found = stored.about.get("machine")
        same_machine(name, found if isinstance(found, dict) else {}, machine)


def without(values: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


def check_room(place: Place, layout: Layout, blocks: int) -> None:
    """Refuse a job that the disk cannot hold."""
    if place.folder is None or not blocks:
        return
    nbytes = blocks * layout.block_bytes
    there = place.folder if place.folder.exists() else place.folder.parent
    free = shutil.disk_usage(there).free
    if nbytes > free:
        raise OSError(
            errno.ENOSPC,
            f"{human(nbytes)} are to be written, {human(free)} are free on the disk",
            place.name,
        )
