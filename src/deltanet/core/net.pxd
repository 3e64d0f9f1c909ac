# The network as the kernels see it. One legend for the core:
#
#   L, k          layers, k = 1 .. L
#   n[k]          width of layer k; n[0] inputs, m = n[L] outputs
#   N, P          samples in the block, parameters
#   theta         (P,)          W^(1) row-major, b^(1), ..., W^(L), b^(L)
#   h[k]          (N, n_k)      activation; h[0] the scaled input, h[L] the output y
#   fprime[k]     (N, n_k)      slope f_k'(v^(k)); for a coupled output the probabilities
#   delta[k]      (N, m, n_k)   local gradient dy/dv^(k)
#   affine        (2 n_0 + 2 m,)  input shift, input scale, output shift, output scale
#
# Every array is row-major; h, fprime and delta are arrays of one pointer a layer. Kernels take outputs,
# inputs and sizes from their caller, allocate nothing and cannot fail.

cdef enum:               # codes of the coupled outputs, behind the element-wise ones of vecmath.h
    SOFTMAX = 15
    LOG_SOFTMAX = 16

cdef struct Net:
    Py_ssize_t L
    Py_ssize_t P
    Py_ssize_t* n        # (L+1,)
    Py_ssize_t* w        # (L+1,) W^(k) is at theta + w[k], b^(k) behind it; w[0] is not used
    int* act             # (L+1,) activation codes, act[0] is not used
    double* alpha        # (L+1,) the parameter of each
    bint coupled         # softmax or log_softmax output: delta^(L) is a full matrix
    bint scaled_input
    bint scaled_output
    Py_ssize_t crossover  # multiplications from which a product is worth a BLAS call: see blas.pxd
    int simd             # vector instructions to use: see vecmath.h
