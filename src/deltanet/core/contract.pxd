from cython cimport floating

from deltanet.core.net cimport Net


cdef void push(floating* Jv, floating** t, floating** h, floating** delta, const floating* v,
               const Net* net, Py_ssize_t N) noexcept nogil

cdef void pull(floating** s, floating** delta, const floating* u,
               const Net* net, Py_ssize_t N) noexcept nogil

cdef void gram_tile(floating* K, floating* work, void** h, void** delta, void** h2, void** delta2,
                    const Net* net, Py_ssize_t a, Py_ssize_t A, Py_ssize_t b, Py_ssize_t B,
                    Py_ssize_t pitch) noexcept nogil

cdef void mirror_tile(floating* K, Py_ssize_t a, Py_ssize_t A, Py_ssize_t b, Py_ssize_t B,
                      Py_ssize_t pitch) noexcept nogil
