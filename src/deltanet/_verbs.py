"""The verbs, for a net at X and for a kept Jacobian alike: check, allocate, one call of the core.

A `Source` says where the factors come from; what is then computed of them is the same.
"""

import math

import numpy as np

from deltanet import _limits, _memory, _validate
from deltanet._core import engine as core
from deltanet._params import views
from deltanet._progress import reporting

BLOCKS = "pass blocks of X"


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
    """

    def __init__(self, engine, sizes, dtype, kept, lead, X=None, factors=None, read=()):
        self.engine, self.sizes, self.dtype, self.kept = engine, sizes, dtype, kept
        self.lead, self.X, self.factors, self.read = lead, X, factors, read
        self.N, self.m = (lead[0] if lead else 1), sizes[-1]

    def result(self, out, shape, what, *others, instead=BLOCKS):
        """`out` where it was given and fits, else a new array."""
        if out is None:
            out = _memory.empty(shape, self.dtype, what, instead)
        else:
            _validate.out(out, shape, self.dtype, *self.read, *others)
        if not self.kept.size:  # the core has nothing to do
            out.fill(0)
        return out

    def sum(self, out, shape, what, *others, instead=BLOCKS):
        """The same, filled with zeros."""
        array = self.result(out, shape, what, *others, instead=instead)
        array.fill(0)
        return array

    def run(self, threads, progress=None, samplewise=(), **wanted):
        """One call of the core for all samples; in pieces where X has to be converted.

        `samplewise` names the arrays of `wanted` that have one row a sample.
        """
        threads = _validate.count(threads)
        if not progress and (self.factors is not None or self.is_whole()):
            _, given = next(self.pieces())
            self.engine.run(self.N, self.kept.columns, **given, **wanted, threads=threads)
            return
        with reporting(progress, self.N) as report:
            for part, given in self.pieces():
                some = {name: array[part] for name, array in wanted.items() if name in samplewise}
                self.engine.run(
                    part.stop - part.start,
                    self.kept.columns,
                    **given,
                    **(wanted | some),
                    threads=threads,
                    progress=report and (lambda done, start=part.start: report(start + done)),
                )
            if report:
                report(self.N)

    def pieces(self):
        """(slice of samples, arguments of `Engine.run`) of all samples."""
        if self.factors is not None:
            inputs, deltas = self.factors
            yield slice(0, self.N), {"inputs": inputs, "deltas": deltas}
        elif self.is_whole():
            yield slice(0, self.N), {"X": self.whole()}
        else:
            for start in range(0, self.N, _limits.COPY_SAMPLES):
                part = slice(start, min(start + _limits.COPY_SAMPLES, self.N))
                yield part, {"X": _validate.ready(self.X[part], self.dtype)}

    def is_whole(self):
        """Whether all of X is read at once."""
        return self.N <= _limits.COPY_SAMPLES or _validate.is_ready(self.X, self.dtype)

    def whole(self):
        """All of X as the core reads it."""
        X = _validate.ready(self.X, self.dtype)
        return X if X.ndim == 2 else X[None]

    def side(self):
        """This source as one side of a Gram matrix."""
        return self.factors if self.factors is not None else self.whole()

    def samples(self, array, shape, name):
        """An argument with one row a sample, as the core reads it (N, ...)."""
        array = _validate.like(array, (*self.lead, *shape), name, self.dtype)
        return array.reshape(self.N, *shape)

    def weights(self, H):
        """H as (N,) or (N, m, m), or None."""
        return None if H is None else _validate.weights(H, self.lead, self.m, self.dtype)


def outputs_like(source, v, name):
    """(array (columns, N, m), whether there was an axis of columns) of what has the shape of the outputs."""
    u = _validate.columns(v, (*source.lead, source.m), name, source.dtype)
    several = u.ndim > len(source.lead) + 1
    return u.reshape(len(u) if several else 1, source.N, source.m), several


def jvp(source, v, out=None, threads=None, progress=None):
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


def vjp(source, u, out=None, threads=None, progress=None):
    """J^T u: (P,), or (P, r) for several columns."""
    columns, several = outputs_like(source, u, "u")
    P = source.kept.size
    shape = (len(columns), P) if several else (P,)
    out = source.sum(out, shape, "J^T u", columns, instead="pass fewer columns at a time")
    for one, result in zip(columns, out if several else [out], strict=True):
        source.run(threads, progress, ("u",), u=one, vjp=result)
    return out.T if several else out


def row_norms_squared(source, out=None, threads=None, progress=None):
    """|J_so|^2: (N, m)."""
    out = source.result(out, (*source.lead, source.m), "row_norms_squared")
    rows = out.reshape(source.N, source.m)
    source.run(threads, progress, ("norms",), norms=rows)
    return out


def ggn_diagonal(source, H=None, out=None, threads=None, progress=None):
    """The diagonal of J^T H J: (P,)."""
    H = source.weights(H)
    out = source.sum(out, (source.kept.size,), "ggn_diagonal", *given(H))
    source.run(threads, progress, ("H",) if H is not None else (), diagonal=out, H=H)
    return out


def ggn(source, H=None, out=None, threads=None, progress=None):
    """J^T H J: (P, P)."""
    H = source.weights(H)
    P = source.kept.size
    instead = "use ggn_diagonal(), kfac() or wrt="
    out = source.sum(out, (P, P), "ggn", *given(H), instead=instead)
    add_ggn(source, out, H, None, None, threads, progress)
    core.mirror(out)
    return out


def normal_equations(source, R, H=None, threads=None, progress=None):
    """(J^T H J, J^T H R) in one pass."""
    H, P = source.weights(H), source.kept.size
    R = source.samples(R, (source.m,), "R")
    instead = "use ggn_diagonal(), kfac() or wrt="
    A = source.sum(None, (P, P), "normal_equations", instead=instead)
    g = source.sum(None, (P,), "normal_equations")
    add_ggn(source, A, H, R, g, threads, progress)
    core.mirror(A)
    return A, g


def add_ggn(source, A, H, R, g, threads=None, progress=None):
    """A += J^T H J in its lower half, and g += J^T H R where they are given."""
    engine, kept, m = source.engine, source.kept, source.m
    samplewise = [name for name, array in (("H", H), ("u", R)) if array is not None]
    if engine.keeps_ggn(kept.columns):
        source.run(threads, progress, samplewise, ggn=A, H=H, u=R, vjp=g)
    elif kept.size:
        rows = max(1, _limits.ROW_BYTES // (m * kept.size * source.dtype.itemsize))
        shape = (min(rows, source.N), m, kept.size)
        J = _memory.empty(shape, source.dtype, "the rows of J", "use ggn_diagonal() or kfac()")
        HJ = None if H is None else np.empty_like(J)
        with reporting(progress, source.N) as report:
            for piece, given in source.pieces():
                for start in range(piece.start, piece.stop, rows):
                    part = slice(start, min(start + rows, piece.stop))
                    some = slice(part.start - piece.start, part.stop - piece.start)
                    _some_rows(source, A, g, part, cut(given, some), J, HJ, H, R, threads)
                    if report:
                        report(part.stop)


def _some_rows(source, A, g, part, given, J, HJ, H, R, threads):
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
    source.engine.add_ggn(A, J.reshape(-1, P), None if HJ is None else HJ.reshape(-1, P), threads)


def cut(given, part):
    """The same source, of some samples."""
    return {
        name: array[part]
        if name == "X"
        else [None if factor is None else factor[part] for factor in array]
        for name, array in given.items()
    }


def kfac(source, H=None, threads=None, progress=None):
    """[(A, B)] of each kept layer."""
    H = source.weights(H)
    sizes, layers = source.sizes, source.kept.layers
    for k, weights, bias in layers:
        if not weights or bias != source.kept.biases[k]:
            raise ValueError(
                f"kfac needs both weights and biases of a layer; wrt keeps one of them in layer {k}"
            )
    sides = [n for k, _, bias in layers for n in (sizes[k] + bias, sizes[k + 1])]
    length = sum(n * n for n in sides)
    buffer = source.sum(None, (length,), "kfac", instead="use ggn_diagonal()")
    source.run(threads, progress, ("H",) if H is not None else (), kfac=buffer, H=H)
    factors, at = [], 0
    for n in sides:
        factors.append(buffer[at : at + n * n].reshape(n, n))
        at += n * n
    pairs = list(zip(factors[::2], factors[1::2], strict=True))
    for A, B in pairs:
        core.mirror(A, 1 / max(1, source.N))
        core.mirror(B)
    return pairs


def gram(source, other=None, outputs=core.ALL, out=None, threads=None, progress=None, one=None):
    """J J'^T in one of its forms."""
    right = source if other is None else other
    m = source.m
    shape, name = {
        core.ALL: ((*source.lead, m, *right.lead, m), "gram"),
        core.EACH: ((m, *source.lead, *right.lead), "gram_per_output"),
        core.TRACED: ((*source.lead, *right.lead), "gram_trace"),
    }[outputs]
    others = () if other is None else other.read
    out = source.result(out, shape, name, *others, instead="take blocks of samples")
    with reporting(progress, source.N) as report:
        source.engine.gram(
            out,
            source.side(),
            None if other is None else other.side(),
            outputs,
            source.kept.columns,
            one,
            _validate.count(threads),
            report,
        )
    return out


def covariance(source, Sigma, out=None, threads=None, progress=None):
    """J Sigma J^T of each sample: (N, m, m)."""
    form, Sigma = _validate.covariance(Sigma, source.kept, source.sizes, source.dtype)
    shape = (*source.lead, source.m, source.m)
    out = source.result(out, shape, "covariance", *arrays(Sigma))
    rows = out.reshape(source.N, source.m, source.m)
    Sigma = core.FORMS.index(form), parts(form, Sigma, source)
    source.run(threads, progress, ("covariance",), covariance=rows, Sigma=Sigma)
    return out


def parts(form, Sigma, source):
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


def given(*candidates):
    """Those that are not None."""
    return [each for each in candidates if each is not None]


def arrays(Sigma):
    """The arrays of a Sigma, whatever its form."""
    if isinstance(Sigma, list):
        return [factor for pair in Sigma for factor in pair]
    return [Sigma] if isinstance(Sigma, np.ndarray) else []


def full_covariance(source, Sigma, threads=None):
    """J Sigma J^T of every sample against every other: (N, m, N, m)."""
    form, Sigma = _validate.covariance(Sigma, source.kept, source.sizes, source.dtype)
    N, m = source.N, source.m
    shape = (*source.lead, m, *source.lead, m)
    _memory.room(shape, source.dtype, "the full covariance", "use full=False")
    if form == "scalar":
        return gram(source, threads=threads) * Sigma
    if form == "kronecker":
        return _full_kronecker(source, Sigma, threads)
    K = _memory.zeros((N * m, N * m), source.dtype, "the full covariance", "use full=False")
    if form == "low rank":
        JU = jvp(source, Sigma, threads=threads).reshape(N * m, Sigma.shape[1])
        source.engine.multiply(K, JU, np.ascontiguousarray(JU.T), threads)
    else:
        _full_by_rows(source, K, form, Sigma, threads)
    core.mirror(K)
    return K.reshape(shape)


def _full_by_rows(source, K, form, Sigma, threads):
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
            source.engine.multiply(JS, J, Sigma, threads)
        K[:, part] = jvp(source, JS.T, threads=threads).reshape(rows, len(J))


def _full_kronecker(source, Sigma, threads):
    """sum_k (delta B delta'^T) ([h 1] A [h' 1]^T): the Gram matrix with other factors on its left side."""
    inputs, deltas = source.factors
    left_inputs, left_deltas, ones = list(inputs), list(deltas), [None] * len(inputs)
    for (k, _, bias), (A, B) in zip(source.kept.layers, Sigma, strict=True):
        h, d, n = inputs[k], deltas[k], inputs[k].shape[-1]
        h1 = np.concatenate([h, np.ones((len(h), int(bias)), h.dtype)], axis=1)
        hA, dB = np.zeros_like(h1), np.zeros_like(d)
        source.engine.multiply(hA, h1, A, threads)
        source.engine.multiply(dB.reshape(-1, len(B)), d.reshape(-1, len(B)), B, threads)
        left_inputs[k], ones[k] = np.ascontiguousarray(hA[:, :n]), hA[:, n:].copy()
        left_deltas[k] = dB
    left = Source(
        source.engine,
        source.sizes,
        source.dtype,
        source.kept,
        source.lead,
        factors=(left_inputs, left_deltas),
    )
    K = gram(left, source, threads=threads, one=ones)
    side = math.prod(source.lead) * source.m
    core.mirror(K.reshape(side, side))
    return K
