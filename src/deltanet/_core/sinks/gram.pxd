# Tiles of J J'^T:  K_so,s'o' = sum_k (delta^(k)_so . delta'^(k)_s'o') (h^(k-1)_s . h'^(k-1)_s' + 1)
#
# First the factors of blocks of samples are kept, all layers of each, then some rows of a block against some columns of
# another one make a tile, which is written where it lies in K. Forms: all pairs of outputs, K (N, r, N', r'), where
# delta is kept as (n_out, B, r), so that rows and columns lie as those of K; each output by itself, K (r, N, N'), and
# the mean over the outputs, K (N, N'): there delta is (r, n_out, B), and r' is r.
# Workspace of a tile: h h'^T + 1 (B, B'), the same with each column r' times, and, for BLAS, the product (rows, B' r').

from cython cimport floating
from libc.string cimport memcpy

from deltanet._core.loops cimport transpose
from deltanet._core.net cimport Context, share
from deltanet._core.product cimport fold_product, product
from deltanet._core.rows cimport Layout

cdef enum:
    ALL_OUTPUTS = 0
    EACH_OUTPUT = 1
    TRACE = 2

cdef enum:
    DIAGONAL_ROWS = 12         # of a tile on the diagonal of a symmetric K that are made at once, to their last one


cdef struct Corner:            # a tile
    Py_ssize_t first, N, B     # left: first sample, samples, lanes
    Py_ssize_t first2, N2, B2
    Py_ssize_t row, row_stop   # of the left block: samples, or pairs of sample and output
    Py_ssize_t column, column_stop
    Py_ssize_t rows, columns   # samples of all of K
    Py_ssize_t r, r2           # rows a sample, left and right
    bint diagonal              # whether what lies above the diagonal is left out


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


cdef inline void gram_layer(floating* K, int outputs, const floating* delta, const floating* h,
                            const floating* delta2, const floating* h2, const floating* one, bint weights,
                            bint biases, Py_ssize_t n_in, Py_ssize_t n_out, bint add, const Corner* at,
                            floating* work, const Context* context) noexcept nogil:
    """One layer's part, written or added; `one` (N,) takes the place of the 1 where it is given."""
    cdef Py_ssize_t i, j, o, row, stop, reach, B = at.B, B2 = at.B2
    cdef Py_ssize_t r = at.r if outputs == ALL_OUTPUTS else 1, r2 = at.r2 if outputs == ALL_OUTPUTS else 1
    cdef Py_ssize_t depth = at.r * n_out if outputs == TRACE else n_out
    cdef floating* hh = work
    cdef floating* H = hh
    cdef floating* product_work = work + (1 + r2) * B * B2
    for i in range(B):
        for j in range(B2):
            hh[i * B2 + j] = (one[min(i, at.N - 1)] if one != NULL else 1) if biases else 0
    if weights:
        product(hh, B2, h, 1, B, h2, B2, B, B2, n_in, <const floating*> NULL, True, context)
    if outputs == TRACE:
        for i in range(B * B2):
            hh[i] /= at.r
    if r2 > 1:
        H = hh + B * B2
        for i in range(B * B2):
            for o in range(r2):
                H[i * r2 + o] = hh[i]
    for o in range(at.r if outputs == EACH_OUTPUT else 1):
        row = at.row
        while row < at.row_stop:
            stop, reach = at.row_stop, at.column_stop
            if at.diagonal:
                stop = min(stop, row + DIAGONAL_ROWS)
                reach = min(reach, stop)
            if reach > at.column:
                fold_product(
                    K + (((o * at.rows + at.first) * r + row) * at.columns + at.first2) * r2 + at.column,
                    at.columns * r2, delta + o * n_out * B + row, 1, B * r,
                    delta2 + o * n_out * B2 + at.column, B2 * r2, stop - row, reach - at.column, depth,
                    H + at.column, B2 * r2, r, row, product_work, add, context)
            row = stop
