"""The verbs, for a net at X and for a kept Jacobian alike: check, allocate, one call of the core.

A `Source` says where the factors come from; what is then computed of them is the same.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from deltanet import _limits, _memory, _validate
from deltanet._columns import Kept
from deltanet._core import tiles
from deltanet._core.engine import FORMS, Engine
from deltanet._kfac import KFAC
from deltanet._params import views
from deltanet._progress import reporting
from deltanet._types import Array, DType, Progress, Report, Shape

BLOCKS = "pass blocks of X"
CLEARED_ROWS = 256  # of a matrix at once
Layers = Sequence[Array | None]
Matrices = tuple[Array, Array]


class Source:
    """X of a net, or the factors of a Jacobian.

    Attributes
    ----------
    lead : tuple of int
        (N,), or () of a single sample: the first axes of every result.
    X : ndarray or None
        As it was given; `pieces` converts it.
    factors : (inputs, deltas) or None
    kept : Kept
    read : tuple of ndarray
        What a result must share no memory with.
    rows : int, optional
        Rows of J a sample, which factors may have in place of the outputs of a net: `m`.
    reproducible : bool
        Whether the bits of one sample depend on no other.
    """

    def __init__(
        self,
        engine: Engine,
        sizes: tuple[int, ...],
        dtype: DType,
        kept: Kept,
        lead: Shape,
        X: Any = None,
        factors: Any = None,
        read: Sequence[Any] = (),
        rows: int | None = None,
        reproducible: bool = False,
    ) -> None:
        self.engine, self.sizes, self.dtype, self.kept = engine, sizes, dtype, kept
        self.lead, self.X, self.factors, self.read = lead, X, factors, read
        self.N, self.m = (lead[0] if lead else 1), (sizes[-1] if rows is None else rows)
        self.reproducible = reproducible

    def result(
        self, out: Array | None, shape: Shape, what: str, *others: Array, instead: str = BLOCKS
    ) -> Array:
        """`out` where it was given and fits, else a new array."""
        if out is None:
            out = _memory.empty(shape, self.dtype, what, instead)
        else:
            _validate.out(out, shape, self.dtype, *self.read, *others)
        if not self.kept.size:  # the core has nothing to do
            out.fill(0)
        return out

    def sum(
        self, out: Array | None, shape: Shape, what: str, *others: Array, instead: str = BLOCKS
    ) -> Array:
        """The same, filled with zeros."""
        array = self.result(out, shape, what, *others, instead=instead)
        array.fill(0)
        return array

    def run(
        self,
        threads: int | None,
        progress: Progress = None,
        samplewise: Sequence[str] = (),
        **wanted: Any,
    ) -> None:
        """One call of the core for all samples; in pieces where X has to be converted.

        `samplewise` names the arrays of `wanted` that have one row a sample. Sums are written.
        """
        threads = _validate.count(threads)
        if not progress and (self.factors is not None or self.is_whole()):
            _, given = next(self.pieces())
            self.engine.run(
                self.N,
                self.kept.columns,
                **given,
                **wanted,
                add=False,
                threads=threads,
                reproducible=self.reproducible,
            )
            return

        def piece(part: slice, given: dict[str, Any], report: Report) -> None:
            rows = {name: array[part] for name, array in wanted.items() if name in samplewise}
            self.engine.run(
                part.stop - part.start,
                self.kept.columns,
                **given,
                **(wanted | rows),
                add=part.start > 0,
                threads=threads,
                progress=report,
                reproducible=self.reproducible,
            )

        self.each(piece, progress)

    def each(
        self, work: Callable[[slice, dict[str, Any], Report], None], progress: Progress
    ) -> None:
        """work(slice of samples, arguments of the core, progress) for all `pieces`."""
        with reporting(progress, self.N) as report:
            for part, given in self.pieces():
                work(part, given, report and shifted(report, part.start))
            if report:
                report(self.N)

    def pieces(self) -> Iterator[tuple[slice, dict[str, Any]]]:
        """(slice of samples, arguments of `Engine.run`) of all samples."""
        if self.factors is not None:
            inputs, deltas = self.factors
            yield slice(0, self.N), {"inputs": inputs, "deltas": deltas, "r": self.m}
        elif self.is_whole():
            yield slice(0, self.N), {"X": self.whole()}
        else:
            for start in range(0, self.N, _limits.COPY_SAMPLES):
                part = slice(start, min(start + _limits.COPY_SAMPLES, self.N))
                yield part, {"X": _validate.ready(self.X[part], self.dtype)}

    def is_whole(self) -> bool:
        """Whether all of X is read at once."""
        return self.N <= _limits.COPY_SAMPLES or _validate.is_ready(self.X, self.dtype)

    def whole(self) -> Array:
        """All of X as the core reads it."""
        X = _validate.ready(self.X, self.dtype)
        return X if X.ndim == 2 else X[None]

    def side(self) -> Array | tuple[Layers, Layers]:
        """This source as one side of a Gram matrix."""
        return self.factors if self.factors is not None else self.whole()

    def samples(self, array: ArrayLike, shape: Shape, name: str) -> Array:
        """An argument with one row a sample, as the core reads it (N, ...)."""
        array = _validate.like(array, (*self.lead, *shape), name, self.dtype)
        return array.reshape(self.N, *shape)

    def weights(self, H: ArrayLike | None) -> Array | None:
        """H as (N,) or (N, m, m), or None."""
        return None if H is None else _validate.weights(H, self.lead, self.m, self.dtype)


def shifted(report: Callable[[int], object], start: int) -> Callable[[int], object]:
    """`report`, of what is done from `start` on."""
    return lambda done: report(start + done)


def outputs_like(source: Source, v: ArrayLike, name: str) -> tuple[Array, bool]:
    """(array (columns, N, m), whether there was an axis of columns) of what has the shape of the outputs."""
    u = _validate.columns(v, (*source.lead, source.m), name, source.dtype)
    several = u.ndim > len(source.lead) + 1
    return u.reshape(len(u) if several else 1, source.N, source.m), several


def jvp(
    source: Source,
    v: ArrayLike,
    out: Array | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Array:
    """J v: (N, m), or (N, m, r) for several columns."""
    v = _validate.columns(v, (source.kept.size,), "v", source.dtype)
    several, shape = v.ndim == 2, (*source.lead, source.m)
    if several:
        shape = (*shape, len(v))
    out = source.result(out, shape, "J v", v, instead="pass fewer columns or samples at a time")
    v = source.kept.spread(v)
    columns = len(v) if several else 1
    rows, v = out.reshape(source.N, source.m, columns), v.reshape(columns, v.shape[-1])
    if source.X is None or not several:
        source.run(threads, progress, ("Jv",), v=v, Jv=rows)
    else:
        column = np.empty((source.N, source.m), source.dtype)
        for i, one in enumerate(v):
            source.run(threads, progress, ("Jv",), v=one, Jv=column)
            rows[..., i] = column
    return out


def vjp(
    source: Source,
    u: ArrayLike,
    out: Array | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Array:
    """J^T u: (P,), or (P, r) for several columns."""
    columns, several = outputs_like(source, u, "u")
    P = source.kept.size
    shape = (len(columns), P) if several else (P,)
    out = source.result(out, shape, "J^T u", columns, instead="pass fewer columns at a time")
    for one, result in zip(columns, out if several else [out], strict=True):
        source.run(threads, progress, ("u",), u=one, vjp=result)
    return out.T if several else out


def row_norms_squared(
    source: Source,
    out: Array | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Array:
    """|J_so|^2: (N, m)."""
    out = source.result(out, (*source.lead, source.m), "row_norms_squared")
    rows = out.reshape(source.N, source.m)
    source.run(threads, progress, ("norms",), norms=rows)
    return out


def ggn_diagonal(
    source: Source,
    H: ArrayLike | None = None,
    out: Array | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Array:
    """The diagonal of J^T H J: (P,)."""
    H = source.weights(H)
    out = source.result(out, (source.kept.size,), "ggn_diagonal", *given(H))
    source.run(threads, progress, ("H",) if H is not None else (), diagonal=out, H=H)
    return out


def ggn(
    source: Source,
    H: ArrayLike | None = None,
    out: Array | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Array:
    """J^T H J: (P, P)."""
    H = source.weights(H)
    P = source.kept.size
    instead = "use ggn_diagonal(), kfac() or wrt="
    out = source.result(out, (P, P), "ggn", *given(H), instead=instead)
    fill_ggn(source, out, H, None, None, threads, progress)
    tiles.mirror([out], None, threads)
    return out


def normal_equations(
    source: Source,
    R: ArrayLike,
    H: ArrayLike | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> tuple[Array, Array]:
    """(J^T H J, J^T H R) in one pass."""
    H, P = source.weights(H), source.kept.size
    R = source.samples(R, (source.m,), "R")
    instead = "use ggn_diagonal(), kfac() or wrt="
    A = source.result(None, (P, P), "normal_equations", instead=instead)
    g = source.result(None, (P,), "normal_equations")
    fill_ggn(source, A, H, R, g, threads, progress)
    tiles.mirror([A], None, threads)
    return A, g


def fill_ggn(
    source: Source,
    A: Array,
    H: Array | None,
    R: Array | None,
    g: Array | None,
    threads: int | None = None,
    progress: Progress = None,
) -> None:
    """A := J^T H J in its lower half, and g := J^T H R where they are given."""
    engine, kept, m = source.engine, source.kept, source.m
    samplewise = [name for name, array in (("H", H), ("u", R)) if array is not None]
    if engine.keeps_ggn(kept.columns):
        source.run(threads, progress, samplewise, ggn=A, H=H, u=R, vjp=g)
    elif kept.size:
        rows = max(1, _limits.ROW_BYTES // (m * kept.size * source.dtype.itemsize))
        shape = (min(rows, source.N), m, kept.size)
        J = _memory.empty(shape, source.dtype, "the rows of J", "use ggn_diagonal() or kfac()")
        HJ = None if H is None else np.empty_like(J)
        for i in range(0, kept.size, CLEARED_ROWS):  # the lower half: nothing else is read
            A[i : i + CLEARED_ROWS, : i + CLEARED_ROWS] = 0
        if g is not None:
            g.fill(0)
        with reporting(progress, source.N) as report:
            for piece, given in source.pieces():
                for start in range(piece.start, piece.stop, rows):
                    part = slice(start, min(start + rows, piece.stop))
                    within = slice(part.start - piece.start, part.stop - piece.start)
                    _some_rows(source, A, g, part, cut(given, within), J, HJ, H, R, threads)
                    if report:
                        report(part.stop)


def _some_rows(
    source: Source,
    A: Array,
    g: Array | None,
    part: slice,
    given: dict[str, Any],
    J: Array,
    HJ: Array | None,
    H: Array | None,
    R: Array | None,
    threads: int | None,
) -> None:
    """The part of some samples: their dense rows, then tiles of the one result."""
    N, threads = part.stop - part.start, _validate.count(threads)
    J, HJ = J[:N], None if HJ is None else HJ[:N]
    source.engine.run(
        N,
        source.kept.columns,
        **given,
        J=J,
        HJ=HJ,
        H=None if H is None else H[part],
        u=None if R is None else R[part],
        vjp=g,
        threads=threads,
        stream=False,
    )
    P = source.kept.size
    tiles.add_ggn(A, J.reshape(-1, P), None if HJ is None else HJ.reshape(-1, P), threads)


def cut(given: dict[str, Any], part: slice) -> dict[str, Any]:
    """The same source, of some samples."""
    if "X" in given:
        return {"X": given["X"][part]}
    return given | {name: some(given[name], part) for name in ("inputs", "deltas")}


def some(layers: Layers, part: slice) -> list[Array | None]:
    """Arrays of one a layer, of some samples."""
    return [None if array is None else array[part] for array in layers]


def kfac(
    source: Source,
    H: ArrayLike | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> KFAC:
    """The pairs (A, B) of each kept layer."""
    sums = kfac_sums(source, H, threads, progress)
    return kfac_of(sums, source.N, source.kept.layers, source.sizes, threads)


def kfac_sums(
    source: Source,
    H: ArrayLike | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Array:
    """``sum_s [h 1]^T [h 1]`` and ``sum_s delta^T H delta`` of each kept layer, one behind the other.

    Their upper halves mean nothing.
    """
    H = source.weights(H)
    sides = kfac_sides(source.kept.layers, source.sizes)
    length = sum(n * n for n in sides)
    buffer = source.result(None, (length,), "kfac", instead="use ggn_diagonal()")
    source.run(threads, progress, ("H",) if H is not None else (), kfac=buffer, H=H)
    return buffer


def kfac_sides(layers: _validate.Places, sizes: tuple[int, ...]) -> list[int]:
    """n_a, n_b of each kept layer."""
    return [n for pair in _validate.kronecker_shapes(layers, sizes) for n in pair]


def kfac_of(
    sums: Array,
    N: int,
    layers: _validate.Places,
    sizes: tuple[int, ...],
    threads: int | None = None,
) -> KFAC:
    """The pairs (A, B), laid over `kfac_sums` of N samples."""
    factors, at = [], 0
    for n in kfac_sides(layers, sizes):
        factors.append(sums[at : at + n * n].reshape(n, n))
        at += n * n
    pairs = list(zip(factors[::2], factors[1::2], strict=True))
    tiles.mirror(factors, [1 / max(1, N), 1] * len(pairs), threads)
    biases = tuple(bias for *_, bias in layers)
    return KFAC.__new__(KFAC)._fill(pairs, biases, sums.dtype)


def gram(
    source: Source,
    other: Source | None = None,
    outputs: int = tiles.ALL,
    out: Array | None = None,
    threads: int | None = None,
    progress: Progress = None,
    one: Layers | None = None,
) -> Array:
    """J J'^T in one of its forms."""
    right = source if other is None else other
    m = source.m
    shape, name = {
        tiles.ALL: ((*source.lead, m, *right.lead, right.m), "gram"),
        tiles.EACH: ((m, *source.lead, *right.lead), "gram_per_output"),
        tiles.TRACED: ((*source.lead, *right.lead), "gram_trace"),
    }[outputs]
    others = () if other is None else other.read
    out = source.result(out, shape, name, *others, instead="take blocks of samples")
    with reporting(progress, source.N) as report:
        tiles.gram(
            source.engine,
            out,
            source.side(),
            None if other is None else other.side(),
            outputs,
            source.kept.columns,
            one,
            _validate.count(threads),
            report,
            m,
            right.m,
        )
    return out


def covariance(
    source: Source,
    Sigma: Any,
    out: Array | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Array:
    """J Sigma J^T of each sample: (N, m, m)."""
    if isinstance(Sigma, KFAC):
        if Sigma._pairs is None:
            from deltanet import _kronecker  # which imports this module

            return _kronecker.covariance(source, Sigma, out, threads, progress)
        Sigma = Sigma._pairs
    form, Sigma = _validate.covariance(Sigma, source.kept, source.sizes, source.dtype)
    shape = (*source.lead, source.m, source.m)
    out = source.result(out, shape, "covariance", *arrays(Sigma))
    rows = out.reshape(source.N, source.m, source.m)
    Sigma = FORMS.index(form), parts(form, Sigma, source)
    source.run(threads, progress, ("covariance",), covariance=rows, Sigma=Sigma)
    return out


def parts(form: str, Sigma: Any, source: Source) -> Any:
    """Sigma as the core reads it: see `Engine.point_sigma`."""
    if form == "diagonal":
        blocks = views(source.kept.spread(Sigma), source.sizes, source.kept.biases)
        return [pair if source.kept.holds(k) else None for k, pair in enumerate(blocks)]
    if form == "low rank":
        return source.kept.spread(np.ascontiguousarray(Sigma.T))
    if form == "kronecker":
        pairs = dict(zip((k for k, *_ in source.kept.layers), Sigma, strict=True))
        return [pairs.get(k) for k in range(len(source.sizes) - 1)]
    return Sigma


def given(*candidates: Array | None) -> list[Array]:
    """Those that are not None."""
    return [each for each in candidates if each is not None]


def arrays(Sigma: Any) -> list[Array]:
    """The arrays of a Sigma, whatever its form."""
    if isinstance(Sigma, list):
        return [factor for pair in Sigma for factor in pair]
    return [Sigma] if isinstance(Sigma, np.ndarray) else []


def full_covariance(source: Source, Sigma: Any, threads: int | None = None) -> Array:
    """J Sigma J^T of every sample against every other: (N, m, N, m)."""
    N, m = source.N, source.m
    shape = (*source.lead, m, *source.lead, m)
    _memory.room(shape, source.dtype, "the full covariance", "use full=False")
    if isinstance(Sigma, KFAC):
        if Sigma._pairs is None:
            from deltanet import _kronecker  # which imports this module

            return _kronecker.full_covariance(source, Sigma, threads)
        Sigma = Sigma._pairs
    form, Sigma = _validate.covariance(Sigma, source.kept, source.sizes, source.dtype)
    if form == "scalar":
        scaled: Array = gram(source, threads=threads) * Sigma
        return scaled
    if form == "kronecker":
        return _full_kronecker(source, Sigma, threads)
    K = _memory.zeros((N * m, N * m), source.dtype, "the full covariance", "use full=False")
    if form == "low rank":
        JU = jvp(source, Sigma, threads=threads).reshape(N * m, Sigma.shape[1])
        tiles.multiply(K, JU, np.ascontiguousarray(JU.T), threads)
    else:
        _full_by_rows(source, K, form, Sigma, threads)
    tiles.mirror([K], None, threads)
    return K.reshape(shape)


def _full_by_rows(source: Source, K: Array, form: str, Sigma: Array, threads: int | None) -> None:
    """K_ij = J_i (J_j Sigma)^T, for some rows j of J at a time."""
    P, rows = source.kept.size, len(K)
    step = max(1, _limits.ROW_BYTES // max(1, P * source.dtype.itemsize))
    for start in range(0, rows, step):
        part = slice(start, min(start + step, rows))
        J = np.empty((part.stop - start, P), source.dtype)
        # each row as a sample of its own
        samples = np.arange(part.start, part.stop) // source.m
        inputs = [h if h is None else h[samples] for h in source.factors[0]]
        deltas = [d if d is None else d.reshape(rows, -1)[part] for d in source.factors[1]]
        source.engine.run(
            len(J), source.kept.columns, inputs=inputs, deltas=deltas, r=1, J=J, stream=False
        )
        if form == "diagonal":
            with np.errstate(under="ignore"):
                JS = np.multiply(J, Sigma, out=J)
        else:
            JS = np.zeros_like(J)
            tiles.multiply(JS, J, Sigma, threads)
        K[:, part] = jvp(source, JS.T, threads=threads).reshape(rows, len(J))


def _full_kronecker(source: Source, Sigma: list[Matrices], threads: int | None) -> Array:
    """sum_k (delta B delta'^T) ([h 1] A [h' 1]^T): the Gram matrix with other factors on its left side."""
    inputs, deltas = source.factors
    left_inputs, left_deltas = list(inputs), list(deltas)
    ones: list[Array | None] = [None] * len(inputs)
    for (k, W, bias), (A, B) in zip(source.kept.layers, Sigma, strict=True):
        h1, left_deltas[k] = turned(source, inputs[k], deltas[k], W, bias, A, B, threads)
        if W:
            left_inputs[k] = np.ascontiguousarray(h1[:, : inputs[k].shape[-1]])
        ones[k] = h1[:, -1].copy() if bias else None
    left = Source(
        source.engine,
        source.sizes,
        source.dtype,
        source.kept,
        source.lead,
        factors=(left_inputs, left_deltas),
        rows=source.m,
    )
    K = gram(left, source, threads=threads, one=ones)
    side = math.prod(source.lead) * source.m
    tiles.mirror([K.reshape(side, side)], None, threads)
    return K


def turned(
    source: Source,
    h: Array,
    delta: Array,
    weights: bool,
    bias: bool,
    A: Array,
    B: Array,
    threads: int | None,
) -> Matrices:
    """([h 1] A (N, n_a), delta B (N, m, n_b)) of a layer, of its parts that are kept."""
    one, m = (1, delta.shape[1]) if source.reproducible else (None, None)
    kept = ([h] if weights else []) + ([np.ones((len(h), 1), h.dtype)] if bias else [])
    h1 = np.concatenate(kept, axis=1)
    g, d = np.zeros_like(h1), np.zeros_like(delta)
    tiles.multiply(g, h1, A, threads, one)
    tiles.multiply(d.reshape(-1, len(B)), delta.reshape(-1, len(B)), B, threads, m)
    return g, d
