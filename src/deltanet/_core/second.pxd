# One block of samples of the second derivatives: its workspace, and the passes to each result (symbols: net.pxd,
# formulas: curvature.pyx). Of a lone sample, N = B = 1, nothing here calls BLAS.

from cython cimport floating
from libc.string cimport memset

from deltanet._core.activation cimport is_log_softmax
from deltanet._core.backward cimport through_weights
from deltanet._core.curvature cimport (
    below, bend, coupled_quadratic, coupled_rows, flat, local_tangent, quadratic, scale_units,
)
from deltanet._core.forward cimport forward, tangent
from deltanet._core.loops cimport fold, multiply
from deltanet._core.net cimport Context, Failure, Layer, Net, Team
from deltanet._core.plan cimport Supply, place, take
from deltanet._core.rows cimport Layout, unload, whole_vectors
from deltanet._core.sinks.hvp cimport hvp_sums
from deltanet._core.sinks.input_hessian cimport input_hessian
from deltanet._core.sinks.mixed_hessian cimport mixed_hessian

cdef enum:                     # which of them is wanted, one at a time
    HXX = 1
    MIXED = 2
    HVP = 4

cdef enum:
    SECOND_POINTERS = 9        # arrays of a pointer to each layer, in a workspace

cdef struct Bends:             # the workspace of a block; arrays of pointers to one array a layer, then arrays
    void** h
    void** fprime
    void** fsecond
    void** delta
    void** curve
    void** A
    void** T
    void** dv
    void** dh
    void* E[2]
    void* C
    void* work
    void* stacked              # h^(k-1) and dh^(k-1) sample by sample
    void* stacked_tangent


cdef inline Py_ssize_t lay_out_second(Bends* at, void** layers, char* numbers, const Net* net, Py_ssize_t itemsize,
                                      int wanted, Py_ssize_t r, Py_ssize_t N, Py_ssize_t B) noexcept nogil:
    """Pointers into a workspace that begins at `numbers`; the bytes that it takes.

    `layers` holds SECOND_POINTERS (L + 1) pointers, or is NULL where only the bytes are asked for.
    """
    cdef Py_ssize_t k, n, widest = net.n_0, units = 1, n_0 = net.n_0, L1 = net.L + 1
    cdef bint mixed = (wanted & MIXED) != 0, along = (wanted & HVP) != 0
    cdef Supply free = Supply(numbers, itemsize)
    cdef void* turns[2]
    at.h, at.fprime, at.fsecond = layers, layers + L1, layers + 2 * L1
    at.delta, at.curve = layers + 3 * L1, layers + 4 * L1
    at.A, at.T, at.dv, at.dh = layers + 5 * L1, layers + 6 * L1, layers + 7 * L1, layers + 8 * L1
    for k in range(L1):
        n = net.n_0 if k == 0 else net.layer[k].n_out
        widest = max(widest, n)
        units = max(units, n if k > 0 else 1)
        place(layers, k, take(&free, n * B, True))
        place(layers, L1 + k, take(&free, n * B, k > 0))
        place(layers, 2 * L1 + k, take(&free, n * B, k > 0))
        place(layers, 3 * L1 + k, take(&free, r * n * B, k > 0))
        place(layers, 4 * L1 + k, take(&free, r * n * B, k > 0))
        place(layers, 5 * L1 + k, take(&free, n * n_0 * B, mixed and k > 0))
        place(layers, 6 * L1 + k, take(&free, n * n_0 * B, mixed and 0 < k < net.L))
        place(layers, 7 * L1 + k, take(&free, n * B, along and k > 0))
        place(layers, 8 * L1 + k, take(&free, n * B, along and k > 0))
    if wanted & HXX:  # two that take turns
        turns[0], turns[1] = take(&free, units * n_0 * B, True), take(&free, units * n_0 * B, True)
        for k in range(L1):
            place(layers, 5 * L1 + k, turns[0])
            place(layers, 6 * L1 + k, turns[1])
    if not along and layers != NULL:
        at.dh[0] = NULL
    n = units * (n_0 if mixed else 1)
    at.E[0], at.E[1] = take(&free, n * B, mixed or along), take(&free, n * B, mixed or along)
    at.C = take(&free, r * n_0 * n_0 * B, (wanted & HXX) != 0)
    at.work = take(&free, max(2 * n_0, widest) * B, True)
    at.stacked = take(&free, whole_vectors(widest, itemsize) * N, along)
    at.stacked_tangent = take(&free, whole_vectors(widest, itemsize) * N, along)
    take(&free, 16, True)  # what the last vector of a row may read
    return free.start - numbers


cdef inline void input_hessian_block(floating* H, Bends* at, const floating* X, const floating* u,
                                     const floating* theta, const floating* affine, const Net* net, Py_ssize_t N,
                                     Py_ssize_t B, Py_ssize_t r, const Context* context,
                                     Failure* failure) noexcept nogil:
    """d2(u^T y)/dx dx    (N, r, n_0, n_0), u (N, r, m), or without it of each output"""
    cdef floating** curve = <floating**> at.curve
    cdef floating* A = <floating*> at.A[0]
    cdef floating* T = <floating*> at.T[0]
    cdef floating* C = <floating*> at.C
    cdef Py_ssize_t k, o, n, last = net.L, n_0 = net.n_0
    curves(at, X, u, theta, affine, net, N, B, r, context, failure)
    memset(C, 0, r * n_0 * n_0 * B * sizeof(floating))
    while last > 0 and flat(curve[last], r * net.layer[last].n_out * B):
        last -= 1
    for k in range(1, last + 1):
        n = net.layer[k].n_out
        local_tangent(A, T, k, theta, affine, net, B, context)
        for o in range(r):
            if not flat(curve[k] + o * n * B, n * B):
                quadratic(C + o * n_0 * n_0 * B, A, curve[k] + o * n * B, n, n_0, B, context)
            if k == net.L and net.coupled:
                coupled_quadratic(C + o * n_0 * n_0 * B, <floating*> at.work, A, curve[k] + o * n * B,
                                  <const floating*> at.fprime[k], is_log_softmax(net.layer[k].activation), n, n_0, B)
        if k < last:
            scale_units(T, <const floating*> at.fprime[k], A, n, n_0, B, False, context)
    input_hessian(H, C, r, n_0, N, B, context)


cdef inline void mixed_hessian_block(void** e, void** E, void** h, void** T, floating* dense, Py_ssize_t start,
                                     Bends* at, const floating* X, const floating* u, const floating* theta,
                                     const floating* affine, const Net* net, const Py_ssize_t* column,
                                     const Py_ssize_t* bias_column, Py_ssize_t lowest, Py_ssize_t N, Py_ssize_t B,
                                     const Context* context, Failure* failure) noexcept nogil:
    """The factors of d2(u^T y)/dtheta dx of the samples from `start` on, into arrays of one a layer: e (N, n_k),
    E (N, n_k, n_0), h (N, n_{k-1}), T (N, n_{k-1}, n_0), u (N, m); or, of a lone sample, `dense` (P, n_0).
    """
    cdef floating** A = <floating**> at.A
    cdef floating** curve = <floating**> at.curve
    cdef floating* rows = <floating*> at.E[0]
    cdef floating* up = <floating*> at.E[1]
    cdef const floating* fprime
    cdef Py_ssize_t k, n, n_0 = net.n_0
    curves(at, X, u, theta, affine, net, N, B, 1, context, failure)
    for k in range(1, net.L + 1):
        n = net.layer[k].n_out
        local_tangent(A[k], <const floating*> at.T[k - 1], k, theta, affine, net, B, context)
        if k < net.L:
            scale_units(<floating*> at.T[k], <const floating*> at.fprime[k], A[k], n, n_0, B, False, context)
    for k in range(net.L, lowest - 1, -1):
        n, fprime = net.layer[k].n_out, <const floating*> at.fprime[k]
        if k == net.L and net.coupled:
            coupled_rows(rows, <floating*> at.work, A[k], curve[k], fprime, is_log_softmax(net.layer[k].activation), n,
                         n_0, B)
        elif k == net.L:
            scale_units(rows, curve[k], A[k], n, n_0, B, False, context)
        else:
            below(up, rows, k + 1, theta, net, n_0, B, context)
            scale_units(rows, fprime, up, n, n_0, B, False, context)
            scale_units(rows, curve[k], A[k], n, n_0, B, True, context)
        mixed_hessian(e, E, h, T, dense, start, <floating*> at.delta[k], rows, <floating*> at.h[k - 1],
                      <floating*> at.T[k - 1], k, column[k], bias_column[k], affine, net, N, B, context)


cdef inline void hvp_block(floating* sums, Bends* at, const floating* X, const floating* u, const floating* v,
                           const floating* theta, const floating* affine, const Net* net, Py_ssize_t lowest,
                           const Py_ssize_t* column, const Py_ssize_t* bias_column, Layout* layout,
                           Failure* failure) noexcept nogil:
    """The Hessian of sum_s u_s^T y_s in theta, times v: dW^(k) = ddelta h^T + delta dh^T, db^(k) = ddelta    (P,)

    ddelta^(k) = (W^(k+1)^T ddelta^(k+1) + V^(k+1)^T delta^(k+1)) fprime^(k) + curve^(k) dv^(k)
    """
    cdef Py_ssize_t k, n, N = layout.N, B = layout.B
    cdef floating** delta = <floating**> at.delta
    cdef floating** curve = <floating**> at.curve
    cdef floating** dv = <floating**> at.dv
    cdef floating* ddelta = <floating*> at.E[0]
    cdef floating* up = <floating*> at.E[1]
    cdef floating* work = <floating*> at.work
    curves(at, X, u, theta, affine, net, N, B, 1, layout.context, failure)
    at.dh[0] = NULL
    tangent(dv, <floating**> at.dh, <floating**> at.h, <floating**> at.fprime, v, theta, affine, net, NULL, B,
            layout.context, layout.team)
    for k in range(net.L, lowest - 1, -1):
        n = net.layer[k].n_out
        if k == net.L and net.coupled:
            coupled_rows(ddelta, work, dv[k], curve[k], <const floating*> at.fprime[k],
                         is_log_softmax(net.layer[k].activation), n, 1, B)
        else:
            if k == net.L:
                memset(ddelta, 0, n * B * sizeof(floating))
            else:
                ddelta, up = up, ddelta
                through_weights(ddelta, up, k + 1, theta, net, B, 1, layout.context, layout.team)
                if net.layer[k + 1].offset >= 0:
                    through_weights(work, delta[k + 1], k + 1, v, net, B, 1, layout.context, layout.team)
                    add(ddelta, work, n * B)
                multiply(layout.context.simd, ddelta, <const floating*> at.fprime[k], n * B)
            fold(layout.context.simd, ddelta, curve[k], dv[k], n * B)
        layout.n_in, layout.n_out = net.layer[k].n_in, n
        layout.column, layout.bias_column = column[k], bias_column[k]
        hvp_sums(sums, ddelta, delta[k], <floating*> at.h[k - 1], <floating*> at.dh[k - 1], <floating*> at.stacked,
                 <floating*> at.stacked_tangent, layout)


cdef inline void curves(Bends* at, const floating* X, const floating* u, const floating* theta, const floating* affine,
                        const Net* net, Py_ssize_t N, Py_ssize_t B, Py_ssize_t r, const Context* context,
                        Failure* failure) noexcept nogil:
    """Forward with fsecond, then delta and curve of all layers."""
    cdef Team alone = Team(0, 1, NULL)
    forward(<floating**> at.h, <floating**> at.fprime, <floating**> at.fsecond, X, theta, affine, net, NULL, N, B,
            context, &alone, failure)
    bend(<floating**> at.delta, <floating**> at.curve, u, <floating**> at.fprime, <floating**> at.fsecond, affine,
         theta, net, N, B, r, context)


cdef inline void add(floating* a, const floating* b, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] += b[i]
