# NumPy arrays as pointers.

cimport numpy as cnp


cdef inline void* data(array) noexcept:
    """Where its numbers are; NULL for None."""
    return NULL if array is None else cnp.PyArray_DATA(<cnp.ndarray> array)
