"""`deltanet ggn` and `deltanet diagonal`: sums over all samples to a file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from deltanet._cli import files, samples
from deltanet._cli.options import (
    HOW,
    Force,
    Inputs,
    ModelOptions,
    SayOptions,
    TableOptions,
    WorkerOptions,
    option,
)
from deltanet._cli.report import Report
from deltanet._cli.workers import executor
from deltanet._io._files import replacing
from deltanet._mlp import MLP
from deltanet._types import Array

Out = Annotated[
    Path,
    option(
        "--out",
        "-o",
        metavar="OUT",
        help="Result: .npy, or .npz with an array named as the command.",
        show_default=False,
    ),
]
Resume = Annotated[
    bool,
    option(
        "--resume",
        help="Go on from OUT.checkpoint, in which a run that was stopped kept what it had finished, if there "
        "is one.",
        rich_help_panel=HOW,
    ),
]


def ggn(
    model: ModelOptions,
    inputs: Inputs,
    out: Out,
    table: TableOptions,
    workers: WorkerOptions,
    say: SayOptions,
    resume: Resume = False,
    force: Force = False,
) -> None:
    """Write J^T J, the Gauss-Newton matrix over all rows of INPUTS, to OUT."""
    with Report("ggn", say, output=out, form="ggn") as report:
        _write(report, MLP.ggn, model, inputs, out, table, workers, resume, force)


def diagonal(
    model: ModelOptions,
    inputs: Inputs,
    out: Out,
    table: TableOptions,
    workers: WorkerOptions,
    say: SayOptions,
    resume: Resume = False,
    force: Force = False,
) -> None:
    """Write the diagonal of J^T J over all rows of INPUTS to OUT."""
    with Report("diagonal", say, output=out, form="diagonal") as report:
        _write(report, MLP.ggn_diagonal, model, inputs, out, table, workers, resume, force)


def _write(
    report: Report,
    verb: Callable[..., Array],
    model: ModelOptions,
    inputs: list[str],
    out: Path,
    table: TableOptions,
    workers: WorkerOptions,
    resume: bool,
    force: bool,
) -> None:
    """The sum in ranges, each of which is kept beside OUT until OUT is there."""
    if out.suffix not in (".npy", ".npz"):
        raise ValueError(f"OUT must end in .npy or .npz; got {out}")
    samples.check_place(out, force, MODEL=model.model, INPUTS=inputs)
    kept = out.with_name(f"{out.name}.checkpoint")
    if kept.exists() and not resume:
        if not force:
            raise FileExistsError(
                f"{kept} exists: give --resume to go on from it, or --force to begin anew"
            )
        shutil.rmtree(kept)
    net = model.load()
    with samples.opened(inputs, table, net.sizes[0], str(out.parent)) as X:
        report.rows(len(X), X.skipped)
        with executor(workers) as pool:
            report.kept = kept.exists
            report.before = None if kept.exists() else 0
            total = verb(
                net,
                X.table,
                threads=workers.threads,
                progress=report.progress,
                executor=pool,
                checkpoint=kept,
            )
        with replacing(out) as temporary:
            nbytes = files.save(temporary, {report.command: total})
            if not force:  # another run may have written it meanwhile
                samples.check_absent(out)
        report.kept = None
        shutil.rmtree(kept)
    text = f"{report.command} {total.shape} {total.dtype}: {len(X)} rows in {report.seconds:.3g} s"
    report.finish(total.shape, total.dtype, nbytes, text)
