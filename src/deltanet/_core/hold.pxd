cdef void limit_thread() noexcept nogil
