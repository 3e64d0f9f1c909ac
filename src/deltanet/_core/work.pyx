"""Work that the threads of the pool share (pool.h), and what it needs of Python: memory, signals, progress."""

from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport PyObject, Py_XDECREF
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport free, malloc

import os

from deltanet import _limits, _parallel
from deltanet._core import buffers

from deltanet._core.context cimport check
from deltanet._core.net cimport Failure
from deltanet._core.plan cimport PARALLEL_WORK

cdef extern from "pool.h" nogil:
    void dn_pool_run(dn_run run, void* job, int size, int together) noexcept
    void dn_pool_forget() noexcept
    int64_t dn_now() noexcept

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: dn_pool_forget())

cdef Py_ssize_t ARENA_BYTES = _limits.ARENA_BYTES, MOST_ARENAS = _limits.ARENAS, MOST_THREADS = _limits.THREADS
cdef list ARENAS = buffers.arenas  # workspaces that no call uses
cdef int64_t POLL_NS = 50 * 1000 * 1000  # between two looks at signals


cdef class Arena:
    """Workspace of one thread: pointers to layers, then numbers. It grows and is used by every net."""

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


cdef int thread_count(threads, double work, Py_ssize_t units) except -1:
    """How many threads to use: what was asked for, or all where the work is large enough to pay."""
    check()
    if threads is None:
        if work < PARALLEL_WORK:
            return 1
        threads = _parallel.get_num_threads()
    return max(1, min(threads, units, MOST_THREADS))


cdef class Work:
    """A call on its way through the threads."""

    def __cinit__(self):
        self.arenas = []

    def __dealloc__(self):
        free(self.workspaces)

    cdef int reserve(self, Py_ssize_t count, Py_ssize_t pointers, Py_ssize_t nbytes) except -1:
        """So many workspaces, until `release`."""
        cdef Arena arena
        self.workspaces = <Workspace*> malloc(count * sizeof(Workspace))
        if self.workspaces == NULL:
            raise MemoryError("no memory for the workspaces")
        for i in range(count):
            arena = borrow()
            self.arenas.append(arena)
            arena.hold(pointers, nbytes)
            self.workspaces[i] = Workspace(arena.pointers, arena.numbers)
        return 0

    cdef char* extra(self, Py_ssize_t nbytes) except NULL:
        """One workspace more."""
        cdef Arena arena = borrow()
        self.arenas.append(arena)
        arena.hold(0, nbytes)
        return arena.numbers

    cdef int release(self) except -1:
        """The workspaces, for other calls."""
        for arena in self.arenas:
            give_back(arena)
        self.arenas.clear()
        return 0

    cdef int go(self, dn_run run, int threads, bint together) except -1:
        """run(self, rank, size) on so many threads: see dn_pool_run. 0: on this one, with Python's lock."""
        self.next, self.polled = 0, dn_now()
        if threads == 0:
            run(<void*> self, 0, 1)
        else:
            with nogil:
                dn_pool_run(run, <void*> self, threads, together)
        if self.error is not None:
            raise self.error
        return 0

    cdef void poll(self) noexcept nogil:
        """Now and then, on the calling thread: signals and progress."""
        cdef int64_t now = dn_now()
        if now - self.polled > POLL_NS:
            self.polled = now
            with gil:
                self.look()

    cdef void look(self) noexcept:
        """An exception ends the call."""
        try:
            PyErr_CheckSignals()
            if self.progress is not None:
                self.progress(self.samples())
        except BaseException as error:
            self.error = error
            dn_store(&self.stop, 1)

    cdef Py_ssize_t samples(self) noexcept:
        """That are done, for progress."""
        return self.done


cdef int raise_from(Failure* failure) except -1:
    """The exception of a Python function, if there is one."""
    if failure.error == NULL:
        return 0
    error = <object> failure.error
    Py_XDECREF(<PyObject*> failure.error)
    failure.error = NULL
    raise error
