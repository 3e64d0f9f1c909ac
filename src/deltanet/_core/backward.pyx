"""fprime -> delta, from a seed at the outputs down one layer after the other (symbols: net.pxd).

The seed S has r rows a sample: the identity (r = m) begins the Jacobian, u (r = 1) the gradient of u^T y.
If a team shares the block, each thread makes its units of every layer and waits for those of the others.
"""

from cython cimport floating
from libc.string cimport memset

from deltanet._core.activation cimport is_log_softmax
from deltanet._core.loops cimport combine, multiply, seed
from deltanet._core.net cimport ELEMENTWISE, Context, Layer, Net, Team, share
from deltanet._core.pool cimport meet
from deltanet._core.product cimport products


cdef void begin(floating* delta, const floating* u, floating** fprime, const floating* affine, const Net* net,
                Py_ssize_t N, Py_ssize_t B, Py_ssize_t r, const Team* team) noexcept nogil:
    """delta^(L) = S diag(fprime^(L)), S = u (N, r, m) or, without it, the identity    (r, m, B)"""
    cdef const floating* scale = affine + 2 * net.n_0 + net.m
    cdef Py_ssize_t start, stop
    share(&start, &stop, net.m, team)
    if net.coupled:
        if team.rank == 0:
            coupled(delta, u, fprime[net.L], scale, net, N, B, r)
    elif u == NULL:
        identity(delta, fprime[net.L], net.m, start, stop, B)
    else:
        weighted(delta, u, fprime[net.L], net.m, start, stop, N, B, r)
    meet(team)


cdef void step(floating* below, const floating* delta, Py_ssize_t k, bint identity, floating** fprime,
               const floating* theta, const Net* net, Py_ssize_t B, Py_ssize_t r,
               const Context* context, const Team* team) noexcept nogil:
    """delta^(k-1) = delta^(k) W^(k) diag(fprime^(k-1))    (r, n_{k-1}, B)

    `identity` says that delta^(L) is diag(fprime^(L)).
    """
    cdef Py_ssize_t o, start, stop, n = net.layer[k].n_in
    cdef const floating* W = theta + net.layer[k].offset
    share(&start, &stop, n, team)
    if k == net.L and identity and not net.coupled and net.layer[k].op != ELEMENTWISE:
        # diag(fprime^(L)) W^(L) diag(fprime^(L-1))
        for o in range(r):
            seed(context.simd, below + (o * n + start) * B, W + o * n + start, fprime[k] + o * B,
                 fprime[k - 1] + start * B, stop - start, B)
    else:
        through_weights(below, delta, k, theta, net, B, r, context, team)
        for o in range(r):
            multiply(context.simd, below + (o * n + start) * B, fprime[k - 1] + start * B, (stop - start) * B)
    meet(team)


cdef void through_weights(floating* below, const floating* delta, Py_ssize_t k, const floating* theta,
                          const Net* net, Py_ssize_t B, Py_ssize_t r, const Context* context,
                          const Team* team) noexcept nogil:
    """delta^(k) W^(k), of the units that this thread owns    (r, n_{k-1}, B)"""
    cdef const Layer* layer = &net.layer[k]
    cdef Py_ssize_t o, i, start, stop, n = layer.n_in
    share(&start, &stop, n, team)
    if layer.op == ELEMENTWISE:
        for o in range(r):
            for i in range((o * n + start) * B, (o * n + stop) * B):
                below[i] = delta[i]
    elif B == 1:
        combine(context.simd, below, delta, theta + layer.offset, r, n, layer.n_out)
    else:
        # W^T delta_o for each row o: W is read along its columns
        products(below + start * B, B, n * B, theta + layer.offset + start, 1, n, delta, B, layer.n_out * B,
                 r, stop - start, B, layer.n_out, <const floating*> NULL, False, context)


cdef inline void identity(floating* delta, const floating* fprime, Py_ssize_t m, Py_ssize_t start,
                          Py_ssize_t stop, Py_ssize_t B) noexcept nogil:
    """diag(fprime)    (m, m, B)"""
    cdef Py_ssize_t o, s
    memset(delta + start * m * B, 0, (stop - start) * m * B * sizeof(floating))
    for o in range(start, stop):
        for s in range(B):
            delta[(o * m + o) * B + s] = fprime[o * B + s]


cdef inline void weighted(floating* delta, const floating* u, const floating* fprime, Py_ssize_t m,
                          Py_ssize_t start, Py_ssize_t stop, Py_ssize_t N, Py_ssize_t B,
                          Py_ssize_t r) noexcept nogil:
    """u_oj fprime_j, and the last sample again in the lanes behind    (r, m, B)"""
    cdef Py_ssize_t o, j, s
    for o in range(r):
        for j in range(start, stop):
            for s in range(B):
                delta[(o * m + j) * B + s] = u[(min(s, N - 1) * r + o) * m + j] * fprime[j * B + s]


cdef inline void coupled(floating* delta, const floating* u, const floating* p, const floating* scale,
                         const Net* net, Py_ssize_t N, Py_ssize_t B, Py_ssize_t r) noexcept nogil:
    """S D, D_oj = scale_o (1_oj - p_j), for softmax times p_o    (r, m, B)

    1 - p_o is summed from the other probabilities: it keeps its digits where p_o is close to 1.
    """
    cdef Py_ssize_t s, o, i, j, m = net.m
    cdef floating rest, front, weight
    cdef bint log = is_log_softmax(net.layer[net.L].activation)
    memset(delta, 0, r * m * B * sizeof(floating))
    for s in range(B):
        for o in range(m):
            front = scale[o] if log else scale[o] * p[o * B + s]
            for i in range(r):
                if u == NULL and i != o:
                    continue
                weight = front if u == NULL else front * u[(min(s, N - 1) * r + i) * m + o]
                rest = 0
                for j in range(m):
                    if j != o:
                        rest += p[j * B + s]
                        delta[(i * m + j) * B + s] -= weight * p[j * B + s]
                delta[(i * m + o) * B + s] += weight * rest
