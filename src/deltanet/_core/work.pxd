from libc.stdint cimport int64_t

from deltanet._core.net cimport Failure

cdef extern from "barrier.h" nogil:
    long dn_add(long* counter, long amount) noexcept
    long dn_load(long* counter) noexcept
    void dn_store(long* counter, long value) noexcept

ctypedef void (*dn_run)(void* job, int rank, int size) noexcept nogil

cdef struct Workspace:
    void** pointers
    char* numbers


cdef class Arena:
    cdef void* memory
    cdef readonly Py_ssize_t size
    cdef void** pointers
    cdef char* numbers
    cdef int hold(self, Py_ssize_t pointers, Py_ssize_t nbytes) except -1


cdef Arena borrow()
cdef int give_back(Arena arena) except -1
cdef int raise_from(Failure* failure) except -1
cdef int thread_count(threads, double work, Py_ssize_t units) except -1


cdef class Work:
    cdef object threads, progress, error
    cdef long next, done, stop  # the next unit; units that are done; whether to end early
    cdef list arenas            # one a thread, or one that all share; more behind them
    cdef Workspace* workspaces
    cdef int64_t polled
    cdef int reserve(self, Py_ssize_t count, Py_ssize_t pointers, Py_ssize_t nbytes) except -1
    cdef char* extra(self, Py_ssize_t nbytes) except NULL
    cdef int release(self) except -1
    cdef int go(self, dn_run run, int threads, bint together) except -1
    cdef void poll(self) noexcept nogil
    cdef void look(self) noexcept
    cdef Py_ssize_t samples(self) noexcept
