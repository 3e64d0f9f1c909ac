# The Gauss-Newton matrix J^T H J (P, P), its lower half, and J^T H u (P,) with it.
#
# Of few parameters: block by block, added to a lane, from rows of J^T along the samples,
#
#   J^T_o = [delta^(1)_oj h^(0)_i, delta^(1)_o, ..., delta^(L)_oj h^(L-1)_i, delta^(L)_o]    (P, B)
#
# Workspace: P B numbers of each output that is held, all r of them where H is a matrix, and P B of (H J)^T_o if
# there is H. Of many: dense rows of J and of H J of some blocks are made first, then each thread takes tiles of the one
# result, by SciPy's syrk and gemm.

from cython cimport floating
from libc.string cimport memcpy, memset

from deltanet._core.inner cimport inner, lower_inner
from deltanet._core.loops cimport fold_rows, scale_rows
from deltanet._core.net cimport Net, share
from deltanet._core.pool cimport meet
from deltanet._core.product cimport gemm, syrk
from deltanet._core.rows cimport Layout

cdef enum:
    TILE_COLUMNS = 512


cdef inline void weigh_rows(floating* HJ, const floating* J, const floating* H, bint full, Py_ssize_t N,
                            Py_ssize_t r, Py_ssize_t P) noexcept nogil:
    """HJ_so = sum_p H_s,op J_sp    (N, r, P), H (N, r, r) or (N,)"""
    cdef Py_ssize_t s, o, p, i
    cdef floating weight
    cdef floating* out
    for s in range(N):
        for o in range(r):
            out = HJ + (s * r + o) * P
            memset(out, 0, P * sizeof(floating))
            for p in range(0 if full else o, r if full else o + 1):
                weight = H[(s * r + o) * r + p] if full else H[s]
                for i in range(P):
                    out[i] += weight * J[(s * r + p) * P + i]


cdef inline void ggn_lane(floating* C, floating* g, floating* J, floating** delta, floating** h, const floating* u,
                          const floating* H, bint full, const Py_ssize_t* column, const Py_ssize_t* bias_column,
                          Py_ssize_t lowest, Py_ssize_t P, const Net* net, const Layout* at) noexcept nogil:
    """C := J^T H J    (P, P), g := J^T u    (P,), or added to them; u (r, B), H (r, r, B) or (B,); g, H may be NULL"""
    cdef Py_ssize_t o, k, first = 0, held = at.r if full else 1, B = at.B, start = P * at.team.rank // at.team.size
    cdef Py_ssize_t rows = P * (at.team.rank + 1) // at.team.size - start
    cdef floating* left = J + held * P * B
    while first < at.r:
        for o in range(held):
            for k in range(lowest, net.L + 1):
                lane_rows(J + o * P * B, delta[k] + (first + o) * net.layer[k].n_out * B, h[k - 1], column[k],
                          bias_column[k], net.layer[k].n_out, net.layer[k].n_in, at)
        meet(at.team)
        for o in range(held):
            if H != NULL:
                weigh_lanes(left + start * B, J + start * B, H + o * at.r * B if full else H, full, P, rows, at)
                meet(at.team)
            lower_inner(C, left if H != NULL else J + o * P * B, J + o * P * B, P, B, at.add or first + o > 0,
                        at.context, at.team)
            if g != NULL:
                inner(g + start, P, u + (first + o) * B, J + (o * P + start) * B, 1, rows, B,
                      at.add or first + o > 0, at.context)
            meet(at.team)
        first += held


cdef inline void lane_rows(floating* J, const floating* delta, const floating* h, Py_ssize_t column,
                           Py_ssize_t bias_column, Py_ssize_t n_out, Py_ssize_t n_in,
                           const Layout* at) noexcept nogil:
    """The rows of one layer: delta (n_out, B) times h (n_in, B), zero in the lanes behind the last sample."""
    cdef Py_ssize_t j, start, stop, B = at.B
    share(&start, &stop, n_out, at.team)
    if column >= 0:
        if n_in == 1:
            scale_rows(at.context.simd, J + (column + start) * B, h, delta + start * B, stop - start, B)
        else:
            for j in range(start, stop):
                scale_rows(at.context.simd, J + (column + j * n_in) * B, delta + j * B, h, n_in, B)
        clear_behind(J + (column + start * n_in) * B, (stop - start) * n_in, at)
    if bias_column >= 0:
        memcpy(J + (bias_column + start) * B, delta + start * B, (stop - start) * B * sizeof(floating))
        clear_behind(J + (bias_column + start) * B, stop - start, at)


cdef inline void clear_behind(floating* lanes, Py_ssize_t rows, const Layout* at) noexcept nogil:
    """Zero in the lanes behind the last sample."""
    cdef Py_ssize_t j, s
    for j in range(rows if at.N < at.B else 0):
        for s in range(at.N, at.B):
            lanes[j * at.B + s] = 0


cdef inline void weigh_lanes(floating* left, const floating* J, const floating* H, bint full, Py_ssize_t P,
                             Py_ssize_t rows, const Layout* at) noexcept nogil:
    """Some rows of (H J)^T_o = sum_p H_op J^T_p, from those of all outputs or of one    H (r, B) or (B,)"""
    cdef Py_ssize_t p
    if not full:
        scale_rows(at.context.simd, left, H, J, rows, at.B)
        return
    memset(left, 0, rows * at.B * sizeof(floating))
    for p in range(at.r):
        fold_rows(at.context.simd, left, H + p * at.B, J + p * P * at.B, rows, at.B)


cdef inline Py_ssize_t ggn_tiles(Py_ssize_t P) noexcept nogil:
    """How many tiles the lower half has."""
    cdef Py_ssize_t side = (P + TILE_COLUMNS - 1) // TILE_COLUMNS
    return side * (side + 1) // 2


cdef inline void ggn_tile(floating* C, const floating* left, const floating* J, Py_ssize_t tile,
                          Py_ssize_t rows, Py_ssize_t P) noexcept nogil:
    """C += (H J)^T J in one tile of the lower half, counted row by row"""
    cdef Py_ssize_t i = 0, j
    while (i + 1) * (i + 2) // 2 <= tile:
        i += 1
    j = (tile - i * (i + 1) // 2) * TILE_COLUMNS
    i *= TILE_COLUMNS
    if i == j and left == J:
        syrk(C + i * P + i, P, J + i, P, min(<Py_ssize_t> TILE_COLUMNS, P - i), rows)
    else:
        gemm(C + i * P + j, P, left + i, 1, P, J + j, P, min(<Py_ssize_t> TILE_COLUMNS, P - i),
             min(<Py_ssize_t> TILE_COLUMNS, P - j), rows)
