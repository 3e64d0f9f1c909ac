"""theta, X -> h, fprime, fsecond; and the same with a tangent of theta (symbols: net.pxd).

If a team shares the block, each thread makes its rows of every layer and waits for those of the others. The Python
functions of a registered activation are called for all rows at once, by the first of them.
"""

from cython cimport floating
from libc.string cimport memcpy, memset

from deltanet._core.activation cimport activate, call, is_log_softmax, softmax
from deltanet._core.inputs cimport InputRows, input_map
from deltanet._core.loops cimport dots, multiply, transpose
from deltanet._core.net cimport ELEMENTWISE, Context, Failure, Layer, Net, Team, share
from deltanet._core.pool cimport meet
from deltanet._core.product cimport product


cdef void forward(floating** h, floating** fprime, floating** fsecond, const floating* X, const floating* theta,
                  const floating* affine, const Net* net, const InputRows* rows, Py_ssize_t N, Py_ssize_t B,
                  const Context* context, const Team* team, Failure* failure) noexcept nogil:
    """fsecond^(k) = f_k''(v^(k)) as well, unless it is NULL. If `rows` are given, they take the place of X and h[0]."""
    cdef Py_ssize_t k, i, j
    cdef const Layer* layer
    cdef floating* second = NULL
    if rows == NULL:
        load_input(h[0], X, affine, net, N, B, context, team)
    for k in range(1, net.L + 1):
        meet(team)
        layer = &net.layer[k]
        share(&i, &j, layer.n_out, team)
        # v^(k) = W^(k) h^(k-1) + b^(k)                           (n_k, B)
        if k == 1 and rows != NULL:
            input_map(h[1], rows, <const floating*> rows.packs, layer, B, context, team)
        else:
            affine_map(h[k], h[k - 1], theta, layer, i, j, B, False, context)
        # h^(k) = f_k(v^(k)), fprime^(k) = f_k'(v^(k))            (n_k, B)
        if net.functions[k] != NULL:
            meet(team)
            if team.rank == 0:
                second = fsecond[k] if fsecond != NULL else NULL
                call(h[k], fprime[k], second, net.functions[k], layer.n_out * B, failure)
        elif k < net.L or not net.coupled:
            second = fsecond[k] + i * B if fsecond != NULL else NULL
            activate(h[k] + i * B, fprime[k] + i * B, second, layer, (j - i) * B, context.simd)
    meet(team)
    if net.coupled:
        if team.rank == 0:
            softmax(h[net.L], fprime[net.L], is_log_softmax(net.layer[net.L].activation), net.m, B)
        meet(team)
    if net.scaled_output:
        share(&i, &j, net.m, team)
        scale_output(h[net.L], fprime[net.L], fsecond[net.L] if fsecond != NULL else NULL, affine + 2 * net.n_0, net, i,
                     j, B)
        meet(team)


cdef void tangent(floating** dv, floating** dh, floating** h, floating** fprime, const floating* v,
                  const floating* theta, const floating* affine, const Net* net, const InputRows* rows,
                  Py_ssize_t B, const Context* context, const Team* team) noexcept nogil:
    """dh^(L) = J v    (m, B)

    dv^(k) = W^(k) dh^(k-1) + V^(k) h^(k-1) + c^(k),    dh^(k) = fprime^(k) dv^(k)

    V^(k) and c^(k) are the blocks of v that W^(k) and b^(k) are of theta. Either v or dh[0] is zero if it is NULL.
    dh[k] may be dv[k], but for a coupled output. `rows` as for `forward`.
    """
    cdef Py_ssize_t k, i, j
    cdef const Layer* layer
    cdef const floating* scale = affine + 2 * net.n_0 + net.m
    for k in range(1, net.L + 1):
        layer = &net.layer[k]
        share(&i, &j, layer.n_out, team)
        if k == 1 and rows != NULL:
            input_map(dv[1], rows, <const floating*> rows.v_packs, layer, B, context, team)
        elif v != NULL:
            affine_map(dv[k], h[k - 1], v, layer, i, j, B, k == 1, context)
        else:
            memset(dv[k] + i * B, 0, (j - i) * B * sizeof(floating))
        if dh[k - 1] != NULL:
            if layer.op == ELEMENTWISE:
                memcpy(dv[k] + i * B, dh[k - 1] + i * B, (j - i) * B * sizeof(floating))
            elif B == 1:
                dots(context.simd, dv[k] + i, theta + layer.offset + i * layer.n_in, dh[k - 1], dv[k] + i, j - i,
                     layer.n_in)
            else:
                product(dv[k] + i * B, B, theta + layer.offset + i * layer.n_in, layer.n_in, 1, dh[k - 1], B, j - i, B,
                        layer.n_in, <const floating*> NULL, True, context)
        if k < net.L or not net.coupled:
            if dh[k] != dv[k]:
                memcpy(dh[k] + i * B, dv[k] + i * B, (j - i) * B * sizeof(floating))
            multiply(context.simd, dh[k] + i * B, fprime[k] + i * B, (j - i) * B)
        meet(team)
    if net.coupled:
        if team.rank == 0:
            coupled_tangent(dh[net.L], dv[net.L], fprime[net.L], scale, net, B)
        meet(team)


cdef inline void affine_map(floating* v, const floating* h, const floating* theta, const Layer* layer,
                            Py_ssize_t i, Py_ssize_t j, Py_ssize_t B, bint constant,
                            const Context* context) noexcept nogil:
    """v = W h + b of the rows i to j    (n_k, B)

    `constant` says that h has no tangent through a layer without W.
    """
    cdef const floating* W = theta + layer.offset
    cdef const floating* b = theta + layer.bias_offset if layer.bias_offset >= 0 else NULL
    cdef Py_ssize_t n = layer.n_in
    if layer.op == ELEMENTWISE:
        if constant:
            memset(v + i * B, 0, (j - i) * B * sizeof(floating))
        else:
            memcpy(v + i * B, h + i * B, (j - i) * B * sizeof(floating))
    elif B == 1:
        dots(context.simd, v + i, W + i * n, h, b + i if b != NULL else NULL, j - i, n)
    else:
        product(v + i * B, B, W + i * n, n, 1, h, B, j - i, B, n, b + i if b != NULL else NULL, False,
                context)


cdef void load_input(floating* h, const floating* X, const floating* affine, const Net* net, Py_ssize_t N, Py_ssize_t B,
                     const Context* context, const Team* team) noexcept nogil:
    """h^(0) = (x - shift) / scale    (n_0, B)

    The lanes behind the last sample hold it again.
    """
    cdef Py_ssize_t s, q, i, j, n = net.n_0
    share(&i, &j, n, team)
    if B == 1:
        memcpy(h + i, X + i, (j - i) * sizeof(floating))
    else:
        transpose(context.simd, h + i * B, B, X + i, n, N, j - i)
        for q in range(i, j):
            for s in range(N, B):
                h[q * B + s] = h[q * B + N - 1]
    if net.scaled_input:
        for q in range(i, j):
            for s in range(B):
                h[q * B + s] = (h[q * B + s] - affine[q]) / affine[n + q]


cdef inline void scale_output(floating* y, floating* fprime, floating* fsecond, const floating* affine, const Net* net,
                              Py_ssize_t i, Py_ssize_t j, Py_ssize_t B) noexcept nogil:
    """y = h^(L) * scale + shift, and the slope and its slope with it    (m, B)"""
    cdef Py_ssize_t s, o, m = net.m
    for o in range(i, j):
        for s in range(B):
            y[o * B + s] = y[o * B + s] * affine[m + o] + affine[o]
            if not net.coupled:
                fprime[o * B + s] *= affine[m + o]
            if not net.coupled and fsecond != NULL:
                fsecond[o * B + s] *= affine[m + o]


cdef inline void coupled_tangent(floating* dy, const floating* dv, const floating* p, const floating* scale,
                                 const Net* net, Py_ssize_t B) noexcept nogil:
    """dy_o = scale_o sum_j p_j (dv_o - dv_j), for softmax times p_o    (m, B)"""
    cdef Py_ssize_t s, o, j, m = net.m
    cdef floating total
    cdef bint log = is_log_softmax(net.layer[net.L].activation)
    for s in range(B):
        for o in range(m):
            total = 0
            for j in range(m):
                total += p[j * B + s] * (dv[o * B + s] - dv[j * B + s])
            dy[o * B + s] = scale[o] * total if log else scale[o] * p[o * B + s] * total
