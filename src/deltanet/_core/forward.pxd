from cython cimport floating

from deltanet._core.inputs cimport InputRows
from deltanet._core.net cimport Context, Failure, Net, Team


cdef void forward(floating** h, floating** fprime, floating** fsecond, const floating* X, const floating* theta,
                  const floating* affine, const Net* net, const InputRows* rows, Py_ssize_t N, Py_ssize_t B,
                  const Context* context, const Team* team, Failure* failure) noexcept nogil

cdef void load_input(floating* h, const floating* X, const floating* affine, const Net* net, Py_ssize_t N, Py_ssize_t B,
                     const Context* context, const Team* team) noexcept nogil

cdef void tangent(floating** dv, floating** dh, floating** h, floating** fprime, const floating* v,
                  const floating* theta, const floating* affine, const Net* net, const InputRows* rows,
                  Py_ssize_t B, const Context* context, const Team* team) noexcept nogil
