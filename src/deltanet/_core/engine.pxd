from deltanet._core.lone cimport Handle
from deltanet._core.net cimport Layer, Net
from deltanet._core.plan cimport Job


cdef class Columns:
    cdef Py_ssize_t* column
    cdef Py_ssize_t* bias_column
    cdef readonly Py_ssize_t P
    cdef Py_ssize_t lowest
    cdef object tables


cdef class Engine:
    cdef Net net
    cdef Handle handle
    cdef Layer* layer
    cdef void** pointers
    cdef tuple functions
    cdef bint is_double
    cdef Py_ssize_t itemsize, flops
    cdef object theta
    cdef readonly object affine
    cdef readonly Columns everything
    cpdef bint reads(self, X) noexcept
    cdef bint holds(self, array, int flags) noexcept
    cdef void prepare(self, Job* job, Py_ssize_t N, Columns columns) noexcept
    cdef int alone(self, const void* x, void* y, void* jx, void* J) except -1
    cdef int serial(self, Job* job) except -1
