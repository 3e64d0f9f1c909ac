# dy/dx = delta^(1) W^(1) diag(1 / scale)    (N, r, n_0)
#
# Workspace: r n_0 B numbers.

from cython cimport floating

from deltanet._core.net cimport Net, share
from deltanet._core.rows cimport Layout, unload


cdef inline void input_jacobian(floating* Jx, floating* work, const floating* affine, const Net* net,
                                const Layout* at) noexcept nogil:
    """From delta^(1) W^(1) in `work` (r, n_0, B), of the inputs that this thread owns."""
    cdef Py_ssize_t o, i, s, start, stop, n = net.n_0, B = at.B
    cdef floating scale
    share(&start, &stop, n, at.team)
    for o in range(at.r):
        if net.scaled_input:
            for i in range(start, stop):
                scale = affine[n + i]
                for s in range(B):
                    work[(o * n + i) * B + s] /= scale
        unload(Jx + o * n + start, at.r * n, work + (o * n + start) * B, stop - start, at.N, B, at.context)
