from cython cimport floating

from deltanet.core.net cimport Net


cdef void chain(floating** delta, floating** fprime, const floating* theta,
                const floating* affine, const Net* net, Py_ssize_t N) noexcept nogil

cdef void input_jacobian(floating* Jx, const floating* delta, const floating* theta,
                         const floating* affine, const Net* net, Py_ssize_t N) noexcept nogil
