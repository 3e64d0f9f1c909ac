"""f and f' over local fields: the element-wise activations and the two coupled ones (symbols: net.pxd)."""

from cython cimport floating
from libc.math cimport exp, log1p

from deltanet._core.net cimport Layer

cdef extern from "vecmath.h" nogil:
    const char* DN_NAMES
    int DN_num_activations
    void dn_activate_f64(int simd, int code, double alpha, double beta, double* h, double* fprime,
                         Py_ssize_t n) noexcept
    void dn_activate_f32(int simd, int code, double alpha, double beta, float* h, float* fprime,
                         Py_ssize_t n) noexcept

# Names in the order of their codes: the element-wise ones of vecmath.h, then the coupled ones.
NAMES = (*DN_NAMES.decode().split(), "softmax", "log_softmax")


cdef bint couples(int activation) noexcept nogil:
    return activation >= DN_num_activations


cdef bint is_log_softmax(int activation) noexcept nogil:
    return activation > DN_num_activations


cdef void activate(floating* h, floating* fprime, const Layer* layer, Py_ssize_t size,
                   int simd) noexcept nogil:
    """h := f(h), fprime := f'(h)    (size,)"""
    if floating is double:
        dn_activate_f64(simd, layer.activation, layer.alpha, layer.beta, h, fprime, size)
    else:
        dn_activate_f32(simd, layer.activation, layer.alpha, layer.beta, h, fprime, size)


cdef void softmax(floating* h, floating* p, bint log, Py_ssize_t m, Py_ssize_t B) noexcept nogil:
    """p := exp(h) / sum_j exp(h_j); h := p, or log p    (m, B)

    The largest term of the sum is 1 and the rest is summed apart, for log1p to keep its digits.
    """
    cdef Py_ssize_t j, s, top
    cdef double most, rest
    for s in range(B):
        top = 0
        for j in range(m):
            if not h[j * B + s] <= h[top * B + s]:  # a NaN comes out on top
                top = j
        most = h[top * B + s]
        rest = 0
        for j in range(m):
            p[j * B + s] = <floating> exp(h[j * B + s] - most)
            rest += p[j * B + s] if j != top else 0
        for j in range(m):
            h[j * B + s] = <floating> (h[j * B + s] - most - log1p(rest))
            p[j * B + s] = <floating> (p[j * B + s] / (1 + rest))
            if not log:
                h[j * B + s] = p[j * B + s]
