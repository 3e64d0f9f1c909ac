from cython cimport floating

from deltanet.core.net cimport Net


cdef void forward(floating** h, floating** fprime, const floating* X, const floating* theta,
                  const floating* affine, const Net* net, Py_ssize_t N) noexcept nogil
