"""The part of a store that one job writes, and its lock."""

import errno
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, SupportsIndex

from deltanet import _validate
from deltanet._jobs.locks import exclusive
from deltanet._store.layout import DONE
from deltanet._store.place import Place

LOCK = re.compile(r"part-(\d+)-of-(\d+)\.lock", re.ASCII)
UNABLE = errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP  # file systems without locks

Part = tuple[int, int]  # (i, n): the i-th of n, counted from 0


def checked(part: Any) -> Part:
    """`part` of a call; (0, 1), the whole, if it is None."""
    if part is None:
        return 0, 1
    if not isinstance(part, (tuple, list)) or len(part) != 2:
        raise TypeError(f"part must be None or (i, n), the i-th of n; got {part!r}")
    i: SupportsIndex
    i, n = part
    count = _validate.whole(n, "n of part=(i, n)", 1)
    number = _validate.whole(i, "i of part=(i, n)", 0)
    if number >= count:
        raise ValueError(f"i of part=(i, n) must be between 0 and n - 1; got {tuple(part)!r}")
    return number, count


def blocks_of(part: Part, blocks: int) -> range:
    """The blocks of a part.

    Examples
    --------
    >>> [blocks_of((i, 3), 10) for i in range(3)]
    [range(0, 3), range(3, 6), range(6, 10)]
    """
    i, n = part
    return range(i * blocks // n, (i + 1) * blocks // n)


@contextmanager
def held(place: Place, part: Part, blocks: int) -> Iterator[None]:
    """Hold a part of a store in a folder until the end of the block: no other job writes into it.

    BlockingIOError if another job holds it, or a part of another n that has a block in common. Each job takes
    its own lock before it tries the others: of two that start at once, one at least is refused.
    """
    with ExitStack() as stack:
        if place.folder is not None:
            try:
                stack.enter_context(exclusive(place / file(part), what(place, part)))
                for other in others(place, part, blocks):
                    with exclusive(place / file(other), what(place, other)):
                        pass
            except OSError as error:
                if error.errno not in UNABLE:
                    raise
                warnings.warn(
                    f"{place.name} lies on a file system without locks ({error.strerror}): see to it that no "
                    "two jobs write the same part of it",
                    RuntimeWarning,
                    stacklevel=4,
                )
        yield


def file(part: Part) -> str:
    """The key of a lock: among the chunks of an array, where no reader of Zarr looks for other files."""
    return f"{DONE}/part-{part[0]}-of-{part[1]}.lock"


def what(place: Place, part: Part) -> str:
    """A part in words."""
    return f"part {part[0]} of {part[1]} of {place.name}" if part[1] > 1 else place.name


def others(place: Place, part: Part, blocks: int) -> list[Part]:
    """Parts of which there is a lock, held or not, that have a block in common with this one."""
    own, found = blocks_of(part, blocks), []
    for name in place.names(DONE):
        match = LOCK.fullmatch(name)
        if match is None:
            continue
        other = int(match[1]), max(1, int(match[2]))
        span = blocks_of(other, blocks)
        if other != part and max(own.start, span.start) < min(own.stop, span.stop):
            found.append(other)
    return found
