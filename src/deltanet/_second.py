"""Second derivatives of a net at X: check, allocate, one call of the core for each piece of X."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from deltanet import _memory, _validate
from deltanet._activations import registered
from deltanet._core import bends
from deltanet._mixed_hessian import MixedHessian
from deltanet._params import split
from deltanet._types import Array, Progress, Report, Shape
from deltanet._verbs import BLOCKS, Source, some


def smooth(activations: Sequence[str | tuple[Any, ...]]) -> None:
    """Refuse registered activations without f''."""
    for _, functions in registered(activations):
        if functions.fsecond is None:
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
    count = _validate.count(threads)

    def piece(part: slice, given: dict[str, Any], report: Report) -> None:
        weights = None if seed is None else seed[part]
        bends.input_hessian(source.engine, given["X"], weights, result[part], count, report)

    source.each(piece, progress)
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
    count = _validate.count(threads)

    def piece(part: slice, given: dict[str, Any], report: Report) -> None:
        sums = np.empty_like(out) if part.start else out
        bends.hvp(source.engine, kept.columns, given["X"], seed[part], full, sums, count, report)
        if part.start:
            np.add(out, sums, out=out)

    source.each(piece, progress)
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
    size = sum(map(prod, shapes))
    buffer = _memory.empty((size,), source.dtype, "the factors of mixed_hessian", BLOCKS)
    parts = iter(split(buffer, shapes))
    deltas: list[Array | None] = [None] * L
    slopes, inputs, tangents = deltas.copy(), deltas.copy(), deltas.copy()
    for k in layers:
        deltas[k], slopes[k], inputs[k] = next(parts), next(parts), next(parts)
        if k:
            tangents[k] = next(parts)
    count = _validate.count(threads)

    def piece(part: slice, given: dict[str, Any], report: Report) -> None:
        bends.mixed_hessian(
            source.engine,
            kept.columns,
            given["X"],
            seed[part],
            some(deltas, part),
            some(slopes, part),
            some(inputs, part),
            some(tangents, part),
            count,
            report,
        )

    source.each(piece, progress)
    scale = source.engine.affine[n_0 : 2 * n_0].copy()
    return MixedHessian(kept, source.lead, deltas, slopes, inputs, tangents, scale, source.dtype)
