# Second derivatives, layer by layer: see curvature.pyx.

from cython cimport floating

from deltanet._core.net cimport Context, Net


cdef void bend(floating** delta, floating** curve, const floating* u, floating** fprime, floating** fsecond,
               const floating* affine, const floating* theta, const Net* net, Py_ssize_t N, Py_ssize_t B, Py_ssize_t r,
               const Context* context) noexcept nogil

cdef void local_tangent(floating* A, const floating* T, Py_ssize_t k, const floating* theta, const floating* affine,
                        const Net* net, Py_ssize_t B, const Context* context) noexcept nogil

cdef void scale_units(floating* T, const floating* slope, const floating* A, Py_ssize_t n, Py_ssize_t columns,
                      Py_ssize_t B, bint add, const Context* context) noexcept nogil

cdef bint flat(const floating* curve, Py_ssize_t size) noexcept nogil

cdef void quadratic(floating* C, const floating* A, const floating* curve, Py_ssize_t n, Py_ssize_t n_0, Py_ssize_t B,
                    const Context* context) noexcept nogil

cdef void coupled_quadratic(floating* C, floating* work, const floating* A, const floating* g, const floating* p,
                            bint log, Py_ssize_t m, Py_ssize_t n_0, Py_ssize_t B) noexcept nogil

cdef void coupled_rows(floating* E, floating* work, const floating* A, const floating* g, const floating* p, bint log,
                       Py_ssize_t m, Py_ssize_t columns, Py_ssize_t B) noexcept nogil

cdef void below(floating* T, const floating* E, Py_ssize_t k, const floating* theta, const Net* net,
                Py_ssize_t columns, Py_ssize_t B, const Context* context) noexcept nogil
