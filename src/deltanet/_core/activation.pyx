"""f, f' and, if asked for, f'' over local fields: element-wise activations, registered ones, and the two coupled ones.

Symbols: net.pxd.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.ref cimport Py_INCREF
from cython cimport floating
from libc.math cimport exp, log1p
from libc.string cimport memcpy, memset

cimport numpy as cnp

from deltanet._core.net cimport Failure, Layer
from deltanet._core.pool cimport dn_add, dn_load

cdef extern from "vecmath.h" nogil:
    const char* DN_NAMES
    int DN_num_activations
    void dn_activate_f64(int simd, int code, double alpha, double beta, double* h, double* fprime,
                         Py_ssize_t n) noexcept
    void dn_activate_f32(int simd, int code, double alpha, double beta, float* h, float* fprime,
                         Py_ssize_t n) noexcept
    void dn_activate2_f64(int simd, int code, double alpha, double beta, double* h, double* fprime,
                          double* fsecond, Py_ssize_t n) noexcept
    void dn_activate2_f32(int simd, int code, double alpha, double beta, float* h, float* fprime,
                          float* fsecond, Py_ssize_t n) noexcept

cnp.import_array()

# Names in the order of their codes: the element-wise ones of vecmath.h, then the coupled ones.
NAMES = (*DN_NAMES.decode().split(), "softmax", "log_softmax")

cdef const char* C_NAMES[64]
cdef tuple _encoded = tuple(name.encode() for name in NAMES)  # they stay where they are
cdef Py_ssize_t _code
for _code in range(len(_encoded)):
    C_NAMES[_code] = <const char*> PyBytes_AS_STRING(_encoded[_code])


cdef const char* activation_name(int activation) noexcept nogil:
    """Of a code; "" of a registered activation."""
    if activation < 0:
        return ""
    return C_NAMES[activation]


cdef bint couples(int activation) noexcept nogil:
    return activation >= DN_num_activations


cdef bint is_log_softmax(int activation) noexcept nogil:
    return activation > DN_num_activations


cdef void activate(floating* h, floating* fprime, floating* fsecond, const Layer* layer, Py_ssize_t size,
                   int simd) noexcept nogil:
    """h := f(h), fprime := f'(h), and unless it is NULL fsecond := f''(h)    (size,)"""
    cdef int code = layer.activation
    if floating is double:
        if fsecond == NULL:
            dn_activate_f64(simd, code, layer.alpha, layer.beta, h, fprime, size)
        else:
            dn_activate2_f64(simd, code, layer.alpha, layer.beta, h, fprime, fsecond, size)
    else:
        if fsecond == NULL:
            dn_activate_f32(simd, code, layer.alpha, layer.beta, h, fprime, size)
        else:
            dn_activate2_f32(simd, code, layer.alpha, layer.beta, h, fprime, fsecond, size)


cdef void call(floating* h, floating* fprime, floating* fsecond, void* functions, Py_ssize_t size,
               Failure* failure) noexcept nogil:
    """The same by the Python functions of a registered activation, under Python's lock    (size,)

    An exception goes into `failure`, and the numbers are zero then.
    """
    memset(fprime, 0, size * sizeof(floating))
    if fsecond != NULL:
        memset(fsecond, 0, size * sizeof(floating))
    if dn_load(&failure.raised):
        return
    with gil:
        try:
            evaluate(h, fprime, fsecond, <object> functions, size)
        except BaseException as error:
            if dn_add(&failure.raised, 1) == 0:
                Py_INCREF(error)
                failure.error = <void*> error


cdef int evaluate(floating* h, floating* fprime, floating* fsecond, functions, cnp.npy_intp size) except -1:
    """On a copy of h, which the functions may keep."""
    v = cnp.PyArray_SimpleNew(1, &size, cnp.NPY_DOUBLE if floating is double else cnp.NPY_FLOAT)
    memcpy(cnp.PyArray_DATA(<cnp.ndarray> v), h, size * sizeof(floating))
    results = functions.evaluate(v, fsecond != NULL)
    memcpy(h, cnp.PyArray_DATA(<cnp.ndarray> results[0]), size * sizeof(floating))
    memcpy(fprime, cnp.PyArray_DATA(<cnp.ndarray> results[1]), size * sizeof(floating))
    if fsecond != NULL:
        memcpy(fsecond, cnp.PyArray_DATA(<cnp.ndarray> results[2]), size * sizeof(floating))
    return 0


cdef inline double exp_below(double v) noexcept nogil:
    """exp(v) of v <= 0. An exp whose result is too small for a normal number sets errno: here it is a product."""
    if v < -700:
        return exp(-700.0) * exp(max(v + 700, -700.0))
    return exp(v)


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
            p[j * B + s] = <floating> exp_below(h[j * B + s] - most)
            rest += p[j * B + s] if j != top else 0
        for j in range(m):
            h[j * B + s] = <floating> (h[j * B + s] - most - log1p(rest))
            p[j * B + s] = <floating> (p[j * B + s] / (1 + rest))
            if not log:
                h[j * B + s] = p[j * B + s]
