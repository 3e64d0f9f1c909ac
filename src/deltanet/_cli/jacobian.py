"""`deltanet jacobian`: derivatives of all samples to a file or a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import deltanet as dn
from deltanet._cli import files, samples, stores
from deltanet._cli.options import (
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
from deltanet._cli.stores import StoreOptions
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
    stored = stores.is_store(out)
    if form is None:
        form = Form.factors if stored and wrt is Wrt.params else Form.dense
    with Report("jacobian", say, output=out, form=form) as report:
        _check(out, model, inputs, wrt, form, force, store, workers)
        net = model.load()
        folder = None if "://" in out else str(Path(out).parent)
        with samples.opened(inputs, table, net.sizes[0], folder) as X:
            report.rows(len(X), X.skipped)
            if stored:
                stores.write(report, out, net, X.table, wrt, form, store, workers)
            else:
                _write_file(report, Path(out), net, X, wrt, form, workers.threads, force)


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
    if stores.is_store(out):
        stores.check_place(out, store, force)
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
            report.progress(len(X), len(X))
        if not force:  # another run may have written it meanwhile
            samples.check_absent(out)
    (shape, nbytes), seconds = written, report.seconds
    text = (
        f"{form} {shape} {net.dtype}: {nbytes} bytes in {seconds:.3g} s, "
        f"{nbytes / seconds / 1e9:.3g} GB/s"
    )
    report.finish(shape, net.dtype, nbytes, text)
