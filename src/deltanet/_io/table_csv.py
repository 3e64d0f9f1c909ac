"""Tables in .csv files: an index of where rows begin lets any block be read without what stands before it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from deltanet._io._files import regular_size
from deltanet._io.table import Array, Columns, Request, Table

COLUMN = 256  # characters that a column may take in a line
LINE = 2**20  # bytes of a line at most, if columns are to be chosen
INDEXED_ROWS = 1024  # from one entry of the index to the next
CHUNK = 2**16  # bytes that are searched for ends of lines at once
EMPTY = [*b" \t\v\f\r\n#"]  # what a line that is no row may begin with
MARK = b"\xef\xbb\xbf"  # of UTF-8
SAY_WHETHER = "say --header, or --no-header if it is a sample"


@dataclass(frozen=True)
class CsvTable(Table):
    """Lines of numbers, comma separated; empty ones and those that begin with # are no rows."""

    fields: int = 0  # of a line
    size: int = 0  # bytes of the file
    places: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    # bytes, where every INDEXED_ROWS-th row begins, and the end of the last

    def _read(self, first: int, end: int, left_out: NDArray[np.int64]) -> Array:
        """Some rows at a time, as lines of text take several times the memory of their numbers."""
        block = np.empty((end - first - len(left_out), self.width))
        done, bad = 0, set((left_out + first).tolist())
        for start in range(first, end, INDEXED_ROWS):
            lines = self._lines(start, min(start + INDEXED_ROWS, end))
            good = (
                [line for row, line in enumerate(lines, start) if row not in bad] if bad else lines
            )
            block[done : done + len(good)] = self._numbers(good)
            done += len(good)
        return block

    def _lines(self, first: int, end: int) -> list[bytes]:
        """The lines of the rows [first, end)."""
        block, stop = first // INDEXED_ROWS, -(-end // INDEXED_ROWS)
        begin, length = int(self.places[block]), int(self.places[stop] - self.places[block])
        with open(self.path, "rb") as file:
            if regular_size(self.path) != self.size:
                raise ValueError("it was changed while it was read")
            file.seek(begin)
            lines = [line for line in file.read(length).splitlines() if _holds(line)]
        return lines[first - block * INDEXED_ROWS : end - block * INDEXED_ROWS]

    def _numbers(self, lines: list[bytes]) -> Array:
        """The numbers in lines; ValueError if one of them is not a row."""
        if not lines:
            return np.empty((0, self.width))
        for line in lines:
            if line.count(b'"') % 2 or (self.columns and _count(line) != self.fields):
                raise ValueError("a line is no row")  # which NumPy would not see
        block = np.loadtxt(
            *(lines, float, "#", ","),
            usecols=self.columns,
            ndmin=2,
            encoding="utf-8",
            quotechar='"',
        )
        if block.shape != (len(lines), self.width):
            raise ValueError(f"{len(lines)} lines hold an array of shape {block.shape}")
        return block

    def _bad(self, first: int, end: int) -> NDArray[np.int64]:
        found: list[int] = []
        for start in range(first, end, INDEXED_ROWS):
            lines = self._lines(start, min(start + INDEXED_ROWS, end))
            found += [start + row for row in self._not_numbers(lines)]
        return np.array(found, np.int64)

    def _not_numbers(self, lines: list[bytes]) -> list[int]:
        """Which of these lines are bad, by halves."""
        try:
            self._numbers(lines)
        except ValueError:
            if len(lines) == 1:
                return [0]
            half = len(lines) // 2
            later = self._not_numbers(lines[half:])
            return self._not_numbers(lines[:half]) + [half + row for row in later]
        return []

    def _why(self, row: int) -> str:
        where = f"line {self._line_number(row)}"
        try:
            line = self._lines(row, row + 1)[0].decode()
        except UnicodeDecodeError as error:
            return f"{where} is not UTF-8: {error.reason}"
        if line.count('"') % 2:
            return f"{where} has a quote that is not closed"
        fields = _fields(line)
        if len(fields) != self.fields:
            return f"{where} has {len(fields)} columns, and the first line {self.fields}"
        for k in self.columns or range(self.fields):
            if not _is_number(fields[k]):
                return f"{where}: {fields[k][:80]!r} in column {k} is not a number"
        return f"{where} cannot be read as numbers"

    def _line_number(self, row: int) -> int:
        """That of a row, counted from 1 and with all lines, as an editor shows it."""
        begin = int(self.places[row // INDEXED_ROWS])
        number, rows = 0, row % INDEXED_ROWS
        with open(self.path, "rb") as file:
            for at, text in _whole_lines(file, LINE):
                for line in text.splitlines(keepends=True):
                    number += 1
                    rows -= at >= begin and _holds(line)
                    if rows < 0:
                        return number
                    at += len(line)
        return number


def open_csv(request: Request) -> CsvTable:
    """The table in a .csv file, all of whose rows were read once."""
    path, columns = request.path, request.columns
    size = regular_size(path)
    longest = COLUMN * (request.width + 1) if columns is None else LINE
    with open(path, "rb") as file:
        begin = len(MARK) if file.read(len(MARK)) == MARK else 0
        file.seek(begin)
        lines = (
            line
            for _, text in _whole_lines(file, longest)
            for line in text.splitlines()
            if _holds(line)
        )
        first, second = (
            None if line is None else line.decode()
            for line in (next(lines, None), next(lines, None))
        )
        if first is None:
            raise ValueError(f"it must hold a table of shape (N, {request.width}); it is empty")
        header = request.header
        if header is None:
            header = _is_header(first, second, columns)
        fields = _fields(first)
        chosen = request.chosen(fields if header else None, len(fields))
        file.seek(begin)
        rows, places = _index(file, longest, header)
    table = CsvTable(
        *(path, request.name, request.width, rows, np.dtype(float), *chosen),
        fields=len(fields),
        size=size,
        places=np.append(places, size),
    )
    return table.checked(request.skip_bad_rows)


def _index(file: BinaryIO, longest: int, header: bool) -> tuple[int, NDArray[np.int64]]:
    """The number of rows, and where every INDEXED_ROWS-th of them begins."""
    rows, places = -int(header), [np.empty(0, np.int64)]
    for at, text in _whole_lines(file, longest):
        starts = _starts(text)
        if max(np.diff(starts, append=len(text))) > longest:
            raise ValueError(f"a line is longer than {longest} bytes")
        doubtful = np.isin(np.frombuffer(text, np.uint8)[starts], EMPTY)
        for k in np.flatnonzero(doubtful).tolist():
            end = starts[k + 1] if k + 1 < len(starts) else len(text)
            doubtful[k] = not _holds(text[starts[k] : end])
        found = starts[~doubtful]
        places.append(at + found[-rows % INDEXED_ROWS :: INDEXED_ROWS])
        rows += len(found)
    return rows, np.concatenate(places)


def _whole_lines(file: BinaryIO, longest: int) -> Iterator[tuple[int, bytes]]:
    """The file in parts of whole lines, and where each part begins; lines may end in CR, LF or both."""
    at, rest = file.tell(), b""
    while part := file.read(CHUNK):
        text = rest + part
        # a CR at the end may be half of an end of a line
        cut = max(text.rfind(b"\n"), text.rfind(b"\r", 0, -1)) + 1
        rest = text[cut:]
        if len(rest) > longest:
            raise ValueError(f"a line is longer than {longest} bytes")
        if cut:
            yield at, text[:cut]
        at += cut
    if rest:
        yield at, rest


def _starts(text: bytes) -> NDArray[np.int64]:
    """Where the lines of a text begin."""
    letters = np.frombuffer(text, np.uint8)
    ends = letters == ord("\n")
    if b"\r" in text:
        ends[:-1] |= (letters[:-1] == ord("\r")) & ~ends[1:]
    return np.concatenate([[0], np.flatnonzero(ends[:-1]) + 1])


def _holds(line: bytes) -> bool:
    """Whether a line is a row: it is neither empty nor a comment."""
    text = line.lstrip()
    return bool(text) and not text.startswith(b"#")


def _count(line: bytes) -> int:
    """Columns of a line."""
    if b'"' in line:
        return len(_fields(line.decode()))
    return line.partition(b"#")[0].count(b",") + 1


def _is_header(first: str, second: str | None, columns: Columns) -> bool:
    """Whether the first line holds names. Numbers may be names too: then the user must say it.

    If columns are chosen by their numbers, the others do not count.
    """
    if columns is not None and not all(map(str.isdecimal, columns)):
        return True  # only a header has names
    fields, after = _taken(first, columns), [] if second is None else _taken(second, columns)
    names = [field for field in fields if not _is_number(field)]
    if names and len(names) < len(fields):
        raise ValueError(f"its first line mixes numbers with {names[0]!r}: {SAY_WHETHER}")
    if names or (_is_quoted(first) and second is not None and not _is_quoted(second)):
        return True
    counted = len(fields) > 1 and fields == [str(k) for k in range(len(fields))]
    whole = all(map(str.isdecimal, fields)) and len(set(fields)) == len(fields)
    numbers = [field.lstrip("+-") for field in after]
    if counted or (whole and numbers and not any(map(str.isdecimal, numbers))):
        raise ValueError(f"its first line, {','.join(fields)[:80]}, may be a header: {SAY_WHETHER}")
    return False


def _taken(line: str, columns: Columns) -> list[str]:
    """The fields of a line in the columns of these numbers."""
    fields = _fields(line)
    return fields if columns is None else [fields[int(k)] for k in columns if int(k) < len(fields)]


def _fields(line: str) -> list[str]:
    return [field.strip() for field in next(csv.reader([line.strip()], skipinitialspace=True))]


def _is_quoted(line: str) -> bool:
    return all(field.strip().startswith('"') for field in line.split(","))


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
