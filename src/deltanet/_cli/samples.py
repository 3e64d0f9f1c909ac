"""INPUTS as one table of rows."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deltanet._cli.options import TableOptions
from deltanet._io.table import Table, open_tables
from deltanet._rows import Chain

STANDARD_INPUT = "-"


class Samples:
    """The rows of all INPUTS, and how many were left out."""

    def __init__(self, tables: Sequence[Table], width: int) -> None:
        self.table: Any = tables[0] if len(tables) == 1 else Chain(tables, (width,))
        self.skipped = sum(table.skipped for table in tables)

    def __len__(self) -> int:
        return int(self.table.shape[0])


@contextmanager
def opened(
    inputs: Sequence[str], options: TableOptions, width: int, folder: str | None
) -> Iterator[Samples]:
    """The samples; standard input is kept in `folder`, which workers can read, until the end of the block."""
    columns = None if options.columns is None else options.columns.split(",")
    asked: dict[str, Any] = {"columns": columns, "skip_bad_rows": options.skip_bad_rows}
    if inputs.count(STANDARD_INPUT) > 1:
        raise ValueError("standard input can be read once; INPUTS name it several times")
    with _spooled(STANDARD_INPUT in inputs, folder) as spool:
        tables = open_tables(
            [spool if path == STANDARD_INPUT else path for path in inputs],
            width,
            header=options.header,
            names={spool: "standard input"},
            **asked,
        )
        yield Samples(tables, width)


@contextmanager
def _spooled(is_wanted: bool, folder: str | None) -> Iterator[str]:
    """The path of a file with all of standard input."""
    if not is_wanted:
        yield ""
        return
    number, path = tempfile.mkstemp(".csv", ".standard-input-", folder)
    try:
        with open(number, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 2**20)
        yield path
    finally:
        os.unlink(path)


def check_place(out: Path, force: bool, **sources: str | Sequence[str]) -> None:
    """Refuse a place that cannot or must not be written, such as that of what is read."""
    if not out.parent.is_dir():
        raise FileNotFoundError(f"OUT must be in a folder that exists; got {out}")
    if out.is_dir():
        raise IsADirectoryError(f"OUT must be a file; {out} is a folder")
    for name, given in sources.items():
        for source in [given] if isinstance(given, str) else given:
            if out.exists() and os.path.exists(source) and out.samefile(source):
                raise ValueError(f"OUT must not be {name}; got {out} for both")
    if not force:
        check_absent(out)


def check_absent(out: Path) -> None:
    """Refuse to overwrite."""
    if os.path.lexists(out):
        raise FileExistsError(f"{out} exists: give --force to overwrite it")
