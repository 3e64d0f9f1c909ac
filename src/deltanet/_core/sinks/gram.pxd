# Tiles of J J'^T:  K_so,s'o' = sum_k (delta^(k)_so . delta'^(k)_s'o') (h^(k-1)_s . h'^(k-1)_s' + 1)
#
# First the factors of blocks of samples are kept, all layers of each, then some rows of a block against some columns of
# another one make a tile, all layers. It then goes where it lies in K, and of a symmetric K its transpose too: rows of
# K may lie a power of two apart, which a cache cannot hold. Forms: all pairs of outputs, K (N, r, N', r'), where
# delta is kept as (n_out, B, r), so that rows and columns lie as those of K; each output by itself, K (r, N, N'), and
# the mean over the outputs, K (N, N'): there delta is (r, n_out, B), and r' is r.
# Workspace of a tile: the tile; what is added to h h'^T (B,); h h'^T + 1 (B, B'); the same with each column r' times;
# and, for BLAS, the product (rows, B' r').

from cython cimport floating
from libc.string cimport memcpy

from deltanet._core.loops cimport repeat, transpose
from deltanet._core.net cimport Context, share
from deltanet._core.product cimport fold_product, product
from deltanet._core.rows cimport Layout

cdef enum:
    ALL_OUTPUTS = 0
    EACH_OUTPUT = 1
    TRACE = 2

cdef enum:
    DIAGONAL_ROWS = 12         # of a tile on the diagonal of a symmetric K that are made at once, the columns to
    DIAGONAL_BYTES = 64        # their last row, and up to whole ones of these
    TURNED_COLUMNS = 32        # of a tile that are written as rows at once: few pages of K


cdef struct Corner:            # a tile
    Py_ssize_t first, N, B     # left: first sample, samples, lanes
    Py_ssize_t first2, N2, B2
    Py_ssize_t row, row_stop   # of the left block: samples, or pairs of sample and output
    Py_ssize_t column, column_stop
    Py_ssize_t rows, columns   # samples of all of K
    Py_ssize_t r, r2           # rows a sample, left and right
    bint diagonal              # whether what lies above the diagonal is left out
    Py_ssize_t pitch, size     # of a row of the tile; of an output's tile


cdef inline void keep_lanes(floating* kept_h, floating* kept_delta, const floating* h, const floating* delta,
                            bint interleaved, const Layout* at) noexcept nogil:
    """One layer of a block: h (n_in, B), delta (n_out, B, r) or (r, n_out, B)."""
    cdef Py_ssize_t i, j, o, n = at.n_out, B = at.B, r = at.r
    share(&i, &j, at.n_in, at.team)
    memcpy(kept_h + i * B, h + i * B, (j - i) * B * sizeof(floating))
    share(&i, &j, n, at.team)
    if not interleaved or r == 1:
        for o in range(r):
            memcpy(kept_delta + (o * n + i) * B, delta + (o * n + i) * B, (j - i) * B * sizeof(floating))
        return
    for i in range(i, j):
        transpose(at.context.simd, kept_delta + i * B * r, r, delta + i * B, n * B, r, B)


cdef inline void gram_layer(floating* tile, int outputs, const floating* delta, const floating* h,
                            const floating* delta2, const floating* h2, const floating* one, bint weights,
                            bint biases, Py_ssize_t n_in, Py_ssize_t n_out, bint add, const Corner* at,
                            floating* work, const Context* context) noexcept nogil:
    """One layer's part, written or added; `one` (N,) takes the place of the 1 where it is given."""
    cdef Py_ssize_t i, o, row, stop, reach, B = at.B, B2 = at.B2, line = DIAGONAL_BYTES // sizeof(floating)
    cdef Py_ssize_t r = at.r if outputs == ALL_OUTPUTS else 1, r2 = at.r2 if outputs == ALL_OUTPUTS else 1
    cdef Py_ssize_t depth = at.r * n_out if outputs == TRACE else n_out
    cdef floating* start = work
    cdef floating* hh = start + B
    cdef floating* H = hh
    cdef floating* product_work = hh + (1 + r2) * B * B2 + line
    cdef Py_ssize_t first = at.row // r, samples = (at.row_stop + r - 1) // r - first, skipped = first * B2
    for i in range(B):
        start[i] = (one[min(i, at.N - 1)] if one != NULL else 1) if biases else 0
    product(hh + skipped, B2, h + first, 1, B, h2, B2, samples, B2, n_in if weights else 0, start + first, False,
            context)
    if outputs == TRACE:
        for i in range(skipped, skipped + samples * B2):
            hh[i] /= at.r
    if r2 > 1:
        H = hh + B * B2
        repeat(context.simd, H + skipped * r2, hh + skipped, samples * B2, r2)
    for o in range(at.r if outputs == EACH_OUTPUT else 1):
        row = at.row
        while row < at.row_stop:
            stop, reach = at.row_stop, at.column_stop
            if at.diagonal:
                stop = min(stop, row + DIAGONAL_ROWS)
                reach = min(reach, at.column + (stop - at.column + line - 1) // line * line)
            if reach > at.column:
                fold_product(
                    tile + o * at.size + (row - at.row) * at.pitch, at.pitch, delta + o * n_out * B + row, 1, B * r,
                    delta2 + o * n_out * B2 + at.column, B2 * r2, stop - row, reach - at.column, depth,
                    H + at.column, B2 * r2, r, row, product_work, add, context)
            row = stop


cdef inline void put_tile(floating* K, const floating* tile, int outputs, bint symmetric, const Corner* at,
                          const Context* context) noexcept nogil:
    """A tile, complete, to its place in K; and to the other one of a symmetric K."""
    cdef Py_ssize_t i, j, _o, M = at.row_stop - at.row, N = at.column_stop - at.column
    cdef Py_ssize_t r = at.r if outputs == ALL_OUTPUTS else 1, r2 = at.r2 if outputs == ALL_OUTPUTS else 1
    cdef Py_ssize_t row = at.first * r + at.row, column = at.first2 * r2 + at.column, width = at.columns * r2
    cdef Py_ssize_t others = min(N, at.row - at.column) if at.diagonal else N  # columns before the square at its end
    for _o in range(at.r if outputs == EACH_OUTPUT else 1):
        for i in range(M):
            memcpy(K + (row + i) * width + column, tile + i * at.pitch, N * sizeof(floating))
        j = 0
        while symmetric and j < others:
            transpose(context.simd, K + (column + j) * width + row, width, tile + j, at.pitch, M,
                      min(<Py_ssize_t> TURNED_COLUMNS, others - j))
            j += TURNED_COLUMNS
        K += at.rows * r * width
        tile += at.size
