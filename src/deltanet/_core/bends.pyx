"""Second derivatives of many samples: blocks through the threads (second.pxd; symbols: net.pxd).

As in engine, the Python side has checked everything.
"""

from cython cimport floating
from libc.stdlib cimport calloc, free

cimport numpy as cnp

from deltanet import _parallel

from deltanet._core.arrays cimport data
from deltanet._core.context cimport CONTEXT
from deltanet._core.engine cimport Columns, Engine
from deltanet._core.net cimport Failure, Net, Team
from deltanet._core.plan cimport BLOCK_BYTES, BLOCK_SAMPLES, FINEST, LANES, LANES_BYTES, PARALLEL_WORK, SERIAL_WORK
from deltanet._core.pool cimport dn_add, dn_load
from deltanet._core.rows cimport Layout, whole_vectors
from deltanet._core.second cimport (
    HVP, HXX, MIXED, SECOND_POINTERS, Bends, hvp_block, input_hessian_block, lay_out_second, mixed_hessian_block,
)
from deltanet._core.sinks.mixed_hessian cimport mixed_rows
from deltanet._core.work cimport Arena, Work, Workspace, borrow, dn_store, give_back, raise_from, thread_count

cnp.import_array()


cdef class Bending(Work):
    """One call: blocks of B samples; of HVP, lanes of blocks, whose sums are added in their order."""

    cdef Engine engine
    cdef Columns columns
    cdef Failure failure
    cdef int wanted
    cdef Py_ssize_t N, B, r, blocks, lanes
    cdef const char* X
    cdef const char* u
    cdef const char* v
    cdef const void* theta
    cdef const void* affine
    cdef char* out
    cdef char* partial
    cdef void** layers         # of the factors of a mixed Hessian: 4 (L + 1) pointers

    def __cinit__(self, Engine engine, threads, progress):
        self.engine, self.threads, self.progress = engine, threads, progress

    def __dealloc__(self):
        free(self.layers)

    cdef int execute(self) except -1:
        cdef const Net* net = &self.engine.net
        cdef Py_ssize_t itemsize = self.engine.itemsize, vector = 32 // itemsize, sample, least, nbytes
        cdef Bends at
        cdef int threads
        cdef double work = self.engine.flops * (5.0 if self.wanted == HVP else (
            1.0 + net.n_0 * (2 if self.wanted == MIXED else 1 + 0.5 * self.r)))
        sample = lay_out_second(&at, NULL, NULL, net, itemsize, self.wanted, self.r, vector, vector) // vector
        least = vector
        self.B = min(<Py_ssize_t> BLOCK_SAMPLES, max(least, BLOCK_BYTES // sample // vector * vector))
        if work * self.N >= PARALLEL_WORK:
            self.B = min(self.B, max(least, whole_vectors((self.N + FINEST - 1) // FINEST, itemsize)))
        self.B = 1 if self.N == 1 else min(self.B, whole_vectors(self.N, itemsize))
        self.blocks = (self.N + self.B - 1) // self.B
        self.lanes = self.blocks
        if self.wanted == HVP:
            self.lanes = min(self.blocks, min(<Py_ssize_t> LANES, max(
                <Py_ssize_t> 1, LANES_BYTES // max(<Py_ssize_t> 1, self.columns.P * itemsize))))
        threads = thread_count(self.threads, work * self.N, self.lanes)
        if work * self.N <= SERIAL_WORK and self.progress is None:
            threads = 0
        nbytes = lay_out_second(&at, NULL, NULL, net, itemsize, self.wanted, self.r, self.B, self.B)
        try:
            self.reserve(max(1, threads), SECOND_POINTERS * (net.L + 1), nbytes)
            if self.wanted == HVP and self.lanes > 1:
                self.partial = self.extra((self.lanes - 1) * self.columns.P * itemsize)
            if CONTEXT.tiles:
                self.go(bend_through, threads, False)
            else:
                with _parallel.held_blas():
                    self.go(bend_through, threads, False)
            raise_from(&self.failure)
            if self.partial != NULL:
                if self.engine.is_double:
                    add_partial(self, <double> 0)
                else:
                    add_partial(self, <float> 0)
        finally:
            self.release()
        return 0

    cdef Py_ssize_t samples(self) noexcept:
        return min(self.N, dn_load(&self.done) * self.B)


cdef void bend_through(void* argument, int rank, int size) noexcept nogil:
    through_lanes(<Bending> argument, rank)


cdef void through_lanes(Bending call, int rank) noexcept nogil:
    """What each thread does: lanes of blocks, until none is left."""
    cdef Py_ssize_t lane, block, first
    while True:
        lane = dn_add(&call.next, 1)
        if lane >= call.lanes:
            return
        first = call.blocks * lane // call.lanes
        for block in range(first, call.blocks * (lane + 1) // call.lanes):
            if dn_load(&call.stop):
                return
            if call.engine.is_double:
                bend_block(call, block, lane, block > first, rank, <double> 0)
            else:
                bend_block(call, block, lane, block > first, rank, <float> 0)
            if dn_load(&call.failure.raised):
                dn_store(&call.stop, 1)
            dn_add(&call.done, 1)
            if rank == 0:
                call.poll()


cdef void bend_block(Bending call, Py_ssize_t block, Py_ssize_t lane, bint add, int rank, floating zero) noexcept nogil:
    """The samples of one block; `zero` says the type."""
    cdef const Net* net = &call.engine.net
    cdef const floating* theta = <const floating*> call.theta
    cdef const floating* affine = <const floating*> call.affine
    cdef Workspace* own = &call.workspaces[rank]
    cdef Py_ssize_t start = block * call.B, N = min(call.B, call.N - start), L1 = net.L + 1
    cdef Py_ssize_t B = 1 if call.B == 1 else whole_vectors(N, sizeof(floating))
    cdef const floating* X = <const floating*> call.X + start * net.n_0
    cdef const floating* u = NULL
    cdef floating* sums = <floating*> call.out
    cdef Bends at
    cdef Team alone = Team(0, 1, NULL)
    cdef Layout layout = Layout(N, B, 1, 0, 0, 0, 0, False, add, &CONTEXT, &alone)
    lay_out_second(&at, own.pointers, own.numbers, net, sizeof(floating), call.wanted, call.r, N, B)
    if call.u != NULL:
        u = <const floating*> call.u + start * net.m
    if call.wanted == HXX:
        input_hessian_block(sums + start * call.r * net.n_0 * net.n_0, &at, X, u, theta, affine, net, N, B, call.r,
                            &CONTEXT, &call.failure)
    elif call.wanted == MIXED:
        mixed_hessian_block(call.layers, call.layers + L1, call.layers + 2 * L1, call.layers + 3 * L1,
                            <floating*> NULL, start, &at, X, u, theta, affine, net, call.columns.column,
                            call.columns.bias_column, call.columns.lowest, N, B, &CONTEXT, &call.failure)
    else:
        if lane > 0:
            sums = <floating*> call.partial + (lane - 1) * call.columns.P
        hvp_block(sums, &at, X, u, <const floating*> call.v, theta, affine, net, call.columns.lowest,
                  call.columns.column, call.columns.bias_column, &layout, &call.failure)


cdef void add_partial(Bending call, floating zero) noexcept:
    """The sums of the other lanes, added in their order."""
    cdef floating* sums = <floating*> call.out
    cdef const floating* partial = <const floating*> call.partial
    cdef Py_ssize_t lane, i, P = call.columns.P
    for lane in range(call.lanes - 1):
        for i in range(P):
            sums[i] += partial[lane * P + i]


cdef Bending begun(Engine engine, X, u, threads, progress, int wanted):
    cdef Bending call = Bending(engine, threads, progress)
    call.wanted, call.columns, call.r = wanted, engine.everything, 1
    call.X, call.N = <const char*> data(X), cnp.PyArray_DIM(<cnp.ndarray> X, 0)
    call.u, call.theta, call.affine = <const char*> data(u), data(engine.theta), data(engine.affine)
    return call


def input_hessian(Engine engine, X, u, out, threads=None, progress=None):
    """X (N, n_0), u (N, m) or None, out (N, n_0, n_0) or (N, m, n_0, n_0)."""
    cdef Bending call = begun(engine, X, u, threads, progress, HXX)
    call.r, call.out = 1 if u is not None else engine.net.m, <char*> data(out)
    if call.N > 0:
        call.execute()


def lone_input_hessian(Engine engine, X, u):
    """The same of one sample of a small net, as a new array, where X and u are right as they are; else None."""
    cdef cnp.npy_intp shape[4]
    cdef int axes, d
    cdef Py_ssize_t r = 1 if u is not None else engine.net.m, nbytes
    cdef const Net* net = &engine.net
    cdef Arena arena
    cdef Bends at
    if engine.handle.registered or net.n_0 * engine.flops * r > SERIAL_WORK or not engine.reads(X):
        return None
    d = cnp.PyArray_NDIM(<cnp.ndarray> X)
    if d == 2 and cnp.PyArray_DIM(<cnp.ndarray> X, 0) != 1:
        return None
    shape[0], shape[d - 1], axes = 1, net.m, d
    if u is not None:
        if not (engine.holds(u, cnp.NPY_ARRAY_CARRAY_RO) and cnp.PyArray_NDIM(<cnp.ndarray> u) == d
                and cnp.PyArray_CompareLists(cnp.PyArray_DIMS(<cnp.ndarray> u), shape, d)):
            return None
        axes = d - 1
    shape[axes], shape[axes + 1] = net.n_0, net.n_0
    out = cnp.PyArray_SimpleNew(axes + 2, shape, cnp.NPY_DOUBLE if engine.is_double else cnp.NPY_FLOAT)
    nbytes = lay_out_second(&at, NULL, NULL, net, engine.itemsize, HXX, r, 1, 1)
    arena = borrow()
    arena.hold(SECOND_POINTERS * (net.L + 1), nbytes)
    lay_out_second(&at, arena.pointers, arena.numbers, net, engine.itemsize, HXX, r, 1, 1)
    if engine.is_double:
        input_hessian_block(<double*> data(out), &at, <const double*> data(X), <const double*> data(u),
                            <const double*> data(engine.theta), <const double*> data(engine.affine), net, 1, 1, r,
                            &CONTEXT, NULL)
    else:
        input_hessian_block(<float*> data(out), &at, <const float*> data(X), <const float*> data(u),
                            <const float*> data(engine.theta), <const float*> data(engine.affine), net, 1, 1, r,
                            &CONTEXT, NULL)
    give_back(arena)
    return out


def mixed_hessian(Engine engine, Columns columns, X, u, deltas, slopes, inputs, tangents, threads=None, progress=None):
    """The factors of the kept layers, into lists of one array a layer: see second.pxd; None where none is kept."""
    cdef Bending call = begun(engine, X, u, threads, progress, MIXED)
    cdef Py_ssize_t k, L1 = engine.net.L + 1
    call.columns = columns
    call.layers = <void**> calloc(4 * L1, sizeof(void*))
    if call.layers == NULL:
        raise MemoryError("no memory for the pointers to the layers")
    for i, arrays in enumerate((deltas, slopes, inputs, tangents)):
        for k in range(1, L1):
            call.layers[i * L1 + k] = data(arrays[k - 1])
    if call.N > 0:
        call.execute()


def hvp(Engine engine, Columns columns, X, u, v, out, threads=None, progress=None):
    """X (N, n_0), u (N, m), v (P of the net,), out (P,)."""
    cdef Bending call = begun(engine, X, u, threads, progress, HVP)
    call.columns, call.v, call.out = columns, <const char*> data(v), <char*> data(out)
    if call.N > 0:
        call.execute()
    else:
        out.fill(0)


def dense_rows(out, Py_ssize_t column, Py_ssize_t bias_column, delta, slope, h, tangent, scale):
    """One layer's part of the dense mixed Hessians: out (N, P, n_0), delta (N, n), slope (N, n, n_0), h (N, n_in),
    tangent (N, n_in, n_0), or None for diag(1 / scale), scale (n_0,) or None.
    """
    cdef Py_ssize_t P = out.shape[1]
    if out.dtype.itemsize == 8:
        write_rows(<double*> data(out), column, bias_column, P, delta, slope, h, tangent, scale, <double> 0)
    else:
        write_rows(<float*> data(out), column, bias_column, P, delta, slope, h, tangent, scale, <float> 0)


cdef void write_rows(floating* out, Py_ssize_t column, Py_ssize_t bias_column, Py_ssize_t P, delta, slope, h, tangent,
                     scale, floating zero) noexcept:
    cdef Py_ssize_t N = delta.shape[0], n = delta.shape[1], n_in = h.shape[1], n_0 = slope.shape[2]
    cdef const floating* e = <const floating*> data(delta)
    cdef const floating* E = <const floating*> data(slope)
    cdef const floating* g = <const floating*> data(h)
    cdef const floating* T = <const floating*> data(tangent)
    cdef const floating* scales = <const floating*> data(scale)
    with nogil:
        for _ in range(N):
            mixed_rows(out + column * n_0 if column >= 0 else NULL,
                       out + bias_column * n_0 if bias_column >= 0 else NULL, e, E, g, T, scales, n, n_in, n_0)
            out += P * n_0
            e += n
            E += n * n_0
            g += n_in
            if T != NULL:
                T += n_in * n_0
