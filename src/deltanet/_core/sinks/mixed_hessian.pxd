# d2(u^T y)/dtheta dx:  E_jp h_i + e_j T_ip for w_ji and x_p, E_jp for b_j    (N, P, n_0)
#
# e^(k) = delta^(k), E^(k) = ddelta^(k)/dx, T^(k) = dh^(k)/dx, of which T^(0) = diag(1 / scale) is not kept.

from cython cimport floating
from libc.string cimport memcpy

from deltanet._core.net cimport Context, Net
from deltanet._core.rows cimport unload


cdef inline void mixed_hessian(void** kept_e, void** kept_E, void** kept_h, void** kept_T, floating* dense,
                               Py_ssize_t start, const floating* e, const floating* E, const floating* h,
                               const floating* T, Py_ssize_t k, Py_ssize_t column, Py_ssize_t bias_column,
                               const floating* affine, const Net* net, Py_ssize_t N, Py_ssize_t B,
                               const Context* context) noexcept nogil:
    """One layer's factors sample by sample; or, of a lone sample, its dense rows."""
    cdef Py_ssize_t n_in = net.layer[k].n_in, n = net.layer[k].n_out, n_0 = net.n_0
    cdef const floating* scale = affine + n_0 if net.scaled_input else <const floating*> NULL
    if column < 0 and bias_column < 0:
        return
    if dense != NULL:
        mixed_rows(dense + column * n_0 if column >= 0 else <floating*> NULL,
                   dense + bias_column * n_0 if bias_column >= 0 else <floating*> NULL, e, E, h,
                   <const floating*> NULL if k == 1 else T, scale, n, n_in, n_0)
        return
    unload(<floating*> kept_e[k] + start * n, n, e, n, N, B, context)
    unload(<floating*> kept_E[k] + start * n * n_0, n * n_0, E, n * n_0, N, B, context)
    unload(<floating*> kept_h[k] + start * n_in, n_in, h, n_in, N, B, context)
    if k > 1:
        unload(<floating*> kept_T[k] + start * n_in * n_0, n_in * n_0, T, n_in * n_0, N, B, context)


cdef inline void mixed_rows(floating* W, floating* b, const floating* e, const floating* E, const floating* h,
                            const floating* T, const floating* scale, Py_ssize_t n, Py_ssize_t n_in,
                            Py_ssize_t n_0) noexcept nogil:
    """The rows of one layer and sample: W (n, n_in, n_0), b (n, n_0); without T it is diag(1 / scale)"""
    cdef Py_ssize_t i, j, p
    if b != NULL:
        memcpy(b, E, n * n_0 * sizeof(floating))
    if W == NULL:
        return
    for j in range(n):
        for i in range(n_in):
            if T == NULL:
                for p in range(n_0):
                    W[p] = h[i] * E[j * n_0 + p]
                W[i] += e[j] / scale[i] if scale != NULL else e[j]
            else:
                for p in range(n_0):
                    W[p] = h[i] * E[j * n_0 + p] + e[j] * T[i * n_0 + p]
            W += n_0
