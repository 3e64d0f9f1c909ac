# What a sink is given of a layer, from X or from kept factors alike (symbols: net.pxd).

from cython cimport floating
from libc.string cimport memcpy, memset

from deltanet._core.loops cimport fold_rows, transpose
from deltanet._core.net cimport Context, Team, share

cdef struct Layout:             # the block and the layer at hand
    Py_ssize_t N, B, r          # samples, lanes, rows a sample
    Py_ssize_t n_in, n_out
    Py_ssize_t column           # where W^(k) begins among the kept columns; -1: not kept
    Py_ssize_t bias_column      # and b^(k)
    bint input_rows             # whether h^(k-1) is a long x, for the products of inputs.pxd
    bint add                    # whether the sums hold something already; else they are written
    const Context* context
    const Team* team


cdef inline Py_ssize_t whole_vectors(Py_ssize_t n, Py_ssize_t itemsize) noexcept nogil:
    """n rounded up to whole vectors of 32 bytes."""
    cdef Py_ssize_t lanes = 32 // itemsize
    return (n + lanes - 1) // lanes * lanes


cdef inline void load(floating* lanes, const floating* rows, Py_ssize_t stride, Py_ssize_t n, Py_ssize_t N,
                      Py_ssize_t B, const Context* context) noexcept nogil:
    """(n, B) from (N, n; rows `stride` apart), the last sample again in the lanes behind"""
    cdef Py_ssize_t j, s
    if B == 1:
        memcpy(lanes, rows, n * sizeof(floating))
        return
    transpose(context.simd, lanes, B, rows, stride, N, n)
    for j in range(n):
        for s in range(N, B):
            lanes[j * B + s] = lanes[j * B + N - 1]


cdef inline void unload(floating* rows, Py_ssize_t stride, const floating* lanes, Py_ssize_t n, Py_ssize_t N,
                        Py_ssize_t B, const Context* context) noexcept nogil:
    """(N, n; rows `stride` apart) from (n, B)"""
    if B == 1:
        memcpy(rows, lanes, n * sizeof(floating))
    else:
        transpose(context.simd, rows, stride, lanes, B, n, N)


cdef inline void weigh(floating* left, const floating* delta, const floating* H, bint full,
                       const Layout* at) noexcept nogil:
    """left_o = sum_p H_op delta_p    (r, n, B), H (r, r, B) or, where it is a number a sample, (B,)"""
    cdef Py_ssize_t o, p, start, stop, n = at.n_out, B = at.B
    share(&start, &stop, n, at.team)
    for o in range(at.r):
        memset(left + (o * n + start) * B, 0, (stop - start) * B * sizeof(floating))
        for p in range(0 if full else o, at.r if full else o + 1):
            fold_rows(at.context.simd, left + (o * n + start) * B, H + (o * at.r + p) * B if full else H,
                      delta + (p * n + start) * B, stop - start, B)


cdef inline void contract(floating* d, const floating* u, const floating* delta,
                          const Layout* at) noexcept nogil:
    """d = sum_o u_o delta_o    (n, B), u (r, B)"""
    cdef Py_ssize_t o, start, stop, B = at.B
    share(&start, &stop, at.n_out, at.team)
    memset(d + start * B, 0, (stop - start) * B * sizeof(floating))
    for o in range(at.r):
        fold_rows(at.context.simd, d + start * B, u + o * B, delta + (o * at.n_out + start) * B, stop - start,
                  B)
