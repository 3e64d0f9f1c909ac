"""Arrays in, pointers to the kernels: the one door of the core (symbols: net.pxd, what a call asks for: plan.pxd).

The Python side has checked everything: here nothing can fail but the allocation of a workspace, and what a
signal or the caller's progress function raises.
"""

from cpython.ref cimport PyObject, Py_XDECREF
from cython cimport floating
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

cimport numpy as cnp

import numpy as np

from deltanet import _limits, _parallel
from deltanet._core import buffers

from deltanet._core.activation cimport couples
from deltanet._core.arrays cimport data
from deltanet._core.block cimport run_block
from deltanet._core.context cimport CONTEXT, REPRODUCIBLE, check
from deltanet._core.hold cimport limit_thread
from deltanet._core.inputs cimport pack, packs_length
from deltanet._core.lone cimport Handle, Lone, evaluate, factors, open_work
from deltanet._core.net cimport DENSE, ELEMENTWISE, Failure, Layer, Net, Team
from deltanet._core.plan cimport (
    COVARIANCE, DENSE_ROWS, DIRECTIONS, FACTORS, FIRST, GAUSS_NEWTON_VECTOR, GGN, GGN_DIAGONAL, GGN_LANE_BYTES,
    INPUT_JACOBIAN, KFAC, LANES_KEPT, OUTPUTS, POINTERS, ROW_NORMS, SECOND, SERIAL_WORK, TANGENT, VJP, WHOLE, Job,
    Space,
    activations_length, cut, diagonal_length, ggn_length, kept_length, kfac_side, lay_out, point_activations,
    vjp_length,
)
from deltanet._core.pool cimport dn_barrier, meet
from deltanet._core.rows cimport whole_vectors
from deltanet._core.sinks.covariance cimport FULL, LOW_RANK, SCALAR, Pair
from deltanet._core.work cimport (
    Arena, Work, Workspace, borrow, dn_add, dn_load, dn_store, give_back, raise_from, thread_count,
)

cnp.import_array()

FIRST_HALF, SECOND_HALF = FIRST, SECOND  # of a pass
FORMS = "scalar", "diagonal", "kronecker", "low rank", "dense"  # of Sigma, in the order of sinks/covariance.pxd

cdef Py_ssize_t STREAM_BYTES = _limits.STREAM_BYTES


cdef class Activations:
    """h and fprime of all samples, which a first half of a pass leaves to the second."""

    cdef object memory
    cdef Py_ssize_t B

    cdef char* hold(self, Py_ssize_t nbytes) except NULL:
        """Room for so many bytes, from a cache line's start on; what was in it is lost if it grows."""
        cdef char* numbers
        if self.memory is None or (<object> self.memory).nbytes < nbytes + 64:
            self.memory = buffers.lend((nbytes + 64,), np.dtype(np.uint8))
        numbers = <char*> data(self.memory)
        return numbers + -<uintptr_t> numbers % 64


cdef class Columns:
    """The parameters that are kept: where W^(k) and b^(k) begin among their columns."""

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

    def __cinit__(self, theta, affine, layers, bint scaled_input, bint scaled_output, Columns everything,
                  functions=()):
        cdef Py_ssize_t k
        cdef Lone at
        check()
        _parallel.get_num_threads()  # which checks its variable: the fast paths below check nothing
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
        self.handle = Handle(&self.net, &CONTEXT, data(theta), data(affine), everything.column, everything.bias_column,
                             open_work(&at, &self.net, self.itemsize, NULL), self.is_double,
                             any(each is not None for each in self.functions))

    def __dealloc__(self):
        free(self.layer)
        free(self.pointers)

    cpdef bint reads(self, X) noexcept:
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
            bint interleaved=False, Py_ssize_t r=0, bint add=True, Y=None, int half=WHOLE,
            Activations activations=None, threads=None, progress=None, stream=None, bint reproducible=False):
        """Evaluate whatever is given an array, for N samples.

        The source is X (N, n_0), or the factors `inputs` and `deltas`, lists of one array a layer, None where it
        is not kept. Results: y (N, m), the factors into `kept_inputs` and `kept_deltas`, J (N, r, P), Jx (N, m, n_0),
        norms (N, m), covariance (N, m, m) of Sigma = (form, what `_validate` made of it); with v (columns, P of the
        net): Jv (N, m, columns); with u (N, m): vjp (P,), which
        with v (P,), without Jv, is J^T H J v, H (N,). Sums: vjp, diagonal (P,), ggn (P, P), its lower
        half, kfac (length,), the factors of each layer one behind the other, their lower halves, A not yet over N;
        H (N,) or (N, m, m) weighs them. With `add` they are added to what their arrays hold.
        With Y (N, m), y is f(X) - Y, and may be the u. The first half of a pass, `half` = FIRST, has the arguments of
        the second and makes y alone; `activations`, if they are given, spare the second what the first has computed.
        `columns` are the kept ones, `r` the rows a sample of given deltas, m if it is 0. `stream` says whether J is
        written past the caches: by default if it is large. `reproducible`: the bits of what has one row a sample
        depend on no other sample; a lone one takes the lanes, too.
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
        job.HJ, job.lanes_kept, job.interleaved, job.add = data(HJ), data(lanes_kept), interleaved, add
        job.Y, job.half = data(Y), half
        job.full_H = H is not None and (<object> H).ndim == 3
        if reproducible:
            job.reproducible, job.context = True, &REPRODUCIBLE
        job.wanted = (
            OUTPUTS * (y is not None and half != SECOND) | FACTORS * (kept_deltas is not None)
            | DENSE_ROWS * (J is not None) | INPUT_JACOBIAN * (Jx is not None) | VJP * (vjp is not None)
            | GGN_DIAGONAL * (diagonal is not None)
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
        call.activations = activations
        if N > 0:
            call.execute()
        elif not add:
            for sums in (vjp, diagonal, ggn, kfac):
                if sums is not None:
                    sums.fill(0)

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
        if d == 1:
            self.alone(data(X), data(y), NULL, NULL)
            return y
        self.prepare(&job, shape[0], self.everything)
        job.X, job.y, job.wanted = data(X), data(y), OUTPUTS
        self.serial(&job)
        return y

    def rows(self, X, out, bint inputs=False):
        """The dense rows of few samples, or their dy/dx, where both arrays are right as they are; else None, no change.

        Without `out`, which is returned, a new array.
        """
        cdef cnp.npy_intp shape[3]
        cdef int d
        cdef Py_ssize_t N
        cdef Job job
        if not self.reads(X):
            return None
        d = cnp.PyArray_NDIM(<cnp.ndarray> X)
        N = shape[0] = 1 if d == 1 else cnp.PyArray_DIM(<cnp.ndarray> X, 0)
        shape[d - 1], shape[d] = self.net.m, self.net.n_0 if inputs else self.net.P
        if N == 0 or N * self.net.m * self.net.P > SERIAL_WORK:
            return None
        if out is None:
            out = cnp.PyArray_SimpleNew(d + 1, shape, cnp.NPY_DOUBLE if self.is_double else cnp.NPY_FLOAT)
        elif not (
            self.holds(out, cnp.NPY_ARRAY_CARRAY)
            and cnp.PyArray_NDIM(<cnp.ndarray> out) == d + 1
            and cnp.PyArray_CompareLists(cnp.PyArray_DIMS(<cnp.ndarray> out), shape, d + 1)
            and apart(<cnp.ndarray> out, <cnp.ndarray> X)
            and apart(<cnp.ndarray> out, <cnp.ndarray> self.theta)
        ):
            return None
        if N == 1:
            self.alone(data(X), NULL, data(out) if inputs else NULL, NULL if inputs else data(out))
            return out
        self.prepare(&job, N, self.everything)
        job.X, job.lowest = data(X), 1
        if inputs:
            job.Jx, job.wanted = data(out), INPUT_JACOBIAN
        else:
            job.J, job.wanted = data(out), DENSE_ROWS
        self.serial(&job)
        return out

    def factors(self, X):
        """The factors of one sample and W^(1), one behind the other (`jacobian.Factors`); None where X is no such."""
        cdef cnp.npy_intp length
        cdef Py_ssize_t k, L1 = self.net.L + 1
        cdef Arena arena
        cdef Failure failure = Failure(0, NULL)
        cdef Lone at
        cdef char* numbers
        if not (self.net.m * self.net.P <= SERIAL_WORK and self.reads(X) and cnp.PyArray_NDIM(<cnp.ndarray> X) == 1):
            return None
        length = self.net.m + kept_length(&self.net, self.net.m, 1) + self.layer[1].n_in * self.layer[1].n_out
        buffer = cnp.PyArray_SimpleNew(1, &length, cnp.NPY_DOUBLE if self.is_double else cnp.NPY_FLOAT)
        arena = borrow()
        arena.hold(0, self.handle.work_bytes)
        open_work(&at, &self.net, self.itemsize, arena.numbers)
        numbers = <char*> data(buffer) + self.net.m * self.itemsize
        for k in range(1, L1):
            at.h[k - 1] = numbers
            numbers += self.layer[k].n_in * self.itemsize
        for k in range(1, L1):
            at.delta[k] = numbers
            numbers += self.net.m * self.layer[k].n_out * self.itemsize
        memcpy(numbers, data(self.theta), self.layer[1].n_in * self.layer[1].n_out * self.itemsize)
        if self.is_double:
            factors(&at, <const double*> data(X), <double*> data(buffer), <const double*> data(self.theta),
                    <const double*> data(self.affine), &self.net, &CONTEXT, &failure)
        else:
            factors(&at, <const float*> data(X), <float*> data(buffer), <const float*> data(self.theta),
                    <const float*> data(self.affine), &self.net, &CONTEXT, &failure)
        give_back(arena)
        raise_from(&failure)
        return buffer

    cdef int alone(self, const void* x, void* y, void* jx, void* J) except -1:
        """y, dy/dx and the dense rows of one sample, as the C interface makes them."""
        cdef Arena arena = borrow()
        cdef Failure failure = Failure(0, NULL)
        cdef Lone at
        arena.hold(0, self.handle.work_bytes)
        open_work(&at, &self.net, self.itemsize, arena.numbers)
        if self.is_double:
            evaluate(&at, <const double*> x, <double*> y, <double*> jx, <double*> J, <const double*> data(self.theta),
                     <const double*> data(self.affine), &self.net, &CONTEXT, &failure)
        else:
            evaluate(&at, <const float*> x, <float*> y, <float*> jx, <float*> J, <const float*> data(self.theta),
                     <const float*> data(self.affine), &self.net, &CONTEXT, &failure)
        give_back(arena)
        return raise_from(&failure)

    cdef int serial(self, Job* job) except -1:
        """One block, on this thread, with Python's lock: for calls that take microseconds."""
        cdef Arena arena = borrow()
        cdef Space space
        cdef Team alone = Team(0, 1, NULL)
        cdef Failure failure = Failure(0, NULL)
        cdef Py_ssize_t B, nbytes
        job.B, job.failure = job.N, &failure
        B = 1 if job.N == 1 else whole_vectors(job.N, self.itemsize)
        arena.hold(POINTERS * (self.net.L + 1), 0)
        nbytes = lay_out(&space, arena.pointers, arena.numbers, job, self.itemsize, job.N, B, 1)
        if arena.numbers + nbytes > <char*> arena.memory + arena.size:
            arena.hold(POINTERS * (self.net.L + 1), nbytes)
            lay_out(&space, arena.pointers, arena.numbers, job, self.itemsize, job.N, B, 1)
        if self.is_double:
            run_block(job, &space, <double> 0, 0, job.N, B, 0, False, &alone)
        else:
            run_block(job, &space, <float> 0, 0, job.N, B, 0, False, &alone)
        give_back(arena)
        return raise_from(&failure)

    def keeps_ggn(self, Columns columns=None):
        """Whether a Gauss-Newton matrix of these columns is small enough for `run(ggn=)`."""
        cdef Py_ssize_t P = (columns or self.everything).P
        return P * P * self.itemsize <= GGN_LANE_BYTES


cdef class Call(Work):
    """A Job on its way through the threads; all of them share one workspace where they share its blocks."""

    cdef Job job
    cdef Failure failure
    cdef Engine engine
    cdef Activations activations
    cdef void** layers             # of kept factors, given and written: 4 (L + 1) pointers
    cdef Pair* pairs
    cdef Py_ssize_t* at            # of Kronecker factors: 2 (L + 1)
    cdef dn_barrier barrier
    cdef int team                  # threads that the shared workspace is laid out for

    def __cinit__(self, Engine engine, threads, progress):
        self.engine, self.threads, self.progress = engine, threads, progress

    def __dealloc__(self):
        free(self.layers)
        free(self.pairs)
        free(self.at)
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
                pitch = kfac_side(job, k)
                if pitch == 0:
                    continue
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
        cdef int threads
        cdef Space space
        job.failure = &self.failure
        if self.activations is not None and job.half == SECOND:
            job.B = self.activations.B
        cut(job, self.engine.flops, itemsize)
        if job.half == FIRST:
            job.lanes, job.work = 0, self.engine.flops
        if self.activations is not None:
            self.activations.B = job.B
            nbytes = activations_length(job.net, whole_vectors(job.B, itemsize)) * itemsize
            job.activations = self.activations.hold(job.blocks * nbytes)
        threads = thread_count(self.threads, job.work * job.N, job.N if job.shared else job.lanes or job.blocks)
        if job.shared and not job.context.tiles:
            threads = 1  # BLAS's bits depend on how many rows it is given
        if job.work * job.N <= SERIAL_WORK and self.progress is None:
            threads = 0  # here: giving Python's lock back would cost more
        self.team = threads if job.shared else 1
        nbytes = lay_out(&space, NULL, NULL, job, itemsize, job.B, job.B, self.team)
        try:
            self.reserve(1 if job.shared else max(1, threads), self.team * POINTERS * (job.net.L + 1), nbytes)
            if job.lanes > 1:
                job.partial = self.extra((job.lanes - 1) * job.length * itemsize)
            if job.input_rows:
                self.pack_first_layer()
            if not job.context.tiles or job.form == FULL and job.wanted & COVARIANCE:
                with _parallel.held_blas():
                    self.go(work_through, threads, job.shared)
            else:
                self.go(work_through, threads, job.shared)
            raise_from(&self.failure)
            if job.lanes > 1:
                self.go(add_lanes, threads if job.length >= PARALLEL_SUM else min(threads, 1), False)
        finally:
            self.release()
        return 0

    cdef int pack_first_layer(self) except -1:
        """The blocks of the first layer, of theta and of v, in packs: once for all threads."""
        cdef Job* job = &self.job
        cdef const Layer* first = &job.net.layer[1]
        cdef Py_ssize_t nbytes = packs_length(first, self.engine.itemsize, self.job.context) * self.engine.itemsize
        cdef bint twice = job.wanted & (TANGENT | GAUSS_NEWTON_VECTOR) != 0
        cdef char* packs = self.extra((1 + twice) * nbytes)
        job.packs, job.v_packs = packs, packs + nbytes if twice else NULL
        if self.engine.is_double:
            pack(<double*> job.packs, <const double*> job.theta, first, job.context)
            if twice:
                pack(<double*> job.v_packs, <const double*> job.v, first, job.context)
        else:
            pack(<float*> job.packs, <const float*> job.theta, first, job.context)
            if twice:
                pack(<float*> job.v_packs, <const float*> job.v, first, job.context)
        return 0

    cdef Py_ssize_t samples(self) noexcept:
        return min(self.job.N, dn_load(&self.done) * self.job.B)


cdef void work_through(void* argument, int rank, int size) noexcept nogil:
    """What each thread does: blocks, or lanes of blocks, until none is left; or its part of each block."""
    cdef Job* job = &(<Call> argument).job
    cdef Team alone = Team(0, 1, NULL)
    cdef Team team = Team(rank, size, &(<Call> argument).barrier)
    cdef Py_ssize_t unit, block, first, units = job.lanes if job.lanes > 0 else job.blocks
    if rank > 0 and not job.context.tiles:
        limit_thread()
    if job.shared:
        for block in range(job.blocks):
            run(<Call> argument, block, 0, block > 0 or job.add, 0, &team)
            if rank == 0:
                (<Call> argument).poll()
            meet(&team)
            if dn_load(&(<Call> argument).stop):
                return
        return
    while True:
        unit = dn_add(&(<Call> argument).next, 1)
        if unit >= units:
            return
        first = job.blocks * unit // units
        for block in range(first, job.blocks * (unit + 1) // units):
            if dn_load(&(<Call> argument).stop):
                return
            run(<Call> argument, block, unit if job.lanes > 0 else 0, block > first or (unit == 0 and job.add), rank,
                &alone)
            if rank == 0:
                (<Call> argument).poll()


cdef inline void run(Call call, Py_ssize_t block, Py_ssize_t number, bint add, int workspace,
                     const Team* team) noexcept nogil:
    """One block of the job, in a thread's workspace."""
    if call.engine.is_double:
        run_in(call, block, number, add, workspace, team, <double> 0)
    else:
        run_in(call, block, number, add, workspace, team, <float> 0)


cdef void run_in(Call call, Py_ssize_t block, Py_ssize_t number, bint add, int workspace, const Team* team,
                 floating zero) noexcept nogil:
    cdef Job* job = &call.job
    cdef Space space
    cdef Workspace* own = &call.workspaces[workspace]
    cdef Py_ssize_t start = block * job.B, N = min(job.B, job.N - start)
    cdef Py_ssize_t B = 1 if job.B == 1 else whole_vectors(N, sizeof(floating))
    # pointers of each thread's own, also where they share the numbers: a late one must not set those of the others
    lay_out(&space, own.pointers + team.rank * POINTERS * (job.net.L + 1), own.numbers, job, sizeof(floating), N, B,
            call.team)
    if job.activations != NULL:
        point_activations(space.h, space.fprime, <char*> (<floating*> job.activations + block * activations_length(
            job.net, whole_vectors(job.B, sizeof(floating)))), job.net, B, sizeof(floating))
    run_block(job, &space, zero, start, N, B, number, add, team)
    if dn_load(&job.failure.raised):
        dn_store(&call.stop, 1)
    if team.rank == 0:
        dn_add(&call.done, 1)


cdef enum:
    PARALLEL_SUM = 16 * 1024  # numbers of a lane that are worth a second thread to add
    SUM_COLUMNS = 4 * 1024    # numbers that a thread takes at once


cdef void add_lanes(void* argument, int rank, int size) noexcept nogil:
    """The sums of the other lanes, added in their order."""
    cdef Job* job = &(<Call> argument).job
    cdef Py_ssize_t first = dn_add(&(<Call> argument).next, 1) * SUM_COLUMNS
    while first < job.length:
        if (<Call> argument).engine.is_double:
            add_columns(job, first, min(job.length, first + SUM_COLUMNS), <double> 0)
        else:
            add_columns(job, first, min(job.length, first + SUM_COLUMNS), <float> 0)
        first = dn_add(&(<Call> argument).next, 1) * SUM_COLUMNS


cdef void add_columns(Job* job, Py_ssize_t first, Py_ssize_t last, floating zero) noexcept nogil:
    """first .. last of the numbers of a lane; symmetric sums by their lower halves."""
    cdef Py_ssize_t k, pitch, n, at
    at = add_part(<floating*> job.vjp, job, 0, vjp_length(job), 0, first, last)
    at = add_part(<floating*> job.diagonal, job, at, diagonal_length(job), 0, first, last)
    for k in range(1, job.net.L + 1 if job.kfac_length > 0 else 0):
        pitch, n = kfac_side(job, k), job.net.layer[k].n_out
        if pitch == 0:
            continue
        at = add_part(<floating*> job.kfac + job.at_A[k], job, at, pitch * pitch, pitch, first, last)
        at = add_part(<floating*> job.kfac + job.at_B[k], job, at, n * n, n, first, last)
    add_part(<floating*> job.ggn, job, at, ggn_length(job), job.P, first, last)


cdef inline Py_ssize_t add_part(floating* out, const Job* job, Py_ssize_t at, Py_ssize_t length, Py_ssize_t side,
                                Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """One sum, at `at` in its lane, a matrix of this side or 0; where the next one is."""
    cdef Py_ssize_t i, number, row, end, stop, start = max(first, at) - at
    cdef const floating* partial
    last = min(last - at, length)
    while start < last:
        stop = end = last
        if side > 0:  # one row, to its diagonal
            row = start // side
            stop = min(last, (row + 1) * side)
            end = min(last, row * side + row + 1)
        for number in range(1, job.lanes):
            partial = <const floating*> job.partial + (number - 1) * job.length + at
            for i in range(start, end):
                out[i] += partial[i]
        start = stop
    return at + length


cdef inline bint apart(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Whether two contiguous arrays share no memory."""
    cdef char* start = <char*> cnp.PyArray_DATA(a)
    cdef char* other = <char*> cnp.PyArray_DATA(b)
    return start + cnp.PyArray_NBYTES(a) <= other or other + cnp.PyArray_NBYTES(b) <= start
