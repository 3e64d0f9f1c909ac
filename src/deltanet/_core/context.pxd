from deltanet._core.net cimport Context

cdef Context CONTEXT, REPRODUCIBLE
cdef int check() except -1
