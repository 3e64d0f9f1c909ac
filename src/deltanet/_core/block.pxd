# One block of samples from its source to every sink that is wanted (symbols: net.pxd).

from cython cimport floating
from libc.string cimport memcpy, memset

from deltanet._core.backward cimport begin, step, through_weights
from deltanet._core.forward cimport forward, load_input, tangent
from deltanet._core.inputs cimport InputRows, stack_input
from deltanet._core.net cimport Layer, Net, Team, share
from deltanet._core.plan cimport (
    COVARIANCE, DENSE_ROWS, DIRECTIONS, FACTORS, FIRST, GAUSS_NEWTON_VECTOR, GGN, GGN_DIAGONAL, INPUT_JACOBIAN, KFAC,
    LANES_KEPT, OUTPUTS, ROW_NORMS, SECOND, TANGENT, VJP, Job, Space, diagonal_length, kept_before, lane, vjp_length,
)
from deltanet._core.pool cimport meet
from deltanet._core.rows cimport Layout, contract, load, unload, weigh, whole_vectors
from deltanet._core.sinks.covariance cimport FULL, LOW_RANK, covariance, from_directions, from_rows, mirror_lanes
from deltanet._core.sinks.dense cimport dense_rows
from deltanet._core.sinks.directions cimport directions
from deltanet._core.sinks.factors cimport keep_delta, keep_input, make_delta
from deltanet._core.sinks.ggn cimport clear_behind, ggn_lane, weigh_rows
from deltanet._core.sinks.ggn_diagonal cimport ggn_diagonal
from deltanet._core.sinks.gram cimport keep_lanes
from deltanet._core.sinks.input_jacobian cimport input_jacobian
from deltanet._core.sinks.kfac cimport kfac
from deltanet._core.sinks.row_norms cimport row_norms
from deltanet._core.sinks.vjp cimport outer_sums


cdef inline void run_block(const Job* job, Space* at, floating zero, Py_ssize_t start, Py_ssize_t N, Py_ssize_t B,
                           Py_ssize_t number, bint add, const Team* team) noexcept nogil:
    """The samples start .. start + N, whose sums go to lane `number`, are written or added. `zero` says the type."""
    cdef const Net* net = job.net
    cdef Py_ssize_t k
    cdef Layout layout = Layout(N, B, job.r, 0, 0, 0, 0, False, add, job.context, team)
    cdef floating** h = <floating**> at.h
    cdef floating** fprime = <floating**> at.fprime
    cdef floating** delta = <floating**> at.delta
    cdef const floating* theta = <const floating*> job.theta
    cdef const floating* affine = <const floating*> job.affine
    cdef const floating* u = NULL  # the seed, where it is not the identity
    cdef const floating* X = <const floating*> job.X + start * net.n_0
    cdef const floating* x = NULL  # h^(0) sample by sample, in rows of whole vectors
    cdef InputRows rows = InputRows(NULL, N, whole_vectors(net.n_0, sizeof(floating)), job.packs, job.v_packs,
                                    at.input_work)
    cdef const InputRows* input_rows = &rows if job.input_rows else NULL
    if job.wanted & GAUSS_NEWTON_VECTOR:
        u = <const floating*> at.u
    elif job.r == 1 and job.u != NULL and not job.contracted:
        u = <const floating*> job.u + start * net.m
    if job.X != NULL and not net.scaled_input and rows.stride == net.n_0:
        x = X
    elif job.input_rows:
        x = h[0]
        stack_input(h[0], X, affine, net, &rows, team)
    rows.x = x
    if job.X != NULL:
        if job.half != SECOND or job.activations == NULL:
            forward(h, fprime, <floating**> NULL, X, theta, affine, net, input_rows, N, B, job.context, team,
                    job.failure)
        elif not job.input_rows:
            load_input(h[0], X, affine, net, N, B, job.context, team)
            meet(team)
        outputs(job, at, zero, input_rows, start, N, B, team)
    if job.lowest <= net.L and job.half != FIRST:
        prepare(job, at, zero, start, &layout)
        for k in range(net.L, job.lowest - 1, -1):
            layout.n_in, layout.n_out = net.layer[k].n_in, net.layer[k].n_out
            layout.column, layout.bias_column = job.column[k], job.bias_column[k]
            layout.input_rows = job.input_rows and k == 1
            if job.X == NULL:
                if job.deltas[k] != NULL:
                    fetch(job, at, zero, k, start, &layout)
            elif k == net.L:
                begin(delta[k], u, fprime, affine, net, N, B, job.r, team)
            elif k >= job.by_rows:  # below, the sink makes it
                step(delta[k], delta[k + 1], k + 1, u == NULL, fprime, theta, net, B, job.r, job.context, team)
            if job.X != NULL or job.deltas[k] != NULL:
                layer_sinks(job, at, x if k == 1 else NULL, k, start, number, &layout)
        block_sinks(job, at, zero, start, number, &layout)
    meet(team)


cdef inline void outputs(const Job* job, Space* at, floating zero, const InputRows* rows, Py_ssize_t start,
                         Py_ssize_t N, Py_ssize_t B, const Team* team) noexcept nogil:
    """y or its residual, and J v by a tangent; or H J v, the seed of J^T H J v."""
    cdef const Net* net = job.net
    cdef Py_ssize_t i, j, o, s, m = net.m
    cdef floating* dy
    cdef floating* u = <floating*> at.u
    cdef const floating* H = <const floating*> job.H + start
    share(&i, &j, m, team)
    if job.wanted & OUTPUTS:
        unload(<floating*> job.y + start * m + i, m, <floating*> at.h[net.L] + i * B, j - i, N, B, job.context)
        if job.Y != NULL:
            for s in range(start, start + N):
                for o in range(i, j):
                    (<floating*> job.y)[s * m + o] -= (<const floating*> job.Y)[s * m + o]
            meet(team)  # it may be the u of what follows
    if job.half == FIRST:
        return
    if job.wanted & (TANGENT | GAUSS_NEWTON_VECTOR):
        tangent(<floating**> at.dv, <floating**> at.dh, <floating**> at.h, <floating**> at.fprime,
                <const floating*> job.v, <const floating*> job.theta, <const floating*> job.affine, net, rows, B,
                job.context, team)
        dy = <floating*> at.dh[net.L]
    if job.wanted & TANGENT:
        unload(<floating*> job.Jv + start * m + i, m, dy + i * B, j - i, N, B, job.context)
    if job.wanted & GAUSS_NEWTON_VECTOR:
        unload(u + i, m, dy + i * B, j - i, N, B, job.context)
        if job.H != NULL:
            for s in range(N):
                for o in range(i, j):
                    u[s * m + o] *= H[s]


cdef inline void prepare(const Job* job, Space* at, floating zero, Py_ssize_t start,
                         const Layout* layout) noexcept nogil:
    """H and u in the lanes, and sums over layers at zero."""
    cdef Py_ssize_t r = job.r, N = layout.N, B = layout.B
    cdef floating* u = <floating*> at.u
    cdef floating* H = <floating*> at.H
    cdef const floating* source = <const floating*> job.H
    if layout.team.rank == 0:
        if job.H != NULL:
            load(H, source + start * (r * r if job.full_H else 1), r * r if job.full_H else 1,
                 r * r if job.full_H else 1, N, B, job.context)
        if job.contracted:
            load(u, <const floating*> job.u + start * r, r, r, N, B, job.context)
            if job.H != NULL:
                weigh_seed(u, <floating*> at.work, H, job.full_H, r, B)
            clear_behind(u, r, layout)
        if job.wanted & ROW_NORMS:
            memset(at.norms, 0, r * B * sizeof(floating))
        if job.wanted & COVARIANCE:
            memset(at.C, 0, r * r * B * sizeof(floating))
        if job.wanted & DIRECTIONS or (job.wanted & COVARIANCE and job.form == LOW_RANK):
            memset(at.JU, 0, r * job.columns * B * sizeof(floating))
    meet(layout.team)


cdef inline void weigh_seed(floating* u, floating* work, const floating* H, bint full, Py_ssize_t r,
                            Py_ssize_t B) noexcept nogil:
    """u := H u    (r, B)"""
    cdef Py_ssize_t o, p, s
    memcpy(work, u, r * B * sizeof(floating))
    for o in range(r):
        for s in range(B):
            if not full:
                u[o * B + s] = H[s] * work[o * B + s]
                continue
            u[o * B + s] = 0
            for p in range(r):
                u[o * B + s] += H[(o * r + p) * B + s] * work[p * B + s]


cdef inline void fetch(const Job* job, Space* at, floating zero, Py_ssize_t k, Py_ssize_t start,
                       const Layout* layout) noexcept nogil:
    """h^(k-1) and delta^(k) of kept factors, in the lanes."""
    cdef Py_ssize_t o, i, j, n = layout.n_out, B = layout.B, r = layout.r
    cdef const floating* delta = <const floating*> job.deltas[k] + start * r * n
    meet(layout.team)  # a slower thread may still read the layer that was in these lanes
    share(&i, &j, n, layout.team)
    for o in range(r):
        load(<floating*> at.delta[k] + (o * n + i) * B, delta + o * n + i, r * n, j - i, layout.N, B, layout.context)
    share(&i, &j, layout.n_in, layout.team)
    load(<floating*> at.h[k - 1] + i * B, <const floating*> job.inputs[k] + start * layout.n_in + i, layout.n_in,
         j - i, layout.N, B, layout.context)
    meet(layout.team)


cdef inline void layer_sinks(const Job* job, Space* at, const floating* rows, Py_ssize_t k, Py_ssize_t start,
                             Py_ssize_t number, Layout* layout) noexcept nogil:
    """What is made of h^(k-1) and delta^(k) once they are there; `rows`: h^(k-1) in rows of whole vectors, or NULL."""
    cdef Py_ssize_t i, j, o, p, N = layout.N, B = layout.B, r = layout.r, n = layout.n_out, n_in = layout.n_in
    cdef Py_ssize_t stride = whole_vectors(n_in, sizeof(floating)), delta_stride = whole_vectors(n, sizeof(floating))
    cdef int wanted = job.wanted
    cdef floating* h = <floating*> at.h[k - 1]
    cdef floating* delta = <floating*> at.delta[k]
    cdef floating* left = delta
    cdef floating* d = delta
    cdef floating* work = <floating*> at.work + layout.team.rank * at.work_length
    cdef const floating* stacked = <floating*> at.stacked
    cdef const floating* squares = <floating*> at.squares
    cdef floating* factors
    cdef const Layer* above
    if wanted & FACTORS and job.kept_delta[k] != NULL:
        keep_input(<floating*> job.kept_h[k] + start * n_in, h, layout)
        factors = <floating*> job.kept_delta[k] + start * r * n
        if k >= job.by_rows:
            keep_delta(factors, delta, layout)
        else:
            above = &job.net.layer[k + 1]
            make_delta(factors, <const floating*> job.kept_delta[k + 1] + start * r * above.n_out, above.n_out,
                       <const floating*> job.theta + above.offset, <floating*> at.fprime[k], <floating*> at.slopes,
                       layout)
    if layout.column < 0 and layout.bias_column < 0:
        return
    if wanted & LANES_KEPT:
        factors = <floating*> job.lanes_kept + start // job.B * job.lanes_length + kept_before(job.net, k, r, B)
        keep_lanes(factors, factors + n_in * B, h, delta, job.interleaved, layout)
    if wanted & ROW_NORMS:
        row_norms(<floating*> at.norms, delta, h, work, layout)
    if wanted & DIRECTIONS or (wanted & COVARIANCE and job.form == LOW_RANK):
        directions(<floating*> at.JU, <const floating*> job.v, job.columns, job.net.P, delta, h, &job.net.layer[k],
                   work, layout)
    elif wanted & COVARIANCE and job.form != FULL:
        covariance(<floating*> at.C, job.form, <floating> job.sigma, &job.pairs[k] if job.pairs != NULL else NULL,
                   delta, h, work, layout)
    if wanted & GGN:
        wanted &= ~VJP  # which comes with it
    if not wanted & (VJP | GGN_DIAGONAL | KFAC):
        return
    if job.H != NULL and wanted & (GGN_DIAGONAL | KFAC):
        left = <floating*> at.left
        weigh(left, delta, <floating*> at.H, job.full_H, layout)
    share(&i, &j, n_in, layout.team)
    if rows != NULL:
        stacked = rows
    else:
        unload(<floating*> at.stacked + i, stride, h + i * B, j - i, N, B, layout.context)
    if layout.input_rows:
        squares = stacked
    elif wanted & GGN_DIAGONAL:
        for o in range(N):
            for p in range(i, j):
                (<floating*> at.squares)[o * stride + p] = stacked[o * stride + p] * stacked[o * stride + p]
    if wanted & KFAC:
        stack_delta(<floating*> at.delta_stacked, delta, delta_stride, layout)
        if left != delta:
            stack_delta(<floating*> at.left_stacked, left, delta_stride, layout)
    meet(layout.team)
    if wanted & VJP:
        if job.contracted:
            d = <floating*> at.d
            contract(d, <floating*> at.u, delta, layout)
        outer_sums(lane(job, <floating*> job.vjp, 0, number), d, stacked, stride, False, layout)
    if wanted & GGN_DIAGONAL:
        ggn_diagonal(lane(job, <floating*> job.diagonal, vjp_length(job), number), left, delta, <floating*> at.d,
                     squares, stride, layout)
    if wanted & KFAC:
        factors = lane(job, <floating*> job.kfac, vjp_length(job) + diagonal_length(job), number)
        kfac(factors + job.at_A[k], factors + job.at_B[k], stacked, stride,
             <floating*> (at.left_stacked if left != delta else at.delta_stacked), <floating*> at.delta_stacked,
             delta_stride, layout)
    meet(layout.team)


cdef inline void stack_delta(floating* rows, const floating* delta, Py_ssize_t stride,
                             const Layout* layout) noexcept nogil:
    """delta sample by sample, output by output    (r, N, n_out)"""
    cdef Py_ssize_t i, j, o, N = layout.N, B = layout.B
    share(&i, &j, layout.n_out, layout.team)
    for o in range(layout.r):
        unload(rows + o * N * stride + i, stride, delta + (o * layout.n_out + i) * B, j - i, N, B, layout.context)


cdef inline void block_sinks(const Job* job, Space* at, floating zero, Py_ssize_t start,
                             Py_ssize_t number, Layout* layout) noexcept nogil:
    """What needs all layers of the block."""
    cdef Py_ssize_t k, N = layout.N, B = layout.B, r = layout.r, P = job.P
    cdef int wanted = job.wanted
    cdef const Net* net = job.net
    cdef floating* J = <floating*> at.J
    cdef floating* C = <floating*> at.C
    if wanted & DENSE_ROWS or (wanted & COVARIANCE and job.form == FULL):
        if B == 1:  # which is that order
            at.rows, at.delta_rows = at.h, at.delta
        else:
            for k in range(job.lowest, net.L + 1):
                if job.X != NULL or job.deltas[k] != NULL:
                    stack_layer(job, at, zero, k, layout)
        meet(layout.team)
        if wanted & DENSE_ROWS:
            J = <floating*> job.J + start * r * P
        dense_rows(J, <floating**> at.rows, <floating**> at.delta_rows, job.column, job.bias_column, job.lowest, P, net,
                   N, r, job.stream, job.context, layout.team)
        meet(layout.team)
        if job.HJ != NULL and layout.team.rank == 0:
            weigh_rows(<floating*> job.HJ + start * r * P, J,
                       <const floating*> job.H + start * (r * r if job.full_H else 1),
                       job.full_H, N, r, P)
    if wanted & GGN:
        ggn_lane(lane(job, <floating*> job.ggn, vjp_length(job), number),
                 lane(job, <floating*> job.vjp, 0, number) if wanted & VJP else <floating*> NULL,
                 <floating*> at.lanes_J, <floating**> at.delta, <floating**> at.h, <floating*> at.u,
                 <floating*> at.H if job.H != NULL else <floating*> NULL, job.full_H, job.column, job.bias_column,
                 job.lowest, P, net, layout)
    if wanted & INPUT_JACOBIAN:
        through_weights(<floating*> at.Jx, <floating*> at.delta[1], 1, <const floating*> job.theta, net, B, r,
                        job.context, layout.team)
        input_jacobian(<floating*> job.Jx + start * r * net.n_0, <floating*> at.Jx, <const floating*> job.affine, net,
                       layout)
    meet(layout.team)
    if layout.team.rank > 0:
        return
    if wanted & ROW_NORMS:
        unload(<floating*> job.norms + start * r, r, <floating*> at.norms, r, N, B, job.context)
    if wanted & DIRECTIONS:
        unload(<floating*> job.Jv + start * r * job.columns, r * job.columns, <floating*> at.JU, r * job.columns, N, B,
               job.context)
    if wanted & COVARIANCE:
        if job.form == LOW_RANK:
            from_directions(C, <floating*> at.JU, job.columns, layout)
        elif job.form == FULL:
            from_rows(C, J, J + N * r * P, <const floating*> job.Sigma, P, r if job.reproducible else N * r, layout)
        mirror_lanes(C, layout)
        unload(<floating*> job.covariance + start * r * r, r * r, C, r * r, N, B, job.context)


cdef inline void stack_layer(const Job* job, Space* at, floating zero, Py_ssize_t k,
                             const Layout* layout) noexcept nogil:
    """h^(k-1) and delta^(k) sample by sample."""
    cdef Py_ssize_t i, j, o, n = job.net.layer[k].n_out, n_in = job.net.layer[k].n_in, B = layout.B, r = layout.r
    share(&i, &j, n_in, layout.team)
    unload(<floating*> at.rows[k - 1] + i, n_in, <floating*> at.h[k - 1] + i * B, j - i, layout.N, B, layout.context)
    share(&i, &j, n, layout.team)
    for o in range(r):
        unload(<floating*> at.delta_rows[k] + o * n + i, r * n, <floating*> at.delta[k] + (o * n + i) * B, j - i,
               layout.N, B, layout.context)
