from deltanet._core.net cimport Context

cdef Context CONTEXT
