"""Arrays in, pointers to the kernels: the one door of the core (symbols: net.pxd, what a call asks for: plan.pxd).

The Python side has checked everything: here nothing can fail but the allocation of a workspace, and what a
signal or the caller's progress function raises.
"""

from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport PyObject, Py_XDECREF
from cython cimport floating
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cimport numpy as cnp

import os

import numpy as np

from deltanet import _limits, _parallel
from deltanet._core import buffers

from deltanet._core.activation cimport couples
from deltanet._core.block cimport run_block
from deltanet._core.hold cimport limit_thread
from deltanet._core.net cimport DENSE, ELEMENTWISE, Context, Failure, Layer, Net, Team
from deltanet._core.plan cimport (
    COVARIANCE, DENSE_ROWS, DIRECTIONS, FACTORS, GAUSS_NEWTON_VECTOR, GGN, GGN_DIAGONAL, GGN_LANE_BYTES, GRAM_ROWS,
    INPUT_JACOBIAN, KFAC, LANES_KEPT, OUTPUTS, PARALLEL_WORK, ROW_NORMS, SERIAL_WORK, TANGENT, VJP, Job, Space, cut,
    diagonal_length,
    ggn_length, kept_length, lay_out, point_kept, vjp_length,
)
from deltanet._core.pool cimport dn_barrier, meet
from deltanet._core.product cimport dn_has_tiles, gemm
from deltanet._core.rows cimport whole_vectors
from deltanet._core.sinks.covariance cimport FULL, LOW_RANK, SCALAR, Pair
from deltanet._core.sinks.ggn cimport ggn_tile, ggn_tiles
from deltanet._core.sinks.gram cimport ALL_OUTPUTS, EACH_OUTPUT, TRACE, Corner, gram_layer, gram_write, planes
from deltanet._core.sinks.kfac cimport mirror as mirror_half

cdef extern from "simd.h" nogil:
    int dn_simd_best() noexcept

cdef extern from "pool.h" nogil:
    ctypedef void (*dn_run)(void* job, int rank, int size) noexcept nogil
    void dn_pool_run(dn_run run, void* job, int size, int together) noexcept
    void dn_pool_forget() noexcept
    int64_t dn_now() noexcept
    long dn_add(long* counter, long amount) noexcept
    long dn_load(long* counter) noexcept
    void dn_store(long* counter, long value) noexcept

cnp.import_array()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: dn_pool_forget())


def _simd():
    """The vector instructions to use: the best there are, or what DELTANET_SIMD says, if it is there."""
    names = ("baseline", "avx2", "avx512")[:dn_simd_best() + 1]
    name = os.environ.get("DELTANET_SIMD", names[-1])
    if name not in names:
        raise ImportError(f"DELTANET_SIMD must be one of {', '.join(names)} here; got {name!r}")
    return name, names.index(name)


SIMD, _level = _simd()

ALL, EACH, TRACED = ALL_OUTPUTS, EACH_OUTPUT, TRACE       # forms of a Gram matrix
FORMS = "scalar", "diagonal", "kronecker", "low rank", "dense"  # of Sigma, in the order of sinks/covariance.pxd

cdef Context CONTEXT = Context(_level, dn_has_tiles(_level))
cdef Py_ssize_t STREAM_BYTES = _limits.STREAM_BYTES
cdef Py_ssize_t ARENA_BYTES = _limits.ARENA_BYTES, MOST_ARENAS = _limits.ARENAS
cdef list ARENAS = buffers.arenas  # workspaces that no call uses
cdef int64_t POLL_NS = 50 * 1000 * 1000  # between two looks at signals

cdef struct Workspace:
    void** pointers
    char* numbers


cdef class Arena:
    """Workspace of one thread: pointers to layers, then numbers. It grows and is used by every net."""

    cdef void* memory
    cdef readonly Py_ssize_t size
    cdef void** pointers
    cdef char* numbers

    def __dealloc__(self):
        free(self.memory)

    cdef int hold(self, Py_ssize_t pointers, Py_ssize_t nbytes) except -1:
        """Room for so many pointers and bytes, from a cache line's start on; what was in it is lost."""
        cdef Py_ssize_t needed = pointers * sizeof(void*) + nbytes + 64
        if needed > self.size:
            free(self.memory)
            self.size = 0
            self.memory = malloc(needed)
            if self.memory == NULL:
                raise MemoryError(f"the workspace of a thread would need {needed} bytes")
            self.size = needed
        self.pointers = <void**> self.memory
        self.numbers = <char*> (self.pointers + pointers)
        self.numbers += -<uintptr_t> self.numbers % 64
        return 0


cdef Arena borrow():
    """A workspace for a thread of a call."""
    try:
        return ARENAS.pop()
    except IndexError:
        return Arena()


cdef int give_back(Arena arena) except -1:
    """For the next call, if it is not an outsize one."""
    if arena.size <= ARENA_BYTES and len(ARENAS) < MOST_ARENAS:
        ARENAS.append(arena)
    return 0


cdef class Columns:
    """The parameters that are kept: where W^(k) and b^(k) begin among their columns."""

    cdef Py_ssize_t* column
    cdef Py_ssize_t* bias_column
    cdef readonly Py_ssize_t P
    cdef Py_ssize_t lowest
    cdef object tables

    def __init__(self, column, bias_column, P):
        self.tables = np.array([-1, *column], np.intp), np.array([-1, *bias_column], np.intp)
        self.column = <Py_ssize_t*> data(self.tables[0])
        self.bias_column = <Py_ssize_t*> data(self.tables[1])
        self.P = P
        kept = [k for k in range(1, len(column) + 1) if self.column[k] >= 0 or self.bias_column[k] >= 0]
        self.lowest = min(kept, default=len(column) + 1)


cdef class Engine:
    """One network, ready to be evaluated. `theta` is read at every call.

    layers has (elementwise, code, alpha, beta, n_in, n_out, offset, bias_offset) of each, functions the
    `Functions` of a registered activation, or None.
    """

    cdef Net net
    cdef Layer* layer
    cdef void** pointers
    cdef tuple functions
    cdef bint is_double
    cdef Py_ssize_t itemsize, flops
    cdef object theta, affine
    cdef readonly Columns everything

    def __cinit__(self, theta, affine, layers, bint scaled_input, bint scaled_output, Columns everything, functions):
        cdef Py_ssize_t k
        self.layer = <Layer*> calloc(len(layers) + 1, sizeof(Layer))
        self.pointers = <void**> calloc(len(layers) + 1, sizeof(void*))
        if self.layer == NULL or self.pointers == NULL:
            raise MemoryError("no memory for the table of layers")
        self.functions = tuple(functions)
        for k, each in enumerate(self.functions, 1):
            self.pointers[k] = <void*> each if each is not None else NULL
        self.theta, self.affine, self.everything = theta, affine, everything
        self.is_double = theta.dtype == np.float64
        self.itemsize = theta.itemsize
        for k, row in enumerate(layers, 1):
            elementwise, code, alpha, beta, n_in, n_out, offset, bias_offset = row
            self.layer[k] = Layer(ELEMENTWISE if elementwise else DENSE, code, alpha, beta, n_in, n_out, offset,
                                  bias_offset)
            self.flops += n_in * n_out
        self.net = Net(len(layers), theta.size, self.layer[1].n_in, self.layer[len(layers)].n_out, self.layer,
                       couples(self.layer[len(layers)].activation), scaled_input, scaled_output, self.pointers)

    def __dealloc__(self):
        free(self.layer)
        free(self.pointers)

    def reads(self, X):
        """Whether X can be read where it lies: the fast path before `_validate.samples`."""
        cdef int d
        if not self.holds(X, cnp.NPY_ARRAY_CARRAY_RO):
            return False
        d = cnp.PyArray_NDIM(<cnp.ndarray> X)
        return 0 < d < 3 and cnp.PyArray_DIM(<cnp.ndarray> X, d - 1) == self.net.n_0

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

    def run(self, Py_ssize_t N, Columns columns=None, X=None, y=None, inputs=None, deltas=None, kept_inputs=None,
            kept_deltas=None, J=None, Jx=None, Jv=None, v=None, u=None, H=None, vjp=None, diagonal=None, ggn=None,
            kfac=None, norms=None, covariance=None, Sigma=None, HJ=None, first_weight=None, lanes_kept=None, B=None,
            Py_ssize_t r=0, threads=None, progress=None, stream=None):
        """Evaluate whatever is given an array, for N samples.

        The source is X (N, n_0), or the factors `inputs` and `deltas`, lists of one array a layer, None where it
        is not kept. Results: y (N, m), the factors into `kept_inputs` and `kept_deltas`, J (N, r, P), Jx (N, m, n_0),
        norms (N, m), covariance (N, m, m) of Sigma = (form, what `_validate` made of it); with v (columns, P of the
        net): Jv (N, m, columns); with u (N, m): vjp (P,), which
        with v (P,), without Jv, is J^T H J v, H (N,). Sums, zero before: vjp, diagonal (P,), ggn (P, P), its lower
        half, kfac (length,), the factors of each layer one behind the other, their lower halves, A not yet over N;
        H (N,) or (N, m, m) weighs them.
        `columns` are the kept ones, `r` the rows a sample of given deltas, m if it is 0. `stream` says whether J is
        written past the caches: by default if it is large.
        """
        cdef Call call = Call(self, threads, progress)
        cdef Job* job = &call.job
        cdef Py_ssize_t L1 = self.net.L + 1
        columns = columns or self.everything
        self.prepare(job, N, columns)
        job.r = r or self.net.m
        if first_weight is not None:
            job.theta = data(first_weight)
        job.X, job.y, job.J, job.Jx, job.Jv = data(X), data(y), data(J), data(Jx), data(Jv)
        job.u, job.H, job.v, job.norms, job.covariance = data(u), data(H), data(v), data(norms), data(covariance)
        job.vjp, job.diagonal, job.ggn, job.kfac = data(vjp), data(diagonal), data(ggn), data(kfac)
        job.HJ, job.lanes_kept = data(HJ), data(lanes_kept)
        job.full_H = H is not None and (<object> H).ndim == 3
        job.wanted = (
            OUTPUTS * (y is not None) | FACTORS * (kept_deltas is not None) | DENSE_ROWS * (J is not None)
            | INPUT_JACOBIAN * (Jx is not None) | VJP * (vjp is not None) | GGN_DIAGONAL * (diagonal is not None)
            | GGN * (ggn is not None) | KFAC * (kfac is not None) | ROW_NORMS * (norms is not None)
            | COVARIANCE * (covariance is not None) | LANES_KEPT * (lanes_kept is not None)
        )
        if Jv is not None:
            job.wanted |= TANGENT if X is not None else DIRECTIONS
            job.columns = (<object> v).shape[0] if (<object> v).ndim == 2 else 1
        elif v is not None and vjp is not None:
            job.wanted |= GAUSS_NEWTON_VECTOR
            job.r = 1
        job.contracted = u is not None and (X is None or job.wanted & (GGN | GGN_DIAGONAL | KFAC | DENSE_ROWS) != 0)
        if u is not None and not job.contracted:
            job.r = 1
        job.lowest = columns.lowest if job.wanted & ~(OUTPUTS | TANGENT | INPUT_JACOBIAN) else L1
        if Jx is not None:
            job.lowest = 1
        call.point(inputs, deltas, kept_inputs, kept_deltas)
        if Sigma is not None:
            call.point_sigma(Sigma)
        job.stream = J is not None and (N * job.r * job.P * self.itemsize > STREAM_BYTES if stream is None else stream)
        if lanes_kept is not None:
            job.lanes_length, job.B = (<object> lanes_kept).shape[1], B
        if N > 0:
            call.execute()

    cdef void prepare(self, Job* job, Py_ssize_t N, Columns columns) noexcept:
        """A job of N samples in which nothing is given or wanted yet."""
        memset(job, 0, sizeof(Job))
        job.net, job.context, job.N, job.r = &self.net, &CONTEXT, N, self.net.m
        job.column, job.bias_column, job.P = columns.column, columns.bias_column, columns.P
        job.theta, job.affine = data(self.theta), data(self.affine)
        job.lowest = self.net.L + 1

    # One sample, or a few of a small net, in arrays that are right as they are: nothing but the kernels

    def outputs(self, X):
        """y of what can be read where it lies and is small; else None."""
        cdef cnp.npy_intp shape[2]
        cdef int d
        cdef Job job
        if not self.reads(X):
            return None
        d = cnp.PyArray_NDIM(<cnp.ndarray> X)
        shape[0], shape[d - 1] = cnp.PyArray_DIM(<cnp.ndarray> X, 0), self.net.m
        if (1 if d == 1 else shape[0]) * self.flops > SERIAL_WORK:
            return None
        y = cnp.PyArray_SimpleNew(d, shape, cnp.NPY_DOUBLE if self.is_double else cnp.NPY_FLOAT)
        self.prepare(&job, 1 if d == 1 else shape[0], self.everything)
        job.X, job.y, job.wanted = data(X), data(y), OUTPUTS
        self.serial(&job)
        return y

    def single(self, X, out, bint inputs=False, Py_ssize_t repeats=1):
        """The dense rows of one sample, or dy/dx, where both arrays are right as they are; else None, and no change.

        Without `out`, which is returned, a new array. `repeats` is the benchmark's: the cost of the kernels alone.
        """
        cdef cnp.npy_intp shape[2]
        cdef Job job
        shape[0], shape[1] = self.net.m, self.net.n_0 if inputs else self.net.P
        if not (
            self.net.m * self.net.P <= SERIAL_WORK
            and self.holds(X, cnp.NPY_ARRAY_CARRAY_RO)
            and cnp.PyArray_NDIM(<cnp.ndarray> X) == 1
            and cnp.PyArray_DIM(<cnp.ndarray> X, 0) == self.net.n_0
        ):
            return None
        if out is None:
            out = cnp.PyArray_SimpleNew(2, shape, cnp.NPY_DOUBLE if self.is_double else cnp.NPY_FLOAT)
        elif not (
            self.holds(out, cnp.NPY_ARRAY_CARRAY)
            and cnp.PyArray_NDIM(<cnp.ndarray> out) == 2
            and cnp.PyArray_DIM(<cnp.ndarray> out, 0) == shape[0]
            and cnp.PyArray_DIM(<cnp.ndarray> out, 1) == shape[1]
            and apart(<cnp.ndarray> out, <cnp.ndarray> X)
            and apart(<cnp.ndarray> out, <cnp.ndarray> self.theta)
        ):
            return None
        self.prepare(&job, 1, self.everything)
        job.X, job.lowest = data(X), 1
        if inputs:
            job.Jx, job.wanted = data(out), INPUT_JACOBIAN
        else:
            job.J, job.wanted = data(out), DENSE_ROWS
        for _ in range(repeats):
            self.serial(&job)
        return out

    def factors(self, X):
        """The factors of one sample and W^(1), one behind the other (`jacobian.Factors`); None where X is no such."""
        cdef cnp.npy_intp length
        cdef Py_ssize_t k, L1 = self.net.L + 1
        cdef Job job
        cdef Arena arena
        cdef void** layers
        cdef char* numbers
        if not (self.net.m * self.net.P <= SERIAL_WORK and self.reads(X) and cnp.PyArray_NDIM(<cnp.ndarray> X) == 1):
            return None
        length = self.net.m + kept_length(&self.net, self.net.m, 1) + self.layer[1].n_in * self.layer[1].n_out
        buffer = cnp.PyArray_SimpleNew(1, &length, cnp.NPY_DOUBLE if self.is_double else cnp.NPY_FLOAT)
        self.prepare(&job, 1, self.everything)
        job.X, job.y, job.lowest, job.wanted = data(X), data(buffer), 1, OUTPUTS | FACTORS
        arena = borrow()
        arena.hold(2 * L1, 0)
        layers, numbers = arena.pointers, <char*> job.y + self.net.m * self.itemsize
        for k in range(1, L1):
            layers[k] = numbers
            numbers += self.layer[k].n_in * self.itemsize
        for k in range(1, L1):
            layers[L1 + k] = numbers
            numbers += self.net.m * self.layer[k].n_out * self.itemsize
        memcpy(numbers, job.theta, self.layer[1].n_in * self.layer[1].n_out * self.itemsize)
        job.kept_h, job.kept_delta = layers, layers + L1
        self.serial(&job)
        give_back(arena)
        return buffer

    cdef int serial(self, Job* job) except -1:
        """One block, on this thread, with Python's lock: for calls that take microseconds."""
        cdef Arena arena = borrow()
        cdef Space space
        cdef Team alone = Team(0, 1, NULL)
        cdef Failure failure = Failure(0, NULL)
        cdef Py_ssize_t B, nbytes
        job.B, job.failure = job.N, &failure
        B = 1 if job.N == 1 else whole_vectors(job.N, self.itemsize)
        arena.hold(5 * (self.net.L + 1), 0)
        nbytes = lay_out(&space, arena.pointers, arena.numbers, job, self.itemsize, job.N, B, 1)
        if arena.numbers + nbytes > <char*> arena.memory + arena.size:
            arena.hold(5 * (self.net.L + 1), nbytes)
            lay_out(&space, arena.pointers, arena.numbers, job, self.itemsize, job.N, B, 1)
        if self.is_double:
            run_block(job, &space, <double> 0, 0, job.N, B, 0, &alone)
        else:
            run_block(job, &space, <float> 0, 0, job.N, B, 0, &alone)
        give_back(arena)
        return raise_from(&failure)

    def keeps_ggn(self, Columns columns=None):
        """Whether a Gauss-Newton matrix of these columns is small enough for `run(ggn=)`."""
        cdef Py_ssize_t P = (columns or self.everything).P
        return P * P * self.itemsize <= GGN_LANE_BYTES

    def add_ggn(self, C, J, HJ=None, threads=None):
        """C (P, P) += (H J)^T J in its lower half, from dense rows (rows, P)."""
        cdef Tiles tiles = Tiles(self, C.shape[0] * C.shape[1] * J.shape[0] / 2, threads)
        tiles.C, tiles.J, tiles.HJ = data(C), data(J), data(J if HJ is None else HJ)
        tiles.rows, tiles.P, tiles.units = J.shape[0], J.shape[1], ggn_tiles(J.shape[1])
        if tiles.rows > 0:
            with _parallel.held_blas():
                tiles.go(ggn_work)

    def multiply(self, C, A, B, threads=None):
        """C (M, N) += A (M, K) B (K, N), by BLAS, in tiles of columns."""
        cdef Tiles tiles = Tiles(self, A.shape[0] * B.shape[0] * B.shape[1], threads)
        tiles.C, tiles.HJ, tiles.J = data(C), data(A), data(B)
        tiles.rows, tiles.K, tiles.P = A.shape[0], A.shape[1], B.shape[1]
        tiles.units = (tiles.P + PRODUCT_COLUMNS - 1) // PRODUCT_COLUMNS
        if tiles.K > 0:
            with _parallel.held_blas():
                tiles.go(product_work)

    def gram(self, K, left, right=None, int outputs=ALL_OUTPUTS, Columns columns=None, one=None, threads=None,
             progress=None):
        """K = J J'^T for all pairs of outputs (N, m, N', m), for each (m, N, N'), or their trace over m (N, N').

        A side is X (N, n_0) or (inputs, deltas), with the same for J'. Without J' it is J, and K is made by half.
        `one` has, layer by layer, what takes the place of the 1 of a bias on the left side (N,).
        """
        cdef Py_ssize_t N = count(left), N2 = N if right is None else count(right), m = self.net.m, a, b, panel, B
        cdef Tiles tiles
        cdef Py_ssize_t lanes = 32 // self.itemsize
        if N == 0 or N2 == 0 or (columns is not None and columns.P == 0):
            return
        columns = columns or self.everything
        B = max(lanes, GRAM_ROWS // m // lanes * lanes)
        panel = max(1, _limits.FACTOR_BYTES // (kept_length(&self.net, m, B) * self.itemsize)) * B
        kept, kept2 = self.panel(min(N, panel), B), None
        for a in range(0, N, panel):
            self.fill(kept, left, a, min(panel, N - a), B, columns, threads)
            for b in range(a if right is None else 0, N2, panel):
                if right is None and b == a:
                    other = kept
                else:
                    kept2 = self.panel(min(N2, panel), B) if kept2 is None else kept2
                    self.fill(kept2, left if right is None else right, b, min(panel, N2 - b), B, columns, threads)
                    other = kept2
                tiles = Tiles(self, 0, threads)
                tiles.gram(K, kept, other, outputs, columns, one, right is None, a, b, min(panel, N - a),
                           min(panel, N2 - b), N, N2, B)
            if progress is not None:
                progress(min(N, a + panel))

    def panel(self, Py_ssize_t N, Py_ssize_t B):
        return buffers.lend(((N + B - 1) // B, kept_length(&self.net, self.net.m, B)), self.theta.dtype)

    def fill(self, kept, side, Py_ssize_t start, Py_ssize_t N, Py_ssize_t B, Columns columns, threads):
        """The factors of some samples, as they lie in blocks of B lanes."""
        stop = start + N
        if isinstance(side, np.ndarray):
            self.run(N, columns, X=side[start:stop], lanes_kept=kept, B=B, threads=threads)
        else:
            inputs, deltas = ([None if f is None else f[start:stop] for f in factors] for factors in side)
            self.run(N, columns, inputs=inputs, deltas=deltas, lanes_kept=kept, B=B, threads=threads)


cdef Py_ssize_t count(side):
    """The samples of one side of a Gram matrix."""
    if isinstance(side, np.ndarray):
        return len(side)
    return len(next((d for d in side[1] if d is not None), ()))


cdef enum:
    PRODUCT_COLUMNS = 512
    FINEST_TILES = 8  # that a Gram matrix is cut into, where it can be


cdef class Tiles:
    """Tiles of one result on their way through the threads."""

    cdef Engine engine
    cdef object threads, error, arrays, arenas
    cdef double work
    cdef long next, stop
    cdef Py_ssize_t units
    cdef int64_t polled
    cdef void* C
    cdef const void* J
    cdef const void* HJ
    cdef Py_ssize_t rows, K, P
    cdef int outputs
    cdef Columns columns
    cdef char* kept
    cdef char* kept2
    cdef const void** one
    cdef bint symmetric, same
    cdef Py_ssize_t start, start2, N, N2, all_N, all_N2, B, pitch, chunk, chunks, blocks2
    cdef Workspace* workspaces

    def __cinit__(self, Engine engine, double work, threads):
        self.engine, self.work, self.threads, self.arenas = engine, work, threads, []

    def __dealloc__(self):
        free(self.workspaces)
        free(self.one)

    cdef int go(self, dn_run run) except -1:
        cdef int threads = thread_count(self.threads, self.work, self.units)
        self.polled = dn_now()
        with nogil:
            dn_pool_run(run, <void*> self, threads, False)
        if self.error is not None:
            raise self.error
        return 0

    cdef int gram(self, K, kept, kept2, int outputs, Columns columns, one, bint symmetric, Py_ssize_t start,
                  Py_ssize_t start2, Py_ssize_t N, Py_ssize_t N2, Py_ssize_t all_N, Py_ssize_t all_N2,
                  Py_ssize_t B) except -1:
        """The tiles of one panel of samples against another."""
        cdef Py_ssize_t k, m = self.engine.net.m, layers = 4 * (self.engine.net.L + 1), blocks = (N + B - 1) // B
        cdef Py_ssize_t itemsize = self.engine.itemsize, matrices
        cdef Arena arena
        self.C, self.kept, self.kept2 = data(K), <char*> data(kept), <char*> data(kept2)
        self.outputs, self.columns, self.symmetric, self.same = outputs, columns, symmetric, kept is kept2
        self.start, self.start2, self.N, self.N2, self.all_N, self.all_N2 = start, start2, N, N2, all_N, all_N2
        self.B, self.pitch = B, kept.shape[1] * itemsize
        self.chunk = m if outputs == TRACE else max(<Py_ssize_t> 1, GRAM_ROWS // B)
        self.blocks2 = (N2 + B - 1) // B
        while outputs != TRACE and self.chunk > 1 and blocks * self.blocks2 * (m // self.chunk) ** 2 < FINEST_TILES:
            self.chunk = (self.chunk + 1) // 2  # few samples of many outputs: threads share those
        self.chunks = (m + self.chunk - 1) // self.chunk
        self.units = blocks * self.blocks2 * self.chunks * (self.chunks if outputs == ALL_OUTPUTS else 1)
        if one is not None:
            self.one = <const void**> calloc(self.engine.net.L + 1, sizeof(void*))
            if self.one == NULL:
                raise MemoryError("no memory for the pointers to the layers")
            for k in range(1, self.engine.net.L + 1):
                self.one[k] = data(one[k - 1]) if one[k - 1] is not None else NULL
        self.work = <double> N * N2 * m * (m if outputs == ALL_OUTPUTS else 1) * kept_length(&self.engine.net, 1, 1)
        threads = thread_count(self.threads, self.work, self.units)
        matrices = self.chunk * self.chunk if outputs == ALL_OUTPUTS else self.chunk
        self.workspaces = <Workspace*> malloc(threads * sizeof(Workspace))
        if self.workspaces == NULL:
            raise MemoryError("no memory for the workspaces")
        try:
            for i in range(threads):
                arena = borrow()
                self.arenas.append(arena)
                arena.hold(layers, (matrices + 2) * B * B * itemsize + 64)
                self.workspaces[i] = Workspace(arena.pointers, arena.numbers)
            self.threads = threads
            if not CONTEXT.tiles:
                with _parallel.held_blas():
                    self.go(gram_work)
            else:
                self.go(gram_work)
        finally:
            for arena in self.arenas:
                give_back(arena)
        return 0

    cdef void look(self) noexcept:
        try:
            PyErr_CheckSignals()
        except BaseException as error:
            self.error = error
            dn_store(&self.stop, 1)


cdef inline Py_ssize_t take_unit(Tiles tiles, int rank) noexcept nogil:
    """The next tile, or -1."""
    cdef int64_t now
    cdef Py_ssize_t unit
    if rank == 0:
        now = dn_now()
        if now - tiles.polled > POLL_NS:
            tiles.polled = now
            with gil:
                tiles.look()
    unit = dn_add(&tiles.next, 1)
    return unit if unit < tiles.units and not dn_load(&tiles.stop) else -1


cdef void ggn_work(void* argument, int rank, int size) noexcept nogil:
    cdef Py_ssize_t unit = take_unit(<Tiles> argument, rank)
    if rank > 0:
        limit_thread()
    while unit >= 0:
        if (<Tiles> argument).engine.is_double:
            ggn_tile(<double*> (<Tiles> argument).C, <const double*> (<Tiles> argument).HJ,
                     <const double*> (<Tiles> argument).J, unit, (<Tiles> argument).rows, (<Tiles> argument).P)
        else:
            ggn_tile(<float*> (<Tiles> argument).C, <const float*> (<Tiles> argument).HJ,
                     <const float*> (<Tiles> argument).J, unit, (<Tiles> argument).rows, (<Tiles> argument).P)
        unit = take_unit(<Tiles> argument, rank)


cdef void product_work(void* argument, int rank, int size) noexcept nogil:
    cdef Py_ssize_t unit = take_unit(<Tiles> argument, rank)
    if rank > 0:
        limit_thread()
    while unit >= 0:
        if (<Tiles> argument).engine.is_double:
            columns_of_product(<Tiles> argument, unit * PRODUCT_COLUMNS, <double> 0)
        else:
            columns_of_product(<Tiles> argument, unit * PRODUCT_COLUMNS, <float> 0)
        unit = take_unit(<Tiles> argument, rank)


cdef void columns_of_product(Tiles at, Py_ssize_t j, floating zero) noexcept nogil:
    gemm(<floating*> at.C + j, at.P, <const floating*> at.HJ, at.K, 1, <const floating*> at.J + j, at.P, at.rows,
         min(<Py_ssize_t> PRODUCT_COLUMNS, at.P - j), at.K)


cdef void gram_work(void* argument, int rank, int size) noexcept nogil:
    cdef Py_ssize_t unit = take_unit(<Tiles> argument, rank)
    while unit >= 0:
        if (<Tiles> argument).engine.is_double:
            gram_unit(<Tiles> argument, unit, rank, <double> 0)
        else:
            gram_unit(<Tiles> argument, unit, rank, <float> 0)
        unit = take_unit(<Tiles> argument, rank)


cdef void gram_unit(Tiles at, Py_ssize_t unit, int rank, floating zero) noexcept nogil:
    """One tile: its samples and outputs, then layer by layer."""
    cdef const Net* net = &at.engine.net
    cdef Py_ssize_t k, a, b, L1 = net.L + 1
    cdef Corner corner
    cdef void** layers = at.workspaces[rank].pointers
    cdef floating* tile = <floating*> at.workspaces[rank].numbers
    cdef floating* work
    corner.p = 0
    if at.outputs == ALL_OUTPUTS:
        corner.p = unit % at.chunks * at.chunk
        unit //= at.chunks
    corner.p_stop = min(net.m, corner.p + at.chunk)
    corner.o = unit % at.chunks * at.chunk
    corner.o_stop = min(net.m, corner.o + at.chunk)
    unit //= at.chunks
    b, a = unit % at.blocks2, unit // at.blocks2
    if at.same and (b < a or (b == a and corner.p < corner.o and at.outputs == ALL_OUTPUTS)):
        return  # the transpose of another tile
    corner.first, corner.N = at.start + a * at.B, min(at.B, at.N - a * at.B)
    corner.first2, corner.N2 = at.start2 + b * at.B, min(at.B, at.N2 - b * at.B)
    corner.B, corner.B2 = whole_vectors(corner.N, sizeof(floating)), whole_vectors(corner.N2, sizeof(floating))
    point_kept(layers, layers + L1, at.kept + a * at.pitch, net, net.m, corner.B, sizeof(floating))
    point_kept(layers + 2 * L1, layers + 3 * L1, at.kept2 + b * at.pitch, net, net.m, corner.B2, sizeof(floating))
    work = tile + planes(&corner, at.outputs) * corner.B * corner.B2
    memset(tile, 0, (work - tile) * sizeof(floating))
    for k in range(1, L1):
        if at.columns.column[k] < 0 and at.columns.bias_column[k] < 0:
            continue
        gram_layer(tile, at.outputs, <floating*> layers[L1 + k], <floating*> layers[k - 1],
                   <floating*> layers[3 * L1 + k], <floating*> layers[2 * L1 + k - 1],
                   <const floating*> at.one[k] + corner.first if at.one != NULL and at.one[k] != NULL
                   else <const floating*> NULL,
                   at.columns.column[k] >= 0, at.columns.bias_column[k] >= 0, net.layer[k].n_in, net.layer[k].n_out,
                   &corner, work, &CONTEXT)
    gram_write(<floating*> at.C, tile, at.outputs, net.m, at.all_N, at.all_N2,
               at.symmetric and (not at.same or a != b or corner.o != corner.p), &corner)


cdef int thread_count(threads, double work, Py_ssize_t units) except -1:
    """How many threads to use: what was asked for, or all where the work is large enough to pay."""
    if threads is None:
        if work < PARALLEL_WORK:
            return 1
        threads = _parallel.get_num_threads()
    return max(1, min(threads, units, _limits.THREADS))


cdef int raise_from(Failure* failure) except -1:
    """The exception of a Python function, if there is one."""
    if failure.error == NULL:
        return 0
    error = <object> failure.error
    Py_XDECREF(<PyObject*> failure.error)
    failure.error = NULL
    raise error


cdef class Call:
    """A Job on its way through the threads, and what it needs of Python: arrays, signals, progress."""

    cdef Job job
    cdef Failure failure
    cdef Engine engine
    cdef object threads, progress, error
    cdef void** layers             # of kept factors, given and written: 4 (L + 1) pointers
    cdef Pair* pairs
    cdef Py_ssize_t* at            # of Kronecker factors: 2 (L + 1)
    cdef list arenas               # one a thread, or one that all share; then that of the lanes
    cdef Workspace* workspaces
    cdef dn_barrier barrier
    cdef int64_t polled
    cdef int team                  # threads that the shared workspace is laid out for

    def __cinit__(self, Engine engine, threads, progress):
        self.engine, self.threads, self.progress = engine, threads, progress
        self.arenas = []

    def __dealloc__(self):
        free(self.layers)
        free(self.pairs)
        free(self.at)
        free(self.workspaces)
        Py_XDECREF(<PyObject*> self.failure.error)

    cdef int point(self, inputs, deltas, kept_inputs, kept_deltas) except -1:
        """Arrays of one a layer, as pointers."""
        cdef Py_ssize_t k, L1 = self.engine.net.L + 1, pitch
        cdef Job* job = &self.job
        if deltas is not None or kept_deltas is not None:
            self.layers = <void**> calloc(4 * L1, sizeof(void*))
            if self.layers == NULL:
                raise MemoryError("no memory for the pointers to the layers")
            for i, arrays in enumerate((inputs, deltas, kept_inputs, kept_deltas)):
                for k in range(1, L1):
                    self.layers[i * L1 + k] = data(arrays[k - 1]) if arrays is not None else NULL
            job.inputs, job.deltas = <const void**> self.layers, <const void**> (self.layers + L1)
            job.kept_h, job.kept_delta = self.layers + 2 * L1, self.layers + 3 * L1
        if job.wanted & KFAC:
            self.at = <Py_ssize_t*> calloc(2 * L1, sizeof(Py_ssize_t))
            if self.at == NULL:
                raise MemoryError("no memory for the places of the factors")
            job.at_A, job.at_B = self.at, self.at + L1
            job.kfac_length = 0
            for k in range(1, L1):
                if job.column[k] < 0:
                    continue
                pitch = job.net.layer[k].n_in + (job.bias_column[k] >= 0)
                self.at[k] = job.kfac_length
                self.at[L1 + k] = job.kfac_length + pitch * pitch
                job.kfac_length += pitch * pitch + job.net.layer[k].n_out * job.net.layer[k].n_out
        return 0

    cdef int point_sigma(self, Sigma) except -1:
        """The form of Sigma and its parts, as `_validate.covariance` gives them."""
        cdef Py_ssize_t k, L1 = self.engine.net.L + 1
        cdef Job* job = &self.job
        job.form, value = Sigma
        if job.form == SCALAR:
            job.sigma = value
        elif job.form == LOW_RANK:
            job.v, job.columns = data(value), value.shape[0]
        elif job.form == FULL:
            job.Sigma = data(value)
        else:
            self.pairs = <Pair*> calloc(L1, sizeof(Pair))
            if self.pairs == NULL:
                raise MemoryError("no memory for the pointers to Sigma")
            job.pairs = self.pairs
            for k in range(1, L1):
                if value[k - 1] is not None:
                    self.pairs[k].A, self.pairs[k].B = data(value[k - 1][0]), data(value[k - 1][1])
        return 0

    cdef int execute(self) except -1:
        """Cut the call into blocks, find the memory, and let the threads at it."""
        cdef Job* job = &self.job
        cdef Py_ssize_t itemsize = self.engine.itemsize
        cdef int threads, workers
        cdef Arena arena
        cdef Space space
        job.failure = &self.failure
        cut(job, self.engine.flops, itemsize)
        threads = thread_count(self.threads, job.work * job.N, job.N if job.shared else job.lanes or job.blocks)
        if job.shared and not job.context.tiles:
            threads = 1  # BLAS's bits depend on how many rows it is given
        workers = 1 if job.shared else threads
        self.team = threads if job.shared else 1
        self.workspaces = <Workspace*> malloc(workers * sizeof(Workspace))
        if self.workspaces == NULL:
            raise MemoryError("no memory for the workspaces")
        nbytes = lay_out(&space, NULL, NULL, job, itemsize, job.B, job.B, self.team)
        try:
            for i in range(workers):
                self.reserve(self.team * 5 * (job.net.L + 1), nbytes)
                arena = <Arena> self.arenas[i]
                self.workspaces[i] = Workspace(arena.pointers, arena.numbers)
            if job.lanes > 1:
                self.reserve(0, (job.lanes - 1) * job.length * itemsize)
                job.partial = (<Arena> self.arenas[workers]).numbers
            self.polled = dn_now()
            if not job.context.tiles or job.form == FULL and job.wanted & COVARIANCE:
                with _parallel.held_blas():
                    self.go(threads)
            else:
                self.go(threads)
            if self.error is not None:
                raise self.error
            raise_from(&self.failure)
            if job.lanes > 1:
                job.next = 0
                with nogil:
                    dn_pool_run(add_lanes, <void*> self, threads if job.length >= PARALLEL_SUM else 1, False)
        finally:
            for arena in self.arenas:
                give_back(arena)
            self.arenas.clear()
        return 0

    cdef int reserve(self, Py_ssize_t pointers, Py_ssize_t nbytes) except -1:
        cdef Arena arena = borrow()
        self.arenas.append(arena)
        arena.hold(pointers, nbytes)
        return 0

    cdef int go(self, int threads) except -1:
        if self.job.work * self.job.N <= SERIAL_WORK and self.progress is None:
            work_through(<void*> self, 0, 1)
        else:
            with nogil:
                dn_pool_run(work_through, <void*> self, threads, self.job.shared)
        return 0

    cdef void look(self) noexcept:
        """Signals and progress, on the calling thread; an exception ends the call."""
        try:
            PyErr_CheckSignals()
            if self.progress is not None:
                self.progress(min(self.job.N, dn_load(&self.job.done) * self.job.B))
        except BaseException as error:
            self.error = error
            dn_store(&self.job.stop, 1)


cdef void work_through(void* argument, int rank, int size) noexcept nogil:
    """What each thread does: blocks, or lanes of blocks, until none is left; or its part of each block."""
    cdef Job* job = &(<Call> argument).job
    cdef Team alone = Team(0, 1, NULL)
    cdef Team team = Team(rank, size, &(<Call> argument).barrier)
    cdef Py_ssize_t unit, block, stop, units = job.lanes if job.lanes > 0 else job.blocks
    if rank > 0 and not job.context.tiles:
        limit_thread()
    if job.shared:
        for block in range(job.blocks):
            run(<Call> argument, block, 0, 0, &team)
            if rank == 0:
                poll(<Call> argument)
            meet(&team)
            if dn_load(&job.stop):
                return
        return
    while True:
        unit = dn_add(&job.next, 1)
        if unit >= units:
            return
        block = job.blocks * unit // units
        stop = job.blocks * (unit + 1) // units
        if job.lanes > 1 and unit > 0:
            memset(<char*> job.partial + (unit - 1) * job.length * (<Call> argument).engine.itemsize, 0,
                   job.length * (<Call> argument).engine.itemsize)
        while block < stop:
            if dn_load(&job.stop):
                return
            run(<Call> argument, block, unit if job.lanes > 0 else 0, rank, &alone)
            block += 1
            if rank == 0:
                poll(<Call> argument)


cdef inline void poll(Call call) noexcept nogil:
    """Now and then, on the calling thread."""
    cdef int64_t now = dn_now()
    if now - call.polled > POLL_NS:
        call.polled = now
        with gil:
            call.look()


cdef inline void run(Call call, Py_ssize_t block, Py_ssize_t number, int workspace, const Team* team) noexcept nogil:
    """One block of the job, in a thread's workspace."""
    if call.engine.is_double:
        run_in(call, block, number, workspace, team, <double> 0)
    else:
        run_in(call, block, number, workspace, team, <float> 0)


cdef void run_in(Call call, Py_ssize_t block, Py_ssize_t number, int workspace, const Team* team,
                 floating zero) noexcept nogil:
    cdef Job* job = &call.job
    cdef Space space
    cdef Workspace* own = &call.workspaces[workspace]
    cdef Py_ssize_t start = block * job.B, N = min(job.B, job.N - start)
    cdef Py_ssize_t B = 1 if job.B == 1 else whole_vectors(N, sizeof(floating))
    # pointers of each thread's own, also where they share the numbers: a late one must not set those of the others
    lay_out(&space, own.pointers + team.rank * 5 * (job.net.L + 1), own.numbers, job, sizeof(floating), N, B, call.team)
    if job.lanes_kept != NULL:
        point_kept(space.h, space.delta, <char*> (<floating*> job.lanes_kept + block * job.lanes_length), job.net,
                   job.r, B, sizeof(floating))
    run_block(job, &space, zero, start, N, B, number, team)
    if dn_load(&job.failure.raised):
        dn_store(&job.stop, 1)
    if team.rank == 0:
        dn_add(&job.done, 1)


cdef enum:
    PARALLEL_SUM = 16 * 1024  # numbers of a lane that are worth a second thread to add
    SUM_COLUMNS = 8 * 1024    # numbers that a thread takes at once


cdef void add_lanes(void* argument, int rank, int size) noexcept nogil:
    """The sums of the other lanes, added in their order."""
    cdef Job* job = &(<Call> argument).job
    cdef Py_ssize_t first = dn_add(&job.next, 1) * SUM_COLUMNS
    while first < job.length:
        if (<Call> argument).engine.is_double:
            add_columns(job, first, min(job.length, first + SUM_COLUMNS), <double> 0)
        else:
            add_columns(job, first, min(job.length, first + SUM_COLUMNS), <float> 0)
        first = dn_add(&job.next, 1) * SUM_COLUMNS


cdef void add_columns(Job* job, Py_ssize_t first, Py_ssize_t last, floating zero) noexcept nogil:
    cdef Py_ssize_t i, start, stop, number, at = 0
    cdef floating* results[4]
    cdef floating* partial
    cdef Py_ssize_t lengths[4]
    results[0], results[1], results[2], results[3] = (
        <floating*> job.vjp, <floating*> job.diagonal, <floating*> job.kfac, <floating*> job.ggn)
    lengths[0], lengths[1], lengths[2], lengths[3] = (
        vjp_length(job), diagonal_length(job), job.kfac_length, ggn_length(job))
    for part in range(4):
        start, stop = max(first, at), min(last, at + lengths[part])
        for number in range(1, job.lanes):
            partial = <floating*> job.partial + (number - 1) * job.length
            for i in range(start, stop):
                results[part][i - at] += partial[i]
        at += lengths[part]


def mirror(C, double scale=1):
    """Complete a symmetric matrix from its lower half, times `scale`, in place."""
    if C.dtype == np.float64:
        mirror_half(<double*> data(C), <Py_ssize_t> C.shape[0], <double> scale, &CONTEXT)
    else:
        mirror_half(<float*> data(C), <Py_ssize_t> C.shape[0], <float> scale, &CONTEXT)


cdef inline void* data(array) noexcept:
    return NULL if array is None else cnp.PyArray_DATA(<cnp.ndarray> array)


cdef inline bint apart(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Whether two contiguous arrays share no memory."""
    cdef char* start = <char*> cnp.PyArray_DATA(a)
    cdef char* other = <char*> cnp.PyArray_DATA(b)
    return start + cnp.PyArray_NBYTES(a) <= other or other + cnp.PyArray_NBYTES(b) <= start
