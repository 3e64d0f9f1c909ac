"""One sample by plain loops, in a work area of the caller's: the C interface, and Python's calls that take microseconds
(symbols: net.pxd).

The passes are those of a block with one lane, B = 1: there they take the loops of loops.h, no BLAS and no tiles.
Nothing here allocates, locks or waits. Only a registered activation calls Python; the C interface refuses those.
"""

from cython cimport floating
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy

from deltanet._core.backward cimport begin, step, through_weights
from deltanet._core.forward cimport forward, tangent
from deltanet._core.loops cimport add_outer, outer
from deltanet._core.net cimport Context, Failure, Layer, Net, Team
from deltanet._core.plan cimport Supply, place, take


cdef Py_ssize_t open_work(Lone* at, const Net* net, Py_ssize_t itemsize, void* work) noexcept nogil:
    """Pointers into a work area, which stay as they are from one sample to the next; the bytes of one, wherever it
    begins. Without `work` the bytes alone.
    """
    cdef Py_ssize_t k, n, widest = net.n_0, L1 = net.L + 1
    cdef char* start = <char*> work + -<uintptr_t> work % 64
    cdef void** layers = <void**> start if work != NULL else NULL
    cdef Supply free = Supply(start, sizeof(void*))
    cdef void* turns[2]
    take(&free, 5 * L1, True)
    free.itemsize = itemsize
    at.h, at.fprime, at.delta = layers, layers + L1, layers + 2 * L1
    for k in range(L1):
        n = net.n_0 if k == 0 else net.layer[k].n_out
        widest = max(widest, n)
        place(layers, k, take(&free, n, True))
        place(layers, L1 + k, take(&free, n, k > 0))
    for k in range(2):
        turns[k] = take(&free, max(2, net.m) * widest, True)
    for k in range(L1):
        place(layers, 2 * L1 + k, turns[k % 2])
    return free.start - start + 63


cdef inline void open_tangents(Lone* at, const Net* net) noexcept nogil:
    """The same for dv and dh, in the place of delta."""
    cdef Py_ssize_t k
    at.dv, at.dh = at.delta + net.L + 1, at.delta + 2 * (net.L + 1)
    for k in range(net.L + 1):
        at.dv[k] = at.delta[k]
        at.dh[k] = at.delta[k - (k == net.L and net.coupled)]


cdef void evaluate(Lone* at, const floating* x, floating* y, floating* jx, floating* J, const floating* theta,
                   const floating* affine, const Net* net, const Context* context, Failure* failure) noexcept nogil:
    """y    (m,), dy/dx    (m, n_0), dy/dtheta    (m, P): each is made unless it is NULL"""
    cdef Team alone = Team(0, 1, NULL)
    cdef floating** h = <floating**> at.h
    cdef floating** fprime = <floating**> at.fprime
    cdef floating** delta = <floating**> at.delta
    cdef const Layer* layer
    cdef floating one = 1
    cdef Py_ssize_t k, o, m = net.m
    forward(h, fprime, <floating**> NULL, x, theta, affine, net, NULL, 1, 1, context, &alone, failure)
    if y != NULL:
        memcpy(y, h[net.L], m * sizeof(floating))
    if jx == NULL and J == NULL:
        return
    for k in range(net.L, 0, -1):
        layer = &net.layer[k]
        if k == net.L:
            begin(delta[k], <const floating*> NULL, fprime, affine, net, 1, 1, m, &alone)
        else:
            step(delta[k], delta[k + 1], k + 1, True, fprime, theta, net, 1, m, context, &alone)
        if J == NULL:
            continue
        for o in range(m):
            if layer.offset >= 0:
                outer(context.simd, J + o * net.P + layer.offset, delta[k] + o * layer.n_out, h[k - 1], layer.n_out,
                      layer.n_in)
            if layer.bias_offset >= 0:
                outer(context.simd, J + o * net.P + layer.bias_offset, &one, delta[k] + o * layer.n_out, 1, layer.n_out)
    if jx != NULL:
        to_input(jx, delta[1], m, theta, affine, net, context)


cdef void factors(Lone* at, const floating* x, floating* y, const floating* theta, const floating* affine,
                  const Net* net, const Context* context, Failure* failure) noexcept nogil:
    """y    (m,), and h and delta into the arrays that `at` points to."""
    cdef Team alone = Team(0, 1, NULL)
    cdef floating** fprime = <floating**> at.fprime
    cdef floating** delta = <floating**> at.delta
    cdef Py_ssize_t k
    forward(<floating**> at.h, fprime, <floating**> NULL, x, theta, affine, net, NULL, 1, 1, context, &alone, failure)
    if y != NULL:
        memcpy(y, at.h[net.L], net.m * sizeof(floating))
    begin(delta[net.L], <const floating*> NULL, fprime, affine, net, 1, 1, net.m, &alone)
    for k in range(net.L - 1, 0, -1):
        step(delta[k], delta[k + 1], k + 1, True, fprime, theta, net, 1, net.m, context, &alone)


cdef void vjp(Lone* at, const floating* x, const floating* u, floating* grad_theta, floating* grad_x, bint add,
              const floating* theta, const floating* affine, const Net* net, const Context* context) noexcept nogil:
    """The gradients of u^T y: in theta    (P,), written or added; in x    (n_0,). Either may be NULL."""
    cdef Team alone = Team(0, 1, NULL)
    cdef floating** h = <floating**> at.h
    cdef floating** fprime = <floating**> at.fprime
    cdef floating** delta = <floating**> at.delta
    cdef const Layer* layer
    cdef floating one = 1
    cdef Py_ssize_t k
    forward(h, fprime, <floating**> NULL, x, theta, affine, net, NULL, 1, 1, context, &alone, NULL)
    for k in range(net.L, 0, -1):
        layer = &net.layer[k]
        if k == net.L:
            begin(delta[k], u, fprime, affine, net, 1, 1, 1, &alone)
        else:
            step(delta[k], delta[k + 1], k + 1, False, fprime, theta, net, 1, 1, context, &alone)
        if grad_theta == NULL:
            continue
        if layer.offset >= 0:
            add_outer(context.simd, grad_theta + layer.offset, delta[k], h[k - 1], layer.n_out, layer.n_in, add)
        if layer.bias_offset >= 0:
            add_outer(context.simd, grad_theta + layer.bias_offset, &one, delta[k], 1, layer.n_out, add)
    if grad_x != NULL:
        to_input(grad_x, delta[1], 1, theta, affine, net, context)


cdef void jvp(Lone* at, const floating* x, const floating* v_theta, const floating* v_x, floating* yv,
              const floating* theta, const floating* affine, const Net* net, const Context* context) noexcept nogil:
    """yv = dy/dtheta v_theta + dy/dx v_x    (m,), a direction that is NULL being zero"""
    cdef Team alone = Team(0, 1, NULL)
    cdef floating** dh
    cdef Py_ssize_t i
    open_tangents(at, net)
    dh = <floating**> at.dh
    forward(<floating**> at.h, <floating**> at.fprime, <floating**> NULL, x, theta, affine, net, NULL, 1, 1, context,
            &alone, NULL)
    if v_x == NULL:
        dh[0] = NULL
    else:
        for i in range(net.n_0):
            dh[0][i] = v_x[i] / affine[net.n_0 + i] if net.scaled_input else v_x[i]
    tangent(<floating**> at.dv, dh, <floating**> at.h, <floating**> at.fprime, v_theta, theta, affine, net, NULL, 1,
            context, &alone)
    memcpy(yv, dh[net.L], net.m * sizeof(floating))


cdef inline void to_input(floating* jx, const floating* delta, Py_ssize_t r, const floating* theta,
                          const floating* affine, const Net* net, const Context* context) noexcept nogil:
    """delta^(1) W^(1) diag(1 / scale)    (r, n_0)"""
    cdef Team alone = Team(0, 1, NULL)
    cdef Py_ssize_t o, i
    through_weights(jx, delta, 1, theta, net, 1, r, context, &alone)
    if net.scaled_input:
        for o in range(r):
            for i in range(net.n_0):
                jx[o * net.n_0 + i] /= affine[net.n_0 + i]
