"""Second derivatives, layer by layer (symbols: net.pxd). With a seed of r rows u a sample, and n_0 columns of tangents:

    q^(k)      (r, n_k, B)    d(u^T y)/dh^(k):  q^(L) = u,  q^(k-1) = W^(k)^T delta^(k),  delta^(k) = q^(k) fprime^(k)
    curve^(k)  (r, n_k, B)    q^(k) fsecond^(k)
    A^(k)      (n_k, n_0, B)  dv^(k)/dx = W^(k) T^(k-1),  T^(k) = dh^(k)/dx = diag(fprime^(k)) A^(k)

    d2(u^T y)/dx dx = sum_k A^(k)^T diag(curve^(k)) A^(k)
    E^(k) = ddelta^(k)/dx = diag(fprime^(k)) W^(k+1)^T E^(k+1) + diag(curve^(k)) A^(k)

A coupled output has in place of diag(curve^(L)) the matrix M = diag(g) - c (g p^T + p g^T), where p are the
probabilities: of softmax g = delta^(L) and c = 1; of log_softmax g = -(sum_o u_o) p and c = 1/2. Then curve^(L) is g.

A lone sample, B = 1, takes plain loops, as in forward and backward.
"""

from cython cimport floating
from libc.string cimport memcpy, memset

from deltanet._core.activation cimport is_log_softmax
from deltanet._core.backward cimport begin, through_weights
from deltanet._core.loops cimport add_outer, combine, fold_outer, fold_rows, multiply, scale_rows
from deltanet._core.net cimport ELEMENTWISE, Context, Layer, Net, Team
from deltanet._core.product cimport product

cdef extern from "lanes.h" nogil:
    void dn_bend_f64(int simd, double* C, const double* A, const double* c, Py_ssize_t n, Py_ssize_t m,
                     Py_ssize_t B) noexcept
    void dn_bend_f32(int simd, float* C, const float* A, const float* c, Py_ssize_t n, Py_ssize_t m,
                     Py_ssize_t B) noexcept


cdef void bend(floating** delta, floating** curve, const floating* u, floating** fprime, floating** fsecond,
               const floating* affine, const floating* theta, const Net* net, Py_ssize_t N, Py_ssize_t B, Py_ssize_t r,
               const Context* context) noexcept nogil:
    """delta^(k) and curve^(k) of all layers, from the seed u (N, r, m), or the identity"""
    cdef Py_ssize_t k, o, n, L = net.L
    cdef Team alone = Team(0, 1, NULL)
    begin(delta[L], u, fprime, affine, net, N, B, r, &alone)
    if not net.coupled:
        begin(curve[L], u, fsecond, affine, net, N, B, r, &alone)
    elif is_log_softmax(net.layer[L].activation):
        seed_of_log(curve[L], u, fprime[L], affine + 2 * net.n_0 + net.m, net.m, N, B, r)
    else:
        memcpy(curve[L], delta[L], r * net.m * B * sizeof(floating))
    for k in range(L - 1, 0, -1):
        n = net.layer[k].n_out
        through_weights(delta[k], delta[k + 1], k + 1, theta, net, B, r, context, &alone)
        memcpy(curve[k], delta[k], r * n * B * sizeof(floating))
        for o in range(r):
            multiply(context.simd, delta[k] + o * n * B, fprime[k], n * B)
            multiply(context.simd, curve[k] + o * n * B, fsecond[k], n * B)


cdef inline void seed_of_log(floating* g, const floating* u, const floating* p, const floating* scale, Py_ssize_t m,
                             Py_ssize_t N, Py_ssize_t B, Py_ssize_t r) noexcept nogil:
    """-(sum_o u_o scale_o) p    (r, m, B)"""
    cdef Py_ssize_t i, o, s
    cdef floating total
    for i in range(r):
        for s in range(B):
            total = 0
            for o in range(m):
                if u != NULL:
                    total += u[(min(s, N - 1) * r + i) * m + o] * scale[o]
                elif o == i:
                    total += scale[o]
            for o in range(m):
                g[(i * m + o) * B + s] = -total * p[o * B + s]


cdef void local_tangent(floating* A, const floating* T, Py_ssize_t k, const floating* theta, const floating* affine,
                        const Net* net, Py_ssize_t B, const Context* context) noexcept nogil:
    """A^(k) = W^(k) T^(k-1)    (n_k, n_0, B);  T^(0) = diag(1 / scale) is not read"""
    cdef const Layer* layer = &net.layer[k]
    cdef const floating* W = theta + layer.offset
    cdef const floating* scale = affine + net.n_0
    cdef Py_ssize_t i, j, s, n_0 = net.n_0, n = layer.n_out
    cdef floating entry
    if k == 1:
        for j in range(n):
            for i in range(n_0):
                if layer.op == ELEMENTWISE:
                    entry = 1 if i == j else 0
                else:
                    entry = W[j * n_0 + i]
                if net.scaled_input:
                    entry /= scale[i]
                for s in range(B):
                    A[(j * n_0 + i) * B + s] = entry
    elif layer.op == ELEMENTWISE:
        memcpy(A, T, n * n_0 * B * sizeof(floating))
    elif B == 1:
        combine(context.simd, A, W, T, n, n_0, layer.n_in)
    else:
        product(A, n_0 * B, W, layer.n_in, 1, T, n_0 * B, n, n_0 * B, layer.n_in, <const floating*> NULL, False,
                context)


cdef void below(floating* T, const floating* E, Py_ssize_t k, const floating* theta, const Net* net,
                Py_ssize_t columns, Py_ssize_t B, const Context* context) noexcept nogil:
    """W^(k)^T E^(k)    (n_{k-1}, columns, B)"""
    cdef const Layer* layer = &net.layer[k]
    cdef const floating* W = theta + layer.offset
    cdef Py_ssize_t j, n_in = layer.n_in
    if layer.op == ELEMENTWISE:
        memcpy(T, E, n_in * columns * B * sizeof(floating))
    elif B == 1:
        memset(T, 0, n_in * columns * sizeof(floating))
        for j in range(layer.n_out):
            fold_outer(context.simd, T, W + j * n_in, E + j * columns, n_in, columns)
    else:
        product(T, columns * B, W, 1, n_in, E, columns * B, n_in, columns * B, layer.n_out, <const floating*> NULL,
                False, context)


cdef void scale_units(floating* T, const floating* slope, const floating* A, Py_ssize_t n, Py_ssize_t columns,
                      Py_ssize_t B, bint add, const Context* context) noexcept nogil:
    """T := diag(slope) A, or T + diag(slope) A    (n, columns, B), slope (n, B); T is not A"""
    cdef Py_ssize_t j
    for j in range(n):
        if B == 1:
            add_outer(context.simd, T + j * columns, slope + j, A + j * columns, 1, columns, add)
        elif add:
            fold_rows(context.simd, T + j * columns * B, slope + j * B, A + j * columns * B, columns, B)
        else:
            scale_rows(context.simd, T + j * columns * B, slope + j * B, A + j * columns * B, columns, B)


cdef bint flat(const floating* curve, Py_ssize_t size) noexcept nogil:
    """Whether all are zero: of an identity, a relu. A NaN is not."""
    cdef Py_ssize_t i
    for i in range(size):
        if not curve[i] == 0:
            return False
    return True


cdef void quadratic(floating* C, const floating* A, const floating* curve, Py_ssize_t n, Py_ssize_t n_0, Py_ssize_t B,
                    const Context* context) noexcept nogil:
    """The lower half of C += A^T diag(curve) A    C (n_0, n_0, B), curve (n, B)"""
    if floating is double:
        dn_bend_f64(context.simd, C, A, curve, n, n_0, B)
    else:
        dn_bend_f32(context.simd, C, A, curve, n, n_0, B)


cdef void coupled_quadratic(floating* C, floating* work, const floating* A, const floating* g, const floating* p,
                            bint log, Py_ssize_t m, Py_ssize_t n_0, Py_ssize_t B) noexcept nogil:
    """C -= c (A^T g p^T A + A^T p g^T A), the part of M that is not diagonal    (n_0, n_0, B), work (2, n_0, B)"""
    cdef Py_ssize_t i, j, s
    cdef floating c = 0.5 if log else 1
    cdef floating* Ag = work
    cdef floating* Ap = work + n_0 * B
    contracted(Ag, A, g, m, n_0, B)
    contracted(Ap, A, p, m, n_0, B)
    for i in range(n_0):
        for j in range(i + 1):
            for s in range(B):
                C[(i * n_0 + j) * B + s] -= c * (Ag[i * B + s] * Ap[j * B + s] + Ap[i * B + s] * Ag[j * B + s])


cdef void coupled_rows(floating* E, floating* work, const floating* A, const floating* g, const floating* p, bint log,
                       Py_ssize_t m, Py_ssize_t columns, Py_ssize_t B) noexcept nogil:
    """E = M A    (m, columns, B), work (2, columns, B)"""
    cdef Py_ssize_t i, o, s, at
    cdef floating c = 0.5 if log else 1
    cdef floating* Ag = work
    cdef floating* Ap = work + columns * B
    contracted(Ag, A, g, m, columns, B)
    contracted(Ap, A, p, m, columns, B)
    for o in range(m):
        for i in range(columns):
            for s in range(B):
                at = (o * columns + i) * B + s
                E[at] = g[o * B + s] * (A[at] - c * Ap[i * B + s]) - c * p[o * B + s] * Ag[i * B + s]


cdef inline void contracted(floating* Ag, const floating* A, const floating* g, Py_ssize_t m, Py_ssize_t columns,
                            Py_ssize_t B) noexcept nogil:
    """A^T g    (columns, B)"""
    cdef Py_ssize_t i, o, s
    memset(Ag, 0, columns * B * sizeof(floating))
    for o in range(m):
        for i in range(columns):
            for s in range(B):
                Ag[i * B + s] += g[o * B + s] * A[(o * columns + i) * B + s]
