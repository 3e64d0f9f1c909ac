from deltanet._core.net cimport Context

cdef Context CONTEXT
cdef int check() except -1
