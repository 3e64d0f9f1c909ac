# Each sample's J Sigma J^T:  C_op = sum_k g_k (left_o . delta_p)    (r, r, B), its lower half
#
#   scalar      g = sigma (|h|^2 + 1)     left = delta
#   diagonal    g = 1                     left_oj = delta_oj (sum_i sigma_ji h_i^2 + sigma_j)
#   Kronecker   g = [h 1] A [h 1]^T       left = delta B
#   low rank    J U once for all layers (directions.pxd), then C_op = sum_c (J U)_oc (J U)_pc
#   dense       rows of J (dense.pxd), a product with Sigma, then C_op = (J Sigma)_o . J_p
#
# Workspace: (2 n_in + (r + 1) n_out + 4) B numbers.

from cython cimport floating
from libc.string cimport memcpy, memset

from deltanet._core.loops cimport dots, fold, multiply, sum_rows
from deltanet._core.product cimport gemm, product
from deltanet._core.rows cimport Layout
from deltanet._core.sinks.row_norms cimport input_norm

cdef enum:
    SCALAR = 0
    DIAGONAL = 1
    KRONECKER = 2
    LOW_RANK = 3
    FULL = 4

cdef struct Pair:            # what Sigma has of a layer
    const void* A            # diagonal: (n_out, n_in), of W; Kronecker: ([n_in] + [1])^2, of W and b that are kept
    const void* B            # diagonal: (n_out,), of b; Kronecker: (n_out, n_out)


cdef inline void covariance(floating* C, int form, floating sigma, const Pair* pair, const floating* delta,
                            const floating* h, floating* work, const Layout* at) noexcept nogil:
    """One layer's part, added."""
    cdef Py_ssize_t s, o, B = at.B
    cdef floating* factor = work
    cdef floating* left = work + 4 * B
    if form == SCALAR:
        input_norm(factor, h, at)
        for s in range(B):
            factor[s] *= sigma
        pairs(C, factor, delta, delta, work + B, at)
    elif form == DIAGONAL:
        unit_variances(work + (4 + at.r * at.n_out) * B, <const floating*> pair.A, <const floating*> pair.B,
                       h, at)
        for o in range(at.r):
            if o % at.team.size != at.team.rank:
                continue
            memcpy(left + o * at.n_out * B, delta + o * at.n_out * B, at.n_out * B * sizeof(floating))
            multiply(at.context.simd, left + o * at.n_out * B, work + (4 + at.r * at.n_out) * B, at.n_out * B)
        pairs(C, <floating*> NULL, left, delta, work + B, at)
    else:
        quadratic(factor, <const floating*> pair.A, h, work + 4 * B, at)
        for o in range(at.r):
            if o % at.team.size != at.team.rank:
                continue
            product(left + o * at.n_out * B, B, <const floating*> pair.B, at.n_out, 1,
                    delta + o * at.n_out * B, B, at.n_out, B, at.n_out, <const floating*> NULL, False,
                    at.context)
        pairs(C, factor, left, delta, work + B, at)


cdef inline void pairs(floating* C, const floating* factor, const floating* left, const floating* delta,
                       floating* work, const Layout* at) noexcept nogil:
    """C_op += factor (left_o . delta_p) for p <= o; a factor of NULL is 1"""
    cdef Py_ssize_t o, p, size = at.n_out * at.B
    for o in range(at.r):
        if o % at.team.size != at.team.rank:
            continue
        for p in range(o + 1):
            if factor == NULL:
                sum_rows(at.context.simd, C + (o * at.r + p) * at.B, left + o * size, delta + p * size,
                         at.n_out, at.B)
            else:
                memset(work, 0, at.B * sizeof(floating))
                sum_rows(at.context.simd, work, left + o * size, delta + p * size, at.n_out, at.B)
                fold(at.context.simd, C + (o * at.r + p) * at.B, work, factor, at.B)


cdef inline void unit_variances(floating* variance, const floating* A, const floating* b, const floating* h,
                                const Layout* at) noexcept nogil:
    """sum_i sigma_ji h_i^2 + sigma_j    (n_out, B)"""
    cdef Py_ssize_t i, n = at.n_in * at.B
    cdef floating* squares = variance + at.n_out * at.B
    for i in range(n):
        squares[i] = h[i] * h[i]
    product(variance, at.B, A, at.n_in, 1, squares, at.B, at.n_out, at.B, at.n_in, b, False, at.context)


cdef inline void quadratic(floating* q, const floating* A, const floating* h, floating* work,
                           const Layout* at) noexcept nogil:
    """[h 1] A [h 1]^T    (B,), without h if W is not kept"""
    cdef Py_ssize_t i, s, n = at.n_in if at.column >= 0 else 0, B = at.B, pitch = n + (at.bias_column >= 0)
    memset(q, 0, B * sizeof(floating))
    if n > 0:
        product(work, B, A, pitch, 1, h, B, n, B, n, <const floating*> NULL, False, at.context)
    if pitch > n:
        for s in range(B):
            q[s] = A[n * pitch + n]
        for i in range(n):
            for s in range(B):
                work[i * B + s] += A[i * pitch + n] + A[n * pitch + i]
    sum_rows(at.context.simd, q, h, work, n, B)


cdef inline void from_directions(floating* C, const floating* JU, Py_ssize_t columns,
                                 const Layout* layout) noexcept nogil:
    """C_op = sum_c (J U)_oc (J U)_pc"""
    cdef Py_ssize_t o, p, r = layout.r, B = layout.B
    for o in range(r):
        for p in range(o + 1):
            sum_rows(layout.context.simd, C + (o * r + p) * B, JU + o * columns * B, JU + p * columns * B, columns, B)


cdef inline void from_rows(floating* C, const floating* J, floating* JS, const floating* Sigma, Py_ssize_t P,
                           Py_ssize_t at_once, const Layout* layout) noexcept nogil:
    """C_op = (J Sigma)_o . J_p, with so many rows in a product: all, or those of a sample"""
    cdef Py_ssize_t o, p, s, r = layout.r, rows = layout.N * layout.r
    cdef floating total
    memset(JS, 0, rows * P * sizeof(floating))
    for s in range(rows // at_once):
        gemm(JS + s * at_once * P, P, J + s * at_once * P, P, 1, Sigma, P, at_once, P, P)
    for s in range(layout.N):
        for o in range(r):
            for p in range(o + 1):
                dots(layout.context.simd, &total, JS + (s * r + o) * P, J + (s * r + p) * P, <const floating*> NULL,
                     1, P)
                C[(o * r + p) * layout.B + s] = total


cdef inline void mirror_lanes(floating* C, const Layout* layout) noexcept nogil:
    """The upper half from the lower one."""
    cdef Py_ssize_t o, p, r = layout.r, B = layout.B
    for o in range(r):
        for p in range(o):
            memcpy(C + (p * r + o) * B, C + (o * r + p) * B, B * sizeof(floating))
