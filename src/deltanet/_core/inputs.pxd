# The first layer of a net with many inputs, whose samples stay in rows: inputs.h (symbols: net.pxd).
#
#   v^(1) = W^(1) x + b^(1),  dW^(1) += d^T x
#
# Of the n_0 numbers of a sample none is moved then, and of the n_1 each once.

from cython cimport floating
from libc.string cimport memcpy, memset

from deltanet._core.loops cimport transpose
from deltanet._core.net cimport Context, Layer, Net, Team, share
from deltanet._core.pool cimport meet

cdef extern from "inputs.h" nogil:
    Py_ssize_t dn_pack_bytes(int simd) noexcept
    void dn_input_product_f64(int simd, double* C, Py_ssize_t ldc, const double* X, Py_ssize_t ldx, const double* packs,
                              Py_ssize_t N, Py_ssize_t n, Py_ssize_t K) noexcept
    void dn_input_product_f32(int simd, float* C, Py_ssize_t ldc, const float* X, Py_ssize_t ldx, const float* packs,
                              Py_ssize_t N, Py_ssize_t n, Py_ssize_t K) noexcept
    void dn_input_sums_f64(int simd, double* C, Py_ssize_t ldc, const double* D, Py_ssize_t ldd, const double* X,
                           Py_ssize_t ldx, Py_ssize_t N, Py_ssize_t n, Py_ssize_t K, int squared, int add) noexcept
    void dn_input_sums_f32(int simd, float* C, Py_ssize_t ldc, const float* D, Py_ssize_t ldd, const float* X,
                           Py_ssize_t ldx, Py_ssize_t N, Py_ssize_t n, Py_ssize_t K, int squared, int add) noexcept

cdef struct InputRows:           # x of a block, sample by sample, and what it is multiplied with
    const void* x                # (N, n_0), rows `stride` apart
    Py_ssize_t N, stride
    const void* packs            # of W^(1) and b^(1); of the same blocks of v
    const void* v_packs
    void* work                   # (N, n_1 in whole packs)


cdef inline Py_ssize_t whole_packs(Py_ssize_t n, Py_ssize_t itemsize, const Context* context) noexcept nogil:
    """n rounded up to whole packs."""
    cdef Py_ssize_t width = dn_pack_bytes(context.simd) // itemsize
    return (n + width - 1) // width * width


cdef inline Py_ssize_t packs_length(const Layer* layer, Py_ssize_t itemsize, const Context* context) noexcept nogil:
    """Numbers of the packs of a layer."""
    return whole_packs(layer.n_out, itemsize, context) * (layer.n_in + 1)


cdef inline void stack_input(floating* out, const floating* X, const floating* affine, const Net* net,
                             const InputRows* rows, const Team* team) noexcept nogil:
    """h^(0) = (x - shift) / scale    (N, n_0; rows `stride` apart)"""
    cdef Py_ssize_t i, j, s, q, n = net.n_0
    share(&i, &j, rows.N, team)
    for s in range(i, j):
        if net.scaled_input:
            for q in range(n):
                out[s * rows.stride + q] = (X[s * n + q] - affine[q]) / affine[n + q]
        else:
            memcpy(out + s * rows.stride, X + s * n, n * sizeof(floating))
    meet(team)


cdef inline void pack(floating* packs, const floating* theta, const Layer* layer,
                      const Context* context) noexcept nogil:
    """Of W and b of a layer."""
    cdef Py_ssize_t j = 0, rows, width = dn_pack_bytes(context.simd) // sizeof(floating), K = layer.n_in
    memset(packs, 0, packs_length(layer, sizeof(floating), context) * sizeof(floating))
    while j < layer.n_out:
        rows = min(width, layer.n_out - j)
        if layer.bias_offset >= 0:
            memcpy(packs, theta + layer.bias_offset + j, rows * sizeof(floating))
        transpose(context.simd, packs + width, width, theta + layer.offset + j * K, K, rows, K)
        packs += (K + 1) * width
        j += width


cdef inline void input_map(floating* v, const InputRows* rows, const floating* packs, const Layer* layer,
                           Py_ssize_t B, const Context* context, const Team* team) noexcept nogil:
    """v = W x + b    (n_1, B); each thread of the team makes it for some samples.

    The lanes behind the last sample hold it again.
    """
    cdef Py_ssize_t i, j, q, s, N = rows.N, n = layer.n_out, ldc = whole_packs(n, sizeof(floating), context)
    cdef floating* work
    cdef const floating* x
    share(&i, &j, N, team)
    work = <floating*> rows.work + i * ldc
    x = <const floating*> rows.x + i * rows.stride
    if floating is double:
        dn_input_product_f64(context.simd, work, ldc, x, rows.stride, packs, j - i, n, layer.n_in)
    else:
        dn_input_product_f32(context.simd, work, ldc, x, rows.stride, packs, j - i, n, layer.n_in)
    transpose(context.simd, v + i, B, work, ldc, j - i, n)
    if j == N and i < j:
        for q in range(n):
            for s in range(N, B):
                v[q * B + s] = v[q * B + N - 1]
    meet(team)


cdef inline void input_sums(floating* C, const floating* d, const floating* x, Py_ssize_t stride, Py_ssize_t n,
                            Py_ssize_t n_0, Py_ssize_t N, Py_ssize_t B, bint squared, bint add,
                            const Context* context) noexcept nogil:
    """C := d x or C + d x, or of the squares of x    C (n, n_0), d (n, B), x (N, n_0; rows `stride` apart)"""
    if floating is double:
        dn_input_sums_f64(context.simd, C, n_0, d, B, x, stride, N, n, n_0, squared, add)
    else:
        dn_input_sums_f32(context.simd, C, n_0, d, B, x, stride, N, n, n_0, squared, add)
