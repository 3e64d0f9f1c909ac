"""Arrays in, blocks of samples: the one door of the core (symbols: net.pxd).

A call is a Job: what is given and what is wanted, as pointers to whole arrays. It is run block by block
of samples, small enough that h, fprime and delta of a block stay in the L2 cache. The Python side has
checked everything; here nothing can fail but the allocation of a workspace.
"""

from cpython.exc cimport PyErr_CheckSignals
from cython cimport floating
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc

cimport numpy as cnp
import numpy as np

from deltanet.core.delta cimport chain, input_jacobian
from deltanet.core.emit cimport emit
from deltanet.core.forward cimport forward
from deltanet.core.net cimport SOFTMAX, Net

cdef extern from "vecmath.h" nogil:
    int dn_simd_best() noexcept

cnp.import_array()

cdef enum:
    WORKSPACE = 256 * 1024     # bytes of h, fprime and delta in a block
    RESULT = 64 * 1024 * 1024  # bytes of dense rows in a block
    TINY = 32768               # multiplications of a call that is not worth giving the GIL back for

SIMD = ("baseline", "avx2", "avx512")[dn_simd_best()]


cdef struct Job:
    Py_ssize_t N
    const void* theta
    const void* affine
    const void* X      # (N, n_0); NULL: h and delta are given
    void* y            # (N, m), or NULL like all that is not wanted
    void* J            # (N, m, P)
    void* Jx           # (N, m, n_0)
    void** h           # one array of all samples a layer; NULL: kept in the workspace only
    void** delta
    bint chained       # whether any delta is wanted


cdef class Workspace:
    """Memory of one thread: 5 (L + 1) pointers to layers, then the numbers of a block."""

    cdef void** layers
    cdef char* numbers

    def __cinit__(self, Py_ssize_t layers, Py_ssize_t nbytes):
        self.layers = <void**> malloc(layers * sizeof(void*) + nbytes + 64)
        if self.layers == NULL:
            raise MemoryError(f"the workspace of a block would need {nbytes} bytes")
        self.numbers = <char*> (self.layers + layers)
        self.numbers += -<uintptr_t> self.numbers % 64

    def __dealloc__(self):
        free(self.layers)


cdef class Engine:
    """One network, ready to be evaluated. `theta` is read at every call."""

    cdef Net net
    cdef bint is_double
    cdef Py_ssize_t itemsize
    cdef Py_ssize_t sample       # bytes of one sample in the workspace
    cdef object theta, affine, tables
    cdef list idle               # workspaces not in use: one for each thread that ever ran at once

    def __init__(self, theta, affine, sizes, offsets, codes, alphas, scaled_input, scaled_output):
        n = np.array(sizes, dtype=np.intp)
        w = np.array([0, *offsets], dtype=np.intp)
        act = np.array([0, *codes], dtype=np.intc)
        alpha = np.array([0, *alphas], dtype=np.float64)
        self.theta, self.affine, self.tables = theta, affine, (n, w, act, alpha)
        self.is_double = theta.dtype == np.float64
        self.itemsize = theta.itemsize
        self.net.L = len(codes)
        self.net.P = theta.size
        self.net.n = <Py_ssize_t*> data(n)
        self.net.w = <Py_ssize_t*> data(w)
        self.net.act = <int*> data(act)
        self.net.alpha = <double*> data(alpha)
        self.net.coupled = codes[len(codes) - 1] >= SOFTMAX
        self.net.scaled_input = scaled_input
        self.net.scaled_output = scaled_output
        self.net.simd = dn_simd_best()
        self.sample = self.itemsize * (sum(sizes) + (1 + sizes[len(sizes) - 1]) * sum(sizes[1:]))
        self.idle = []

    def reads(self, X):
        """Whether X can be read where it lies: the fast path before `_validate.samples`."""
        cdef int kind = cnp.NPY_DOUBLE if self.is_double else cnp.NPY_FLOAT
        cdef int d
        if type(X) is not np.ndarray:
            return False
        d = cnp.PyArray_NDIM(<cnp.ndarray> X)
        return (
            0 < d < 3
            and cnp.PyArray_TYPE(<cnp.ndarray> X) == kind
            and cnp.PyArray_CHKFLAGS(<cnp.ndarray> X, cnp.NPY_ARRAY_CARRAY_RO)
            and cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray> X)
            and cnp.PyArray_DIM(<cnp.ndarray> X, d - 1) == self.net.n[0]
        )

    def run(self, tuple lead, X=None, y=None, J=None, Jx=None, h=None, delta=None,
            first_weight=None):
        """Evaluate what is given an array: outputs, dense rows, input Jacobian, the factors.

        lead is (N,), or () for a single sample; h holds h[0 .. L-1] and delta holds delta[1 .. L], as
        the Jacobian stores them. Without X they are the input, and J or Jx are made from them; Jx with
        the W^(1) they were made with.
        """
        cdef Py_ssize_t N = lead[0] if lead else 1
        cdef Workspace work
        cdef Job job = Job(N, data(self.theta if first_weight is None else first_weight), data(self.affine), data(X), data(y), data(J), data(Jx),
                           NULL, NULL, not (J is None and Jx is None and delta is None))
        cdef Py_ssize_t L = self.net.L, B = self.block(J is not None), k, start
        work = self.idle.pop() if self.idle else Workspace(5 * (L + 1), self.block(False) * self.sample)
        job.h = work.layers + 3 * (L + 1)
        job.delta = job.h + L + 1
        for k in range(L + 1):
            job.h[k] = data(h[k]) if h is not None and k < L else NULL
            job.delta[k] = data(delta[k - 1]) if delta is not None and k > 0 else NULL
        try:
            if 0 < N * self.net.P * self.net.n[L] <= TINY:
                self.evaluate(&job, work, 0, N)
                return
            for start in range(0, N, B):
                with nogil:
                    self.evaluate(&job, work, start, min(B, N - start))
                PyErr_CheckSignals()
        finally:
            self.idle.append(work)

    cdef Py_ssize_t block(self, bint dense):
        """Samples in a block. It depends on the network and on what is asked for alone."""
        cdef Py_ssize_t B = WORKSPACE // self.sample
        if dense:
            B = min(B, RESULT // (self.itemsize * self.net.P * self.net.n[self.net.L]))
        return max(1, B)

    cdef void evaluate(self, const Job* job, Workspace work, Py_ssize_t start,
                       Py_ssize_t B) noexcept nogil:
        if self.is_double:
            evaluate[double](&self.net, job, work.layers, <double*> work.numbers, start, B)
        else:
            evaluate[float](&self.net, job, work.layers, <float*> work.numbers, start, B)


cdef inline void* data(array) noexcept:
    return NULL if array is None else cnp.PyArray_DATA(<cnp.ndarray> array)


cdef inline floating* take(floating** free_numbers, void* array, Py_ssize_t start, Py_ssize_t B,
                           Py_ssize_t width) noexcept nogil:
    """Rows start .. start + B of `array` where there is one, else that many fresh rows."""
    cdef floating* rows = free_numbers[0]
    if array != NULL:
        return <floating*> array + start * width
    free_numbers[0] += B * width
    return rows


cdef void evaluate(const Net* net, const Job* job, void** layers, floating* numbers,
                   Py_ssize_t start, Py_ssize_t B) noexcept nogil:
    """One block: lay out h, fprime and delta, then the stages in their order."""
    cdef Py_ssize_t k, L = net.L, m = net.n[L]
    cdef floating** h = <floating**> layers
    cdef floating** fprime = h + L + 1
    cdef floating** delta = fprime + L + 1
    h[L] = take(&numbers, job.y, start, B, m)
    for k in range(L):
        h[k] = take(&numbers, job.h[k], start, B, net.n[k])
    for k in range(1, L + 1):
        fprime[k] = take(&numbers, NULL, start, B, net.n[k])
        delta[k] = take(&numbers, job.delta[k], start, B, m * net.n[k])
    if job.X != NULL:
        forward(h, fprime, <floating*> job.X + start * net.n[0], <floating*> job.theta,
                <floating*> job.affine, net, B)
        if job.chained:
            chain(delta, fprime, <floating*> job.theta, <floating*> job.affine, net, B)
    if job.J != NULL:
        emit(<floating*> job.J + start * m * net.P, h, delta, net, B)
    if job.Jx != NULL:
        input_jacobian(<floating*> job.Jx + start * m * net.n[0], delta[1], <floating*> job.theta,
                       <floating*> job.affine, net, B)
