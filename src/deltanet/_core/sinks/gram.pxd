# Tiles of J J'^T:  K_so,s'o' = sum_k (delta^(k)_so . delta'^(k)_s'o') (h^(k-1)_s . h'^(k-1)_s' + 1)
#
# A block of samples against another one, each with all its layers in the lanes; o and o' range over all pairs
# of outputs, over equal ones (a kernel for each output), or over equal ones that are added up (the trace).
# Workspace: the tile, a (B, B') matrix for each pair of outputs, and two more.

from cython cimport floating
from libc.string cimport memset

from deltanet._core.loops cimport fold
from deltanet._core.net cimport Context
from deltanet._core.product cimport product

cdef enum:
    ALL_OUTPUTS = 0
    EACH_OUTPUT = 1
    TRACE = 2


cdef struct Corner:            # a tile: samples and outputs of both sides
    Py_ssize_t first, N, B     # left: first sample, samples, lanes
    Py_ssize_t first2, N2, B2
    Py_ssize_t o, o_stop       # outputs of the left side
    Py_ssize_t p, p_stop       # of the right side, where all pairs are wanted


cdef inline Py_ssize_t planes(const Corner* at, int outputs) noexcept nogil:
    """How many (B, B2) matrices a tile has."""
    if outputs == TRACE:
        return 1
    return (at.o_stop - at.o) * (at.p_stop - at.p if outputs == ALL_OUTPUTS else 1)


cdef inline void gram_layer(floating* K, int outputs, const floating* delta, const floating* h, const floating* delta2,
                            const floating* h2, const floating* one, bint weights, bint biases, Py_ssize_t n_in,
                            Py_ssize_t n_out, const Corner* at, floating* work, const Context* context) noexcept nogil:
    """One layer's part, added; `one` (N,) takes the place of the 1 where it is given."""
    cdef Py_ssize_t o, p, i, j, plane = 0, B = at.B, B2 = at.B2
    cdef floating* hh = work
    cdef floating* dd = work + B * B2
    for i in range(B):
        for j in range(B2):
            hh[i * B2 + j] = (one[min(i, at.N - 1)] if one != NULL else 1) if biases else 0
    if weights:
        product(hh, B2, h, 1, B, h2, B2, B, B2, n_in, <const floating*> NULL, True, context)
    for o in range(at.o, at.o_stop):
        for p in range(at.p if outputs == ALL_OUTPUTS else o, at.p_stop if outputs == ALL_OUTPUTS else o + 1):
            product(dd, B2, delta + o * n_out * B, 1, B, delta2 + p * n_out * B2, B2, B, B2, n_out,
                    <const floating*> NULL, outputs == TRACE and o > at.o, context)
            if outputs != TRACE or o == at.o_stop - 1:
                fold(context.simd, K + plane * B * B2, dd, hh, B * B2)
                plane += 1


cdef inline void gram_write(floating* K, const floating* tile, int outputs, Py_ssize_t m, Py_ssize_t rows,
                            Py_ssize_t columns, bint mirrored, const Corner* at) noexcept nogil:
    """The tile into K (rows, m, columns, m), (m, rows, columns) or (rows, columns); `mirrored`: its transpose too."""
    cdef Py_ssize_t o, p, s, z, plane = 0
    cdef Py_ssize_t row, column, row_step, column_step, row2, column2
    cdef floating scale = <floating> 1 / m if outputs == TRACE else 1
    for o in range(at.o, at.o_stop if outputs != TRACE else at.o + 1):
        for p in range(at.p if outputs == ALL_OUTPUTS else o, at.p_stop if outputs == ALL_OUTPUTS else o + 1):
            if outputs == ALL_OUTPUTS:
                row, row_step = (at.first * m + o) * columns * m, columns * m * m
                column, column_step = at.first2 * m + p, m
                row2, column2 = (at.first2 * m + p) * columns * m, at.first * m + o
            else:
                row, row_step = ((o * rows if outputs == EACH_OUTPUT else 0) + at.first) * columns, columns
                column, column_step = at.first2, 1
                row2, column2 = ((o * rows if outputs == EACH_OUTPUT else 0) + at.first2) * columns, at.first
            for s in range(at.N):
                for z in range(at.N2):
                    K[row + s * row_step + column + z * column_step] = scale * tile[(plane * at.B + s) * at.B2 + z]
            if mirrored:
                for z in range(at.N2):
                    for s in range(at.N):
                        K[row2 + z * row_step + column2 + s * column_step] = scale * tile[(plane * at.B + s) * at.B2 + z]
            plane += 1
