from cython cimport floating

from deltanet.core.net cimport Net


cdef void push(floating* Jv, floating** t, floating** h, floating** delta, const floating* v,
               const Net* net, Py_ssize_t N) noexcept nogil

cdef void pull(floating** s, floating** delta, const floating* u,
               const Net* net, Py_ssize_t N) noexcept nogil

cdef struct Rows:      # of J: those of some samples, or some of one sample where m is large
    Py_ssize_t start   # the first, s m + o
    Py_ssize_t N       # samples
    Py_ssize_t m       # rows of each

cdef void gram_tile(floating* K, floating* work, void** h, void** delta, void** h2, void** delta2,
                    const Net* net, Rows a, Rows b, Py_ssize_t pitch) noexcept nogil

cdef void mirror_tile(floating* K, Rows a, Rows b, Py_ssize_t pitch) noexcept nogil
