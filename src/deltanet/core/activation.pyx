"""f and f' over local fields: the element-wise activations and the two coupled ones."""

from cython cimport floating
from libc.math cimport exp, log1p

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
    """p := exp(h) / sum_j exp(h_j); h := p, or log p    (N, m)

    The largest term of the sum is 1 and the rest is summed apart, for log1p to keep its digits.
    """
    cdef Py_ssize_t j, top
    cdef double most, rest
    for _ in range(N):
        top = 0
        for j in range(m):
            if not h[j] <= h[top]:  # a NaN comes out on top
                top = j
        most = h[top]
        rest = 0
        for j in range(m):
            p[j] = <floating> exp(h[j] - most)
            rest += p[j] if j != top else 0
        for j in range(m):
            h[j] = <floating> (h[j] - most - log1p(rest))
            p[j] = <floating> (p[j] / (1 + rest))
            if not log:
                h[j] = p[j]
        h += m
        p += m
