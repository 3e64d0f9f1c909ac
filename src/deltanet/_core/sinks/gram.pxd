# Tiles of J J'^T:  K_so,s'o' = sum_k (delta^(k)_so . delta'^(k)_s'o') (h^(k-1)_s . h'^(k-1)_s' + 1)
#
# A block of samples against another one, each with all its layers in the lanes; o and o' range over all pairs
# of outputs, over equal ones (a kernel for each output), or over equal ones that are added up (the trace).
# Workspace: the tile, a (B, B') matrix for each pair of outputs, and two more.

from cython cimport floating
from libc.string cimport memset

from deltanet._core.loops cimport fold
from deltanet._core.net cimport Context
from deltanet._core.product cimport fold_products, product

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


cdef inline void gram_layer(floating* K, int outputs, const floating* delta, const floating* h,
                            const floating* delta2, const floating* h2, const floating* one, bint weights,
                            bint biases, Py_ssize_t n_in, Py_ssize_t n_out, const Corner* at, floating* work,
                            const Context* context) noexcept nogil:
    """One layer's part, added; `one` (N,) takes the place of the 1 where it is given."""
    cdef Py_ssize_t o, i, j, first, sets, plane = 0, B = at.B, B2 = at.B2
    cdef floating* hh = work
    cdef floating* dd = work + B * B2
    for i in range(B):
        for j in range(B2):
            hh[i * B2 + j] = (one[min(i, at.N - 1)] if one != NULL else 1) if biases else 0
    if weights:
        product(hh, B2, h, 1, B, h2, B2, B, B2, n_in, <const floating*> NULL, True, context)
    if outputs == TRACE:  # one product over outputs and units together
        for o in range(at.o, at.o_stop):
            product(dd, B2, delta + o * n_out * B, 1, B, delta2 + o * n_out * B2, B2, B, B2, n_out,
                    <const floating*> NULL, o > at.o, context)
        fold(context.simd, K, dd, hh, B * B2)
        return
    for o in range(at.o, at.o_stop):
        first = at.p if outputs == ALL_OUTPUTS else o
        sets = at.p_stop - at.p if outputs == ALL_OUTPUTS else 1
        fold_products(K + plane * B * B2, B2, B * B2, delta + o * n_out * B, 1, B,
                      delta2 + first * n_out * B2, B2, n_out * B2, sets, B, B2, n_out, hh, dd, context)
        plane += sets


cdef inline void gram_write(floating* K, const floating* tile, int outputs, Py_ssize_t m, Py_ssize_t m2,
                            Py_ssize_t rows, Py_ssize_t columns, bint mirrored, const Corner* at) noexcept nogil:
    """The tile into K (rows, m, columns, m2), (m, rows, columns) or (rows, columns)

    `mirrored` says that its transpose is written too: m2 is m then.
    """
    cdef Py_ssize_t o, p, s, z, plane, B = at.B, B2 = at.B2, wide = at.p_stop - at.p
    cdef floating scale = <floating> 1 / m
    cdef floating* out
    if outputs == ALL_OUTPUTS:  # each row of K from its beginning to its end
        for s in range(at.N):
            for o in range(at.o, at.o_stop):
                out = K + (((at.first + s) * m + o) * columns + at.first2) * m2 + at.p
                plane = (o - at.o) * wide
                for z in range(at.N2):
                    for p in range(wide):
                        out[z * m2 + p] = tile[((plane + p) * B + s) * B2 + z]
        if mirrored:
            for z in range(at.N2):
                for p in range(at.p, at.p_stop):
                    out = K + (((at.first2 + z) * m + p) * columns + at.first) * m
                    for s in range(at.N):
                        for o in range(at.o, at.o_stop):
                            out[s * m + o] = tile[(((o - at.o) * wide + p - at.p) * B + s) * B2 + z]
        return
    for o in range(at.o, at.o_stop if outputs == EACH_OUTPUT else at.o + 1):
        plane = o - at.o
        for s in range(at.N):
            for z in range(at.N2):
                K[(o * rows + at.first + s) * columns + at.first2 + z] = tile[(plane * B + s) * B2 + z] * (
                    1 if outputs == EACH_OUTPUT else scale)
        if mirrored:
            for z in range(at.N2):
                for s in range(at.N):
                    K[(o * rows + at.first2 + z) * columns + at.first + s] = (
                        tile[(plane * B + s) * B2 + z] * (1 if outputs == EACH_OUTPUT else scale))
