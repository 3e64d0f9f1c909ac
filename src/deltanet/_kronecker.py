"""J Sigma J^T for damped Kronecker factors: Sigma = Q diag(values) Q^T, Q = Q_B (x) Q_A (see _kfac.py).

Seen from the basis Q, the factors of a layer are d = delta Q_B and g = [h 1] Q_A, and Sigma is a diagonal::

    C_op = sum_k sum_ji d_oj d_pj values_ji g_i^2

So each layer is a Jacobian of its own, without a bias, of which the core computes a diagonal covariance.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from deltanet import _columns, _factors, _limits, _memory, _validate, _verbs
from deltanet._kfac import KFAC, Spectrum
from deltanet._progress import reporting
from deltanet._types import Array, Known, Progress

Factors = list[Known]


def covariance(
    source: _verbs.Source, Sigma: KFAC, out: Array | None, threads: int | None, progress: Progress
) -> Array:
    """Of each sample: (N, m, m)."""
    spectra, m = checked(source, Sigma), source.m
    out = source.sum(out, (*source.lead, m, m), "covariance")
    rows = out.reshape(source.N, m, m)
    with reporting(progress, source.N) as report:
        for part, inputs, deltas in blocks(source, threads):
            for layer, values in layers(source, inputs, deltas, spectra, threads):
                rows[part] += _verbs.covariance(layer, values, threads=threads)
            if report:
                report(part.stop)
    return out


def full_covariance(source: _verbs.Source, Sigma: KFAC, threads: int | None) -> Array:
    """Of every sample against every other: (N, m, N, m)."""
    shape = (*source.lead, source.m, *source.lead, source.m)
    K = _memory.zeros(shape, source.dtype, "the full covariance", "use full=False")
    flat = K.reshape((source.N, source.m) * 2)
    inputs, deltas = source.factors
    for layer, values in layers(source, inputs, deltas, checked(source, Sigma), threads):
        flat += _verbs.full_covariance(layer, values, threads)
    return K


def checked(source: _verbs.Source, Sigma: KFAC) -> list[Spectrum]:
    """The spectra of Sigma in the dtype of the source, if it is one of the same layers."""
    spectra = Sigma._spectra
    pairs = [(one.Q_A, one.Q_B) for one in spectra]
    pairs = _validate.pairs(pairs, source.kept, source.sizes, source.dtype)
    return [
        one._replace(Q_A=Q_A, Q_B=Q_B, values=np.ascontiguousarray(one.values, source.dtype))
        for one, (Q_A, Q_B) in zip(spectra, pairs, strict=True)
    ]


def blocks(source: _verbs.Source, threads: int | None) -> Iterator[tuple[slice, Factors, Factors]]:
    """(samples, inputs, deltas) of some samples after the other."""
    sizes, kept = source.sizes, source.kept
    numbers = sum(sizes[k] + 1 + source.m * sizes[k + 1] for k, *_ in kept.layers)
    step = max(1, _limits.FACTOR_BYTES // (max(1, numbers) * source.dtype.itemsize))
    for piece, given in source.pieces():
        for start in range(piece.start, piece.stop, step):
            part = slice(start, min(start + step, piece.stop))
            some = _verbs.cut(given, slice(start - piece.start, part.stop - piece.start))
            if "X" in some:
                some = made(source, some["X"], threads)
            yield part, some["inputs"], some["deltas"]


def made(source: _verbs.Source, X: Array, threads: int | None) -> dict[str, Factors]:
    """The factors at X."""
    sizes, layers, N = source.sizes, [k for k, *_ in source.kept.layers], len(X)
    inputs: Factors = [None] * (len(sizes) - 1)
    deltas = inputs.copy()
    for k in layers:
        inputs[k] = np.empty((N, sizes[k]), source.dtype)
        deltas[k] = np.empty((N, source.m, sizes[k + 1]), source.dtype)
    source.engine.run(
        N,
        source.kept.columns,
        X=X,
        kept_inputs=inputs,
        kept_deltas=deltas,
        threads=threads,
        reproducible=source.reproducible,
    )
    return {"inputs": inputs, "deltas": deltas}


def layers(
    source: _verbs.Source,
    inputs: Factors,
    deltas: Factors,
    spectra: list[Spectrum],
    threads: int | None,
) -> Iterator[tuple[Any, Array]]:
    """(a source of the turned factors of a layer, its diagonal), one layer after the other."""
    for (k, weights, bias), one in zip(source.kept.layers, spectra, strict=True):
        g, d = _verbs.turned(source, inputs[k], deltas[k], weights, bias, one.Q_A, one.Q_B, threads)
        sizes = (g.shape[-1], d.shape[-1])
        kept = _columns.kept(None, sizes, (False,))
        engine = _factors.engine(sizes, kept, source.dtype)
        layer = _verbs.Source(
            engine,
            sizes,
            source.dtype,
            kept,
            (len(g),),
            factors=([g], [d]),
            rows=source.m,
            reproducible=source.reproducible,
        )
        yield layer, one.values.reshape(-1)
