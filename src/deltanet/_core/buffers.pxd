cdef class Arena:
    cdef void* memory
    cdef Py_ssize_t size
    cdef void** pointers
    cdef char* numbers

    cdef int hold(self, Py_ssize_t pointers, Py_ssize_t nbytes) except -1

cdef Arena borrow()

cdef void give_back(Arena arena)
