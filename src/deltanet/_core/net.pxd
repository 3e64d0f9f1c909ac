# The network as the kernels see it, and a block of samples on its way through them. One legend for the core:
#
#   L, k          layers, k = 1 .. L
#   n_k           width of layer k; n_0 inputs, m = n_L outputs
#   N, P          samples, parameters
#   B             lanes of a block: its samples, and copies of the last one up to whole vectors;
#                 1 of a lone sample
#   r             rows of delta a sample: m for the Jacobian, 1 for a gradient
#   theta         (P,)          W^(1) row-major, b^(1), ..., W^(L), b^(L)
#   h[k]          (n_k, B)      activation; h[0] the scaled input, h[L] the output y
#   fprime[k]     (n_k, B)      slope f_k'(v^(k)); for a coupled output the probabilities
#   delta[k]      (r, n_k, B)   local gradient: rows of dy/dv^(k)
#   affine        (2 n_0 + 2 m,)  input shift, input scale, output shift, output scale
#
# A block lies with its samples in the vector lanes: each product with a weight matrix then reads W as it is
# and has no ragged columns, and a sum over units is one over whole vectors. Of a lone sample, B = 1, that is
# the plain order. What the caller sees, X, y and the factors, is sample by sample: transpose (loops.h) goes
# between.
# Kernels take outputs, inputs and sizes from their caller, allocate nothing and cannot fail. Only forward may call
# Python, for a registered activation: what that raises goes into a Failure.

cdef enum:            # what a layer does before its activation
    DENSE = 0         # v = W h + b
    ELEMENTWISE = 1   # v = h, without parameters

cdef struct Layer:
    int op
    int activation             # code in the order of vecmath.h, the coupled ones behind; -1: registered
    double alpha, beta         # parameters of the activation
    Py_ssize_t n_in, n_out
    Py_ssize_t offset          # W^(k) is at theta + offset; -1: no W
    Py_ssize_t bias_offset     # b^(k); -1: no bias

cdef struct Net:               # constant once it is built
    Py_ssize_t L, P, n_0, m
    const Layer* layer         # (L+1,), the first is not used
    bint coupled               # softmax or log_softmax output: delta^(L) is a full matrix
    bint scaled_input, scaled_output
    void** functions           # (L+1,) of a registered activation its Python functions, else NULL

cdef struct Failure:           # of Python functions; the kernels themselves cannot fail
    long raised                # how many raised: no more are called then
    void* error                # the first exception, a reference that the caller takes over

cdef struct Context:           # constant: what the processor has
    int simd                   # vector instructions to use: see simd.h
    bint tiles                 # whether products go to tile.h
    bint blas                  # or else to BLAS, whose bits depend on how many columns a product has; else to loops

cdef struct Team:              # the threads that share a block; a team of one owns all of it
    int rank, size
    void* barrier


cdef inline void share(Py_ssize_t* start, Py_ssize_t* stop, Py_ssize_t n, const Team* team) noexcept nogil:
    """The part of n rows that this thread of the team owns: whole tiles of six where there are enough."""
    cdef Py_ssize_t tiles = (n + 5) // 6
    if team.size == 1:
        start[0], stop[0] = 0, n
        return
    start[0] = min(n, 6 * (tiles * team.rank // team.size))
    stop[0] = min(n, 6 * (tiles * (team.rank + 1) // team.size))
