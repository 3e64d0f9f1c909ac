"""Arrays in, blocks of samples, threads: the one door of the core (symbols: net.pxd).

A call is a Job: what is given and what is wanted, as pointers to whole arrays. It is run block by block
of samples, small enough that h, fprime and delta of a block stay in the L2 cache; blocks do not depend on
the number of threads, so neither do the results. The Python side has checked everything: here nothing can
fail but the allocation of a workspace.
"""

from cpython.exc cimport PyErr_CheckSignals
from cython cimport floating
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc

cimport numpy as cnp

import os

import numpy as np

from deltanet import machine, threads

from deltanet.core.blas cimport CROSSOVER
from deltanet.core.contract cimport Rows, gram_tile, mirror_tile, pull, push
from deltanet.core.delta cimport chain, input_jacobian
from deltanet.core.emit cimport emit
from deltanet.core.forward cimport forward
from deltanet.core.net cimport SOFTMAX, Net

cdef extern from "simd.h" nogil:
    int dn_simd_best() noexcept

cnp.import_array()

cdef enum:
    WORKSPACE = 512 * 1024      # bytes of h, fprime and delta in a block
    MOST = 4 * 1024 * 1024      # and of a block of GEMM samples, of a wide net
    GEMM = 16                   # samples that a product with the weights should have
    RESULT = 256 * 1024 * 1024  # bytes of dense rows in a block
    TILE = 192                  # rows of J in a tile of the Gram matrix
    CROWD = 256                 # threads at most, whatever was asked for
    SMALL = 32 * 1024           # numbers made by a call that is not worth giving the GIL back for
    LARGE = 1024 * 1024         # numbers made by a call that is worth a second thread

# Dense results larger than this are written past the caches. Measured by: python -m bench crossover
cdef Py_ssize_t STREAM = machine.last_level_cache()


def _simd():
    """The vector instructions to use: the best there are, or what DELTANET_SIMD says, if it is there."""
    names = ("baseline", "avx2", "avx512")[:dn_simd_best() + 1]
    name = os.environ.get("DELTANET_SIMD", names[-1])
    if name not in names:
        raise ImportError(f"DELTANET_SIMD must be one of {', '.join(names)} here; got {name!r}")
    return name, names.index(name)


SIMD, _SIMD_LEVEL = _simd()


cdef struct Job:
    Py_ssize_t N
    const void* theta
    const void* affine
    const void* X      # (N, n_0); NULL: h and delta are given
    void* y            # (N, m), or NULL like all that is not wanted
    void* J            # (N, m, P)
    void* Jx           # (N, m, n_0)
    const void* v      # (P,)
    void* Jv           # (N, m)
    const void* u      # (N, m)
    void** h           # one array of all samples a layer; NULL: kept in the workspace only
    void** fprime
    void** delta
    bint chained       # whether any delta is wanted
    bint stream        # whether J is written past the caches


cdef class Workspace:
    """Memory of one thread: 6 (L + 1) pointers to layers, then the numbers of a block."""

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
    cdef Py_ssize_t most         # samples that a workspace holds
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
        self.net.coupled = codes[-1] >= SOFTMAX
        self.net.scaled_input = scaled_input
        self.net.scaled_output = scaled_output
        self.net.simd = _SIMD_LEVEL
        self.net.crossover = CROSSOVER
        self.sample = self.itemsize * (sum(sizes) + (1 + sizes[-1]) * sum(sizes[1:]))
        self.most = max(1, WORKSPACE // self.sample, min(GEMM, MOST // self.sample))
        self.idle = []

    def reads(self, X):
        """Whether X can be read where it lies: the fast path before `_validate.samples`."""
        cdef int d
        if not self.holds(X, cnp.NPY_ARRAY_CARRAY_RO):
            return False
        d = cnp.PyArray_NDIM(<cnp.ndarray> X)
        return 0 < d < 3 and cnp.PyArray_DIM(<cnp.ndarray> X, d - 1) == self.net.n[0]

    def writes(self, out, tuple shape, X):
        """Whether the result for X can be written into `out`: the fast path before `_validate.out`."""
        return (
            self.holds(out, cnp.NPY_ARRAY_CARRAY)
            and (<object> out).shape == shape
            and apart(<cnp.ndarray> out, <cnp.ndarray> X)
            and apart(<cnp.ndarray> out, <cnp.ndarray> self.theta)
        )

    cdef bint holds(self, array, int flags) noexcept:
        """Whether this is a plain, contiguous, aligned array of the net's dtype."""
        return (
            type(array) is np.ndarray
            and cnp.PyArray_TYPE(<cnp.ndarray> array)
            == <int> (cnp.NPY_DOUBLE if self.is_double else cnp.NPY_FLOAT)
            and cnp.PyArray_CHKFLAGS(<cnp.ndarray> array, flags)
            and cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray> array)
        )

    def run(self, tuple lead, X=None, y=None, J=None, Jx=None, v=None, Jv=None, u=None, s=None,
            h=None, delta=None, first_weight=None, count=None, stream=None):
        """Evaluate what is given an array: outputs, dense rows, input Jacobian, products, the factors.

        lead is (N,), or () for a single sample; h holds h[0 .. L-1] and delta holds delta[1 .. L], as
        the Jacobian stores them. Without X they are the input, and the rest is made from them: J; Jx
        with the W^(1) they were made with; J v; or s[1 .. L], the first half of J^T u (core/contract).
        `count` is of threads; `stream` says whether J is written past the caches: by default if it is large.
        """
        cdef Call call
        cdef Workspace work = self.acquire()
        cdef Py_ssize_t N = lead[0] if lead else 1, L1 = self.net.L + 1, k, B, numbers
        cdef Job job = Job(N, data(self.theta if first_weight is None else first_weight),
                           data(self.affine), data(X), data(y), data(J), data(Jx), data(v), data(Jv),
                           data(u), NULL, NULL, NULL,
                           not (J is None and Jx is None and delta is None), False)
        job.h = work.layers + 3 * L1
        job.fprime = job.h + L1
        job.delta = job.fprime + L1
        for k in range(L1):
            job.h[k] = data(h[k]) if h is not None and k < L1 - 1 else NULL
            job.fprime[k] = data(s[k - 1]) if s is not None and k > 0 else NULL
            job.delta[k] = data(delta[k - 1]) if delta is not None and k > 0 else NULL
        numbers = N * self.net.P * (self.net.n[self.net.L] if job.chained else 1)
        if u is not None:
            numbers = N * (self.sample // self.itemsize)
        B = self.block(N, numbers, J is not None)
        job.stream = J is not None and (numbers * self.itemsize > STREAM if stream is None else stream)
        try:
            if N <= B:
                self.alone(&job, work, numbers)
            else:
                call = Call(self, N, B, (work, X, y, J, Jx, v, Jv, u, s, h, delta, first_weight))
                call.job = job
                threads.spread(call, self.threads(count, numbers, call.blocks))
        finally:
            self.idle.append(work)

    def gram(self, K, h, delta, h2, delta2, count=None):
        """K (N, m, N', m) = J J'^T; by half of its tiles when both sides are the same lists."""
        tiles = Tiles(self, K, h, delta, h2, delta2)
        threads.spread(tiles, self.threads(count, K.size * sum(d.shape[-1] for d in delta), tiles.count))

    def single(self, X, J, Py_ssize_t repeats=1, Py_ssize_t crossover=CROSSOVER):
        """The dense rows of one sample where both arrays are right as they are; else False, and no change.

        `repeats` and `crossover` are the benchmark's: the cost of the kernels alone.
        """
        cdef Py_ssize_t i, L1 = self.net.L + 1, m = self.net.n[self.net.L]
        cdef Workspace work
        cdef Job job
        if not (
            m * self.net.P <= SMALL
            and self.holds(X, cnp.NPY_ARRAY_CARRAY_RO)
            and self.holds(J, cnp.NPY_ARRAY_CARRAY)
            and cnp.PyArray_NDIM(<cnp.ndarray> X) == 1
            and cnp.PyArray_NDIM(<cnp.ndarray> J) == 2
            and cnp.PyArray_DIM(<cnp.ndarray> X, 0) == self.net.n[0]
            and cnp.PyArray_DIM(<cnp.ndarray> J, 0) == m
            and cnp.PyArray_DIM(<cnp.ndarray> J, 1) == self.net.P
            and apart(<cnp.ndarray> J, <cnp.ndarray> X)
            and apart(<cnp.ndarray> J, <cnp.ndarray> self.theta)
        ):
            return False
        work = self.acquire()
        job = Job(1, data(self.theta), data(self.affine), data(X), NULL, data(J), NULL, NULL, NULL,
                  NULL, work.layers + 3 * L1, work.layers + 4 * L1, work.layers + 5 * L1, True, False)
        for i in range(3 * L1):
            job.h[i] = NULL
        self.net.crossover = crossover
        for _ in range(repeats):
            self.evaluate(&job, work, 0, 1)
        self.net.crossover = CROSSOVER
        self.idle.append(work)
        return True

    cdef void alone(self, const Job* job, Workspace work, Py_ssize_t numbers) noexcept:
        """One block: this thread, with BLAS's own."""
        if job.N == 0:
            return
        if numbers <= SMALL:
            self.evaluate(job, work, 0, job.N)
        else:
            with nogil:
                self.evaluate(job, work, 0, job.N)

    def threads(self, count, Py_ssize_t numbers, Py_ssize_t blocks):
        """How many threads to use: what was asked for, or all where the work is large enough to pay."""
        if count is None:
            count = threads.get_num_threads() if numbers >= LARGE else 1
        return min(count, blocks, CROWD)

    cdef Py_ssize_t block(self, Py_ssize_t N, Py_ssize_t numbers, bint dense):
        """Samples in a block: a function of the network, of N and of what is asked for alone."""
        cdef Py_ssize_t B = self.most
        if numbers >= LARGE:  # some blocks for every thread
            B = min(B, max(4 if dense else GEMM, -(-N // 16)))
        if dense:
            B = min(B, RESULT // (self.itemsize * self.net.P * self.net.n[self.net.L]))
        return max(1, B)

    cdef Workspace acquire(self):
        if self.idle:
            return self.idle.pop()
        return Workspace(6 * (self.net.L + 1), self.most * self.sample)

    cdef void evaluate(self, const Job* job, Workspace work, Py_ssize_t start,
                       Py_ssize_t B) noexcept nogil:
        if self.is_double:
            evaluate[double](&self.net, job, work.layers, <double*> work.numbers, start, B)
        else:
            evaluate[float](&self.net, job, work.layers, <float*> work.numbers, start, B)


cdef class Call:
    """A Job on its way through the threads: each takes the next block until none is left."""

    cdef Job job
    cdef Engine engine
    cdef Py_ssize_t B
    cdef readonly Py_ssize_t blocks
    cdef object starts, arrays   # what is left; what the Job points into

    def __init__(self, engine, N, B, arrays):
        self.engine, self.B, self.arrays = engine, B, arrays
        self.starts = iter(range(0, N, B))
        self.blocks = -(-N // B)

    def work(self):
        cdef Workspace work = self.engine.acquire()
        cdef Py_ssize_t start
        try:
            for start in self.starts:
                with nogil:
                    self.engine.evaluate(&self.job, work, start, min(self.B, self.job.N - start))
                PyErr_CheckSignals()
        finally:
            self.engine.idle.append(work)

    def stop(self):
        for _ in self.starts:
            pass


cdef class Tiles:
    """J J'^T on its way through the threads, in square tiles; a symmetric one by its upper half."""

    cdef Engine engine
    cdef void** layers         # h, delta, h', delta' of L + 1 layers each
    cdef char* K
    cdef Py_ssize_t pitch
    cdef bint symmetric
    cdef readonly Py_ssize_t count
    cdef object tiles, arrays

    def __cinit__(self, Engine engine, K, h, delta, h2, delta2):
        cdef Py_ssize_t L1 = engine.net.L + 1, m = engine.net.n[L1 - 1], k
        self.engine, self.arrays, self.K = engine, (K, h, delta, h2, delta2), <char*> data(K)
        self.pitch, self.symmetric = K.shape[2] * m, h is h2
        self.layers = <void**> malloc(4 * L1 * sizeof(void*))
        if self.layers == NULL:
            raise MemoryError("no memory for the pointers to the layers")
        for k in range(1, L1):
            self.layers[k - 1] = data(h[k - 1])
            self.layers[L1 + k] = data(delta[k - 1])
            self.layers[2 * L1 + k - 1] = data(h2[k - 1])
            self.layers[3 * L1 + k] = data(delta2[k - 1])
        left, right = sides(K.shape[0], m), sides(K.shape[2], m)
        tiles = [(a, b) for i, a in enumerate(left) for b in right[i if self.symmetric else 0:]]
        self.count, self.tiles = len(tiles), iter(tiles)

    def __dealloc__(self):
        free(self.layers)

    def work(self):
        cdef Workspace work = Workspace(0, self.engine.itemsize * TILE * (2 * TILE + 1))
        cdef Rows a, b
        for (a.start, a.N, a.m), (b.start, b.N, b.m) in self.tiles:
            with nogil:
                if self.engine.is_double:
                    tile[double](self, <double*> work.numbers, a, b)
                else:
                    tile[float](self, <float*> work.numbers, a, b)
            PyErr_CheckSignals()

    def stop(self):
        for _ in self.tiles:
            pass


def sides(Py_ssize_t N, Py_ssize_t m):
    """(first row, samples, rows of each) of the sides of tiles: whole samples, or parts of one."""
    cdef Py_ssize_t T = TILE // m, s, o
    if T > 0:
        return [(s * m, min(T, N - s), m) for s in range(0, N, T)]
    return [(s * m + o, 1, min(TILE, m - o)) for s in range(N) for o in range(0, m, TILE)]


cdef void tile(Tiles t, floating* work, Rows a, Rows b) noexcept nogil:
    cdef Py_ssize_t L1 = t.engine.net.L + 1
    gram_tile(<floating*> t.K + a.start * t.pitch + b.start, work, t.layers, t.layers + L1,
              t.layers + 2 * L1, t.layers + 3 * L1, &t.engine.net, a, b, t.pitch)
    if t.symmetric:
        mirror_tile(<floating*> t.K, a, b, t.pitch)


cdef inline void* data(array) noexcept:
    return NULL if array is None else cnp.PyArray_DATA(<cnp.ndarray> array)


cdef inline bint apart(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Whether two contiguous arrays share no memory."""
    cdef char* start = <char*> cnp.PyArray_DATA(a)
    cdef char* other = <char*> cnp.PyArray_DATA(b)
    return start + cnp.PyArray_NBYTES(a) <= other or other + cnp.PyArray_NBYTES(b) <= start


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
        fprime[k] = take(&numbers, job.fprime[k], start, B, net.n[k])
        delta[k] = take(&numbers, job.delta[k], start, B, m * net.n[k])
    if job.X != NULL:
        forward(h, fprime, <floating*> job.X + start * net.n[0], <floating*> job.theta,
                <floating*> job.affine, net, B)
        if job.chained:
            chain(delta, fprime, <floating*> job.theta, <floating*> job.affine, net, B)
    if job.J != NULL:
        emit(<floating*> job.J + start * m * net.P, h, delta, net, B, job.stream)
    if job.Jx != NULL:
        input_jacobian(<floating*> job.Jx + start * m * net.n[0], delta[1], <floating*> job.theta,
                       <floating*> job.affine, net, B)
    if job.Jv != NULL:
        push(<floating*> job.Jv + start * m, fprime, h, delta, <floating*> job.v, net, B)
    if job.u != NULL:
        pull(fprime, delta, <floating*> job.u + start * m, net, B)
