from cython cimport floating

from deltanet._core.net cimport Failure, Layer


cdef void activate(floating* h, floating* fprime, floating* fsecond, const Layer* layer, Py_ssize_t size,
                   int simd) noexcept nogil

cdef void call(floating* h, floating* fprime, floating* fsecond, void* functions, Py_ssize_t size,
               Failure* failure) noexcept nogil

cdef void softmax(floating* h, floating* p, bint log, Py_ssize_t m, Py_ssize_t B) noexcept nogil

cdef bint couples(int activation) noexcept nogil

cdef bint is_log_softmax(int activation) noexcept nogil

cdef const char* activation_name(int activation) noexcept nogil
