from cython cimport floating


cdef void activate(floating* h, floating* fprime, int code, double alpha,
                   Py_ssize_t size, int simd) noexcept nogil

cdef void softmax(floating* h, floating* p, bint log, Py_ssize_t m, Py_ssize_t N) noexcept nogil
