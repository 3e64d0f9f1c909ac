# What a call asks for, and how it is cut: blocks of samples, lanes of sums, the workspace of a block
# (symbols: net.pxd). None of it depends on the number of threads.

from cython cimport floating

from deltanet._core.inputs cimport packs_length, whole_packs
from deltanet._core.net cimport ELEMENTWISE, Context, Failure, Layer, Net
from deltanet._core.rows cimport whole_vectors
from deltanet._core.sinks.covariance cimport FULL, LOW_RANK, Pair

cdef enum:               # what is wanted, or'd together
    OUTPUTS = 1
    FACTORS = 2
    DENSE_ROWS = 4
    INPUT_JACOBIAN = 8
    TANGENT = 16         # J v from X on
    DIRECTIONS = 32      # J U from factors
    VJP = 64
    ROW_NORMS = 128
    GGN = 256            # of few parameters: a lane holds it
    GGN_DIAGONAL = 512
    KFAC = 1024
    COVARIANCE = 2048
    LANES_KEPT = 4096    # the factors, block by block, for the Gram matrix
    GAUSS_NEWTON_VECTOR = 8192  # J^T H J v in one pass: J v of a block is the seed of its VJP, H (N,)
    FROM_INPUT_ROWS = OUTPUTS | TANGENT | VJP | GGN_DIAGONAL | KFAC | GAUSS_NEWTON_VECTOR  # x need not be in lanes

cdef enum:
    POINTERS = 7                   # arrays of a pointer to each layer, in a workspace
    BLOCK_BYTES = 256 * 1024       # of a block's workspace: half of a small L2 cache
    BLOCK_SAMPLES = 256            # at most
    LEAST_VECTORS = 2              # at least, of samples in a block
    SHARED_BYTES = 2048 * 1024     # of the workspace of a block that all threads share
    SHARED_BLOCKS = 4              # a call of fewer blocks than this is shared, if it is worth it
    SERIAL_WORK = 32 * 1024        # multiplications and stores that are not worth giving Python's lock back for
    LEAST_ROW_BYTES = 128          # of W whose rows make rows of delta,
    CACHED_BYTES = 256 * 1024      # and W itself, which is read again for every few of them
    GRAM_ROWS = 192                # rows of J on a side of a Gram tile
    FINEST = 8                     # blocks that a call of some size is cut into, for threads to share
    LANES = 16                     # partial sums of a call, at most
    LANES_BYTES = 4 * 1024 * 1024  # of all of them
    FEWEST_LANES = 4               # where fewer fit, threads share each block and own rows of the one sum
    GGN_LANE_BYTES = 512 * 1024    # of a Gauss-Newton matrix that is summed in lanes
    PARALLEL_WORK = 400 * 1000     # multiplications and stores that are worth a second thread
    MANY_INPUTS = 64               # inputs of a net, at least, that may stay in rows,
    PACK_REUSE = 8                 # for so many samples a unit of the first layer, at least,
    PACKS_BYTES = 1024 * 1024      # and W^(1) in packs, at most, which is read again for every six samples
    INPUT_ROWS_SAMPLES = 144       # of a block of such a net, at most; each reads and writes the whole sum of dW^(1)

cdef enum:               # what a run does of a pass: all of it, or a half that another run completes
    WHOLE = 0
    FIRST = 1            # h and fprime into the activations, and y
    SECOND = 2           # all the rest, from the activations on

cdef struct Job:
    const Net* net
    const Context* context
    int wanted, half
    Py_ssize_t N, r
    Py_ssize_t lowest              # the lowest layer whose delta is wanted; L + 1: none is
    const Py_ssize_t* column       # (L+1,) where W^(k) begins among the kept columns; -1: not kept
    const Py_ssize_t* bias_column  # (L+1,) the same of b^(k)
    Py_ssize_t P                   # kept columns
    const void* theta
    const void* affine
    const void* X                  # (N, n_0); NULL: inputs and deltas are given
    const void** inputs            # h^(k-1) of layer k (N, n_{k-1}), NULL where it is not kept
    const void** deltas            # delta^(k) (N, r, n_k)
    const void* u                  # (N, m): the seed of J^T u
    bint contracted                # J^T u from the rows of J, as those are made anyway
    const void* H                  # (N,) or (N, m, m)
    bint full_H
    const void* v                  # (P_net,) of a tangent; (columns, P_net) of directions
    Py_ssize_t columns
    int form                       # of Sigma
    double sigma
    const Pair* pairs              # (L+1,)
    const void* Sigma              # (P, P)
    void* y                        # (N, m)
    const void* Y                  # (N, m): y is f(X) - Y; or NULL
    void* activations              # h and fprime of each block, one block behind the other; or NULL
    bint input_rows                # x stays in rows: see inputs.pxd
    const void* packs              # then W^(1) and b^(1) in packs,
    const void* v_packs            # and these blocks of v
    void** kept_h                  # what FACTORS writes: as inputs
    void** kept_delta
    Py_ssize_t by_rows             # delta of the layers below this one is made sample by sample
    void* J                        # (N, r, P)
    void* HJ                       # (N, r, P): H J beside J
    void* Jx                       # (N, r, n_0)
    void* Jv                       # (N, m, columns)
    void* norms                    # (N, r)
    void* covariance               # (N, r, r)
    void* vjp                      # the sums: (P,), (P,), (P, P), (length,)
    void* diagonal
    void* ggn
    void* kfac
    const Py_ssize_t* at_A         # (L+1,) where the Kronecker factors of layer k are in kfac
    const Py_ssize_t* at_B
    bint add                       # to what the arrays of the sums hold
    void* partial                  # (lanes - 1, length) sums of the other lanes
    Py_ssize_t length, kfac_length
    void* lanes_kept               # for LANES_KEPT: h and delta of each block, one block after the other
    bint interleaved               # with the outputs of delta beside each other
    Py_ssize_t lanes_length        # numbers of each block: kept_length
    Py_ssize_t B                   # lanes of a block, all but the last
    Py_ssize_t blocks, lanes       # 0 lanes: nothing is summed
    bint shared                    # all threads work on one block at a time
    bint stream                    # J is written past the caches
    bint reproducible              # bits of a sample do not depend on N
    double work                    # multiplications and stores of a sample
    Failure* failure               # of the functions of a registered activation

cdef struct Space:                 # a block's workspace; arrays of numbers, of pointers to one array a layer
    void** h
    void** fprime
    void** delta
    void** rows                    # h and delta sample by sample, for dense rows
    void** delta_rows
    void** dv                      # tangents of v and h
    void** dh
    void* input_work               # v^(1) sample by sample, in whole packs
    void* left
    void* H
    void* u
    void* d
    void* stacked                  # h^(k-1) sample by sample
    void* squares
    void* slopes                   # fprime^(k) sample by sample
    void* delta_stacked            # each row of delta sample by sample
    void* left_stacked             # and of H delta
    void* norms
    void* C
    void* JU
    void* J
    void* lanes_J
    void* Jx
    void* work                     # of each thread that shares the block
    Py_ssize_t work_length


cdef inline bint keeps_deltas(const Job* job) noexcept nogil:
    """Whether all layers of delta are needed at once."""
    return (job.wanted & (DENSE_ROWS | GGN)) != 0 or (job.wanted & COVARIANCE and job.form == FULL)


cdef inline Py_ssize_t lanes_of_J(const Job* job) noexcept nogil:
    """How many rows of each parameter the Gauss-Newton matrix is made of: of J and of H J."""
    return (job.r if job.full_H else 1) + (job.H != NULL)


cdef struct Supply:                # what is left of a workspace
    char* start
    Py_ssize_t itemsize


cdef inline void* take(Supply* free, Py_ssize_t count, bint wanted) noexcept nogil:
    """The next `count` numbers, from a cache line's start on; none where they are not wanted."""
    cdef char* numbers = free.start
    if wanted:
        free.start += (count * free.itemsize + 63) // 64 * 64
    return numbers


cdef inline void place(void** layers, Py_ssize_t i, void* numbers) noexcept nogil:
    if layers != NULL:
        layers[i] = numbers


cdef inline Py_ssize_t lay_out(Space* at, void** layers, char* numbers, const Job* job, Py_ssize_t itemsize,
                               Py_ssize_t N, Py_ssize_t B, Py_ssize_t threads) noexcept nogil:
    """Pointers into a workspace that begins at `numbers`; the bytes that it takes.

    `layers` holds POINTERS (L + 1) pointers, or is NULL where only the bytes are asked for; `threads` share the block.
    """
    cdef const Net* net = job.net
    cdef Py_ssize_t k, n, units = 1, widest, r = job.r, L1 = net.L + 1, stack
    cdef int wanted = job.wanted
    cdef bint all_deltas = keeps_deltas(job), below = job.lowest <= net.L
    cdef bint dense = (wanted & DENSE_ROWS) != 0 or (wanted & COVARIANCE and job.form == FULL)
    cdef bint sums = (wanted & (VJP | GGN_DIAGONAL | KFAC)) != 0
    cdef Supply free = Supply(numbers, itemsize)
    cdef void* turns[2]
    at.h, at.fprime, at.delta = layers, layers + L1, layers + 2 * L1
    at.rows, at.delta_rows, at.dv, at.dh = layers + 3 * L1, layers + 4 * L1, layers + 5 * L1, layers + 6 * L1
    for k in range(L1):
        n = net.n_0 if k == 0 else net.layer[k].n_out
        units = max(units, n if k > 0 else 1)
        place(layers, k, take(&free, whole_vectors(n, itemsize) * B, not (k == 0 and reads_X(job, itemsize))))
        place(layers, L1 + k, take(&free, n * B, k > 0 and job.X != NULL))
        place(layers, 2 * L1 + k, take(&free, r * n * B, all_deltas and k > 0 and below))
        place(layers, 3 * L1 + k, take(&free, n * N, dense and B > 1))
        place(layers, 4 * L1 + k, take(&free, r * n * N, dense and B > 1 and k > 0))
    if not all_deltas and below:  # two that take turns
        turns[0], turns[1] = take(&free, r * units * B, True), take(&free, r * units * B, True)
        for k in range(L1):
            place(layers, 2 * L1 + k, turns[k % 2])
    widest = max(units, net.n_0)
    stack = whole_vectors(widest, itemsize) * N
    for k in range(2):
        turns[k] = take(&free, units * B, (wanted & (TANGENT | GAUSS_NEWTON_VECTOR)) != 0)
    for k in range(L1):
        place(layers, 5 * L1 + k, turns[k % 2])
        place(layers, 6 * L1 + k, NULL if k == 0 else turns[(k + (k == net.L and net.coupled)) % 2])
    at.input_work = take(&free, whole_packs(net.layer[1].n_out, itemsize, job.context) * N, job.input_rows)
    at.left = take(&free, r * units * B, job.H != NULL)
    at.H = take(&free, r * r * B if job.full_H else B, job.H != NULL)
    at.u = take(&free, max(r, net.m) * B, job.contracted or (wanted & GAUSS_NEWTON_VECTOR) != 0)
    at.d = take(&free, units * B, sums)
    at.stacked = take(&free, stack, sums)
    at.slopes = take(&free, stack, job.by_rows > 0)
    at.squares = take(&free, stack, (wanted & GGN_DIAGONAL) != 0)
    at.delta_stacked = take(&free, r * whole_vectors(units, itemsize) * N, (wanted & KFAC) != 0)
    at.left_stacked = take(&free, r * whole_vectors(units, itemsize) * N, wanted & KFAC and job.H != NULL)
    at.norms = take(&free, r * B, (wanted & ROW_NORMS) != 0)
    at.C = take(&free, r * r * B, (wanted & COVARIANCE) != 0)
    at.JU = take(&free, r * job.columns * B, (wanted & DIRECTIONS) != 0 or job.form == LOW_RANK)
    at.J = take(&free, 2 * N * r * job.P, wanted & COVARIANCE and job.form == FULL)
    at.lanes_J = take(&free, lanes_of_J(job) * job.P * B, (wanted & GGN) != 0)
    at.work_length = ((r + 4) * widest + 4) * B
    at.work = take(&free, threads * at.work_length, True)
    at.Jx = take(&free, r * net.n_0 * B, (wanted & INPUT_JACOBIAN) != 0)
    take(&free, 16, True)  # what the last vector of a row may read
    return free.start - numbers


cdef inline floating* lane(const Job* job, floating* result, Py_ssize_t offset, Py_ssize_t number) noexcept nogil:
    """Where a sum is added up: the first lane is the result itself."""
    return result if number == 0 else <floating*> job.partial + (number - 1) * job.length + offset


cdef inline Py_ssize_t vjp_length(const Job* job) noexcept nogil:
    """Numbers of J^T u in a lane; then come the diagonal, the Kronecker factors, and the matrix."""
    return job.P if job.vjp != NULL else 0


cdef inline Py_ssize_t diagonal_length(const Job* job) noexcept nogil:
    return job.P if job.diagonal != NULL else 0


cdef inline Py_ssize_t kfac_side(const Job* job, Py_ssize_t k) noexcept nogil:
    """Rows of A of layer k: its inputs, and 1 of a bias, as far as they are kept."""
    return (job.net.layer[k].n_in if job.column[k] >= 0 else 0) + (job.bias_column[k] >= 0)


cdef inline Py_ssize_t ggn_length(const Job* job) noexcept nogil:
    return job.P * job.P if job.wanted & GGN else 0


cdef inline bint is_lone(const Job* job) noexcept nogil:
    """Whether this is one sample, by plain loops, whose sums have another order."""
    return job.N == 1 and not job.reproducible


cdef inline Py_ssize_t layers_by_rows(const Job* job, Py_ssize_t itemsize) noexcept nogil:
    """Below which layer delta is made of the rows above and W, if W has rows of some whole vectors; 0: of none."""
    cdef const Layer* above
    cdef Py_ssize_t row, k = job.lowest
    if job.wanted & ~OUTPUTS != FACTORS or job.X == NULL or is_lone(job) or not job.context.tiles:
        return 0
    while k < job.net.L - 1:
        above = &job.net.layer[k + 1]
        if job.kept_delta[k] == NULL or job.kept_delta[k + 1] == NULL or above.op == ELEMENTWISE:
            break
        row = above.n_in * itemsize
        if row < LEAST_ROW_BYTES or row % 32 != 0 or above.n_out * row > CACHED_BYTES:
            break
        k += 1
    return k if k > job.lowest else 0


cdef inline bint keeps_input_rows(const Job* job, Py_ssize_t itemsize) noexcept nogil:
    """Whether x stays in rows: many inputs and samples, more inputs than units, nothing wanted that reads lanes."""
    cdef const Layer* first = &job.net.layer[1]
    return (job.X != NULL and job.context.tiles and first.op != ELEMENTWISE
            and job.wanted & ~FROM_INPUT_ROWS == 0 and job.net.n_0 >= max(MANY_INPUTS, first.n_out)
            and job.N >= PACK_REUSE * first.n_out
            and packs_length(first, itemsize, job.context) * itemsize <= PACKS_BYTES)


cdef inline bint reads_X(const Job* job, Py_ssize_t itemsize) noexcept nogil:
    """Whether these rows are X itself: no scaling, and rows of whole vectors."""
    return job.input_rows and not job.net.scaled_input and job.net.n_0 == whole_vectors(job.net.n_0, itemsize)


cdef inline void cut(Job* job, Py_ssize_t flops, Py_ssize_t itemsize) noexcept nogil:
    """Blocks, lanes, and whether threads share each block: from the net, N and what is wanted alone.

    B is 0, or given: of a job that reads or writes what lies in blocks.
    """
    cdef Py_ssize_t lanes = 32 // itemsize, least = LEAST_VECTORS * lanes, sample, most, fitting, parts
    cdef bint sums = (job.wanted & (VJP | GGN_DIAGONAL | KFAC | GGN)) != 0
    cdef bint below = job.lowest <= job.net.L, told = job.B > 0
    job.work = flops * (1.0 + (job.r if below else 0) + 2 * ((job.wanted & (TANGENT | GAUSS_NEWTON_VECTOR)) != 0))
    job.work += job.r * job.P if job.wanted & DENSE_ROWS else 0
    job.work += job.r * job.P * job.P if job.wanted & GGN else 0
    job.length = vjp_length(job) + diagonal_length(job) + job.kfac_length + ggn_length(job)
    job.by_rows = layers_by_rows(job, itemsize)
    job.input_rows = keeps_input_rows(job, itemsize)
    fitting = LANES_BYTES // max(1, job.length * itemsize)
    while fitting & (fitting - 1):  # a power of two: two threads, or four, have as many each
        fitting &= fitting - 1
    sample = itemsize * block_numbers(job)
    most = min(<Py_ssize_t> BLOCK_SAMPLES, max(least, BLOCK_BYTES // sample // lanes * lanes))
    if job.input_rows:
        most = INPUT_ROWS_SAMPLES
    if not told:
        parts = FINEST if job.work * job.N >= PARALLEL_WORK else 1
        job.B = 1 if is_lone(job) else lines(job, min(most, max(least, (job.N + parts - 1) // parts)), itemsize)
    job.blocks = (job.N + job.B - 1) // job.B
    job.shared = job.N > 1 and job.work * job.N >= PARALLEL_WORK and (
        job.blocks < SHARED_BLOCKS or (sums and fitting < FEWEST_LANES))
    if job.shared and not told:
        most = max(least, SHARED_BYTES // sample // lanes * lanes)
        job.B = lines(job, min(min(<Py_ssize_t> BLOCK_SAMPLES, most), job.N), itemsize)
        job.blocks = (job.N + job.B - 1) // job.B
    job.lanes = 1 if sums else 0
    if sums and not job.shared:
        job.lanes = min(max(<Py_ssize_t> 1, min(<Py_ssize_t> LANES, fitting)),
                        max(min(job.blocks, <Py_ssize_t> FEWEST_LANES), (job.blocks + 1) // 2))


cdef inline Py_ssize_t lines(const Job* job, Py_ssize_t lanes, Py_ssize_t itemsize) noexcept nogil:
    """An odd number of cache lines of lanes, about: rows that are a power of two apart share few sets of the cache.

    If x stays in rows, a multiple of six lines: of the six rows of a tile (inputs.h), and of whole vectors.
    """
    cdef Py_ssize_t line = 64 // itemsize
    if job.input_rows:
        return max(<Py_ssize_t> 1, lanes // (6 * line)) * 6 * line
    return ((lanes + line - 1) // line // 2 * 2 + 1) * line


cdef inline Py_ssize_t block_numbers(const Job* job) noexcept nogil:
    """Numbers of one sample in the workspace of a block, about."""
    cdef const Net* net = job.net
    cdef Py_ssize_t k, n, units = 1, layers = net.n_0, widest, numbers
    for k in range(1, net.L + 1):
        n = net.layer[k].n_out
        layers += n
        units = max(units, n)
    widest = units if job.input_rows else max(units, net.n_0)
    numbers = 2 * layers - (net.n_0 if job.input_rows else 0)
    if job.lowest <= net.L:
        numbers += job.r * (layers if keeps_deltas(job) else 2 * units)
    if job.wanted & (VJP | GGN_DIAGONAL | KFAC):
        numbers += 2 * widest
    if job.wanted & KFAC:
        numbers += job.r * units
    if job.wanted & DENSE_ROWS:
        numbers += (1 + job.r) * layers
    if job.wanted & GGN:
        numbers += lanes_of_J(job) * job.P
    if job.wanted & COVARIANCE and job.form == FULL:
        numbers += 2 * job.r * job.P
    return numbers


cdef inline Py_ssize_t kept_length(const Net* net, Py_ssize_t r, Py_ssize_t B) noexcept nogil:
    """Numbers of all h^(k-1) and delta^(k) of a block."""
    return kept_before(net, net.L + 1, r, B)


cdef inline Py_ssize_t kept_before(const Net* net, Py_ssize_t k, Py_ssize_t r, Py_ssize_t B) noexcept nogil:
    """How many of them lie before those of layer k."""
    cdef Py_ssize_t below, total = 0
    for below in range(1, k):
        total += (net.layer[below].n_in + r * net.layer[below].n_out) * B
    return total


cdef inline Py_ssize_t activations_length(const Net* net, Py_ssize_t B) noexcept nogil:
    """Numbers of a block among the activations: h^(1), ..., h^(L-1), and fprime of all layers."""
    cdef Py_ssize_t k, total = 0
    for k in range(1, net.L + 1):
        total += (1 + (k < net.L)) * net.layer[k].n_out * B
    return total


cdef inline void point_activations(void** h, void** fprime, char* numbers, const Net* net, Py_ssize_t B,
                                   Py_ssize_t itemsize) noexcept nogil:
    """Where each of them is."""
    cdef Py_ssize_t k
    for k in range(1, net.L + 1):
        fprime[k] = numbers
        numbers += net.layer[k].n_out * B * itemsize
        if k < net.L:
            h[k] = numbers
            numbers += net.layer[k].n_out * B * itemsize
