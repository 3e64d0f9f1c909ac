"""`deltanet jacobian`: derivatives of all samples to a file or a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import deltanet as dn
from deltanet._cli import files, samples
from deltanet._cli.options import (
    HOW,
    Force,
    Form,
    Inputs,
    ModelOptions,
    SayOptions,
    TableOptions,
    WorkerOptions,
    Wrt,
    option,
)
from deltanet._cli.report import Report
from deltanet._cli.workers import executor
from deltanet._io._files import replacing

Out = Annotated[
    str,
    option(
        "--out",
        "-o",
        metavar="OUT",
        help="Result: .npy (one array, may exceed the memory), .npz (with the outputs of the network beside "
        "it), or .zarr, a store that can be resumed (a folder, or an address such as s3://...).",
        show_default=False,
    ),
]
WrtOption = Annotated[
    Wrt, option("--wrt", help="Derivatives by the weights and biases, or by the inputs.")
]
FormOption = Annotated[
    Form | None,
    option(
        "--form",
        help="dense: the array of shape (samples, outputs, variables); factors: the two factors of each "
        "layer as delta0, input0, delta1, ... (.npz, .zarr); outputs: only those of the network. By default "
        "dense; in a store of --wrt params, factors.",
        show_default=False,
    ),
]


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


def jacobian(
    model: ModelOptions,
    inputs: Inputs,
    out: Out,
    table: TableOptions,
    store: StoreOptions,
    workers: WorkerOptions,
    say: SayOptions,
    wrt: WrtOption = Wrt.params,
    form: FormOption = None,
    force: Force = False,
) -> None:
    """Write the Jacobian of MODEL at each row of INPUTS to OUT.

    A file is written beside its place and renamed at the end: a stopped run leaves the old file. A store
    (.zarr) keeps every block that is finished, and --resume goes on from there.
    """
    stored = is_store(out)
    if form is None:
        form = Form.factors if stored and wrt is Wrt.params else Form.dense
    with Report("jacobian", say, output=out, form=form) as report:
        _check(out, model, inputs, wrt, form, force, store, workers)
        net = model.load()
        folder = None if "://" in out else str(Path(out).parent)
        with samples.opened(inputs, table, net.sizes[0], folder) as X:
            report.rows(len(X), X.skipped)
            if stored:
                _write_store(report, out, net, X, wrt, form, store, workers)
            else:
                _write_file(report, Path(out), net, X, wrt, form, workers.threads, force)


def is_store(out: str) -> bool:
    """Whether a path or an address is that of a store, and not of a file."""
    return "://" in out or Path(out).suffix == ".zarr"


def _check(
    out: str,
    model: ModelOptions,
    inputs: list[str],
    wrt: Wrt,
    form: Form,
    force: bool,
    store: StoreOptions,
    workers: WorkerOptions,
) -> None:
    """Refuse, before anything is computed, what cannot or must not be written."""
    if form is Form.factors and wrt is Wrt.inputs:
        raise ValueError("--form factors is for --wrt params: --wrt inputs has no factors")
    if form is Form.outputs and wrt is Wrt.inputs:
        raise ValueError("--form outputs has no derivatives: leave --wrt inputs out")
    if is_store(out):
        if force:
            raise ValueError(f"--force is for files: remove the store {out} to begin anew")
        store.share()
        return
    if not out.endswith((".npy", ".npz")):
        raise ValueError(f"OUT must end in .npy or .npz, or in .zarr for a store; got {out}")
    given = {
        "--rows": store.rows,
        "--part": store.part,
        "--resume": store.resume or None,
        "--workers": workers.workers,
        "--scheduler": workers.scheduler,
    }
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name} is for a store, OUT.zarr; got {out}")
    if form is Form.factors and out.endswith(".npy"):
        raise ValueError(
            f"--form factors writes several arrays: OUT must end in .npz or .zarr; got {out}"
        )
    samples.check_place(Path(out), force, MODEL=model.model, INPUTS=inputs)


def _write_file(
    report: Report,
    out: Path,
    net: dn.MLP,
    X: samples.Samples,
    wrt: Wrt,
    form: Form,
    threads: int | None,
    force: bool,
) -> None:
    with replacing(out) as temporary:
        if out.suffix == ".npy":
            rows = X.table
            written = files.write_npy(temporary, net, rows, wrt, form, threads, report.progress)
        else:
            written = files.write_npz(temporary, net, X.table[:], wrt, form, threads)
        if not force:  # another run may have written it meanwhile
            samples.check_absent(out)
    _finish(report, net, form, *written)


def _finish(report: Report, net: dn.MLP, form: Form, shape: tuple[int, ...], nbytes: int) -> None:
    seconds = report.seconds
    text = (
        f"{form} {shape} {net.dtype}: {nbytes} bytes in {seconds:.3g} s, "
        f"{nbytes / seconds / 1e9:.3g} GB/s"
    )
    report.finish(shape, net.dtype, nbytes, text)


def _write_store(
    report: Report,
    out: str,
    net: dn.MLP,
    X: samples.Samples,
    wrt: Wrt,
    form: Form,
    store: StoreOptions,
    workers: WorkerOptions,
) -> None:
    with executor(workers) as pool:
        report.kept = lambda: True
        written: Any = dn.write(
            out,
            net,
            X.table,
            form=form.value,
            wrt=wrt.value,
            rows=store.rows,
            executor=pool,
            resume=store.resume,
            part=store.share(),
            threads=workers.threads,
            progress=report.progress,
        )
    _finish(report, net, form, written.shape, written.nbytes)
