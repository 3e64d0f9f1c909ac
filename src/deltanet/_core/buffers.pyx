"""Memory that is used again: results that come back when their array dies, and a workspace for each thread.

A fresh page costs several times the arithmetic that fills it, and malloc gives large blocks back to the
system.
"""

from cpython.buffer cimport PyBuffer_FillInfo

cimport numpy as cnp

cdef extern from "Python.h":
    int Py_IsInitialized()

cdef extern from *:
    """
    #ifdef __GLIBC__
    #include <malloc.h>
    #define dn_trim() malloc_trim(0)
    #else
    #define dn_trim() 0
    #endif
    """
    int dn_trim() nogil

import threading

import numpy as np

from deltanet import _limits

cnp.import_array()

_lock = threading.Lock()
_idle = []        # memory of results that have died, the oldest first
arenas = []      # workspaces that no call uses: `Arena` of engine.pyx


cdef class Lease:
    """Memory of a result, lent to the array that lies in it: `numpy.frombuffer` keeps it alive."""

    cdef object memory

    def __init__(self, memory):
        self.memory = memory

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, cnp.PyArray_DATA(<cnp.ndarray> self.memory), self.memory.nbytes, 0,
                          flags)

    def __del__(self):
        if not Py_IsInitialized():
            return  # a result outlived the modules, as one in the traceback of a kept exception may
        # Not waited for: this may run inside `lend`, in the middle of an allocation. Memory is then freed.
        if self.memory.nbytes <= _limits.CACHE_BYTES and _lock.acquire(False):
            try:
                _idle.append(self.memory)
                while sum([each.nbytes for each in _idle]) > _limits.CACHE_BYTES:
                    del _idle[0]
            finally:
                _lock.release()


def lend(tuple shape, dtype):
    """An array that is not initialised, in memory of a result that has died where that fits."""
    cdef Py_ssize_t nbytes = dtype.itemsize, i, best = -1
    for n in shape:
        nbytes *= n
    if nbytes < _limits.CACHED_RESULT_BYTES:
        return np.empty(shape, dtype)
    memory = None
    with _lock:
        for i in range(len(_idle)):
            if nbytes <= _idle[i].nbytes <= nbytes + nbytes // 4 and (
                    best < 0 or _idle[i].nbytes < _idle[best].nbytes):
                best = i
        if best >= 0:
            memory = _idle.pop(best)
    if memory is None:
        memory = np.empty(nbytes, np.uint8)
    return np.frombuffer(Lease(memory), dtype, nbytes // dtype.itemsize).reshape(shape)


def held():
    """(bytes of dead results, bytes of workspaces) that are kept."""
    with _lock:
        return sum([each.nbytes for each in _idle]), sum([each.size for each in list(arenas)])


def clear():
    """Give everything back to the system that no result and no call uses."""
    with _lock:
        _idle.clear()
    arenas.clear()
    dn_trim()  # glibc keeps what is free below memory in use
