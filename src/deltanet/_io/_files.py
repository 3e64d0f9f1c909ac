"""What the formats share: writing beside the target, and naming the file in every error."""

import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path):
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


@contextmanager
def reading(path, *broken):
    """Turn what a parser raises over a broken file into one ValueError that names the file."""
    try:
        yield
    except OSError as error:
        if error.filename is None:  # a seek to where a broken file points, for one
            raise OSError(error.errno or 0, str(error), os.fspath(path)) from error
        raise
    except (ValueError, TypeError, RecursionError, *broken) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{os.fspath(path)}: {reason}") from error
