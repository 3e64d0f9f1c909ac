# J^T u:  dW^(k) += d^T h^(k-1),  db^(k) += sum_s d_s    with d_s = u_s^T delta^(k)_s, the row of a gradient
#
# Workspace: h sample by sample, (N, n_in) with rows of whole vectors; or x itself (inputs.pxd).

from cython cimport floating
from libc.string cimport memset

from deltanet._core.inputs cimport input_sums
from deltanet._core.loops cimport row_sums
from deltanet._core.net cimport share
from deltanet._core.product cimport product
from deltanet._core.rows cimport Layout


cdef inline void outer_sums(floating* sums, const floating* d, const floating* rows, Py_ssize_t stride, bint squared,
                            const Layout* at) noexcept nogil:
    """The columns of one layer: dW (n_out, n_in), db (n_out,) from d (n_out, B), rows (N, n_in)

    `squared`, if `at.input_rows`: dW of the squares of the rows.
    """
    cdef Py_ssize_t start, stop, B = at.B
    share(&start, &stop, at.n_out, at.team)
    if at.column >= 0 and at.input_rows:
        input_sums(sums + at.column + start * at.n_in, d + start * B, rows, stride, stop - start, at.n_in, at.N, B,
                   squared, at.add, at.context)
    elif at.column >= 0:
        product(sums + at.column + start * at.n_in, at.n_in, d + start * B, B, 1, rows, stride, stop - start,
                at.n_in, at.N, <const floating*> NULL, at.add, at.context)
    if at.bias_column >= 0:
        if not at.add:
            memset(sums + at.bias_column + start, 0, (stop - start) * sizeof(floating))
        row_sums(at.context.simd, sums + at.bias_column + start, d + start * B, stop - start, at.N, B)
