"""A store without its blocks: all that Zarr and a stranger must know to read them, and the net."""

import os
import secrets
import shutil
from typing import TYPE_CHECKING

from deltanet._store.documents import everything
from deltanet._store.layout import DOCUMENT, Layout
from deltanet._store.place import Place

if TYPE_CHECKING:
    from deltanet._mlp import MLP


def create(place: Place, layout: Layout, net: "MLP") -> bool:
    """Make the store at its place, unless another job is faster: False then.

    In a folder it is there as a whole or not at all. Behind a URL the document of the group is the last.
    """
    found = everything(layout, net)
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
