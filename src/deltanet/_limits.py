"""Limits, each with its unit. Those of the core's blocks and lanes stand in _core/plan.pxd."""

from deltanet import _machine

CACHE_BYTES = (
    256 * 2**20
)  # of dead results that are kept for the next ones: `clear_cache` gives them back
CACHED_RESULT_BYTES = 64 * 2**10  # what is smaller comes from malloc fast enough
ARENA_BYTES = 16 * 2**20  # of a thread's workspace that is kept
ARENAS = 16  # workspaces that are kept
STREAM_BYTES = (
    _machine.last_level_cache()
)  # dense results that are larger are written past the caches
FACTOR_BYTES = 8 * 2**20  # of the factors of samples whose Gram tiles are made together
ROW_BYTES = (
    12 * 2**20
)  # of dense rows that a Gauss-Newton matrix of many parameters is made from at once
ACTIVATION_BYTES = (
    256 * 2**20
)  # of h and f' that a matrix-free fit keeps; of more they are made again
COPY_SAMPLES = 2**16  # of an X that has to be converted, at once
PIECE_NUMBERS = 2**21  # of all arrays, that a task of a job reads at once: so memory is flat
SPILL_BYTES = 2**20  # of an array that the processes of a pool read from a file, not from a pipe
FLIGHT_BYTES = 2**27  # of results that are awaited at once
STORED_BLOCK_BYTES = 64 * 2**20  # of X and of all arrays of a store, in one block
STORED_PIECE_BYTES = (
    2**21
)  # of a block, written while the next ones are computed: they stay in the cache
PIECE_MULTIPLE = 64  # rows of it are so many, or a multiple: full blocks of the core
TASK_BYTES = 32 * 2**20  # of blocks of a store that one task writes, if they are small
DOCUMENT_BYTES = 4 * 2**20  # of what Zarr says of an array or a group of a store
WIDEST_LAYER = 2**31 - 1  # units: what BLAS counts with an int
WORTH_A_LOOK_BYTES = 2**26  # what is smaller is allocated without asking for the free memory
THREADS = 256  # at most, whatever was asked for
