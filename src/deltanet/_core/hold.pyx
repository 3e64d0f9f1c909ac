# cython: freethreading_compatible=True
"""BLAS at one thread while anybody needs that (deltanet._parallel finds the library).

Why this is compiled: Python runs a signal's handler between two bytecodes of the main thread, and an
exception from there (Ctrl-C) can skip any statement of Python, the first of a `finally` included. Here there
are no bytecodes, and nothing that lets go of the interpreter: enter and leave run whole or not at all, and
os.fork, which waits for the interpreter too, never sees them half done. A Hold whose end an exception did
skip (it came after enter returned and before the `with` took notice) is left when it dies, which is at once.
"""

cimport cython
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport uintptr_t

cdef enum:
    LIBRARIES = 16  # at most; SciPy's is one

ctypedef int (*Get)() noexcept nogil
ctypedef void (*Set)(int) noexcept nogil

cdef struct Library:
    Get get
    Set set
    bint per_thread  # the number is each thread's own (OpenMP): no count of users, the Hold remembers it
    int found        # the process's number, to be restored by the last user; 0 for nothing to restore

cdef Library libraries[LIBRARIES]
cdef int count = 0       # of libraries
cdef long users = 0      # Holds inside
cdef long forks = 0      # of this process's line: a Hold from before the last one is not counted any more
cdef bint installed = False
cdef object LOCK = object()  # a critical section on it does nothing where there is a global interpreter lock


cdef class Hold:
    """A context of one `with`."""
    cdef bint inside
    cdef long forks
    cdef long thread
    cdef int found[LIBRARIES]  # this thread's numbers, by library

    def __enter__(self):
        if self.inside:
            raise RuntimeError("a Hold serves one `with` at a time")
        with cython.critical_section(LOCK):
            enter(self)

    def __exit__(self, *exception):
        with cython.critical_section(LOCK):
            leave(self)

    def __dealloc__(self):
        if self.inside:
            with cython.critical_section(LOCK):
                leave(self)


cdef void enter(Hold hold) noexcept:
    global users
    cdef int k, number
    cdef Library *library
    hold.inside = True
    hold.forks = forks
    hold.thread = PyThread_get_thread_ident()
    users += 1
    for k in range(count):
        library = &libraries[k]
        number = library.get()
        if library.per_thread:
            hold.found[k] = number
        elif number > 1:  # the first user; or somebody else has set it meanwhile, and is to find that again
            library.found = number
        if number > 1:
            library.set(1)


cdef void leave(Hold hold) noexcept:
    global users
    cdef int k
    if not hold.inside:
        return
    hold.inside = False
    for k in range(count):
        if libraries[k].per_thread and hold.found[k] > 1 and hold.thread == PyThread_get_thread_ident():
            libraries[k].set(hold.found[k])
    if hold.forks == forks:
        users -= 1
        if users == 0:
            restore()


cdef void restore() noexcept:
    cdef int k
    cdef Library *library
    for k in range(count):
        library = &libraries[k]
        if library.found and library.get() == 1:  # else somebody has set it since: that stands
            library.set(library.found)
        library.found = 0


cdef void limit_thread() noexcept nogil:
    """One thread for products of the calling thread, for good: for a thread that is ours alone."""
    cdef int k
    for k in range(count):
        if libraries[k].per_thread:
            libraries[k].set(1)


def install(functions):
    """Hold these libraries, (address of get, address of set, per thread) each; the first call counts."""
    global count, installed
    cdef uintptr_t get, set_
    cdef Library found[LIBRARIES]
    cdef int k, n = 0
    for get, set_, per_thread in functions[:LIBRARIES]:
        found[n] = Library(<Get> get, <Set> set_, per_thread, 0)
        n += 1
    with cython.critical_section(LOCK):
        if not installed and users == 0:
            for k in range(n):
                libraries[k] = found[k]
            count = n
            installed = True


def is_installed():
    return installed


def forked():
    """What a forked child does first: nobody is inside, as none of the other threads is there."""
    global users, forks
    forks += 1
    users = 0
    restore()


def state():
    """(users, the numbers of the libraries as this thread sees them): for tests and show_config."""
    cdef int k
    return users, [libraries[k].get() for k in range(count)]
