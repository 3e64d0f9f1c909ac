"""What a failure ends with: one line on standard error, a status, and how to resume."""

from __future__ import annotations

import shlex
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

REFUSED, LOST = 2, 3
STATUSES = (
    "Exit statuses: 0 done; 1 check found wrong derivatives; 2 refused or failed, and one line on standard "
    "error says why; 3 a worker or the scheduler was lost; 129, 130, 143 ended by SIGHUP, Ctrl-C, SIGTERM. "
    "If finished work was kept, the last line on standard error is the command to resume."
)
KNOWN = (ValueError, TypeError, OSError, MemoryError, ImportError, RuntimeError)


class Kept(str):
    """A note on an exception: that what is finished is kept."""


def status(error: BaseException) -> int:
    """The status that a command ends with."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else REFUSED
    return LOST if isinstance(error, RuntimeError) else REFUSED


def message(error: BaseException) -> str:
    """What is said of it, in one line."""
    if isinstance(error, SystemExit):
        number = status(error) - 128
        names = {int(each): each.name for each in signal.Signals}
        return f"ended by {names[number]}" if number in names else "ended"
    return " ".join(str(error).split()) or type(error).__name__


def ended(error: BaseException, args: Sequence[str]) -> int:
    """Say why a command ended and how to resume it; returns the status."""
    kept = [note for note in getattr(error, "__notes__", ()) if isinstance(note, Kept)]
    if kept or isinstance(error, KNOWN):
        say(message(error))
    for note in kept:
        say(note)
        print(resuming(args), file=sys.stderr)
    return status(error)


def say(text: str) -> None:
    """One line on standard error."""
    print("deltanet:", text, file=sys.stderr)


def resuming(args: Sequence[str]) -> str:
    """The command line that resumes what these arguments began."""
    given = [arg for arg in args if arg != "--resume"]
    return shlex.join(["deltanet", *given, "--resume"])


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Let a request to end the process unwind it, so that temporary files are removed and workers end.

    Ctrl-C as well: what typer makes of a KeyboardInterrupt depends on its version.
    """
    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    # Windows has no SIGHUP, nohup ignores it
    plain = (signal.SIG_DFL, signal.default_int_handler)
    before = {n: signal.getsignal(n) for n in numbers if n and signal.getsignal(n) in plain}
    for number in before:
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def noted_warnings() -> Iterator[None]:
    """Warnings of the library are notes on standard error."""

    def note(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        say(f"note: {message}")

    with warnings.catch_warnings():
        for kind in (UserWarning, RuntimeWarning):
            warnings.simplefilter("always", kind)
        warnings.showwarning = note
        yield
