"""f and f' over local fields: the element-wise activations and the two coupled ones."""

from cython cimport floating
from libc.math cimport exp, log as ln

cdef extern from "vecmath.h" nogil:
    void dn_activate_f64(int simd, int code, double alpha, double* h, double* fprime,
                         Py_ssize_t n) noexcept
    void dn_activate_f32(int simd, int code, double alpha, float* h, float* fprime,
                         Py_ssize_t n) noexcept


cdef void activate(floating* h, floating* fprime, int code, double alpha,
                   Py_ssize_t size, int simd) noexcept nogil:
    """h := f(h), fprime := f'(h)    (size,)"""
    if floating is double:
        dn_activate_f64(simd, code, alpha, h, fprime, size)
    else:
        dn_activate_f32(simd, code, alpha, h, fprime, size)


cdef void softmax(floating* h, floating* p, bint log, Py_ssize_t m, Py_ssize_t N) noexcept nogil:
    """p := exp(h) / sum_j exp(h_j); h := p, or log p    (N, m)"""
    cdef Py_ssize_t s, j
    cdef double top, total
    for s in range(N):
        top = h[0]
        for j in range(m):
            top = max(top, h[j])
        total = 0
        for j in range(m):
            p[j] = <floating> exp(h[j] - top)
            total += p[j]
        for j in range(m):
            p[j] = <floating> (p[j] / total)
            h[j] = <floating> (h[j] - top - ln(total)) if log else p[j]
        h += m
        p += m
