from cython cimport floating

from deltanet._core.net cimport Context, Net, Team


cdef void begin(floating* delta, const floating* u, floating** fprime, const floating* affine, const Net* net,
                Py_ssize_t N, Py_ssize_t B, Py_ssize_t r, const Team* team) noexcept nogil

cdef void step(floating* below, const floating* delta, Py_ssize_t k, bint identity, floating** fprime,
               const floating* theta, const Net* net, Py_ssize_t B, Py_ssize_t r,
               const Context* context, const Team* team) noexcept nogil

cdef void through_weights(floating* below, const floating* delta, Py_ssize_t k, const floating* theta,
                          const Net* net, Py_ssize_t B, Py_ssize_t r, const Context* context,
                          const Team* team) noexcept nogil
