# The Gauss-Newton matrix J^T H J (P, P), its lower half, from dense rows of J and of H J.
#
# Of few parameters: added to a lane, block by block. Of many: the rows of some blocks are made first, then
# each thread takes tiles of the one result, by SciPy's syrk and gemm.

from cython cimport floating
from libc.string cimport memset

from deltanet._core.net cimport Context, Team
from deltanet._core.product cimport gemm, lower_product, syrk

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


cdef inline void ggn_lane(floating* C, const floating* left, const floating* J, Py_ssize_t rows, Py_ssize_t P,
                          bint add, const Context* context, const Team* team) noexcept nogil:
    """C := (H J)^T J, or C + (H J)^T J"""
    lower_product(C, P, left, 1, P, J, P, P, rows, add, context, team)


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
