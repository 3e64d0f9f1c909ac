"""Locks of files that die with their process, however it ends.

A record lock of POSIX belongs to one process: no child inherits it, so the workers of a pool cannot keep it
alive. But it does not exclude a second holder in the same process, and it is lost when any descriptor of the
file is closed there: so the files that this process has locked are listed here.
"""

import _thread
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_TAKEN = errno.EACCES, errno.EAGAIN, errno.EDEADLK  # what the systems say if another process has it
_held: set[str] = set()
_guard = _thread.allocate_lock()  # of the list


@contextmanager
def exclusive(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Hold the lock of a file, which is made if there is none and stays, until the end of the block.

    `what` names what the file guards. BlockingIOError, at once, if another job has the lock.
    """
    name = os.path.realpath(path)
    with _guard:
        if name in _held:
            raise _taken(what)
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in _TAKEN:
                raise _taken(what) from None
            raise
        _held.add(name)
    owner = os.getpid()
    try:
        yield
    finally:
        if owner == os.getpid():  # a child that was forked meanwhile has no part in it
            with _guard:
                _held.discard(name)
                os.close(descriptor)


def _taken(what: str) -> BlockingIOError:
    return BlockingIOError(
        errno.EAGAIN, f"{what} is in use by another job; wait for its end, or end it"
    )


def _forked() -> None:
    """A child holds none of its parent's locks."""
    global _guard
    _guard = _thread.allocate_lock()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
