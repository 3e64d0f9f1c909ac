"""deltanet's C functions by cffi, without a compiler (its "ABI mode"): y and dy/dx of samples.

The declarations are those of deltanet.h; the addresses come from `net.c_functions` and `net.c_address`.
There is no library to open. cffi releases the interpreter's lock during a call.

    python examples/doors/with_cffi.py
"""

import numpy as np
from cffi import FFI

import deltanet as dn

ffi = FFI()
ffi.cdef("""
    enum { DN_OK = 0, DN_Y = 1, DN_JX = 2 };
    typedef struct dn_net dn_net;
    typedef size_t (*work_size)(const dn_net *net, ptrdiff_t N, int wanted);
    typedef const char *(*strerror)(int status);
    typedef int (*eval)(const dn_net *net, const double *theta, const double *x, ptrdiff_t N,
                        double *y, double *jx, double *jtheta, void *work);
""")
C = ffi.dlopen(None)  # for the numbers of the enum


def linearize(net, X):
    """y (N, m) and dy/dx (N, m, n_0) at X (N, n_0), of a float64 net."""
    work_size, strerror, evaluate = (
        ffi.cast(name, net.c_functions[name]) for name in ("work_size", "strerror", "eval")
    )
    handle, N, (n_0, *_, m) = ffi.cast("dn_net *", net.c_address), len(X), net.sizes
    X = np.ascontiguousarray(X, float)
    if X.shape != (N, n_0):  # C reads so many numbers, whatever there is
        raise ValueError(f"X must have shape (N, {n_0}); got {X.shape}")
    y, jx = np.empty((N, m)), np.empty((N, m, n_0))
    work = ffi.new("char[]", work_size(handle, N, C.DN_Y | C.DN_JX))
    x_at, y_at, jx_at = (ffi.from_buffer("double[]", a) for a in (X, y, jx))
    status = evaluate(handle, ffi.NULL, x_at, N, y_at, jx_at, ffi.NULL, work)
    if status != C.DN_OK:
        raise ValueError(ffi.string(strerror(status)).decode())
    return y, jx


if __name__ == "__main__":
    net = dn.MLP([4, 32, 32, 2], activation="tanh", seed=0)
    y, jx = linearize(net, np.zeros((1, 4)))
    print("y", y[0], "dy/dx", jx[0], sep="\n")
