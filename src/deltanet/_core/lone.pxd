# One sample by plain loops: see lone.pyx.

from cython cimport floating

from deltanet._core.net cimport Context, Failure, Net

cdef struct Handle:            # a net as the C interface knows it: dn_net
    const Net* net
    const Context* context
    const void* theta
    const void* affine
    const Py_ssize_t* column   # where the parameters of each layer begin, all being kept
    const Py_ssize_t* bias_column
    Py_ssize_t work_bytes      # of a sample's first derivatives: see open_work
    bint is_double
    bint registered            # has an activation of Python functions

cdef struct Lone:              # the workspace of one sample
    void** h
    void** fprime
    void** delta               # two that take turns, of m rows
    void** dv
    void** dh


cdef Py_ssize_t open_work(Lone* at, const Net* net, Py_ssize_t itemsize, void* work) noexcept nogil

cdef void evaluate(Lone* at, const floating* x, floating* y, floating* jx, floating* J, const floating* theta,
                   const floating* affine, const Net* net, const Context* context, Failure* failure) noexcept nogil

cdef void factors(Lone* at, const floating* x, floating* y, const floating* theta, const floating* affine,
                  const Net* net, const Context* context, Failure* failure) noexcept nogil

cdef void vjp(Lone* at, const floating* x, const floating* u, floating* grad_theta, floating* grad_x, bint add,
              const floating* theta, const floating* affine, const Net* net, const Context* context) noexcept nogil

cdef void jvp(Lone* at, const floating* x, const floating* v_theta, const floating* v_x, floating* yv,
              const floating* theta, const floating* affine, const Net* net, const Context* context) noexcept nogil
