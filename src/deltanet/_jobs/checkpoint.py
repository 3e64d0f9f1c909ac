"""What is finished of a job, in a folder: a job that was stopped, at any moment, begins there again.

::

    job.json           what is asked, and of which machine the bits are
    sum.npz            count (): ranges that are added up, total (numbers,), hashes (count, arrays, bytes)
    range-000017.npz   a range that is finished before its turn: total, hashes (arrays, bytes)
    fit.npz            where a fit is: see _fit/kept.py
    lock               see locks.py

Each file is written beside its place and renamed. The sum is added up in the same order after a restart as
without one, and so its bits are the same. The hashes tell whether the data of finished ranges have changed.
"""

import json
import os
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltanet._core.xxh64 import Xxh64
from deltanet._io import npz
from deltanet._io._files import reading, replacing
from deltanet._jobs.fold import Fold
from deltanet._jobs.identity import environment
from deltanet._jobs.locks import exclusive
from deltanet._types import Array, Shape

FORMAT = 1
JOB, SUM, RANGE, FIT = "job.json", "sum.npz", "range-{:06d}.npz", "fit.npz"


class Checkpoint(Fold):
    """A fold whose state is on disk after each range."""

    is_kept = True
    advice = "the same call goes on from the ranges that are finished"

    def __init__(self, folder: Path, name: str, numbers: int) -> None:
        super().__init__(numbers)
        self.folder, self.name = folder, name
        self.hashes: dict[int, list[bytes]] = {}
        self.on_disk: set[int] = set()
        self.load()

    def load(self) -> None:
        """What an earlier job has finished."""
        if (self.folder / SUM).exists():
            found = self.read(self.folder / SUM)
            self.total[:], self.count = found["total"], int(found["count"])
            for index, row in enumerate(found["hashes"]):
                self.hashes[index] = [each.tobytes() for each in row]
        for path in self.folder.glob(RANGE.format(0).replace("000000", "*")):
            index = int(path.stem.partition("-")[2])
            if index < self.count:  # added up already
                path.unlink()
            else:
                found = self.read(path)
                self.hashes[index] = [each.tobytes() for each in found["hashes"]]
                self.on_disk.add(index)

    def finished(self) -> Collection[int]:
        return sorted(self.hashes)

    def take(self, index: int, vector: Array, hashes: list[bytes]) -> None:
        self.hashes[index] = hashes
        if index > self.count:
            write(self.file(index), total=vector, hashes=table([hashes])[0])
            self.on_disk.add(index)
            return
        self.add(vector)
        self.catch_up()

    def catch_up(self) -> None:
        """Add up the ranges whose turn has come, and keep the sum."""
        used = []
        while self.count in self.on_disk:
            used.append(self.count)
            self.add(self.read(self.file(self.count))["total"])
        rows = [self.hashes[index] for index in range(self.count)]
        write(self.folder / SUM, count=np.array(self.count), total=self.total, hashes=table(rows))
        for index in used:
            self.file(index).unlink()
            self.on_disk.discard(index)

    def compare(self, names: Collection[str], index: int, hashes: list[bytes], rows: str) -> None:
        """ValueError if a range that is finished has other data now."""
        for name, before, now in zip(names, self.hashes[index], hashes, strict=True):
            if before != now:
                raise ValueError(
                    f"{self.name} was made of other data: the rows {rows} of {name} have changed since; "
                    "give the data of before, or another path"
                )

    def file(self, index: int) -> Path:
        return self.folder / RANGE.format(index)

    def read(self, path: Path) -> dict[str, NDArray[Any]]:
        return read(path, {"total": self.total.shape})


@contextmanager
def opened(
    path: str | os.PathLike[str], asked: dict[str, Any], numbers: int
) -> Iterator[Checkpoint]:
    """The checkpoint of a sum: see `claimed`."""
    with claimed(path, asked) as (folder, name):
        yield Checkpoint(folder, name, numbers)


@contextmanager
def claimed(path: str | os.PathLike[str], asked: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """The folder of a job and its name in messages, for this job alone until the end of the block.

    BlockingIOError if another one has it; ValueError if it is that of another job, or damaged; RuntimeWarning
    if it was begun with other vector instructions or another BLAS.
    """
    folder = Path(path)
    folder.mkdir(exist_ok=True)
    name = f"checkpoint {os.fspath(path)!r}"
    if any(not mine(each.name) for each in folder.iterdir()):
        raise ValueError(f"{name} must be a folder of a job, or a new one; it holds other files")
    with exclusive(folder / "lock", name):
        told = json.loads(json.dumps({"format": FORMAT, **asked}))  # tuples are lists there
        machine = environment()
        if (folder / JOB).exists():
            with reading(folder / JOB):
                found = json.loads((folder / JOB).read_text("utf-8"))
                job, before = dict(found["job"]), dict(found["machine"])
            same_job(name, job, told)
            same_machine(name, before, machine)
        else:
            with replacing(folder / JOB) as partial:
                text = json.dumps({"job": told, "machine": machine}, indent=1)
                partial.write_text(text + "\n", "utf-8")
        for left in folder.glob(".*.partial"):  # by a process that was killed
            left.unlink()
        yield folder, name


def mine(name: str) -> bool:
    """Whether a file of this name belongs to a checkpoint."""
    return name in (JOB, SUM, FIT, "lock") or name.startswith("range-") or name.endswith(".partial")


def same_job(name: str, found: dict[str, Any], told: dict[str, Any]) -> None:
    for key in {**told, **found}:
        if found.get(key) != told.get(key):
            raise ValueError(
                f"{name} is that of another job: its {key} is {found.get(key)!r}, here it is "
                f"{told.get(key)!r}; give what was given before, or another path"
            )


def same_machine(name: str, found: dict[str, Any], machine: dict[str, str]) -> None:
    differ = [key for key in machine if found.get(key) != machine[key]]
    other = [f"{key} {found.get(key)!r}, here {machine[key]!r}" for key in differ]
    if other:
        warnings.warn(
            f"{name} was begun on another kind of machine ({', '.join(other)}): the last bits of the "
            "result are those of neither",
            RuntimeWarning,
            stacklevel=2,
        )


def table(hashes: list[list[bytes]]) -> NDArray[np.uint8]:
    """Hashes as an array (ranges, arrays, bytes) that a file can hold."""
    joined = b"".join(each for row in hashes for each in row)
    return np.frombuffer(joined, np.uint8).reshape(len(hashes), -1, Xxh64.digest_size)


def write(path: Path, **arrays: Any) -> None:
    with replacing(path) as partial:
        npz.put(partial, arrays)


def read(path: Path, shapes: Mapping[str, Shape]) -> dict[str, NDArray[Any]]:
    """The arrays of a file, if those that are named have these shapes."""
    with reading(path), open(path, "rb") as file:
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        for name, shape in shapes.items():
            if found[name].shape != shape:
                raise ValueError(f"{name} must have shape {shape}; got {found[name].shape}")
        return found
