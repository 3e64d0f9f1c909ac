"""The command line: `deltanet jacobian`, `info` and `check`; `export` is in _cli_export.

A command raises what the library raises; `main` alone turns that into one line and a status.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

import deltanet as dn
from deltanet._io import load_and_tell
from deltanet._io._files import replacing
from deltanet._io._told import Note, spelled
from deltanet._io.table import read_table
from deltanet._labels import captions
from deltanet._memory import human
from deltanet._types import Array

BLOCK_BYTES = 2**28  # of the dense Jacobian in one step of the progress bar
NAMED = 16  # inputs or outputs that `info` names
CHECKED = 8  # random samples that `check` draws


class Wrt(StrEnum):
    """The variables of the derivative."""

    params = "params"
    inputs = "inputs"


class Form(StrEnum):
    """How the Jacobian is written."""

    dense = "dense"
    factors = "factors"


if TYPE_CHECKING:
    import typer
else:
    try:
        import typer
    except ModuleNotFoundError:  # main says so: without the extra this module still imports
        typer = None

if typer:
    Model = Annotated[
        Path, typer.Argument(metavar="MODEL", help="Network: .npz, .safetensors or .onnx.")
    ]
    Inputs = Annotated[
        Path,
        typer.Argument(
            metavar="INPUTS",
            help="One sample a row: .npy, .csv (comma separated, header optional), or .npz with a "
            "single array or one named X, x or inputs.",
        ),
    ]
    Samples = Annotated[
        Path | None,
        typer.Argument(
            metavar="INPUTS",
            help="Samples to check at, as for jacobian; random ones if not given.",
        ),
    ]
    Out = Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT",
            help="Result: .npy (dense, may exceed the memory) or .npz (with the outputs of the "
            "network beside it).",
        ),
    ]
    WrtOption = Annotated[
        Wrt, typer.Option("--wrt", help="Derivatives by the weights and biases, or by the inputs.")
    ]
    FormOption = Annotated[
        Form,
        typer.Option(
            "--form",
            help="The array of shape (samples, outputs, variables), or the two factors of each "
            "layer as delta0, input0, delta1, ..., and whether it has a bias (.npz only).",
        ),
    ]
    Activation = Annotated[
        str | None,
        typer.Option(
            "--activation",
            metavar="NAME",
            help="Activation of the hidden layers, where MODEL does not say it.",
        ),
    ]
    Output = Annotated[
        str | None,
        typer.Option(
            "--output",
            metavar="NAME",
            help="Output to take of an .onnx MODEL that has several; of a state_dict, the activation of "
            "the last layer.",
        ),
    ]
    Prefix = Annotated[
        list[str] | None,
        typer.Option(
            "--prefix",
            metavar="TEXT",
            help="Of a state_dict, take the layers whose names begin so; may be given several times.",
        ),
    ]
    Keys = Annotated[
        str | None,
        typer.Option(
            "--keys",
            metavar="A,B,...",
            help="Of a state_dict, the names of the layers in their order, with commas.",
        ),
    ]
    Header = Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether the first line of a .csv is a header; if it holds names, it is.",
            show_default=False,
        ),
    ]
    Threads = Annotated[
        int | None, typer.Option("--threads", metavar="N", help="Threads to use at most.")
    ]
    Force = Annotated[bool, typer.Option("--force", help="Overwrite OUT.")]


def main(args: list[str] | None = None) -> None:
    """Run the command line; every failure is one line on standard error and a status."""
    if typer is None:
        sys.exit(_failed('the command line needs typer and rich: pip install "deltanet[cli]"'))
    app = typer.Typer(
        help="Exact Jacobians of multi-layer perceptrons.",
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    from deltanet._cli_export import export  # which needs typer, and the options above

    for command in (jacobian, info, check, export):
        app.command()(command)
    usage_error: Any = typer.BadParameter.__base__  # of the click in or under typer
    try:
        with _ending_on_signals():
            status = app(args, prog_name="deltanet", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except usage_error as error:
        status = _failed(f"{error.format_message()} See deltanet --help.")
    except (ValueError, TypeError, OSError, MemoryError, ImportError) as error:
        status = _failed(str(error))
    sys.exit(status)


def _failed(message: str) -> int:
    print("deltanet:", " ".join(message.split()), file=sys.stderr)
    return 2


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Let a request to end the process unwind it, so that temporary files are removed."""
    numbers = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    # Windows has no SIGHUP, nohup ignores it
    ours = [n for n in numbers if n and signal.getsignal(n) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def jacobian(
    model: Model,
    inputs: Inputs,
    out: Out,
    wrt: WrtOption = Wrt.params,
    form: FormOption = Form.dense,
    activation: Activation = None,
    output: Output = None,
    prefix: Prefix = None,
    keys: Keys = None,
    header: Header = None,
    threads: Threads = None,
    force: Force = False,
) -> None:
    """Write the Jacobian of MODEL at each row of INPUTS to OUT.

    OUT is written beside its place and renamed at the end: a stopped run leaves the old file.
    """
    _check_out(out, model, inputs, wrt, form, force)
    net, notes = load(model, activation, output, prefix, keys)
    tell(notes)
    X = read_table(inputs, net.sizes[0], header)
    started = time.perf_counter()
    with replacing(out) as temporary:
        if out.suffix == ".npy":
            shape, nbytes = _write_npy(temporary, net, X, wrt, threads)
        else:
            shape, nbytes = _write_npz(temporary, net, X, wrt, form, threads)
        if not force:  # another run may have written it meanwhile
            _check_absent(out)
    seconds = time.perf_counter() - started
    print(
        f"{form} {shape} {net.dtype}: {nbytes} bytes in {seconds:.3g} s, "
        f"{nbytes / seconds / 1e9:.3g} GB/s"
    )


def load(
    model: Path,
    activation: str | None,
    output: str | None,
    prefix: list[str] | None,
    keys: str | None,
) -> tuple[dn.MLP, list[Note]]:
    """The net, and what is to be said of it."""
    names = None if keys is None else keys.split(",")
    return load_and_tell(model, activation, output, prefix=prefix or None, keys=names)


def tell(notes: list[Note]) -> None:
    """Say on standard error what `load` would warn of."""
    for note in notes:
        if note.warn:
            print(f"deltanet: note: {note.text}", file=sys.stderr)


def _check_out(out: Path, model: Path, inputs: Path, wrt: Wrt, form: Form, force: bool) -> None:
    """Refuse, before anything is computed, what cannot or must not be written."""
    if out.suffix not in (".npy", ".npz"):
        raise ValueError(f"OUT must end in .npy or .npz; got {out}")
    if form is Form.factors and out.suffix == ".npy":
        raise ValueError(f"--form factors writes several arrays: OUT must end in .npz; got {out}")
    if form is Form.factors and wrt is Wrt.inputs:
        raise ValueError("--form factors is for --wrt params: --wrt inputs has no factors")
    check_place(out, force, MODEL=model, INPUTS=inputs)


def check_place(out: Path, force: bool, **sources: Path) -> None:
    """Refuse a place that cannot or must not be written, such as that of what is read."""
    if not out.parent.is_dir():
        raise FileNotFoundError(f"OUT must be in a folder that exists; got {out}")
    if out.is_dir():
        raise IsADirectoryError(f"OUT must be a file; {out} is a folder")
    for name, source in sources.items():
        if out.exists() and source.exists() and out.samefile(source):
            raise ValueError(f"OUT must not be {name}; got {out} for both")
    if not force:
        _check_absent(out)


def _check_absent(out: Path) -> None:
    if os.path.lexists(out):
        raise FileExistsError(f"{out} exists: give --force to overwrite it")


def _write_npy(
    path: Path, net: dn.MLP, X: Array, wrt: Wrt, threads: int | None
) -> tuple[tuple[int, ...], int]:
    """Write the dense derivatives through a memory map; returns their shape and size in bytes."""
    compute = net.jacobian_dense if wrt is Wrt.params else net.input_jacobian
    shape = (len(X), *compute(X[:0], threads=threads).shape[1:])
    _check_disk(path.parent, math.prod(shape) * net.dtype.itemsize)
    D = np.lib.format.open_memmap(path, mode="w+", dtype=net.dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):  # a full disk is an OSError here, a bus error in the map
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    rows = max(1, BLOCK_BYTES // (net.sizes[-1] * net.params.nbytes))
    for start in _progress(range(0, len(X), rows)):
        compute(X[start : start + rows], out=D[start : start + rows], threads=threads)
    return shape, D.nbytes


def _write_npz(
    path: Path, net: dn.MLP, X: Array, wrt: Wrt, form: Form, threads: int | None
) -> tuple[tuple[int, ...], int]:
    """Write the outputs and the derivatives; returns the Jacobian's shape and all bytes written."""
    if form is Form.factors:
        J = net.jacobian(X, threads=threads)
        biases = np.array([b is not None for b in net.biases])
        shape = J.shape
        arrays: dict[str, Any] = {"outputs": J.outputs, "biases": biases}
        for k, (delta, h) in enumerate(zip(J.deltas, J.inputs, strict=True)):
            arrays |= {f"delta{k}": delta, f"input{k}": h}
    else:
        compute = net.jacobian_dense if wrt is Wrt.params else net.input_jacobian
        D = compute(X, threads=threads)
        shape, arrays = D.shape, {"outputs": net(X, threads=threads), "jacobian": D}
    nbytes = sum(array.nbytes for array in arrays.values())
    _check_disk(path.parent, nbytes)
    with open(path, "wb") as file:  # given a name, savez would append .npz to it
        np.savez(file, **arrays)
    return shape, nbytes


def _check_disk(folder: Path, nbytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if nbytes > free:
        raise OSError(f"OUT would need {human(nbytes)}; {human(free)} are free on the disk")


def _progress(steps: range) -> Iterable[int]:
    """`steps`, with a progress bar where standard error is a terminal."""
    if not sys.stderr.isatty():
        return steps
    from rich.console import Console
    from rich.progress import track

    return track(steps, description="jacobian", console=Console(stderr=True), transient=True)


def info(
    model: Model,
    activation: Activation = None,
    output: Output = None,
    prefix: Prefix = None,
    keys: Keys = None,
) -> None:
    """Print the layers of MODEL, the size of its Jacobian, and what was folded or left out."""
    net, notes = load(model, activation, output, prefix, keys)
    rows = [
        (k, *W.shape[::-1], spelled(net.activations[k]), W.size + (0 if b is None else b.size))
        for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True))
    ]
    _print_table(["layer", "inputs", "outputs", "activation", "parameters"], rows)
    scaled = [side for side in ("input", "output") if getattr(net, f"{side}_scale") is not None]
    print(f"parameters          {net.num_params}")
    print(f"dtype               {net.dtype}")
    print(f"scalings            {' and '.join(scaled) or 'none'}")
    for side in ("input", "output"):
        if labels := captions(net, side):
            more = ", ..." if len(labels) > NAMED else ""
            print(f"{side + 's':<20}{', '.join(labels[:NAMED])}{more}")
    nbytes = 1000 * net.sizes[-1] * net.num_params * net.dtype.itemsize
    print(f"dense Jacobian      {human(nbytes)} per 1000 samples")
    for note in notes:
        print(f"note                {note.text}")


def check(
    model: Model,
    inputs: Samples = None,
    activation: Activation = None,
    output: Output = None,
    prefix: Prefix = None,
    keys: Keys = None,
    header: Header = None,
) -> None:
    """Compare the Jacobian of MODEL with independent derivatives; status 1 if they differ."""
    net, notes = load(model, activation, output, prefix, keys)
    tell(notes)
    X = _random_inputs(net) if inputs is None else read_table(inputs, net.sizes[0], header)
    if not len(X):
        raise ValueError(f"{inputs} holds no sample to check at")
    report = dn.testing.check_jacobian(net, X)
    rows = [*enumerate(report.errors), ("inputs", report.input_error)]
    _print_table(["layer", "largest relative error"], [(k, f"{error:.1e}") for k, error in rows])
    verdict = "passed" if report.passed else "FAILED"
    print(f"{verdict}: tolerance {report.tolerance:.0e}, {len(X)} samples, against {report.oracle}")
    raise typer.Exit(0 if report.passed else 1)


def _print_table(columns: list[str], rows: Sequence[tuple[object, ...]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


def _random_inputs(net: dn.MLP) -> Array:
    """A few samples that are standard normal after the input scaling."""
    z = np.random.default_rng(0).standard_normal((CHECKED, net.sizes[0]))
    if net.input_scale is None or net.input_shift is None:
        return z
    return z * net.input_scale + net.input_shift
