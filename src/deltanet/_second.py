"""Second derivatives of a net at X: check, allocate, one call of the core for each piece of X."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from deltanet import _memory, _validate
from deltanet._activations import REGISTRY
from deltanet._core import bends
from deltanet._mixed_hessian import MixedHessian
from deltanet._params import split
from deltanet._progress import reporting
from deltanet._types import Array, Progress, Report, Shape
from deltanet._verbs import BLOCKS, Source, shifted


def smooth(activations: Sequence[str | tuple[Any, ...]]) -> None:
    """Refuse registered activations without f''."""
    for spec in activations:
        functions = REGISTRY[spec if isinstance(spec, str) else spec[0]].functions
        if functions is not None and functions.fsecond is None:
            raise ValueError(
                f"second derivatives need fsecond of activation {functions.name!r}: "
                "give it to register_activation"
            )


def input_hessian(
    source: Source,
    u: ArrayLike | None,
    out: Array | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Array:
    """(N, m, n_0, n_0), or (N, n_0, n_0) of u^T y."""
    n_0, m = source.sizes[0], source.sizes[-1]
    seed = None if u is None else source.samples(u, (m,), "u")
    rows: Shape = (m, n_0, n_0) if seed is None else (n_0, n_0)
    shape = (*source.lead, *rows)
    others = () if seed is None else (seed,)
    out = source.result(out, shape, "input_hessian", *others, instead=BLOCKS)
    result = out.reshape(source.N, *rows)
    for part, X, count, report in _pieces(source, threads, progress):
        some = None if seed is None else seed[part]
        bends.input_hessian(source.engine, X, some, result[part], count, report)
    return out


def hvp(
    source: Source,
    u: ArrayLike,
    v: ArrayLike,
    out: Array | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Array:
    """The Hessian of sum_s u_s^T y_s in theta, times v: (P,)."""
    kept = source.kept
    seed = source.samples(u, (source.m,), "u")
    direction = _validate.like(v, (kept.size,), "v", source.dtype)
    out = source.result(out, (kept.size,), "hvp", seed, direction)
    full = kept.spread(direction)
    if not source.N:
        out.fill(0)
    for part, X, count, report in _pieces(source, threads, progress):
        sums = out if part.start == 0 else np.empty_like(out)
        bends.hvp(source.engine, kept.columns, X, seed[part], full, sums, count, report)
        if part.start:
            out += sums
    return out


def mixed_hessian(
    source: Source, u: ArrayLike, threads: int | None = None, progress: Progress = None
) -> MixedHessian:
    """Its factors."""
    kept, sizes, n_0 = source.kept, source.sizes, source.sizes[0]
    seed = source.samples(u, (source.m,), "u")
    layers, L = [k for k, *_ in kept.layers], len(sizes) - 1
    shapes: list[Shape] = []
    for k in layers:
        n, n_in = sizes[k + 1], sizes[k]
        shapes += [(source.N, n), (source.N, n, n_0), (source.N, n_in)]
        shapes += [(source.N, n_in, n_0)] if k else []
    size = sum(int(np.prod(shape)) for shape in shapes)
    buffer = _memory.empty((size,), source.dtype, "the factors of mixed_hessian", BLOCKS)
    parts = iter(split(buffer, shapes))
    groups: list[list[Array | None]] = [[None] * L for _ in range(4)]
    for k in layers:
        for group in groups[: 4 if k else 3]:
            group[k] = next(parts)
    e, E, h, T = groups
    for part, X, count, report in _pieces(source, threads, progress):
        e_, E_, h_, T_ = ([None if a is None else a[part] for a in group] for group in groups)
        bends.mixed_hessian(
            source.engine, kept.columns, X, seed[part], e_, E_, h_, T_, count, report
        )
    scale = source.engine.affine[n_0 : 2 * n_0].copy()
    return MixedHessian(kept, source.lead, e, E, h, T, scale, source.dtype)


def _pieces(
    source: Source, threads: int | None, progress: Progress
) -> Iterator[tuple[slice, Array, int | None, Report]]:
    """(slice of samples, X there, number of threads, progress) of all samples."""
    count = _validate.count(threads)
    with reporting(progress, source.N) as report:
        for part, given in source.pieces():
            if part.stop > part.start:
                yield part, given["X"], count, report and shifted(report, part.start)
        if report:
            report(source.N)
