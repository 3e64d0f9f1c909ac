"""Matrices whose parts the threads share: Gram matrices, J^T H J of many parameters, products, mirrored halves.

As in `engine`, the Python side has checked everything.
"""

from cython cimport floating
from libc.stdlib cimport calloc, free

cimport numpy as cnp

import numpy as np

from deltanet import _limits, _parallel
from deltanet._core import buffers

from deltanet._core.arrays cimport data
from deltanet._core.context cimport CONTEXT
from deltanet._core.engine cimport Columns, Engine
from deltanet._core.hold cimport limit_thread
from deltanet._core.loops cimport combine, transpose
from deltanet._core.net cimport Context, Net
from deltanet._core.plan cimport GRAM_ROWS, kept_before, kept_length
from deltanet._core.product cimport gemm
from deltanet._core.rows cimport whole_vectors
from deltanet._core.sinks.ggn cimport ggn_tile, ggn_tiles
from deltanet._core.sinks.gram cimport ALL_OUTPUTS, EACH_OUTPUT, TRACE, Corner, gram_layer, put_tile
from deltanet._core.work cimport Work, dn_add, dn_load, thread_count

cnp.import_array()

ALL, EACH, TRACED = ALL_OUTPUTS, EACH_OUTPUT, TRACE  # forms of a Gram matrix

cdef enum:
    PRODUCT_COLUMNS = 512
    EACH_SAMPLES = 16     # of small products
    MIRROR_COLUMNS = 32   # that fit the nearest cache
    MIRROR_WORK = 8       # multiplications that take as long as one number of a mirrored matrix
    FINEST_TILES = 8      # that a Gram matrix is cut into, where it can be
    LEAST_ROWS = 48       # of such a tile

ctypedef void (*Body)(Tiles tiles, Py_ssize_t unit, int rank) noexcept nogil


cdef class Tiles(Work):
    """Parts of one result on their way through the threads."""

    cdef Body body
    cdef Py_ssize_t units
    cdef bint is_double
    cdef void* C
    cdef const void* A
    cdef const void* B
    cdef Py_ssize_t M, K, N
    cdef Py_ssize_t rows           # of A in a product

    cdef int share(self, Body body, double work, threads) except -1:
        self.body = body
        return self.go(work_through, thread_count(threads, work, self.units), False)


cdef void work_through(void* argument, int rank, int size) noexcept nogil:
    """What each thread does: one part after the other, until none is left."""
    cdef Py_ssize_t unit
    if rank > 0:
        limit_thread()
    while True:
        if rank == 0:
            (<Tiles> argument).poll()
        unit = dn_add(&(<Tiles> argument).next, 1)
        if unit >= (<Tiles> argument).units or dn_load(&(<Tiles> argument).stop):
            return
        (<Tiles> argument).body(<Tiles> argument, unit, rank)


def add_ggn(C, J, HJ=None, threads=None):
    """C (P, P) += (H J)^T J in its lower half, from dense rows (rows, P)."""
    cdef Tiles tiles = Tiles()
    tiles.is_double = C.dtype == np.float64
    tiles.C, tiles.A, tiles.B = data(C), data(J if HJ is None else HJ), data(J)
    tiles.K, tiles.N, tiles.units = J.shape[0], J.shape[1], ggn_tiles(J.shape[1])
    if tiles.K > 0:
        with _parallel.held_blas():
            tiles.share(ggn_body, <double> tiles.N * tiles.N * tiles.K / 2, threads)


cdef void ggn_body(Tiles at, Py_ssize_t unit, int rank) noexcept nogil:
    if at.is_double:
        ggn_tile(<double*> at.C, <const double*> at.A, <const double*> at.B, unit, at.K, at.N)
    else:
        ggn_tile(<float*> at.C, <const float*> at.A, <const float*> at.B, unit, at.K, at.N)


def multiply(C, A, B, threads=None, rows=None):
    """C (M, N) += A (M, K) B (K, N), by BLAS, in tiles of columns; with `rows`, so many of A in a product.

    BLAS's bits depend on how many there are.
    """
    cdef Tiles tiles = Tiles()
    tiles.is_double = C.dtype == np.float64
    tiles.C, tiles.A, tiles.B = data(C), data(A), data(B)
    tiles.M, tiles.K, tiles.N = A.shape[0], A.shape[1], B.shape[1]
    tiles.rows = rows or max(1, tiles.M)
    tiles.units = (tiles.N + PRODUCT_COLUMNS - 1) // PRODUCT_COLUMNS
    if tiles.K > 0:
        with _parallel.held_blas():
            tiles.share(product_body, <double> tiles.M * tiles.K * tiles.N, threads)


def multiply_each(C, A, B, threads=None):
    """C_s (M, N) = A_s (M, K) B_s (K, N) for each sample s, by plain loops: all are small."""
    cdef Each each = Each()
    each.is_double = C.dtype == np.float64
    each.C, each.A, each.B, each.samples_count = data(C), data(A), data(B), A.shape[0]
    each.M, each.K, each.N = A.shape[1], A.shape[2], B.shape[2]
    each.units = (each.samples_count + EACH_SAMPLES - 1) // EACH_SAMPLES
    each.share(each_body, A.size * B.shape[2], threads)


cdef class Each(Tiles):
    """Small products, one a sample."""

    cdef Py_ssize_t samples_count


cdef void each_body(Tiles at, Py_ssize_t unit, int rank) noexcept nogil:
    cdef Py_ssize_t s, first = unit * EACH_SAMPLES
    for s in range(first, min(first + EACH_SAMPLES, (<Each> at).samples_count)):
        if at.is_double:
            combine(CONTEXT.simd, <double*> at.C + s * at.M * at.N, <const double*> at.A + s * at.M * at.K,
                    <const double*> at.B + s * at.K * at.N, at.M, at.N, at.K)
        else:
            combine(CONTEXT.simd, <float*> at.C + s * at.M * at.N, <const float*> at.A + s * at.M * at.K,
                    <const float*> at.B + s * at.K * at.N, at.M, at.N, at.K)


cdef void product_body(Tiles at, Py_ssize_t unit, int rank) noexcept nogil:
    cdef Py_ssize_t i, j = unit * PRODUCT_COLUMNS, columns = min(<Py_ssize_t> PRODUCT_COLUMNS, at.N - j)
    for i in range(at.M // at.rows):
        if at.is_double:
            gemm(<double*> at.C + i * at.rows * at.N + j, at.N, <const double*> at.A + i * at.rows * at.K, at.K, 1,
                 <const double*> at.B + j, at.N, at.rows, columns, at.K)
        else:
            gemm(<float*> at.C + i * at.rows * at.N + j, at.N, <const float*> at.A + i * at.rows * at.K, at.K, 1,
                 <const float*> at.B + j, at.N, at.rows, columns, at.K)


cdef struct Half:
    void* C
    Py_ssize_t n
    double scale


cdef class Halves(Tiles):
    """Symmetric matrices, of which the lower halves are there."""

    cdef Half* half
    cdef Py_ssize_t count

    def __cinit__(self, matrices, scales):
        self.half = <Half*> calloc(len(matrices) + 1, sizeof(Half))
        if self.half == NULL:
            raise MemoryError("no memory for the pointers to the matrices")
        for C, scale in zip(matrices, scales, strict=True):
            self.half[self.count] = Half(data(C), C.shape[0], scale)
            self.units += strips(C.shape[0])
            self.count += 1
            self.is_double = C.dtype == np.float64

    def __dealloc__(self):
        free(self.half)


cdef inline Py_ssize_t strips(Py_ssize_t n) noexcept nogil:
    return (n + MIRROR_COLUMNS - 1) // MIRROR_COLUMNS


def mirror(matrices, scales=None, threads=None):
    """Complete symmetric matrices (n, n) from their lower halves, each times its scale, in place."""
    cdef Halves halves = Halves(matrices, scales or [1] * len(matrices))
    halves.share(mirror_body, sum([C.size for C in matrices]) * MIRROR_WORK, threads)


cdef void mirror_body(Tiles tiles, Py_ssize_t unit, int rank) noexcept nogil:
    cdef Half* half = (<Halves> tiles).half
    while unit >= strips(half.n):
        unit -= strips(half.n)
        half += 1
    if tiles.is_double:
        mirror_strip(<double*> half.C, half.n, half.n, unit * MIRROR_COLUMNS, <double> half.scale, &CONTEXT)
    else:
        mirror_strip(<float*> half.C, half.n, half.n, unit * MIRROR_COLUMNS, <float> half.scale, &CONTEXT)


cdef void mirror_strip(floating* C, Py_ssize_t ldc, Py_ssize_t n, Py_ssize_t first, floating scale,
                       const Context* context) noexcept nogil:
    """Some columns of the lower half, and the rows of the upper one that they become, a square at a time.

    C (n, n; rows ldc apart)
    """
    cdef Py_ssize_t i, j, last, row = first, stop = min(n, first + MIRROR_COLUMNS)
    while row < n:
        last = min(n, row + MIRROR_COLUMNS)
        if scale != 1:
            for i in range(row, last):
                for j in range(first, min(i + 1, stop)):
                    C[i * ldc + j] *= scale
        if row > first:
            transpose(context.simd, C + first * ldc + row, ldc, C + row * ldc + first, ldc, last - row, stop - first)
        row = last
    for i in range(first, stop):
        for j in range(first, i):
            C[j * ldc + i] = C[i * ldc + j]


def gram(Engine engine, K, left, right=None, int outputs=ALL_OUTPUTS, Columns columns=None, one=None, threads=None,
         progress=None, Py_ssize_t r=0, Py_ssize_t r2=0):
    """K = J J'^T for all pairs of rows (N, r, N', r'), for each row of a sample (r, N, N'), or their mean (N, N').

    A side is X (N, n_0) or (inputs, deltas), with the same for J'. Without J' it is J, and half of K is made, tile by
    tile, and written twice. `one` has, layer by layer, what takes the place of the 1 of a bias on the left side (N,).
    `r` and `r2` are the rows a sample of the two sides, m if they are 0.
    """
    cdef Py_ssize_t N = count(left), N2 = N if right is None else count(right), m, a, b, B, size
    cdef Py_ssize_t lanes = 32 // engine.itemsize
    cdef Panels panels
    if N == 0 or N2 == 0 or (columns is not None and columns.P == 0):
        return
    columns = columns or engine.everything
    r = r or engine.net.m
    r2 = r if right is None else r2 or engine.net.m
    m = max(r, r2)
    B = max(lanes, GRAM_ROWS // m // lanes * lanes)
    size = max(1, _limits.FACTOR_BYTES // (kept_length(&engine.net, m, B) * engine.itemsize)) * B
    kept, kept2 = panel(engine, min(N, size), B, r), None
    for a in range(0, N, size):
        fill(engine, kept, left, a, min(size, N - a), B, r, outputs, columns, threads)
        for b in range(0, N2 if right is not None else a + 1, size):
            if right is None and b == a:
                other = kept
            else:
                kept2 = panel(engine, min(N2, size), B, r2) if kept2 is None else kept2
                fill(engine, kept2, left if right is None else right, b, min(size, N2 - b), B, r2, outputs,
                     columns, threads)
                other = kept2
            panels = Panels(engine, columns, one)
            panels.work_on(K, outputs, kept, other, right is None, a, b, N, N2, B, r, r2, size, threads)
        if progress is not None:
            progress(min(N, a + size))


def panel(Engine engine, Py_ssize_t N, Py_ssize_t B, Py_ssize_t r):
    """Memory for the factors of N samples."""
    return buffers.lend(((N + B - 1) // B, kept_length(&engine.net, r, B)), engine.theta.dtype)


def fill(Engine engine, kept, side, Py_ssize_t start, Py_ssize_t N, Py_ssize_t B, Py_ssize_t r, int outputs,
         Columns columns, threads):
    """The factors of some samples, in blocks of B lanes."""
    stop = start + N
    if isinstance(side, np.ndarray):
        source = {"X": side[start:stop]}
    else:
        inputs, deltas = ([None if f is None else f[start:stop] for f in factors] for factors in side)
        source = {"inputs": inputs, "deltas": deltas, "r": r}
    engine.run(N, columns, **source, lanes_kept=kept, B=B, interleaved=outputs == ALL_OUTPUTS, threads=threads)


cdef Py_ssize_t count(side):
    """The samples of one side of a Gram matrix."""
    if isinstance(side, np.ndarray):
        return len(side)
    return len(next((d for d in side[1] if d is not None), ()))


cdef class Panels(Tiles):
    """The factors of some samples against those of others: tiles of a Gram matrix."""

    cdef Engine engine
    cdef Columns columns
    cdef const void** one
    cdef int outputs
    cdef bint same                 # both panels are one, of whose tiles the lower half is made
    cdef bint symmetric            # K is, and each tile has two places in it
    cdef Py_ssize_t tile_pitch     # of a row of a tile
    cdef Py_ssize_t lanes, pitch, pitch2  # of a block, and its bytes on either side
    cdef Py_ssize_t r, r2          # rows a sample
    cdef Py_ssize_t start, start2, all_M, all_N
    cdef Py_ssize_t rows, columns2, parts, parts2, blocks2  # of a tile; tiles of a block, each way

    def __cinit__(self, Engine engine, Columns columns, one):
        cdef Py_ssize_t k
        self.engine, self.columns, self.is_double = engine, columns, engine.is_double
        if one is not None:
            self.one = <const void**> calloc(engine.net.L + 1, sizeof(void*))
            if self.one == NULL:
                raise MemoryError("no memory for the pointers to the layers")
            for k in range(1, engine.net.L + 1):
                self.one[k] = data(one[k - 1])

    def __dealloc__(self):
        free(self.one)

    cdef int work_on(self, K, int outputs, kept, kept2, bint symmetric, Py_ssize_t start, Py_ssize_t start2,
                     Py_ssize_t N, Py_ssize_t N2, Py_ssize_t B, Py_ssize_t r, Py_ssize_t r2, Py_ssize_t size,
                     threads) except -1:
        """All tiles of two panels of at most `size` samples, which begin at these samples."""
        cdef Py_ssize_t wide = r if outputs == ALL_OUTPUTS else 1, wide2 = r2 if outputs == ALL_OUTPUTS else 1
        cdef Py_ssize_t blocks, numbers, line = 64 // self.engine.itemsize
        cdef double work
        self.C, self.A, self.B, self.outputs, self.same = data(K), data(kept), data(kept2), outputs, kept is kept2
        self.symmetric = symmetric
        self.start, self.start2, self.all_M, self.all_N, self.r, self.r2 = start, start2, N, N2, r, r2
        self.M, self.N, self.lanes = min(size, N - start), min(size, N2 - start2), B
        self.pitch, self.pitch2 = kept.shape[1] * self.engine.itemsize, kept2.shape[1] * self.engine.itemsize
        blocks, self.blocks2 = (self.M + B - 1) // B, (self.N + B - 1) // B
        self.rows = self.columns2 = max(B, GRAM_ROWS // B * B)
        self.parts, self.parts2 = (B * wide + self.rows - 1) // self.rows, (B * wide2 + self.rows - 1) // self.rows
        blocks *= self.blocks2 * self.parts2
        while self.rows // 2 >= LEAST_ROWS and self.rows % 2 == 0 and blocks * self.parts < FINEST_TILES:
            # Threads share the outputs of few samples. A tile on the diagonal still ends in a square.
            self.rows //= 2
            self.parts = (B * wide + self.rows - 1) // self.rows
        self.units = blocks * self.parts
        work = <double> self.M * self.N * r * wide2 * kept_length(&self.engine.net, 1, 1)
        self.tile_pitch = ((self.columns2 + line - 1) // line | 1) * line  # an odd number of cache lines
        numbers = self.rows * self.tile_pitch * (r if outputs == EACH_OUTPUT else 1)
        numbers += B + B * B * (1 + wide2) + line + (0 if CONTEXT.tiles else self.rows * B * wide2)
        try:
            self.reserve(thread_count(threads, work, self.units), 0, numbers * self.engine.itemsize + 64)
            if CONTEXT.tiles:
                self.share(gram_body, work, threads)
            else:
                with _parallel.held_blas():
                    self.share(gram_body, work, threads)
        finally:
            self.release()
        return 0


cdef void gram_body(Tiles tiles, Py_ssize_t unit, int rank) noexcept nogil:
    if tiles.is_double:
        gram_tile(<Panels> tiles, unit, rank, <double> 0)
    else:
        gram_tile(<Panels> tiles, unit, rank, <float> 0)


cdef void gram_tile(Panels at, Py_ssize_t unit, int rank, floating zero) noexcept nogil:
    """One tile, layer by layer."""
    cdef const Net* net = &at.engine.net
    cdef Py_ssize_t k, a, b, square, B = at.lanes
    cdef Corner corner
    cdef const floating* left
    cdef const floating* right
    cdef floating* tile = <floating*> at.workspaces[rank].numbers
    cdef floating* work
    cdef bint add = False
    corner.column = unit % at.parts2 * at.columns2
    unit //= at.parts2
    corner.row = unit % at.parts * at.rows
    unit //= at.parts
    b, a = unit % at.blocks2, unit // at.blocks2
    if at.same and b > a:
        return  # above the diagonal
    corner.diagonal = at.same and a == b
    corner.first, corner.N = at.start + a * B, min(B, at.M - a * B)
    corner.first2, corner.N2 = at.start2 + b * B, min(B, at.N - b * B)
    corner.B, corner.B2 = whole_vectors(corner.N, sizeof(floating)), whole_vectors(corner.N2, sizeof(floating))
    corner.row_stop = min(corner.row + at.rows, corner.N * (at.r if at.outputs == ALL_OUTPUTS else 1))
    corner.column_stop = min(corner.column + at.columns2, corner.N2 * (at.r2 if at.outputs == ALL_OUTPUTS else 1))
    corner.rows, corner.columns, corner.r, corner.r2 = at.all_M, at.all_N, at.r, at.r2
    corner.pitch, corner.size = at.tile_pitch, at.rows * at.tile_pitch
    if corner.diagonal:
        corner.column_stop = min(corner.column_stop, corner.row_stop)
    if corner.row >= corner.row_stop or corner.column >= corner.column_stop:
        return
    work = tile + corner.size * (at.r if at.outputs == EACH_OUTPUT else 1)
    for k in range(1, net.L + 1):
        if at.columns.column[k] < 0 and at.columns.bias_column[k] < 0:
            continue
        left = <const floating*> (<const char*> at.A + a * at.pitch) + kept_before(net, k, at.r, corner.B)
        right = <const floating*> (<const char*> at.B + b * at.pitch2) + kept_before(net, k, at.r2, corner.B2)
        gram_layer(tile, at.outputs, left + net.layer[k].n_in * corner.B, left,
                   right + net.layer[k].n_in * corner.B2, right,
                   <const floating*> at.one[k] + corner.first if at.one != NULL and at.one[k] != NULL
                   else <const floating*> NULL,
                   at.columns.column[k] >= 0, at.columns.bias_column[k] >= 0, net.layer[k].n_in, net.layer[k].n_out,
                   add, &corner, work, &CONTEXT)
        add = True
    square = corner.row - corner.column
    if corner.diagonal and square < corner.column_stop - corner.column:
        for k in range(at.r if at.outputs == EACH_OUTPUT else 1):
            for a in range(strips(corner.row_stop - corner.row)):
                mirror_strip(tile + k * corner.size + square, corner.pitch, corner.row_stop - corner.row,
                             a * MIRROR_COLUMNS, 1, &CONTEXT)
    put_tile(<floating*> at.C, tile, at.outputs, at.symmetric, &corner, &CONTEXT)
