from cython cimport floating

from deltanet.core.net cimport Net


cdef void emit(floating* J, floating** h, floating** delta, const Net* net, Py_ssize_t N,
               bint stream) noexcept nogil
