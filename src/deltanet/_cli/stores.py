"""Stores of `dn.write`: writing one, and what is in one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import deltanet as dn
from deltanet._cli.options import HOW, Form, WorkerOptions, Wrt, option
from deltanet._cli.report import Report
from deltanet._cli.workers import executor
from deltanet._store.hold import blocks_of
from deltanet._store.layout import sample_bytes
from deltanet._store.read import Stored, finished, opened


@dataclass
class StoreOptions:
    """How a store is written."""

    rows: Annotated[
        int | None,
        option(
            "--rows",
            metavar="N",
            help="Samples in a block, the unit that is kept (.zarr).",
            rich_help_panel=HOW,
        ),
    ] = None
    part: Annotated[
        str | None,
        option(
            "--part",
            metavar="I/N",
            help="Of N jobs that write to one store, this is number I, counted from 0 (.zarr).",
            rich_help_panel=HOW,
        ),
    ] = None
    resume: Annotated[
        bool,
        option(
            "--resume",
            help="Go on with what an earlier run has finished, if there is any (.zarr).",
            rich_help_panel=HOW,
        ),
    ] = False

    def share(self) -> tuple[int, int] | None:
        """(i, n) of --part."""
        if self.part is None:
            return None
        first, _, second = self.part.partition("/")
        if first.isdecimal() and second.isdecimal() and int(first) < int(second):
            return int(first), int(second)
        raise ValueError(f"--part must be I/N with 0 <= I < N; got {self.part}")


def is_store(path: str) -> bool:
    """Whether a path or an address is that of a store, and not of a file."""
    return "://" in path or Path(path).suffix == ".zarr"


def check_place(out: str, store: StoreOptions, force: bool) -> None:
    """Refuse a store that must not be written."""
    if force:
        raise ValueError(f"--force is for files: remove the store {out} to begin anew")
    if store.share() is None and not store.resume and Path(out).exists():
        raise FileExistsError(f"{out} exists: give --resume to go on with it, or another OUT")


def write(
    report: Report,
    out: str,
    net: dn.MLP,
    X: Any,
    wrt: Wrt,
    form: Form,
    store: StoreOptions,
    workers: WorkerOptions,
) -> None:
    """Write the blocks that are not finished."""
    share = store.share()
    if "://" in out or Path(out).exists():
        report.before = samples_done(out, share)
    with executor(workers) as pool:
        report.kept = lambda: "://" in out or Path(out).exists()
        dn.write(
            out,
            net,
            X,
            form=form.value,
            wrt=wrt.value,
            rows=store.rows,
            executor=pool,
            resume=store.resume,
            part=share,
            threads=workers.threads,
            progress=report.progress,
        )
    stored, seconds = opened(out), report.seconds
    done, blocks = blocks_done(stored), stored.layout.blocks
    written = (samples_done(out, share) - (report.before or 0)) * bytes_of_sample(stored)
    report.facts |= {"blocks": blocks, "blocks_done": done}
    shape = dn.open(out).shape
    text = (
        f"{form} {shape} {net.dtype}: {done} of {blocks} blocks; {written} bytes in {seconds:.3g} s, "
        f"{written / seconds / 1e9:.3g} GB/s"
    )
    report.finish(shape, net.dtype, written, text)


def blocks_done(stored: Stored) -> int:
    """How many are finished."""
    return len(finished(stored.place, range(stored.layout.blocks)))


def samples_done(path: str, share: tuple[int, int] | None) -> int:
    """How many samples of a part are finished; 0 where no store is begun."""
    try:
        stored = opened(path)
    except (FileNotFoundError, ValueError):  # dn.write says what is wrong with what is there
        return 0
    layout = stored.layout
    spans = map(layout.span, finished(stored.place, blocks_of(share or (0, 1), layout.blocks)))
    return sum(span.stop - span.start for span in spans)


def bytes_of_sample(stored: Stored) -> int:
    """Bytes of one sample in all arrays."""
    return sample_bytes(stored.layout.members, stored.layout.dtype)
