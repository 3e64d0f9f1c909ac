"""What the formats share: writing beside the target, and naming the file in every error."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it at the end and removed after an exception.

    A stopped process leaves the old file; at worst a `.partial` file lies beside it.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError) and error.filename == os.fspath(partial):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise


def regular_size(path: str | os.PathLike[str]) -> int:
    """Bytes of a file; a device or a pipe, which may never end, is refused before it is opened."""
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it must be a regular file, not a device or a pipe")
    return found.st_size


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever a parser raises over a broken file into one ValueError that names the file.

    Only OSError, MemoryError and ImportError (of a missing package) pass: no file can raise anything else.
    """
    name = os.fspath(path)
    try:
        yield
    except OSError as error:
        if error.filename is None:  # a seek to where a broken file points, for one
            raise OSError(error.errno or 0, str(error), name) from error
        raise
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        if not isinstance(error, (ValueError, TypeError)) or not reason:
            reason = f"the file is broken: {reason or 'no reason given'} ({type(error).__name__})"
        raise ValueError(f"{name}: {reason}") from error
